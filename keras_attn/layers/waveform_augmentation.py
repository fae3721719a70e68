"""Augmentation of waveforms: layers that change a batch of training sounds at random.

Waveforms are floats `(B, n)` in which zeros at the end are padding. Outside of training the layers
return their inputs. A random gain is not among them: `LogMelSpectrogram` takes no notice of it.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_attn._types import Tensor
from keras_attn.layers._sublayers import PACKAGE, check_positive_integers, check_rank, check_rates
from keras_attn.layers.augmentation import ReplicaSeeds
from keras_attn.layers.spectrogram import waveform_lengths

SILENCE_RMS = 1e-6  # root mean square of noise beside silence
HUM_WINDOW = 8  # samples over which the low part of the noise is averaged


class _WaveformAugmentation(keras.layers.Layer):
    """Base class of the layers, which define `augment`."""

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = ReplicaSeeds(seed)

    def build(self, input_shape: Any) -> None:
        check_rank(self, 2, "(batch, samples)", inputs=input_shape)
        self.input_spec = keras.layers.InputSpec(ndim=2)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        return self.augment(inputs) if training else inputs

    def augment(self, waveforms: Tensor) -> Tensor:
        """Return changed waveforms."""
        raise NotImplementedError(f"{type(self).__name__} must define `augment`.")

    def _uniform(self, waveforms: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Return a number for each waveform, `(B, 1)`."""
        shape = (ops.shape(waveforms)[0], 1)
        return keras.random.uniform(shape, low, high, seed=self.seed_generator)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (input_shape[0], self._samples(input_shape[1]))

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        shape = self.compute_output_shape(inputs.shape) if training else inputs.shape
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def _samples(self, samples: Any) -> Any:
        """Return the number of samples after augmentation."""
        return samples

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}


@keras.saving.register_keras_serializable(package=PACKAGE)
class RandomSpeedPerturbation(_WaveformAugmentation):
    """Play each waveform faster or slower, which also changes its pitch and its resonances.

    A cubic spline (Catmull and Rom) interpolates between samples. To a network this is another
    speaker, with a shorter or longer vocal tract (Ko et al., Interspeech 2015).

    Args:
        change: largest change of the speed: 0.15 draws from 0.85 to 1.15.
        seed: integer that makes the draws repeatable.

    Call arguments:
        inputs: float waveforms `(B, n)`.
        training: whether to change the waveforms; else they are returned as they are.

    Returns:
        Tensor `(B, ceil(n / (1 - change)))`.

    Example:

    >>> RandomSpeedPerturbation(0.2, seed=0)(np.ones((2, 8), "float32"), training=True).shape
    TensorShape([2, 10])
    """

    def __init__(self, change: float = 0.15, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed=seed, **kwargs)
        check_rates(self, change=change)
        self.change = change

    def augment(self, waveforms: Tensor) -> Tensor:
        speeds = self._uniform(waveforms, 1.0 - self.change, 1.0 + self.change)
        size = self._samples(ops.shape(waveforms)[1])
        places = ops.cast(ops.arange(size), "float32")[None] * speeds  # (B, n')
        before = ops.floor(places)
        t = ops.cast(places - before, waveforms.dtype)
        index = ops.cast(before, "int32")
        a, b, c, d = (_take(waveforms, index + offset) for offset in (-1, 0, 1, 2))
        cubic = 0.5 * (3.0 * (b - c) + d - a)
        square = a - 2.5 * b + 2.0 * c - 0.5 * d
        faster = ((cubic * t + square) * t + 0.5 * (c - a)) * t + b
        # The spline has tails beyond the last sample, which are no sound.
        inside = index < waveform_lengths(waveforms)[:, None]
        return ops.where(inside, faster, 0.0)

    def _samples(self, samples: Any) -> Any:
        # In fractions of 1,024, so that it is an integer in graphs as well.
        return None if samples is None else -(-samples * round(1024 / (1.0 - self.change)) // 1024)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "change": self.change}


@keras.saving.register_keras_serializable(package=PACKAGE)
class RandomTimeShift(_WaveformAugmentation):
    """Insert silence of a random length before each waveform.

    Args:
        samples: largest number of zeros to insert.
        seed: integer that makes the draws repeatable.

    Call arguments:
        inputs: float waveforms `(B, n)`.
        training: whether to change the waveforms; else they are returned as they are.

    Returns:
        Tensor `(B, n + samples)`.

    Example:

    >>> RandomTimeShift(4, seed=0)(np.ones((2, 8), "float32"), training=True).shape
    TensorShape([2, 12])
    """

    def __init__(self, samples: int = 800, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed=seed, **kwargs)
        check_positive_integers(self, samples=samples)
        self.samples = samples

    def augment(self, waveforms: Tensor) -> Tensor:
        delays = ops.cast(self._uniform(waveforms) * (self.samples + 1), "int32")
        numbers = ops.arange(ops.shape(waveforms)[1] + self.samples, dtype="int32")
        return _take(waveforms, numbers[None] - delays)

    def _samples(self, samples: Any) -> Any:
        return None if samples is None else samples + self.samples

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "samples": self.samples}


@keras.saving.register_keras_serializable(package=PACKAGE)
class RandomTrim(_WaveformAugmentation):
    """Cut off a random part of the beginning and of the end of each waveform.

    Recordings are often cut by their loudness, which removes quiet consonants.

    Args:
        fraction: largest part to cut off at each end, below 0.5.
        seed: integer that makes the draws repeatable.

    Call arguments:
        inputs: float waveforms `(B, n)`.
        training: whether to change the waveforms; else they are returned as they are.

    Returns:
        Tensor `(B, n)`.

    Raises:
        ValueError: `fraction` is not below 0.5.

    Example:

    >>> RandomTrim(0.2, seed=0)(np.ones((2, 8), "float32"), training=True).shape
    TensorShape([2, 8])
    """

    def __init__(self, fraction: float = 0.2, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed=seed, **kwargs)
        if not 0 <= fraction < 0.5:
            raise ValueError(
                f"{self.name}: `fraction` must be at least 0 and below 0.5. Received: {fraction!r}."
            )
        self.fraction = fraction

    def augment(self, waveforms: Tensor) -> Tensor:
        lengths = ops.cast(waveform_lengths(waveforms)[:, None], "float32")
        starts = ops.cast(self._uniform(waveforms) * self.fraction * lengths, "int32")
        ends = ops.cast((1.0 - self._uniform(waveforms) * self.fraction) * lengths, "int32")
        index = ops.arange(ops.shape(waveforms)[1], dtype="int32")[None] + starts
        return ops.where(index < ends, _take(waveforms, index), 0.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "fraction": self.fraction}


@keras.saving.register_keras_serializable(package=PACKAGE)
class RandomSpectralTilt(_WaveformAugmentation):
    """Make each waveform darker or brighter, as another microphone or voice would.

    The filter is `y[n] = x[n] - a * x[n - 1]` with `a` drawn from `-strength` to `strength`: it
    tilts the spectrum by up to `20 log10((1 + strength) / (1 - strength))` decibels between its
    lowest and its highest frequency.

    Args:
        strength: largest magnitude of `a`, below 1: 0.9 tilts by up to 26 decibels.
        seed: integer that makes the draws repeatable.

    Call arguments:
        inputs: float waveforms `(B, n)`.
        training: whether to change the waveforms; else they are returned as they are.

    Returns:
        Tensor `(B, n)`.

    Example:

    >>> RandomSpectralTilt(0.5, seed=0)(np.ones((2, 8), "float32"), training=True).shape
    TensorShape([2, 8])
    """

    def __init__(self, strength: float = 0.9, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed=seed, **kwargs)
        check_rates(self, strength=strength)
        self.strength = strength

    def augment(self, waveforms: Tensor) -> Tensor:
        factors = self._uniform(waveforms, -self.strength, self.strength)
        previous = ops.pad(waveforms, ((0, 0), (1, 0)))[:, :-1]
        filtered = waveforms - factors * previous
        numbers = ops.arange(ops.shape(waveforms)[1], dtype="int32")[None]
        inside = numbers < waveform_lengths(waveforms)[:, None]
        return ops.where(inside, filtered, 0.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "strength": self.strength}


@keras.saving.register_keras_serializable(package=PACKAGE)
class RandomNoise(_WaveformAugmentation):
    """Add noise of a random loudness and color to each waveform, but not to its padding.

    The noise is a mixture of white noise, and of white noise averaged over 8 samples, which is
    lower. Its signal-to-noise ratio is drawn in decibels.

    Args:
        lowest_snr_db: least ratio of the powers of waveform and noise.
        highest_snr_db: greatest ratio.
        seed: integer that makes the draws repeatable.

    Call arguments:
        inputs: float waveforms `(B, n)`.
        training: whether to change the waveforms; else they are returned as they are.

    Returns:
        Tensor `(B, n)`.

    Raises:
        ValueError: The least ratio is not below the greatest.

    Example:

    >>> RandomNoise(seed=0)(np.ones((2, 8), "float32"), training=True).shape
    TensorShape([2, 8])
    """

    def __init__(
        self,
        lowest_snr_db: float = 10.0,
        highest_snr_db: float = 50.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        if not lowest_snr_db < highest_snr_db:
            raise ValueError(
                f"{self.name}: `lowest_snr_db` must be below `highest_snr_db`. Received: "
                f"{lowest_snr_db!r} and {highest_snr_db!r}."
            )
        self.lowest_snr_db = lowest_snr_db
        self.highest_snr_db = highest_snr_db

    def augment(self, waveforms: Tensor) -> Tensor:
        batch, size = ops.shape(waveforms)
        lengths = waveform_lengths(waveforms)[:, None]
        ratios = self._uniform(waveforms, self.lowest_snr_db, self.highest_snr_db)
        share = self._uniform(waveforms)
        shape = (batch, size + HUM_WINDOW)
        white = keras.random.normal(shape, seed=self.seed_generator)
        sums = ops.cumsum(keras.random.normal(shape, seed=self.seed_generator), axis=1)
        low = (sums[:, HUM_WINDOW:] - sums[:, :-HUM_WINDOW]) / np.sqrt(HUM_WINDOW)
        noise = ops.sqrt(share) * low + ops.sqrt(1.0 - share) * white[:, HUM_WINDOW:]
        energy = ops.sum(ops.square(waveforms), axis=1, keepdims=True)
        rms = ops.sqrt(energy / ops.cast(ops.maximum(lengths, 1), energy.dtype))
        scale = ops.maximum(rms, SILENCE_RMS) * ops.power(10.0, -ratios / 20.0)
        inside = ops.arange(size, dtype="int32")[None] < lengths
        return waveforms + ops.where(inside, scale * noise, 0.0)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "lowest_snr_db": self.lowest_snr_db,
            "highest_snr_db": self.highest_snr_db,
        }


def _take(waveforms: Tensor, index: Tensor) -> Tensor:
    """Return the samples of waveforms `(B, n)` at indices `(B, m)`; 0 where there is none."""
    size = ops.shape(waveforms)[1]
    inside = ops.logical_and(index >= 0, index < size)
    taken = ops.take_along_axis(waveforms, ops.clip(index, 0, size - 1), axis=1)
    return ops.where(inside, taken, 0.0)
