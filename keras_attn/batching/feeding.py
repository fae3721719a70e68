"""Batches in the form that `fit` takes: on every backend, from any step, for any replica."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_attn._wording import counted


def prepare_batches(batches: keras.utils.PyDataset, *, start: int = 0, strategy: Any = None) -> Any:
    """Return batches in the form that `fit` and `evaluate` take on this backend.

    The sizes and lengths of batches may differ. On TensorFlow the result is a
    `tf.data.Dataset`, because Keras assumes that all batches of a `PyDataset` have the shapes
    of the first. With a strategy it is a distributed data set: each batch is cut into as many
    parts of equal size, to within one row, as there are replicas on all workers; every worker
    makes all batches and keeps the parts of its own replicas. (TensorFlow would shard what
    batches are made from instead, which here are whole epochs.)

    Args:
        batches: Batches by index. Examples are the first axis of every array.
        start: Index of the first batch to return.
        strategy: A `tf.distribute.Strategy`, or None.

    Returns:
        On TensorFlow a `tf.data.Dataset`, or with several replicas a distributed data set; on
        other backends a `keras.utils.PyDataset`.

    Raises:
        ValueError: On iteration, if a batch has fewer rows than there are replicas.
    """
    if keras.backend.backend() != "tensorflow":
        return _RemainingBatches(batches, start) if start else batches
    if strategy is None or strategy.num_replicas_in_sync == 1:
        return _make_dataset(batches, start, 1, range(1))
    replicas = strategy.num_replicas_in_sync

    def make_dataset_of_worker(context: Any) -> Any:
        local_replicas = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * local_replicas
        return _make_dataset(batches, start, replicas, range(first, first + local_replicas))

    return strategy.distribute_datasets_from_function(make_dataset_of_worker)


def shard_batch(batch: Any, index: int, parts: int) -> Any:
    """Return one of `parts` contiguous shards of a batch, of equal size to within one row.

    Args:
        batch: Array, or a nest of arrays with the same number of rows.
        index: Number of the shard, from 0.
        parts: Number of shards.

    Example:

    >>> [shard_batch(np.arange(5), index, 2).tolist() for index in range(2)]
    [[0, 1], [2, 3, 4]]
    """

    def shard(array: np.ndarray) -> np.ndarray:
        return array[len(array) * index // parts : len(array) * (index + 1) // parts]

    return keras.tree.map_structure(shard, batch)


def limit_batch_size(examples: int, batch_size: int, parts: int) -> int:
    """Return the largest batch size up to `batch_size` that gives every part rows of each batch.

    Args:
        examples: Number of examples; the last batch holds what is left of them.
        batch_size: The largest batch size.
        parts: Number of replicas that share a batch.

    Raises:
        ValueError: There are too few examples.

    Example:

    >>> limit_batch_size(21, 10, 2), limit_batch_size(20, 10, 2)
    (9, 10)
    """
    for size in range(min(batch_size, examples), parts - 1, -1):
        if not 0 < examples % size < parts:
            return size
    raise ValueError(
        f"{counted(examples, 'example')} cannot be shared by {counted(parts, 'replica')}: use "
        "fewer."
    )


class _RemainingBatches(keras.utils.PyDataset):
    """The batches from number `start` on."""

    def __init__(self, batches: keras.utils.PyDataset, start: int) -> None:
        super().__init__()
        self.batches, self.start = batches, start

    def __len__(self) -> int:
        return len(self.batches) - self.start

    def __getitem__(self, index: int) -> Any:
        return self.batches[self.start + index]


def _make_dataset(batches: keras.utils.PyDataset, start: int, parts: int, own_parts: range) -> Any:
    """Return a `tf.data.Dataset` of the shards `own_parts` of each batch, in that order."""
    import tensorflow as tf

    def make_spec(array: np.ndarray) -> Any:
        # Images all have one size. Of a sequence (rank 2 or 3) the length varies.
        inner = array.shape[1:] if array.ndim > 3 else (None, *array.shape[2:])
        return tf.TensorSpec((None, *inner)[: array.ndim], array.dtype)

    def generate() -> Iterator[Any]:
        for index in range(start, len(batches)):
            batch = batches[index]
            size = len(keras.tree.flatten(batch)[0])
            if size < parts:
                raise ValueError(
                    f"A batch of {counted(size, 'example')} cannot be shared by "
                    f"{counted(parts, 'replica')}. Use larger batches, or fewer devices."
                )
            for part in own_parts:
                yield shard_batch(batch, part, parts)

    signature = keras.tree.map_structure(make_spec, batches[0])
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
    count = (len(batches) - start) * len(own_parts)
    return dataset.apply(tf.data.experimental.assert_cardinality(count)).prefetch(4)
