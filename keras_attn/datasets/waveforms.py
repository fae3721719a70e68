"""Waveforms: sampled sounds of one channel, and splits of labelled ones."""

import dataclasses
import functools
import hashlib
import numbers
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from keras_attn._wording import counted

MIN_RATE, MAX_RATE = 1_000, 384_000  # samples per second
MAX_VALUE = 8.0  # of float samples: files may exceed 1 by some clipping, but not by this much
MAX_CHANNELS = 32
# Of a sound, by default: the shortest and the longest that a classifier takes.
MIN_SECONDS, MAX_SECONDS = 0.025, 10.0


@dataclasses.dataclass(frozen=True, eq=False)
class Waveform:
    """A sound: its samples, and how many of them make a second.

    Several channels are mixed down to their mean. Integers are scaled by their range: int16 by
    32,768, int32 by 2**31, and uint8 around its middle, as in WAV files.

    Attributes:
        samples: Float32 array `(n,)`, with values in -1..1. It may be passed as floats, int16,
            int32 or uint8, and with several channels as `(n, channels)`.
        rate: Samples per second.

    Raises:
        TypeError: The samples are not numbers of these types.
        ValueError: The samples have another shape, hold NaN or infinity, or floats that are not
            scaled; or the rate is not an integer from 1,000 to 384,000.

    Example:

    >>> Waveform(np.array([0, 16_384, -32_768], "int16"), 8_000).samples.tolist()
    [0.0, 0.5, -1.0]
    >>> Waveform(np.ones((16_000, 2)), 16_000)
    Waveform(1.00 s, 16,000 samples per second)
    """

    samples: np.ndarray
    rate: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", check_rate(self.rate))
        object.__setattr__(self, "samples", _mono(scale_samples(np.asarray(self.samples))))

    @property
    def seconds(self) -> float:
        """The duration."""
        return len(self.samples) / self.rate

    def __repr__(self) -> str:
        return f"Waveform({self.seconds:.2f} s, {self.rate:,} samples per second)"


def check_rate(rate: Any, argument: str = "rate") -> int:
    """Return a rate as an `int`.

    Raises:
        TypeError: It is not a number.
        ValueError: It is not an integer from `MIN_RATE` to `MAX_RATE`.
    """
    number = isinstance(rate, int | float | numbers.Real) and not isinstance(rate, bool)
    if not number:
        raise TypeError(
            f"`{argument}` must be the number of samples per second, such as 16_000. Received: "
            f"{rate!r}."
        )
    if not MIN_RATE <= rate <= MAX_RATE or rate != int(rate):
        raise ValueError(
            f"`{argument}` must be the number of samples per second, an integer from {MIN_RATE:,} "
            f"to {MAX_RATE:,}. Received: {rate!r}."
        )
    return int(rate)


def scale_samples(samples: np.ndarray) -> np.ndarray:
    """Return samples as float32 in -1..1.

    Args:
        samples: Floats in -1..1; or int16, int32 or uint8, which are scaled by their range.

    Raises:
        TypeError: The samples are of another type.
        ValueError: Floats are not finite, or above `MAX_VALUE`.
    """
    kind = samples.dtype
    if kind in (np.int16, np.int32):
        return (samples / -float(np.iinfo(kind).min)).astype("float32")
    if kind == np.uint8:
        return ((samples.astype("float32") - 128.0) / 128.0).astype("float32")
    if kind.kind != "f":
        remedy = "Convert them to int16, or to floats in -1..1."
        raise TypeError(
            "Samples must be floats in -1..1, int16, int32, or uint8 as in WAV files of 8 bits. "
            f"Received: {kind}. {remedy}"
        )
    scaled = samples.astype("float32")
    if not np.isfinite(scaled).all():
        raise ValueError("Samples must be finite. Received: NaN or infinity.")
    largest = float(np.abs(scaled).max(initial=0.0))
    if largest > MAX_VALUE:
        raise ValueError(
            f"Float samples must have values in -1..1. Received: values up to {largest:.6g}. "
            "Divide samples of 16 bits by 32768, or pass them as int16."
        )
    return scaled


def _mono(samples: np.ndarray) -> np.ndarray:
    """Return samples `(n,)` or `(n, channels)` as one channel."""
    if samples.ndim == 2 and 1 <= samples.shape[1] <= MAX_CHANNELS:
        return samples.mean(axis=1, dtype="float32") if samples.shape[1] > 1 else samples[:, 0]
    if samples.ndim != 1:
        raise ValueError(
            "A waveform must have shape (n,), or (n, channels) with at most "
            f"{MAX_CHANNELS} channels. Received: shape {samples.shape}. Put the channels last."
        )
    return samples


class UnusableSoundError(ValueError):
    """A sound that cannot be read or used. `reason` says why in a few words, for accounts."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


def check_duration(
    waveform: Waveform, name: str, min_seconds: float, max_seconds: float, remedy: str = ""
) -> np.ndarray:
    """Return the samples of a waveform without the zeros at its end, which are padding.

    Args:
        waveform: The waveform.
        name: What to call it in messages.
        min_seconds: The shortest sound to accept.
        max_seconds: The longest sound to accept.
        remedy: What else to do about a sound that is too long, for the message.

    Raises:
        UnusableSoundError: The sound is empty, silent, too short or too long.
    """
    if not len(waveform.samples):
        raise UnusableSoundError(f"{name} is empty: it has no samples.", "empty")
    nonzero = np.flatnonzero(waveform.samples)
    if not len(nonzero):
        raise UnusableSoundError(f"{name} is silent: all of its samples are 0.", "silent")
    samples = waveform.samples[: nonzero[-1] + 1]
    seconds = len(samples) / waveform.rate
    if seconds < min_seconds:
        raise UnusableSoundError(
            f"{name} is too short: {seconds:.4g} seconds, and at least {min_seconds:g}, one "
            "analysis window, are needed.",
            f"too short, under {min_seconds:g} seconds",
        )
    if seconds > max_seconds:
        raise too_long(name, seconds, max_seconds, remedy)
    return samples


def too_long(name: str, seconds: float, max_seconds: float, remedy: str = "") -> UnusableSoundError:
    """Return the error for a sound that is too long."""
    return UnusableSoundError(
        f"{name} is too long: {seconds:.1f} seconds, and at most {max_seconds:g} are accepted. "
        f"Cut the recording into words{remedy}.",
        f"too long, over {max_seconds:g} seconds",
    )


@dataclasses.dataclass(frozen=True)
class WaveformSplit:
    """Waveforms and their labels.

    Attributes:
        waveforms: The waveforms, whose rates may differ.
        labels: int32 array `(N,)`, indices into the data set's label names.
        speakers: The name of each speaker; empty if they are not known.

    Raises:
        ValueError: The lengths differ, or the labels have another shape or dtype.

    Example:

    >>> silence = Waveform(np.zeros(800, "float32"), 8_000)
    >>> split = WaveformSplit((silence, silence), np.array([1, 0], "int32"))
    >>> len(split), split.take([1]).labels.tolist()
    (2, [0])
    """

    waveforms: tuple[Waveform, ...]
    labels: np.ndarray
    speakers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.labels.shape != (len(self.waveforms),) or self.labels.dtype != np.int32:
            raise ValueError(
                "A split needs one int32 label per waveform. Received: "
                f"{counted(len(self.waveforms), 'waveform')}, {self.labels.dtype} labels of shape "
                f"{self.labels.shape}."
            )
        if self.speakers and len(self.speakers) != len(self.waveforms):
            raise ValueError(
                "A split needs one speaker per waveform, or none at all. Received: "
                f"{counted(len(self.waveforms), 'waveform')}, "
                f"{counted(len(self.speakers), 'speaker')}."
            )

    @property
    def inputs(self) -> list[Waveform]:
        """The waveforms."""
        return list(self.waveforms)

    @property
    def targets(self) -> np.ndarray:
        """The labels."""
        return self.labels

    def __len__(self) -> int:
        return len(self.waveforms)

    def __repr__(self) -> str:
        seconds = sum(waveform.seconds for waveform in self.waveforms)
        labels = counted(len(np.unique(self.labels)), "label")
        return f"WaveformSplit({counted(len(self), 'waveform')}, {seconds:.0f} s, {labels})"

    def take(self, indices: Any) -> Self:
        """Return a split of the examples at `indices` (an index array, a mask or a slice)."""
        rows = np.arange(len(self))[indices]
        speakers = tuple(self.speakers[row] for row in rows) if self.speakers else ()
        return type(self)(tuple(self.waveforms[row] for row in rows), self.labels[rows], speakers)

    @functools.cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of the rates, lengths and samples of the waveforms, and of the labels."""
        digest = hashlib.sha256()
        for waveform in self.waveforms:
            digest.update(f"{waveform.rate} {len(waveform.samples)} ".encode())
            digest.update(waveform.samples.astype("<f4").tobytes())
        digest.update(self.labels.astype("<i4").tobytes())
        return digest.hexdigest()

    def batches(self, batch_size: int, *, shuffle: bool = False, seed: int = 0) -> Any:
        """Return the split as a `tf.data.Dataset` of `(float32 samples, int32 labels)` batches.

        Waveforms `(B, n)` are padded by zeros at the end to the longest of the split.

        Args:
            batch_size: Examples per batch; the last batch may be smaller.
            shuffle: Whether to shuffle the examples anew at every pass over the data set.
            seed: Integer that determines the order.

        Raises:
            ValueError: The waveforms differ in their rates: batches do not say them.
        """
        from keras_attn.datasets.splits import make_batches

        rates = sorted({waveform.rate for waveform in self.waveforms})
        if len(rates) > 1:
            raise ValueError(
                "Batches of `tf.data` need waveforms of one rate. Received: rates of "
                f"{', '.join(map(str, rates))}. Pass the waveforms themselves to `fit`."
            )
        samples = pad_waveforms([waveform.samples for waveform in self.waveforms])
        batches = make_batches(samples, self.labels, batch_size, shuffle, seed)
        batches.labels_are_indices = True
        return batches


def pad_waveforms(waveforms: Sequence[np.ndarray], multiple: int = 1) -> np.ndarray:
    """Return waveforms as one array, padded with 0 at the end.

    Args:
        waveforms: Float arrays `(length,)`.
        multiple: `n` is the longest length, at least 1, rounded up to a multiple of it.

    Returns:
        Float32 array `(B, n)`.

    Example:

    >>> pad_waveforms([np.ones(3), np.ones(1)], multiple=2).tolist()
    [[1.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]]
    """
    longest = max([1, *map(len, waveforms)])
    padded = np.zeros((len(waveforms), -(-longest // multiple) * multiple), "float32")
    for row, samples in zip(padded, waveforms, strict=True):
        row[: len(samples)] = samples
    return padded
