"""Log-mel spectrograms of waveforms, and their augmentation."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_attn._types import Tensor
from keras_attn.layers._sublayers import PACKAGE, check_positive_integers, check_rank
from keras_attn.layers.augmentation import ReplicaSeeds

SILENCE = 1e-12  # power below which a waveform counts as silent, to divide by


@keras.saving.register_keras_serializable(package=PACKAGE)
class LogMelSpectrogram(keras.layers.Layer):
    """Log-mel spectrogram, normalized by the loudest frame and by statistics from `adapt`.

    A frame is weighted by a Hann window, and the power of its discrete Fourier transform is summed
    by triangular filters that are equally spaced on the mel scale (Davis and Mermelstein, 1980;
    O'Shaughnessy's formula, `2595 log10(1 + f / 700)`). Powers are relative to the loudest frame
    of the waveform, so that its gain does not matter, and 1 part in `10 ** (top_db / 10)` is
    added before the logarithm, so that silence is a floor. `adapt` learns mean and standard
    deviation of each filter over a data set.

    Zeros at the end of a waveform are padding: frames that lie in it have features of exactly 0,
    and no other frame depends on how many there are.

    Args:
        sampling_rate: samples per second of the waveforms.
        sequence_length: length of a frame in samples.
        sequence_stride: distance of two frames in samples, at most `sequence_length`.
        fft_length: length of the Fourier transform, at least `sequence_length`.
        num_mel_bins: number of filters, `M`.
        min_freq: lower edge of the first filter.
        max_freq: upper edge of the last filter, at most half of `sampling_rate`.
        top_db: distance of the floor to the loudest frame in decibels.
        mean_subtraction: share, from 0 to 1, of its own mean over the waveform that is subtracted
            from each filter's output. It removes what is constant, as the sound of a microphone or
            of a voice (cepstral mean subtraction; Atal, 1974), but also of long vowels.

    Call arguments:
        inputs: float waveforms `(B, n)`.

    Returns:
        Float tensor `(B, T, M)` with `T = (n - 1) // sequence_stride + 1`.

    Raises:
        ValueError: A length or a frequency does not fit the others.

    Example:

    >>> layer = LogMelSpectrogram()
    >>> second = np.sin(2 * np.pi * 440 * np.arange(8000) / 8000).astype("float32")
    >>> layer(second[None]).shape
    TensorShape([1, 100, 40])
    """

    def __init__(
        self,
        sampling_rate: int = 8_000,
        sequence_length: int = 200,
        sequence_stride: int = 80,
        fft_length: int = 256,
        num_mel_bins: int = 40,
        min_freq: float = 100.0,
        max_freq: float = 3_800.0,
        top_db: float = 50.0,
        mean_subtraction: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.autocast = False  # powers differ by more than 16 bits can hold
        check_positive_integers(
            self,
            sampling_rate=sampling_rate,
            sequence_length=sequence_length,
            sequence_stride=sequence_stride,
            fft_length=fft_length,
            num_mel_bins=num_mel_bins,
        )
        if not sequence_stride <= sequence_length <= fft_length:
            raise ValueError(
                f"{self.name}: `sequence_stride` must not exceed `sequence_length`, nor this "
                f"`fft_length`. Received: {sequence_stride}, {sequence_length} and {fft_length}."
            )
        if not 0 <= min_freq < max_freq <= sampling_rate / 2:
            raise ValueError(
                f"{self.name}: the filters must lie between 0 and half of `sampling_rate`, "
                f"{sampling_rate / 2:g} Hz. Received: min_freq={min_freq}, max_freq={max_freq}."
            )
        if not top_db > 0:
            raise ValueError(f"{self.name}: `top_db` must be above 0. Received: {top_db!r}.")
        if not 0 <= mean_subtraction <= 1:
            raise ValueError(
                f"{self.name}: `mean_subtraction` must be from 0 to 1. Received: "
                f"{mean_subtraction!r}."
            )
        self.sampling_rate = sampling_rate
        self.sequence_length = sequence_length
        self.sequence_stride = sequence_stride
        self.fft_length = fft_length
        self.num_mel_bins = num_mel_bins
        self.min_freq = min_freq
        self.max_freq = max_freq
        self.top_db = top_db
        self.mean_subtraction = mean_subtraction
        self._filters = mel_filters(num_mel_bins, fft_length, sampling_rate, min_freq, max_freq)
        angles = 2 * np.pi * np.arange(sequence_length) / sequence_length
        window = (0.5 - 0.5 * np.cos(angles)).astype("float32")  # Hann, periodic
        # Frames are read as long as the transform, whose zeros the window adds.
        self._window = np.pad(window, (0, fft_length - sequence_length))

    def build(self, input_shape: Any) -> None:
        check_rank(self, 2, "(batch, samples)", inputs=input_shape)
        self.input_spec = keras.layers.InputSpec(ndim=2)
        # Before `adapt`, the middle of the range and a third of it, so that the features of an
        # untrained model have a reasonable scale.
        for name, start in (("mean", -self.top_db / 2), ("standard_deviation", self.top_db / 3)):
            weight = self.add_weight(
                name=name,
                shape=(self.num_mel_bins,),
                initializer=keras.initializers.Constant(start),
                dtype="float32",
                trainable=False,
            )
            setattr(self, name, weight)

    def adapt(self, waveforms: np.ndarray) -> None:
        """Set mean and standard deviation of each filter to those of waveforms `(N, n)`."""
        if not self.built:
            self.build(waveforms.shape)
        decibels, mask = self._subtracted(ops.convert_to_tensor(waveforms, "float32"))
        rows = ops.convert_to_numpy(decibels)[ops.convert_to_numpy(mask)].astype("float64")
        if len(rows):
            self.mean.assign(rows.mean(axis=0).astype("float32"))
            self.standard_deviation.assign(np.maximum(rows.std(axis=0), 1e-3).astype("float32"))

    def call(self, inputs: Tensor) -> Tensor:
        decibels, mask = self._subtracted(ops.cast(inputs, "float32"))
        features = (decibels - self.mean) / self.standard_deviation
        features = features * ops.cast(mask, "float32")[..., None]
        return ops.cast(features, self.compute_dtype)

    def _subtracted(self, waveforms: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is normalized by statistics, and a mask `(B, T)` of its frames."""
        decibels, mask = self.decibels(waveforms)
        if self.mean_subtraction:
            weights = ops.cast(mask, "float32")[..., None]
            count = ops.maximum(ops.sum(weights, axis=1, keepdims=True), 1.0)
            mean = ops.sum(decibels * weights, axis=1, keepdims=True) / count
            decibels = decibels - self.mean_subtraction * mean
        return decibels, mask

    def decibels(self, waveforms: Tensor) -> tuple[Tensor, Tensor]:
        """Return the spectrogram before it is normalized by the statistics from `adapt`.

        Args:
            waveforms: Float32 tensor `(B, n)`.

        Returns:
            Decibels relative to the loudest frame, float32 `(B, T, M)`; and booleans `(B, T)`,
            False for frames in the padding.
        """
        padded = ops.pad(waveforms, ((0, 0), (0, self.fft_length - 1)))
        frames = ops.extract_sequences(padded, self.fft_length, self.sequence_stride)  # (B, T, fft)
        real, imaginary = ops.rfft(frames * self._window, self.fft_length)  # (B, T, fft / 2 + 1)
        power = ops.matmul(ops.square(real) + ops.square(imaginary), self._filters)  # (B, T, M)
        loudest = ops.max(ops.sum(power, axis=-1), axis=-1)[:, None, None]
        relative = power / ops.maximum(loudest, SILENCE)
        decibels = 10.0 / np.log(10.0) * ops.log(relative + 10.0 ** (-self.top_db / 10.0))
        return decibels, self._frame_mask(waveforms, ops.shape(frames)[1])

    def _frame_mask(self, waveforms: Tensor, frames: int | Tensor) -> Tensor:
        """Return booleans `(B, T)`, False for frames that the frames before them cover."""
        lengths = waveform_lengths(waveforms)
        starts = ops.arange(frames) * self.sequence_stride
        # A frame is needed for the samples that the one before it does not reach.
        covered = ops.where(starts > 0, starts - self.sequence_stride + self.sequence_length, 0)
        return covered[None] < lengths[:, None]

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        samples = input_shape[1]
        frames = None if samples is None else (samples - 1) // self.sequence_stride + 1
        return (input_shape[0], frames, self.num_mel_bins)

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "sampling_rate": self.sampling_rate,
            "sequence_length": self.sequence_length,
            "sequence_stride": self.sequence_stride,
            "fft_length": self.fft_length,
            "num_mel_bins": self.num_mel_bins,
            "min_freq": self.min_freq,
            "max_freq": self.max_freq,
            "top_db": self.top_db,
            "mean_subtraction": self.mean_subtraction,
        }


def waveform_lengths(waveforms: Tensor) -> Tensor:
    """Return the number of samples `(B,)`, int32, of waveforms `(B, n)` up to the last not 0.

    Example:

    >>> waveform_lengths(np.array([[0.0, 0.5, 0.0], [0.0, 0.0, 0.0]])).numpy().tolist()
    [2, 0]
    """
    numbers = ops.arange(1, ops.shape(waveforms)[1] + 1, dtype="int32")
    return ops.max(ops.where(ops.not_equal(waveforms, 0), numbers[None], 0), axis=1)


def mel_filters(
    num_mel_bins: int, fft_length: int, sampling_rate: int, min_freq: float, max_freq: float
) -> np.ndarray:
    """Return triangular filters on the mel scale.

    Args:
        num_mel_bins: Number of filters, `M`.
        fft_length: Length of the Fourier transform.
        sampling_rate: Samples per second.
        min_freq: Lower edge of the first filter.
        max_freq: Upper edge of the last filter.

    Returns:
        Float32 array `(fft_length // 2 + 1, M)`.

    Raises:
        ValueError: A filter is narrower than the resolution of the transform, and would be empty.

    Example:

    >>> mel_filters(3, 16, 8000, 0.0, 4000.0).shape
    (9, 3)
    """

    def mel(hertz: Any) -> Any:
        return 2595.0 * np.log10(1.0 + np.asarray(hertz) / 700.0)

    frequencies = mel(np.arange(fft_length // 2 + 1) * sampling_rate / fft_length)[:, None]
    edges = np.linspace(mel(min_freq), mel(max_freq), num_mel_bins + 2)
    lower, center, upper = edges[:-2], edges[1:-1], edges[2:]
    rising = (frequencies - lower) / (center - lower)
    falling = (upper - frequencies) / (upper - center)
    filters = np.maximum(0.0, np.minimum(rising, falling))
    if not filters.any(axis=0).all():
        raise ValueError(
            f"`num_mel_bins` is too large for `fft_length`: some of {num_mel_bins} filters from "
            f"{min_freq:g} to {max_freq:g} Hz lie between two of the {fft_length // 2 + 1} "
            "frequencies. Lower `num_mel_bins`, or raise `fft_length`."
        )
    return filters.astype("float32")


@keras.saving.register_keras_serializable(package=PACKAGE)
class SpecAugment(keras.layers.Layer):
    """Mask random bands of frequencies and a random span of time (Park et al., arXiv:1904.08779).

    Masked features are 0, which is their mean where they are normalized. It is applied in training
    alone, as dropout is.

    Args:
        frequency_masks: number of bands; they may overlap.
        frequency_width: largest width of a band, in features.
        time_fraction: largest length of the span, as a fraction of the frames that are not 0.
        seed: integer that makes the draws repeatable.

    Call arguments:
        inputs: float tensor `(B, T, M)`; frames of zeros are padding.
        training: whether to mask; else the inputs are returned as they are.

    Returns:
        Tensor `(B, T, M)`.

    Example:

    >>> layer = SpecAugment(frequency_masks=1, frequency_width=4, seed=0)
    >>> layer(np.ones((1, 5, 8), "float32"), training=True).shape
    TensorShape([1, 5, 8])
    """

    def __init__(
        self,
        frequency_masks: int = 2,
        frequency_width: int = 8,
        time_fraction: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        check_positive_integers(
            self, frequency_masks=frequency_masks, frequency_width=frequency_width
        )
        if not 0 <= time_fraction < 1:
            raise ValueError(
                f"{self.name}: `time_fraction` must be at least 0 and below 1. Received: "
                f"{time_fraction!r}."
            )
        self.frequency_masks = frequency_masks
        self.frequency_width = frequency_width
        self.time_fraction = time_fraction
        self.seed = seed
        self.seed_generator = ReplicaSeeds(seed)

    def build(self, input_shape: Any) -> None:
        check_rank(self, 3, "(batch, frames, features)", inputs=input_shape)
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        if not training:
            return inputs
        batch, frames, features = ops.shape(inputs)
        used = ops.any(ops.not_equal(inputs, 0), axis=-1)
        lengths = ops.sum(ops.cast(used, "float32"), axis=1, keepdims=True)  # (B, 1)
        kept = ops.ones((batch, 1, features))
        for _ in range(self.frequency_masks):
            widths = self._draw(batch) * self.frequency_width
            kept = kept * self._outside(features, float(features), widths)[:, None, :]
        if self.time_fraction:
            spans = self._draw(batch) * self.time_fraction * lengths
            kept = kept * self._outside(frames, lengths, spans)[..., None]
        return inputs * ops.cast(kept, inputs.dtype)

    def _draw(self, batch: int | Tensor) -> Tensor:
        return keras.random.uniform((batch, 1), seed=self.seed_generator)

    def _outside(self, size: int | Tensor, limit: Any, widths: Tensor) -> Tensor:
        """Return 1.0 outside of spans of `widths` `(B, 1)` that end before `limit`, else 0.0."""
        starts = self._draw(ops.shape(widths)[0]) * ops.maximum(limit - widths, 0.0)
        positions = ops.cast(ops.arange(size), "float32")[None] + 0.5
        inside = ops.logical_and(positions >= starts, positions < starts + widths)
        return 1.0 - ops.cast(inside, "float32")

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        return keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "frequency_masks": self.frequency_masks,
            "frequency_width": self.frequency_width,
            "time_fraction": self.time_fraction,
            "seed": self.seed,
        }
