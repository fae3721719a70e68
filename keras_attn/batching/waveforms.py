"""Waveforms of different lengths, and training batches of them that need little padding."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from keras_attn.batching.texts import TextBatches
from keras_attn.datasets.waveforms import pad_waveforms

SAMPLE_MULTIPLE = 1_000  # lengths are rounded up to it, so that graphs are compiled for few lengths


@dataclasses.dataclass(frozen=True)
class EncodedWaveforms:
    """Waveforms of one rate, and their labels.

    Attributes:
        waveforms: Float32 arrays `(length,)`.
        labels: int32 array `(N,)`.

    Example:

    >>> waveforms = EncodedWaveforms([np.ones(2), np.ones(3)], np.array([1, 0], "int32"))
    >>> batch, labels = waveforms.batch(np.array([0, 1]), multiple=2)
    >>> batch.tolist(), labels.tolist()
    ([[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0]], [1, 0])
    """

    waveforms: Sequence[np.ndarray]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.waveforms)

    @property
    def lengths(self) -> np.ndarray:
        """The number of samples of each waveform, int64 `(N,)`."""
        return np.array([len(waveform) for waveform in self.waveforms], "int64")

    def batch(
        self, rows: np.ndarray, multiple: int = SAMPLE_MULTIPLE
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return some waveforms padded by zeros at the end, and their labels.

        Args:
            rows: Row numbers, integer array `(B,)`.
            multiple: `n` is the longest length, rounded up to a multiple of it.

        Returns:
            Float32 waveforms `(B, n)`, and int32 labels `(B,)`.
        """
        return pad_waveforms([self.waveforms[row] for row in rows], multiple), self.labels[rows]


class WaveformBatches(TextBatches):
    """Training batches of `EncodedWaveforms` of similar length, see `TextBatches`."""
