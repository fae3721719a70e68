"""The audio classifier: a task that converts sounds into labels with scores."""

import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self, overload

import keras
import numpy as np
from keras import ops

from keras_attn import models
from keras_attn._types import Tensor
from keras_attn._validation import check_positive_integer
from keras_attn._wording import counted
from keras_attn.batching.waveforms import SAMPLE_MULTIPLE
from keras_attn.datasets import Dataset, WaveformSplit
from keras_attn.datasets.waveforms import MAX_SECONDS, pad_waveforms
from keras_attn.export import write_litert
from keras_attn.layers import LogMelSpectrogram
from keras_attn.recipes import Recipe, Signature, TaskDescription
from keras_attn.tasks.audio.description import DESCRIPTION, LOGITS_INPUT
from keras_attn.tasks.audio.explanation import (
    AudioExplanation,
    explain_waveform,
    explanation_curves,
    picture_of,
)
from keras_attn.tasks.audio.fitting import AudioFitting
from keras_attn.tasks.audio.fixed_length import check_seconds
from keras_attn.tasks.audio.inputs import (
    Sound,
    as_waveforms,
    is_one_waveform,
    with_rate,
)
from keras_attn.tasks.audio.serving import serve_files, serve_waveforms, waveform_requests
from keras_attn.tasks.audio.training_data import AudioTrainingData
from keras_attn.tasks.calibration import expected_calibration_error, softmax
from keras_attn.tasks.classification import (
    Classification,
    classification_answers,
    cross_entropy,
)
from keras_attn.tasks.example_answers import ExampleAnswer
from keras_attn.tasks.task import Task, write_info
from keras_attn.tasks.training_data import TrainingData

ADAPT_SAMPLE = 2_000  # largest number of waveforms for statistics
ADAPT_BATCH = 100


@keras.saving.register_keras_serializable(package="keras_attn")
class AudioClassifier(AudioFitting):
    """A spectrogram, a network and labels that classify sounds, such as spoken words.

    It is a `keras.Model`: `fit`, `evaluate` and `predict` take paths of WAV files, waveforms of any
    rate, and labels as indices or names. It is compiled with Adam; call `compile` to change that.
    `classify` and the exported SavedModel return labels with scores.

    A sound may be of any length from `min_seconds` to `max_seconds`, and of any loudness. Samples
    of exactly 0 at its end are padding, and change nothing. A batch row without any other sample is
    silence, which no label fits: its logits are 0.

    Args:
        network: A model from log-mel features `(B, T, M)` to logits `(B, C)`, for which frames of
            zeros are padding.
        label_names: The name of each of the `C` labels.
        spectrogram: The `keras_attn.layers.LogMelSpectrogram` that computes the features.
        max_seconds: The longest sound to accept.
        **kwargs: See `keras_attn.tasks.Task`.

    Attributes:
        rate: Samples per second of the spectrogram, to which all sounds are resampled.
        min_seconds: The shortest sound to accept, one window of the spectrogram.

    Call arguments:
        inputs: Float waveforms `(B, n)` at that rate. Outside of graphs they may also be a list of
            what `fit` takes.

    Returns:
        Float32 logits `(B, C)`, divided by the temperature that `calibrate` sets.

    Raises:
        ValueError: The number of labels is not the number of the network's outputs, or the
            features of the spectrogram are not those that the network reads.

    Example:

    >>> from keras_attn import models
    >>> network = models.build("keyword_attention", num_classes=2)
    >>> classifier = AudioClassifier(network, ("no", "yes"), LogMelSpectrogram())
    >>> second = np.random.default_rng(0).normal(0.0, 0.1, 16_000)
    >>> classifier.classify(second, rate=16_000).label in {"no", "yes"}
    True
    """

    description: ClassVar[TaskDescription] = DESCRIPTION
    parts: ClassVar[tuple[str, ...]] = ("network", "spectrogram")

    def __init__(
        self,
        network: keras.Model,
        label_names: Sequence[str],
        spectrogram: LogMelSpectrogram,
        max_seconds: float = MAX_SECONDS,
        **kwargs: Any,
    ) -> None:
        super().__init__(network, label_names, **kwargs)
        if network.input_shape[-1] != spectrogram.num_mel_bins:
            raise ValueError(
                f"AudioClassifier: the network reads frames of {network.input_shape[-1]} features, "
                f"and the spectrogram has num_mel_bins={spectrogram.num_mel_bins}."
            )
        if not max_seconds > 0:
            raise ValueError(
                f"AudioClassifier: `max_seconds` must be above 0. Received: {max_seconds!r}."
            )
        self.autocast = False  # quiet samples are not exact in every compute dtype
        self.spectrogram = spectrogram
        self.max_seconds = float(max_seconds)
        self.temperature = self._add_scalar("temperature", 1.0)
        self.build((None, None))
        self.compile_default()

    @classmethod
    def from_architecture(
        cls,
        architecture: str,
        *,
        label_names: Sequence[str] = (),
        preprocessing: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Self:
        """Return a classifier with fresh weights, see `Task.from_architecture`.

        Args:
            architecture: Name of an architecture of `keras_attn.models`.
            label_names: The name of each class.
            preprocessing: Settings of `keras_attn.layers.LogMelSpectrogram`, and `max_seconds`.
            **settings: Settings of the architecture.
        """
        network = models.build(architecture, num_classes=len(label_names), **settings)
        bins = network.input_shape[-1]
        features = dict(preprocessing or {})
        max_seconds = features.pop("max_seconds", MAX_SECONDS)
        spectrogram = LogMelSpectrogram(num_mel_bins=bins, name="spectrogram", **features)
        return cls(network, label_names, spectrogram, max_seconds)

    @property
    def rate(self) -> int:  # type: ignore[override]
        """Samples per second of the spectrogram."""
        return self.spectrogram.sampling_rate

    @property
    def min_seconds(self) -> float:  # type: ignore[override]
        """The duration of a window of the spectrogram."""
        return self.spectrogram.sequence_length / self.spectrogram.sampling_rate

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "max_seconds": self.max_seconds}

    @property
    def variables_set_after_training(self) -> tuple[keras.Variable, ...]:
        return (self.temperature,)

    def build(self, input_shape: Any) -> None:
        if not self.spectrogram.built:
            self.spectrogram.build(input_shape)
        self.built = True

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(inputs, list | tuple) or hasattr(inputs, "to_numpy"):
            inputs = self.preprocess_inputs(inputs)
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        logits = self.network(self.spectrogram(inputs), training=training)
        heard = ops.any(ops.not_equal(inputs, 0), axis=1, keepdims=True)
        logits = ops.where(heard, logits, ops.zeros_like(logits))
        return logits / ops.cast(self.temperature, logits.dtype)

    def adapt(  # type: ignore[override]  # Task takes any examples
        self, waveforms: Any, labels: Any = None, *, rate: int | None = None
    ) -> None:
        """Learn mean and standard deviation of the features.

        Call it once on a new model, with training sounds, before `fit`.

        Args:
            waveforms: Sounds, as for `fit`. A random sample of at most 2,000 is used.
            labels: Not used.
            rate: See `fit`.

        Raises:
            TypeError, ValueError: See `fit`; or there are no sounds.
        """
        self._check_adaptable()
        sounds = as_waveforms(waveforms, rate)
        if not sounds:
            raise ValueError("`adapt` needs waveforms to learn from. Received: none.")
        rows = np.random.default_rng(0).permutation(len(sounds))[:ADAPT_SAMPLE]
        self.spectrogram.adapt(pad_waveforms(self._prepare_all([sounds[row] for row in rows])))

    def training_data(self, dataset: Dataset[Any], recipe: Recipe) -> AudioTrainingData:
        """Return training and validation waveforms as batches, see `Task.training_data`."""
        return AudioTrainingData(self, dataset, recipe)

    def finalize(self, data: TrainingData) -> dict[str, Any]:
        """Calibrate the scores on the validation waveforms."""
        assert isinstance(data, AudioTrainingData)
        logits = self._logits(list(data.validation.waveforms))
        return self._finalize(logits, data.validation.labels)

    def calibrate(self, waveforms: Any, labels: Any, *, rate: int | None = None) -> float:
        """Calibrate scores by fitting the temperature to held-out sounds.

        The most probable labels do not change, see `keras_attn.tasks.fit_temperature`.

        Args:
            waveforms: Held-out sounds, as for `fit`.
            labels: The label of each, as its index or name.
            rate: See `fit`.

        Returns:
            The temperature. It is above 1 if the network was overconfident.

        Raises:
            ValueError: There are no sounds, or not a label for each.
        """
        indices = np.asarray(self.preprocess_targets(labels))
        logits = self.logits(waveforms, rate=rate)
        if indices.shape != (len(logits),) or not len(logits):
            raise ValueError(
                "`calibrate` needs one label for each waveform, and at least one waveform. "
                f"Received: {counted(len(logits), 'waveform')}, labels of shape {indices.shape}."
            )
        return self._calibrate(logits, indices)

    def evaluate_split(self, split: WaveformSplit) -> dict[str, Any]:
        """Return the metrics of a split.

        Args:
            split: Waveforms with labels.

        Returns:
            `accuracy` and `f1_macro` in [0, 1], `loss` in nats, the number of `examples`, and the
            `calibration_error`, see `keras_attn.tasks.expected_calibration_error`.
        """
        metrics, _ = self._evaluate(split.inputs, split.labels)
        return metrics

    def _evaluate(
        self, inputs: Any, labels: np.ndarray, *, rate: int | None = None
    ) -> tuple[dict[str, Any], np.ndarray]:
        logits = self.logits(inputs, rate=rate)
        predictions = logits.argmax(axis=-1)
        probabilities = softmax(logits.astype("float64"))
        return {
            "accuracy": float((predictions == labels).mean()),
            "f1_macro": self._macro_f1(labels, predictions),
            "loss": cross_entropy(probabilities, labels),
            "examples": len(labels),
            "calibration_error": expected_calibration_error(probabilities, labels),
        }, predictions

    def logits(self, x: Any, batch_size: int = 256, *, rate: int | None = None) -> np.ndarray:
        """Return the float32 logits `(N, C)` of sounds, in input order.

        Args:
            x: Sounds, as for `fit`.
            batch_size: Number of sounds in a batch.
            rate: See `fit`.
        """
        return self._logits(self._prepare_all(as_waveforms(x, rate)), batch_size)

    def _logits(self, prepared: list[np.ndarray], batch_size: int = 256) -> np.ndarray:
        """Return the logits of samples at the model's rate, in input order."""
        return self._in_batches(self.predict_on_batch, prepared, batch_size, len(self.label_names))

    def _in_batches(
        self,
        function: Callable[[np.ndarray], Any],
        prepared: list[np.ndarray],
        batch_size: int,
        width: int,
    ) -> np.ndarray:
        """Return the float32 results `(N, width)` of batches that are sorted by length."""
        check_positive_integer("batch_size", batch_size)
        result = np.zeros((len(prepared), width), "float32")
        order = np.argsort([len(samples) for samples in prepared], kind="stable")
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            batch = pad_waveforms([prepared[row] for row in rows], SAMPLE_MULTIPLE)
            result[rows] = ops.convert_to_numpy(ops.cast(function(batch), "float32"))
        return result

    def features(self, x: Any, batch_size: int = 256, *, rate: int | None = None) -> np.ndarray:
        """Return the float32 features `(N, F)` that the head reads, see `backbone`."""
        prepared = self._prepare_all(as_waveforms(x, rate))
        width = self.backbone.output_shape[-1]

        def function(batch: np.ndarray) -> Any:
            return self.backbone(self.spectrogram(batch), training=False)

        return self._in_batches(function, prepared, batch_size, width)

    @property
    def _is_adapted(self) -> bool:
        fresh = LogMelSpectrogram.from_config(self.spectrogram.get_config())
        fresh.build((None, None))
        pairs = zip(fresh.weights, self.spectrogram.weights, strict=True)
        return not all(np.array_equal(start, now) for start, now in pairs)

    def copy_backbone(self, source: Task) -> list[str]:
        """Copy the statistics of the features and the backbone of a trained classifier."""
        new_layers = super().copy_backbone(source)
        self.spectrogram.set_weights(source.spectrogram.get_weights())
        return new_layers

    @overload
    def classify(  # type: ignore[overload-overlap]  # a str is a sequence of them
        self,
        waveforms: str | os.PathLike[str],
        *,
        rate: int | None = None,
        batch_size: int = 256,
    ) -> Classification: ...

    @overload
    def classify(
        self, waveforms: Sequence[Sound], *, rate: int | None = None, batch_size: int = 256
    ) -> list[Classification]: ...

    @overload
    def classify(
        self, waveforms: Any, *, rate: int | None = None, batch_size: int = 256
    ) -> Classification | list[Classification]: ...

    def classify(
        self, waveforms: Any, *, rate: int | None = None, batch_size: int = 256
    ) -> Classification | list[Classification]:
        """Classify one sound or several.

        Args:
            waveforms: The path of a WAV file, see `keras_attn.datasets.decode_wav`; a
                `keras_attn.datasets.Waveform`; an array of samples `(n,)` or `(B, n)`, floats in
                -1..1, int16, int32 or uint8; a list of float samples; or a list or column of pandas
                of such paths, waveforms and arrays `(n,)`.
            rate: Samples per second of arrays.
            batch_size: Number of sounds in a batch.

        Returns:
            A `Classification` for a single sound, a list of them for a batch or a list.

        Raises:
            TypeError: The samples are of another type.
            ValueError: There are arrays, and `rate` is missing or impossible; a sound is silent,
                empty, shorter than `min_seconds` or longer than `max_seconds`; a file is no WAV
                file, damaged or compressed; or `batch_size` is not a positive integer.
            FileNotFoundError: A file does not exist.
        """
        if is_one_waveform(waveforms):
            return self.answers([with_rate(waveforms, rate)], batch_size=batch_size)[0]
        return self.answers(waveforms, rate=rate, batch_size=batch_size)

    def answers(
        self,
        inputs: Any,
        *,
        rate: int | None = None,
        batch_size: int = 256,
        errors: Literal["raise", "return"] = "raise",
    ) -> list[Any]:
        """Return the answer for each sound, see `classify`.

        Args:
            inputs: Sounds, as for `classify`.
            rate: See `classify`.
            batch_size: See `classify`.
            errors: What to do about a sound that cannot be used: `"raise"` the error, or
                `"return"` it in place of the answer, and answer the others.

        Raises:
            ValueError: `errors` is neither; or see `classify`.
        """
        if errors not in ("raise", "return"):
            raise ValueError(f"`errors` must be 'raise' or 'return'. Received: {errors!r}.")
        sounds = as_waveforms(inputs, rate)
        problems: dict[int, Exception] = {}
        prepared = self._prepare_all(sounds, problems.__setitem__ if errors == "return" else None)
        probabilities = softmax(self._logits(prepared, batch_size))
        rest = iter(classification_answers(self.label_names, probabilities))
        return [problems[row] if row in problems else next(rest) for row in range(len(sounds))]

    def explain(
        self,
        waveform: Any,
        label: str | None = None,
        *,
        rate: int | None = None,
        segment_seconds: float = 0.05,
    ) -> AudioExplanation:
        """Explain an answer by the spectrogram, the attention over time and occlusion.

        Args:
            waveform: A sound, as for `classify`.
            label: The label to explain. None explains the label of the answer.
            rate: See `classify`.
            segment_seconds: Length of the segments that are hidden one after another.

        Returns:
            A `keras_attn.tasks.AudioExplanation`, which `print`, `plot` and notebooks display.

        Raises:
            ValueError: The label is unknown, `segment_seconds` is shorter than the distance of two
                frames, or see `classify`.
        """
        samples = self._prepare(with_rate(waveform, rate))
        return explain_waveform(self, samples, label, segment_seconds)

    def example_answers(self, split: Any, count: int = 5) -> list[ExampleAnswer]:
        """Return example answers, with pictures of the spectrograms, see `Task.example_answers`."""
        return [
            ExampleAnswer(
                picture_of(self, self._prepare(example.input)),
                example.target,
                example.answer,
                example.score,
            )
            for example in super().example_answers(split, count)
        ]

    def explanation_curves(self, split: WaveformSplit, count: int = 50) -> dict[str, Any]:
        """Return deletion and insertion curves, see `Task.explanation_curves`."""
        audible = [each for each in split.waveforms[:count] if np.any(each.samples)]
        sounds = [self._prepare(waveform) for waveform in audible]
        return explanation_curves(self, sounds)

    def serving_function(self) -> Callable[..., dict[str, Any]]:
        """Return the function to export, from waveforms with a rate to labels with scores."""
        return serve_waveforms(self)

    def further_serving_functions(self) -> Mapping[str, Callable[..., dict[str, Any]]]:
        """Return the function of the signature `wav`, from WAV files to labels with scores."""
        return {"wav": serve_files(self)}

    def warmup_requests(self) -> Mapping[str, Mapping[str, Any]]:
        return waveform_requests(self)

    def export_writers(self) -> dict[str, Callable[..., pathlib.Path]]:
        """Return the functions that write each format, see `Task.export_writers`.

        LiteRT reserves memory for fixed sizes, so that its models take one waveform of a fixed
        length at the model's own rate: pad shorter ones by zeros at the end, which change nothing.
        """
        writers = {"onnx": self._write_onnx, "litert": self._write_litert}
        return {**super().export_writers(), **writers}

    def export_info(self) -> dict[str, Any]:
        """Return also the rate of the waveforms that the model reads."""
        return {**super().export_info(), "rate": self.rate}

    def onnx_function(self) -> tuple[Callable[..., dict[str, Any]], Signature]:
        return self._probabilities, LOGITS_INPUT

    def _probabilities(self, waveforms: Tensor) -> dict[str, Any]:
        """Return the outputs of formats without strings, in TensorFlow."""
        import tensorflow as tf

        return {"probabilities": tf.nn.softmax(self(waveforms, training=False))}

    def _write_litert(self, path: pathlib.Path, seconds: float = 1.0) -> pathlib.Path:
        import tensorflow as tf

        check_seconds(seconds, self.max_seconds)
        spec = tf.TensorSpec((1, round(seconds * self.rate)), tf.float32)
        write_litert(path, self._probabilities, self, waveforms=spec)
        write_info(path, self.export_info())
        return path
