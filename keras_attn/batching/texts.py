"""Texts as ids, and batches of them in which little is padding."""

import dataclasses
import math
from typing import Any, Protocol

import keras
import numpy as np

from keras_attn.batching.feeding import batches_for_fit
from keras_attn.batching.images import check_batch_size, epoch_order

POOL = 50  # batches that are sorted by length together: more is less padding, less chance
MULTIPLE = 64  # lengths are padded to a multiple, so that graphs are compiled for a few


@dataclasses.dataclass(frozen=True)
class EncodedTexts:
    """The ids of texts, one after another, and their labels.

    Attributes:
        ids: int32 array `(sum of lengths, G)`, the words of all texts in a row.
        row_splits: int64 array `(N + 1,)`: text `i` is `ids[row_splits[i]:row_splits[i + 1]]`.
        labels: int32 array `(N,)`.
    """

    ids: np.ndarray
    row_splits: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> np.ndarray:
        """The number of words of each text."""
        return np.diff(self.row_splits)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.ids[self.row_splits[index] : self.row_splits[index + 1]]

    def batch(self, rows: np.ndarray, multiple: int = MULTIPLE) -> tuple[np.ndarray, np.ndarray]:
        """The ids `(B, T, G)` of some texts, padded with 0, and their labels `(B,)`.

        Args:
            rows: which texts.
            multiple: `T` is the longest length, rounded up to a multiple of it.
        """
        longest = max(1, int(self.lengths[rows].max(initial=0)))
        padded = np.zeros((len(rows), -(-longest // multiple) * multiple, self.ids.shape[1]), "i4")
        for target, row in zip(padded, rows, strict=True):
            ids = self[row]
            target[: len(ids)] = ids
        return padded, self.labels[rows]


class _Encoded(Protocol):
    @property
    def lengths(self) -> np.ndarray: ...

    def __len__(self) -> int: ...

    def batch(self, rows: np.ndarray) -> tuple[Any, np.ndarray]: ...


class EvaluationBatches(keras.utils.PyDataset):
    """All texts or pairs in batches, the shortest first, for `evaluate` and `validation_data`.

    Args:
        examples: encoded texts, or pairs of them, which go by the length of their source.
        batch_size: examples a batch; the last may have fewer.
    """

    def __init__(self, examples: _Encoded, batch_size: int) -> None:
        super().__init__()
        self.examples, self.batch_size = examples, batch_size
        self.order = examples.lengths.argsort(kind="stable")

    def __len__(self) -> int:
        return math.ceil(len(self.examples) / self.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, np.ndarray]:
        start = index * self.batch_size
        return self.examples.batch(self.order[start : start + self.batch_size])


class TextBatches(keras.utils.PyDataset):
    """Full training batches of several epochs in a row, of texts of like length.

    An epoch's batches depend on the seed and the epoch alone. Texts are shuffled; within
    each pool of some batches they are sorted by length; and batches are shuffled again.

    Args:
        texts: what to train on.
        batch_size: texts a batch; what does not fill a batch is left out that epoch.
        seed: integer that, with the epoch, makes the order.
        epochs: number of the epoch to stop before.

    Raises:
        ValueError: the texts do not fill one batch.
    """

    def __init__(self, texts: EncodedTexts, batch_size: int, *, seed: int, epochs: int) -> None:
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
        """The rows of each batch of an epoch."""
        order = epoch_order(len(self.texts), self.seed, epoch)[: self.steps * self.batch_size]
        lengths = self.texts.lengths
        pool = POOL * self.batch_size
        batches = []
        for start in range(0, len(order), pool):
            rows = order[start : start + pool]
            rows = rows[lengths[rows].argsort(kind="stable")]
            batches += np.split(rows, len(rows) // self.batch_size)
        shuffled = np.random.default_rng([self.seed, epoch, 1]).permutation(len(batches))
        return [batches[i] for i in shuffled]


def evaluation_batches(examples: _Encoded, batch_size: int) -> Any:
    """`EvaluationBatches` in the form that `fit` takes on this backend."""
    return batches_for_fit(EvaluationBatches(examples, batch_size))
