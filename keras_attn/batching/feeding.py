"""Batches in the form that `fit` takes: on every backend, from any step, for any replica."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np


def batches_for_fit(batches: keras.utils.PyDataset, *, start: int = 0, strategy: Any = None) -> Any:
    """Batches of arrays, whose rows and lengths may differ, in the form that `fit` takes.

    On TensorFlow it is a `tf.data.Dataset`: Keras would take all batches of a `PyDataset` to be
    as long as the first. With a strategy it is a distributed data set: each batch is cut into
    as many parts, as equal as they can be, as there are replicas on all workers, and every
    worker makes its own batches and keeps its own parts. (TensorFlow would shard what batches
    are made from, which here are epochs.)

    Args:
        batches: batches by index, the first axis of their arrays that of examples.
        start: index of the first batch that is given.
        strategy: a `tf.distribute.Strategy`, or None.
    """
    if keras.backend.backend() != "tensorflow":
        return _From(batches, start) if start else batches
    if strategy is None or strategy.num_replicas_in_sync == 1:
        return _dataset(batches, start, 1, range(1))
    replicas = strategy.num_replicas_in_sync

    def of_worker(context: Any) -> Any:
        local = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * local
        return _dataset(batches, start, replicas, range(first, first + local))

    return strategy.distribute_datasets_from_function(of_worker)


def part(batch: Any, index: int, parts: int) -> Any:
    """One of some parts of a batch's rows, in their order and as equal as they can be.

    Example:

    >>> [part(np.arange(5), index, 2).tolist() for index in range(2)]
    [[0, 1], [2, 3, 4]]
    """

    def rows(array: np.ndarray) -> np.ndarray:
        return array[len(array) * index // parts : len(array) * (index + 1) // parts]

    return keras.tree.map_structure(rows, batch)


def shareable_size(examples: int, batch_size: int, parts: int) -> int:
    """The largest batch size, up to one, with which no batch has fewer rows than parts.

    Raises:
        ValueError: there are too few examples.

    Example:

    >>> shareable_size(21, 10, 2), shareable_size(20, 10, 2)
    (9, 10)
    """
    for size in range(min(batch_size, examples), parts - 1, -1):
        if not 0 < examples % size < parts:
            return size
    raise ValueError(f"{examples} examples cannot be shared by {parts} replicas: use fewer.")


class _From(keras.utils.PyDataset):
    """Batches from one of them on."""

    def __init__(self, batches: keras.utils.PyDataset, start: int) -> None:
        super().__init__()
        self.batches, self.start = batches, start

    def __len__(self) -> int:
        return len(self.batches) - self.start

    def __getitem__(self, index: int) -> Any:
        return self.batches[self.start + index]


def _dataset(batches: keras.utils.PyDataset, start: int, parts: int, own: range) -> Any:
    """A `tf.data.Dataset` of some parts of each batch, one after another."""
    import tensorflow as tf

    def rows(array: np.ndarray) -> Any:
        # Images have one size; sequences have lengths of their own.
        inner = array.shape[1:] if array.ndim > 3 else (None, *array.shape[2:])
        return tf.TensorSpec((None, *inner)[: array.ndim], array.dtype)

    def generate() -> Iterator[Any]:
        for index in range(start, len(batches)):
            batch = batches[index]
            size = len(keras.tree.flatten(batch)[0])
            if size < parts:
                raise ValueError(
                    f"A batch of {size} examples cannot be shared by {parts} replicas. Use larger "
                    "batches, or fewer devices."
                )
            for number in own:
                yield part(batch, number, parts)

    signature = keras.tree.map_structure(rows, batches[0])
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
    number = (len(batches) - start) * len(own)
    return dataset.apply(tf.data.experimental.assert_cardinality(number)).prefetch(4)
