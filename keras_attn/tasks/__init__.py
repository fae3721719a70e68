"""What a user holds: models that go from raw input to answers."""

from keras_attn.tasks.building import Task, from_architecture
from keras_attn.tasks.calibration import expected_calibration_error, fit_temperature
from keras_attn.tasks.classification import Classification
from keras_attn.tasks.compilation import compile_mode
from keras_attn.tasks.explanation import TextExplanation
from keras_attn.tasks.image_classifier import ImageClassifier
from keras_attn.tasks.sequence_loss import SequenceCrossentropy, TokenAccuracy, divergence_of_copies
from keras_attn.tasks.text_classifier import TextClassifier
from keras_attn.tasks.translation import Alignment, Translation
from keras_attn.tasks.translator import Translator

__all__ = [
    "Alignment",
    "Classification",
    "ImageClassifier",
    "SequenceCrossentropy",
    "Task",
    "TextClassifier",
    "TextExplanation",
    "TokenAccuracy",
    "Translation",
    "Translator",
    "compile_mode",
    "divergence_of_copies",
    "expected_calibration_error",
    "fit_temperature",
    "from_architecture",
]
