"""What a user holds: models that go from raw input to answers."""

from keras_attn.tasks.building import Task, from_architecture
from keras_attn.tasks.calibration import expected_calibration_error, fit_temperature
from keras_attn.tasks.classification import Classification
from keras_attn.tasks.compilation import compile_mode
from keras_attn.tasks.images.attention_maps import AttentionMap, attention_maps
from keras_attn.tasks.images.classifier import ImageClassifier
from keras_attn.tasks.images.plots import plot_attention
from keras_attn.tasks.texts.classifier import TextClassifier
from keras_attn.tasks.texts.explanation import TextExplanation
from keras_attn.tasks.translation.answers import Alignment, Translation
from keras_attn.tasks.translation.plots import plot_alignment
from keras_attn.tasks.translation.sequence_loss import (
    SequenceCrossentropy,
    TokenAccuracy,
    divergence_of_copies,
)
from keras_attn.tasks.translation.translator import Translator

__all__ = [
    "Alignment",
    "AttentionMap",
    "Classification",
    "ImageClassifier",
    "SequenceCrossentropy",
    "Task",
    "TextClassifier",
    "TextExplanation",
    "TokenAccuracy",
    "Translation",
    "Translator",
    "attention_maps",
    "compile_mode",
    "divergence_of_copies",
    "expected_calibration_error",
    "fit_temperature",
    "from_architecture",
    "plot_alignment",
    "plot_attention",
]
