"""`fit`, `evaluate` and `predict` on waveforms: their conversion to the model's rate."""

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_attn._arrays import to_weights
from keras_attn._types import Tensor
from keras_attn.batching import EncodedWaveforms
from keras_attn.batching.waveforms import SAMPLE_MULTIPLE
from keras_attn.datasets.waveforms import pad_waveforms
from keras_attn.tasks._batches import alternate_lengths, as_tuple, check_elements, with_rank
from keras_attn.tasks._length_fitting import LengthFitting, UserBatches
from keras_attn.tasks.audio.inputs import (
    are_waveforms,
    as_waveforms,
    check_model_batch,
    is_one_waveform,
    prepare,
)


class UserWaveformBatches(UserBatches):
    """Batches of all waveforms, see `UserBatches`."""

    noun = "waveform"
    length_multiple = SAMPLE_MULTIPLE


class AudioFitting(LengthFitting):
    """`fit`, `evaluate` and `predict` on files, arrays and lists of sounds of any length and rate.

    Attributes:
        rate: Samples per second of what the network's features are computed from.
        min_seconds: The shortest sound to accept.
        max_seconds: The longest sound to accept.
    """

    rate: int
    min_seconds: float
    max_seconds: float

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        *,
        rate: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Train on sounds and labels, see `ClassificationTask.fit`.

        Args:
            x: A list or column of pandas of paths of WAV files, `keras_attn.datasets.Waveform`s or
                arrays `(n,)`; an array `(N, n)`; or a data set of batches `(B, n)` of samples at
                the model's own rate. Zeros at the end are padding.
            y: Labels, as indices or names.
            batch_size: Examples per step; the default is 32.
            epochs: Passes over the data.
            rate: Samples per second of arrays, also of those in `validation_data`.
            **kwargs: See `ClassificationTask.fit`.

        Raises:
            ValueError: There are arrays, and `rate` is missing; a sound is silent, too long or
                cannot be read; or see `ClassificationTask.fit`.
        """
        held_out = kwargs.get("validation_data")
        if isinstance(held_out, tuple | list) and held_out and are_waveforms(held_out[0]):
            kwargs["validation_data"] = (self._at_rate(held_out[0], rate), *held_out[1:])
        return super().fit(self._at_rate(x, rate), y, batch_size, epochs, **kwargs)

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        *,
        rate: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return loss and metrics on sounds, see `fit`."""
        return super().evaluate(self._at_rate(x, rate), y, batch_size, **kwargs)

    def predict(
        self, x: Any, batch_size: int | None = None, *, rate: int | None = None, **kwargs: Any
    ) -> Any:
        """Return the logits of sounds, see `fit`."""
        return super().predict(self._at_rate(x, rate), batch_size, **kwargs)

    def _at_rate(self, x: Any, rate: int | None) -> Any:
        """Return arrays as `Waveform`s of a rate, and data sets unchanged."""
        if are_waveforms(x) or is_one_waveform(x):
            return as_waveforms(x, rate)
        if rate is not None:
            raise ValueError(
                "`rate` is for lists and arrays. The waveforms of a data set must have the rate "
                f"of the model, {self.rate:,} samples per second. Received: rate={rate!r}."
            )
        return x

    def preprocess_inputs(self, x: Any, *, training: bool = False) -> Any:
        """Return sounds as float32 samples `(N, n)` at the model's rate, padded by zeros.

        Args:
            x: A list of paths, bytes of files and `Waveform`s; or an array `(N, n)` at the model's
                rate, which is checked.
            training: Not used.
        """
        if hasattr(x, "__array__") and np.ndim(x) == 2:
            return check_model_batch(np.asarray(x))
        return pad_waveforms(self._prepare_all(as_waveforms(x)))

    def preprocess_batch(self, x: Tensor, *rest: Tensor, training: bool = False) -> Any:
        """Check a batch of waveforms of a `tf.data.Dataset` and convert label names."""
        check_elements((x, *rest), self.description.examples)
        x = with_rank(x, 2)
        if x.shape.rank != 2 or not x.dtype.is_floating:
            raise ValueError(
                "A tf.data.Dataset must hold batches of waveforms (batch, samples), floats in "
                f"-1..1 at {self.rate:,} samples per second. Received: elements of "
                f"{x.dtype.name} and shape {x.shape}. Pass a list of paths or of "
                "keras_attn.datasets.Waveform for other rates."
            )
        if not rest:
            return x
        targets, *weights = rest
        return (x, self.index_labels(targets), *(with_rank(w, 1) for w in weights))

    def _prepare(self, sound: Any) -> np.ndarray:
        """Return one sound as samples at the model's rate, see `prepare`."""
        return prepare(sound, self.rate, self.min_seconds, self.max_seconds)

    def _prepare_all(
        self, sounds: list[Any], report: Callable[[int, Exception], None] | None = None
    ) -> list[np.ndarray]:
        """Return sounds as samples at the model's rate.

        Args:
            sounds: Paths, bytes of files and `Waveform`s.
            report: Function that receives the index and the error of a sound that cannot be used,
                which is then left out; None raises the error.
        """
        prepared = []
        for index, sound in enumerate(sounds):
            try:
                prepared.append(self._prepare(sound))
            except (ValueError, TypeError, OSError) as error:
                if report is None:
                    raise
                report(index, error)
        return prepared

    def _are_inputs(self, x: Any) -> bool:
        return are_waveforms(x)

    def _as_inputs(self, x: Any) -> Any:
        return x  # `fit` has made a list of them

    def _preprocess_item(self, index: int, x: Any, *rest: Any, training: bool = False) -> Any:
        batch = super()._preprocess_item(index, x, *rest, training=training)
        samples, *others = as_tuple(batch)
        samples = alternate_lengths(samples, index)
        return (samples, *others) if others else samples

    def _batches(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        batch_size: int | None = None,
        training: bool = False,
        shuffle: bool = False,
    ) -> UserWaveformBatches:
        self._check_not_empty(x)
        further = [] if y is None else [self.preprocess_targets(y)]
        if sample_weight is not None:
            further.append(to_weights(sample_weight))
        waveforms = EncodedWaveforms(self._prepare_all(x), np.zeros(len(x), "int32"))
        return UserWaveformBatches(
            waveforms, *further, batch_size=batch_size or 32, shuffle=shuffle
        )
