"""Evaluation batches of images, texts or pairs."""

import math
from typing import Any, Protocol

import keras
import numpy as np


class Examples(Protocol):
    """Examples that can be batched: `ImageSplit`, `EncodedTexts` and `EncodedPairs`.

    Examples of variable length also have `lengths`, an integer array `(N,)`.
    """

    def __len__(self) -> int: ...

    def batch(self, rows: np.ndarray) -> tuple[Any, np.ndarray]:
        """Return the inputs and the targets of some rows."""


class EvaluationBatches(keras.utils.PyDataset):
    """Batches that hold every example once, for `evaluate` and `validation_data`.

    Examples with `lengths` (texts, and pairs by the length of their source) are sorted, the
    shortest first, so that batches need little padding. Others (images) keep their order.

    Args:
        examples: Images, encoded texts or encoded pairs, see `Examples`.
        batch_size: Examples per batch; the last batch may be smaller.

    Returns:
        By index what `examples.batch` returns for the rows of that batch.

    Example:

    >>> from keras_attn.datasets import ImageSplit
    >>> split = ImageSplit(np.zeros((5, 8, 8, 3), "uint8"), np.arange(5, dtype="int32"))
    >>> [labels.tolist() for images, labels in EvaluationBatches(split, batch_size=2)]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, examples: Examples, batch_size: int) -> None:
        super().__init__()
        self.examples, self.batch_size = examples, batch_size
        lengths = getattr(examples, "lengths", None)
        if lengths is None:
            self.order = np.arange(len(examples))
        else:
            self.order = lengths.argsort(kind="stable")

    def __len__(self) -> int:
        return math.ceil(len(self.examples) / self.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, np.ndarray]:
        start = index * self.batch_size
        return self.examples.batch(self.order[start : start + self.batch_size])
