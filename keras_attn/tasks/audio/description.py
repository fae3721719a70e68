"""Description of the classification of sounds. Imports no Keras."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import pydantic
from pydantic import Field

from keras_attn.datasets.waveforms import MAX_SECONDS
from keras_attn.recipes import (
    NO_CTRANSLATE2,
    Demonstration,
    ExportFormat,
    Recipe,
    Section,
    Signature,
    TaskDescription,
    TensorInfo,
    register_task,
)
from keras_attn.recipes.recipe import Count, Fraction, NonNegative, Positive
from keras_attn.tasks import _classification_cards as cards
from keras_attn.tasks._class_weights import ClassificationTraining
from keras_attn.tasks._folder_data import FINE_TUNING, limit_recipe_batch
from keras_attn.tasks.audio.fixed_length import check_seconds
from keras_attn.tasks.audio.own_data import READER


class Spectrogram(Section):
    """The features of a waveform, see `keras_attn.layers.LogMelSpectrogram`.

    The number of filters is `num_mel_bins` of the architecture.

    Attributes:
        sampling_rate: Samples per second; waveforms of other rates are resampled.
        sequence_length: Length of a frame in samples.
        sequence_stride: Distance of two frames in samples.
        fft_length: Length of the Fourier transform.
        min_freq: Lower edge of the first filter.
        max_freq: Upper edge of the last filter.
        top_db: Distance of the floor to the loudest frame in decibels.
        mean_subtraction: Share of its own mean that is subtracted from each filter's output.
    """

    sampling_rate: Count = 8_000
    sequence_length: Count = 200
    sequence_stride: Count = 80
    fft_length: Count = 256
    min_freq: NonNegative = 100.0
    max_freq: Positive = 3_800.0
    top_db: Positive = 50.0
    mean_subtraction: Annotated[float, Field(ge=0, le=1)] = 0.0


class AudioAugmentation(Section):
    """Random augmentation of training waveforms; 0 or an empty list disables an augmentation.

    The architecture masks frequencies and times, see `keras_attn.layers.SpecAugment`.

    Attributes:
        speed: Largest change of the speed, see `keras_attn.layers.RandomSpeedPerturbation`.
        delay: Largest number of samples of silence before a waveform.
        trim: Largest part to cut off at each end, see `keras_attn.layers.RandomTrim`.
        tilt: Largest tilt of the spectrum, see `keras_attn.layers.RandomSpectralTilt`.
        noise: Least and greatest ratio of waveform to noise in decibels, see
            `keras_attn.layers.RandomNoise`.
    """

    speed: Fraction = 0.0
    delay: Annotated[int, Field(ge=0)] = 0
    trim: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    tilt: Fraction = 0.0
    noise: list[float] = Field(default_factory=list)

    @pydantic.model_validator(mode="after")
    def _check_noise(self) -> "AudioAugmentation":
        if self.noise and not (len(self.noise) == 2 and self.noise[0] < self.noise[1]):
            raise ValueError(
                "augmentation.noise: it must be the least and the greatest ratio, such as "
                f"[10.0, 50.0]; received {self.noise}"
            )
        return self


class Audio(Section):
    """The sounds that a model takes.

    Attributes:
        max_seconds: The longest sound to accept.
    """

    max_seconds: Positive = MAX_SECONDS


class AudioRecipe(Recipe):
    """A recipe with a spectrogram and augmentation, see `keras_attn.recipes.Recipe`."""

    audio: Audio = Audio()
    spectrogram: Spectrogram = Spectrogram()
    augmentation: AudioAugmentation = AudioAugmentation()
    training: ClassificationTraining

    @property
    def preprocessing(self) -> dict[str, Any]:
        """Settings of the `LogMelSpectrogram`, and `max_seconds`."""
        return {**self.spectrogram.model_dump(), "max_seconds": self.audio.max_seconds}


# Inputs and outputs of formats without strings.
LOGITS_INPUT = Signature(
    (TensorInfo("waveforms", "float32", ("B", "n"), "at the model's rate; zeros are padding"),),
    (cards.OUTPUTS[-1],),
)


class AudioClassification(cards.ClassificationDescription):
    """Classification of a sound as one of a set of labels, such as spoken words."""

    name = "audio_classification"
    model = "keras_attn.tasks.audio.classifier:AudioClassifier"
    example, examples = "waveform", "waveforms"
    keywords = ("audio", "sounds", "speech", "keywords")
    recipe: ClassVar[type[Recipe]] = AudioRecipe
    signature = Signature(
        (
            TensorInfo("waveforms", "float32", ("B", "n"), "in -1..1; trailing zeros are padding"),
            TensorInfo("rate", "int32", (), "samples per second of all of them"),
        ),
        cards.OUTPUTS,
    )
    further_signatures: ClassVar[dict[str, Signature]] = {
        "wav": Signature(
            (TensorInfo("files", "string", ("B",), "contents of WAV files"),),
            cards.OUTPUTS,
        )
    }
    further_formats: ClassVar[dict[str, ExportFormat]] = {
        "onnx": ExportFormat(
            "ONNX", "waveforms float32 (B, n) at the rate of the model", suffix=".onnx"
        ),
        "litert": ExportFormat(
            "LiteRT",
            "a waveform float32 (1, seconds * rate), padded by zeros",
            ("seconds",),
            ".tflite",
        ),
    }
    refused_formats: ClassVar[dict[str, str]] = {"ctranslate2": NO_CTRANSLATE2}
    usage = 'classify("seven.wav")  # label, score, probabilities'
    pipeline_tag = "audio-classification"
    reads: ClassVar[Literal["texts", "files"]] = "files"
    example_input = "seven.wav"
    prediction_options = ("errors",)
    table = READER
    fine_tuning: ClassVar[dict[str, Any]] = FINE_TUNING

    def demonstration(self) -> Demonstration:
        from keras_attn.tasks.audio.demonstration import demonstration

        return demonstration()

    def check_options(self, options: Mapping[str, Any]) -> None:
        if "seconds" in options:
            check_seconds(options["seconds"])

    def fit_to_data(self, recipe: Recipe, train: Any) -> tuple[Recipe, list[str]]:
        return limit_recipe_batch(recipe, train, "sound")


DESCRIPTION: TaskDescription = register_task(AudioClassification())
