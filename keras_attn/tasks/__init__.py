"""Models that convert raw input into answers: the base class `Task` and its subclasses."""

from typing import TYPE_CHECKING

from keras_attn import _lazy

if TYPE_CHECKING:
    from keras_attn.tasks._position_attention import (
        AttentionMap,
        attention_maps,
        attention_rollout,
    )
    from keras_attn.tasks.audio.classifier import AudioClassifier
    from keras_attn.tasks.audio.explanation import AudioExplanation
    from keras_attn.tasks.building import from_architecture
    from keras_attn.tasks.calibration import expected_calibration_error, fit_temperature
    from keras_attn.tasks.classification import Classification, ClassificationTask
    from keras_attn.tasks.compilation import compile_mode
    from keras_attn.tasks.detection.answers import DetectedObject, Detections
    from keras_attn.tasks.detection.detector import ObjectDetector
    from keras_attn.tasks.detection.explanation import DetectionExplanation
    from keras_attn.tasks.detection.losses import BestFit, DetectionF1, DetectionLoss
    from keras_attn.tasks.example_answers import ExampleAnswer
    from keras_attn.tasks.forecasting.answers import Forecast
    from keras_attn.tasks.forecasting.explanation import ForecastExplanation
    from keras_attn.tasks.forecasting.forecaster import Forecaster
    from keras_attn.tasks.forecasting.losses import ForecastError, ForecastLoss
    from keras_attn.tasks.generation.answers import Generation
    from keras_attn.tasks.generation.explanation import GenerationExplanation
    from keras_attn.tasks.generation.generator import TextGenerator
    from keras_attn.tasks.images.classifier import ImageClassifier
    from keras_attn.tasks.images.explanation import ImageExplanation
    from keras_attn.tasks.images.plots import plot_attention
    from keras_attn.tasks.reports import (
        ClassificationReport,
        ClassMetrics,
        MultiLabelReport,
        classification_report,
    )
    from keras_attn.tasks.sequence_loss import (
        SequenceCrossentropy,
        TokenAccuracy,
        divergence_of_copies,
    )
    from keras_attn.tasks.task import Answer, Explanation, Report, Task
    from keras_attn.tasks.texts.answers import MultiLabelTextClassification, TextClassification
    from keras_attn.tasks.texts.classifier import TextClassifier
    from keras_attn.tasks.texts.explanation import TextExplanation
    from keras_attn.tasks.texts.multi_label import MultiLabelTextClassifier
    from keras_attn.tasks.training_data import Objective, TrainingData
    from keras_attn.tasks.translation.answers import Alignment, Translation
    from keras_attn.tasks.translation.ctranslate2 import CTranslate2Translator
    from keras_attn.tasks.translation.plots import plot_alignment
    from keras_attn.tasks.translation.translator import Translator

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    {
        "audio.classifier": ["AudioClassifier"],
        "audio.explanation": ["AudioExplanation"],
        "building": ["from_architecture"],
        "calibration": ["expected_calibration_error", "fit_temperature"],
        "classification": ["Classification", "ClassificationTask"],
        "compilation": ["compile_mode"],
        "detection.answers": ["DetectedObject", "Detections"],
        "detection.detector": ["ObjectDetector"],
        "detection.explanation": ["DetectionExplanation"],
        "detection.losses": ["BestFit", "DetectionF1", "DetectionLoss"],
        "example_answers": ["ExampleAnswer"],
        "generation.answers": ["Generation"],
        "generation.explanation": ["GenerationExplanation"],
        "generation.generator": ["TextGenerator"],
        "forecasting.answers": ["Forecast"],
        "forecasting.explanation": ["ForecastExplanation"],
        "forecasting.forecaster": ["Forecaster"],
        "forecasting.losses": ["ForecastError", "ForecastLoss"],
        "_position_attention": ["AttentionMap", "attention_maps", "attention_rollout"],
        "images.classifier": ["ImageClassifier"],
        "images.explanation": ["ImageExplanation"],
        "images.plots": ["plot_attention"],
        "reports": [
            "ClassMetrics",
            "ClassificationReport",
            "MultiLabelReport",
            "classification_report",
        ],
        "task": ["Answer", "Explanation", "Report", "Task"],
        "texts.answers": ["MultiLabelTextClassification", "TextClassification"],
        "texts.classifier": ["TextClassifier"],
        "texts.explanation": ["TextExplanation"],
        "texts.multi_label": ["MultiLabelTextClassifier"],
        "training_data": ["Objective", "TrainingData"],
        "translation.answers": ["Alignment", "Translation"],
        "translation.ctranslate2": ["CTranslate2Translator"],
        "translation.plots": ["plot_alignment"],
        "sequence_loss": [
            "SequenceCrossentropy",
            "TokenAccuracy",
            "divergence_of_copies",
        ],
        "translation.translator": ["Translator"],
    },
)
