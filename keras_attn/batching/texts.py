"""Encoded texts, and training batches of them that need little padding."""

import dataclasses
from typing import Any

import keras
import numpy as np

from keras_attn._arrays import as_array
from keras_attn._token_ids import PADDING_ID
from keras_attn._types import Tensor
from keras_attn.batching.order import check_batch_size, epoch_order
from keras_attn.batching.padding import round_up

# Batches that are sorted by length together. More of them need less padding, but leave less
# to chance.
POOL_BATCHES = 50
# Lengths are rounded up to a multiple, so that graphs are compiled for few lengths.
LENGTH_MULTIPLE = 64


@dataclasses.dataclass(frozen=True)
class EncodedTexts:
    """The ids of texts, concatenated, and their labels.

    Attributes:
        ids: int32 array `(sum of lengths, G)`: for each word of all texts in a row, its ids.
        row_splits: int64 array `(N + 1,)`: text `i` is `ids[row_splits[i]:row_splits[i + 1]]`.
        labels: int32 array `(N,)`; -1 is a text without label. For texts with several labels, an
            array `(N, C)` of 0 and 1. Integers of another dtype, and
            a pandas column, are converted.

    Example:

    >>> ids = np.array([[5], [6], [7]], "int32")
    >>> texts = EncodedTexts(ids, np.array([0, 1, 3]), np.array([1, 0], "int32"))
    >>> batch, labels = texts.batch(np.array([0, 1]), multiple=1)
    >>> batch.tolist(), labels.tolist()
    ([[[5], [0]], [[6], [7]]], [1, 0])
    """

    ids: np.ndarray
    row_splits: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        labels = np.asarray(as_array(self.labels))
        if np.issubdtype(labels.dtype, np.integer):
            labels = labels.astype("int32", copy=False)
        object.__setattr__(self, "labels", labels)  # the dataclass is frozen

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> np.ndarray:
        """The number of words of each text, int64 `(N,)`."""
        return np.diff(self.row_splits)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.ids[self.row_splits[index] : self.row_splits[index + 1]]

    def ragged_ids(self) -> Tensor:
        """Return the ids as a ragged tensor of TensorFlow `(N, None, G)`."""
        import tensorflow as tf

        return tf.RaggedTensor.from_row_splits(self.ids, self.row_splits)

    def batch(
        self, rows: np.ndarray, multiple: int = LENGTH_MULTIPLE
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the padded ids of some texts, and their labels.

        Args:
            rows: Row numbers of the texts, integer array `(B,)`.
            multiple: `T` is the longest length, rounded up to a multiple of it.

        Returns:
            int32 ids `(B, T, G)`, padded with 0 at the end, and int32 labels `(B,)`. `T` is at
            least `multiple`.
        """
        longest = max(1, int(self.lengths[rows].max(initial=0)))
        shape = len(rows), round_up(longest, multiple), self.ids.shape[1]
        padded_ids = np.full(shape, PADDING_ID, "int32")
        for padded_row, row in zip(padded_ids, rows, strict=True):
            ids = self[row]
            padded_row[: len(ids)] = ids
        return padded_ids, self.labels[rows]


class TextBatches(keras.utils.PyDataset):
    """Full training batches of several epochs in a row, each of texts of similar length.

    Batch `i` is batch `i % steps` of epoch `i // steps`. The batches of an epoch depend only
    on the seed and the epoch: texts are shuffled, sorted by length within pools of
    `POOL_BATCHES` batches, cut into batches, and the batches are shuffled.

    Args:
        texts: The training texts.
        batch_size: Texts per batch. Texts that do not fill a batch are left out that epoch.
        seed: Integer that, with the epoch, determines the order.
        epochs: Number of epochs.

    Returns:
        By index what `EncodedTexts.batch` returns.

    Raises:
        ValueError: The texts do not fill one batch.
    """

    def __init__(self, texts: Any, batch_size: int, *, seed: int, epochs: int) -> None:
        super().__init__()
        check_batch_size(batch_size, len(texts))
        self.texts, self.batch_size, self.seed = texts, batch_size, seed
        self.epochs = epochs
        self.steps = len(texts) // batch_size
        self._planned: tuple[int, list[np.ndarray]] = (-1, [])

    def __len__(self) -> int:
        return self.steps * self.epochs

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        epoch, step = divmod(index, self.steps)
        if self._planned[0] != epoch:
            self._planned = (epoch, self._plan(epoch))
        return self.texts.batch(self._planned[1][step])

    def _plan(self, epoch: int) -> list[np.ndarray]:
        """Return the row numbers of each batch of an epoch."""
        order = epoch_order(len(self.texts), self.seed, epoch)[: self.steps * self.batch_size]
        lengths = self.texts.lengths
        pool_size = POOL_BATCHES * self.batch_size
        batches = []
        for start in range(0, len(order), pool_size):
            rows = order[start : start + pool_size]
            rows = rows[lengths[rows].argsort(kind="stable")]
            batches += np.split(rows, len(rows) // self.batch_size)
        # Otherwise training would go from short texts to long ones in every pool.
        shuffled = np.random.default_rng([self.seed, epoch, 1]).permutation(len(batches))
        return [batches[i] for i in shuffled]
