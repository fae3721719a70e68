"""What a user holds: models that go from raw input to answers."""

from keras_attn.tasks.compilation import compile_mode
from keras_attn.tasks.image_classifier import (
    Classification,
    ImageClassifier,
    from_architecture,
)

__all__ = ["Classification", "ImageClassifier", "compile_mode", "from_architecture"]
