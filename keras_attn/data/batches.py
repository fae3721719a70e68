"""The order of training: a function of the seed and the epoch, on every backend.

An epoch's order does not depend on what was drawn before it, so that a run resumed at
epoch 7 sees the batches that it would have seen uninterrupted.
"""

from typing import Any

import keras
import numpy as np

from keras_attn.data.splits import Split


def epoch_order(size: int, seed: int, epoch: int) -> np.ndarray:
    """The order of `size` examples in an epoch.

    Example:

    >>> epoch_order(4, seed=0, epoch=0).tolist() == epoch_order(4, seed=0, epoch=0).tolist()
    True
    """
    return np.random.default_rng([seed, epoch]).permutation(size)


def check_batch_size(batch_size: int, size: int) -> None:
    """Refuse a batch that the training examples do not fill."""
    if not 0 < batch_size <= size:
        raise ValueError(
            f"`batch_size` must be between 1 and the {size} training examples. "
            f"Received: {batch_size!r}."
        )


def training_batches(
    split: Split, batch_size: int, *, seed: int, epochs: int, initial_epoch: int = 0
) -> Any:
    """Full batches of `(uint8 images, int32 labels)`, shuffled anew each epoch.

    Args:
        split: what to train on.
        batch_size: examples a batch; what does not fill a batch is left out that epoch.
        seed: integer that, with the epoch, makes the order.
        epochs: number of the epoch to stop before.
        initial_epoch: number of the first epoch.

    Returns:
        The batches of all epochs in a row: on TensorFlow a `tf.data.Dataset`, elsewhere a
        `keras.utils.PyDataset`. Pass either to `fit` with `shuffle=False` and
        `steps_per_epoch=len(split) // batch_size`.

    Raises:
        ValueError: the split does not fill one batch.
    """
    check_batch_size(batch_size, len(split))
    if keras.backend.backend() != "tensorflow":
        return _EpochBatches(split, batch_size, seed, epochs, initial_epoch)
    import tensorflow as tf

    steps = len(split) // batch_size
    images, labels = tf.constant(split.images), tf.constant(split.labels)

    def indices(epoch: Any) -> Any:
        order = tf.numpy_function(
            lambda e: epoch_order(len(split), seed, int(e)), [epoch], tf.int64
        )
        order = tf.ensure_shape(order, [len(split)])[: steps * batch_size]
        return tf.data.Dataset.from_tensor_slices(tf.reshape(order, [steps, batch_size]))

    return (
        tf.data.Dataset.range(initial_epoch, epochs)
        .flat_map(indices)
        .map(lambda rows: (tf.gather(images, rows), tf.gather(labels, rows)))
        .prefetch(2)
    )


class _EpochBatches(keras.utils.PyDataset):
    """The same batches, of all epochs in a row, for backends without TensorFlow."""

    def __init__(
        self, split: Split, batch_size: int, seed: int, epochs: int, initial_epoch: int
    ) -> None:
        super().__init__()
        self.split, self.batch_size, self.seed = split, batch_size, seed
        self.epochs, self.initial_epoch = epochs, initial_epoch
        self.steps = len(split) // batch_size

    def __len__(self) -> int:
        return self.steps * (self.epochs - self.initial_epoch)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        epoch, step = divmod(index, self.steps)
        order = epoch_order(len(self.split), self.seed, self.initial_epoch + epoch)
        rows = order[step * self.batch_size : (step + 1) * self.batch_size]
        return self.split.images[rows], self.split.labels[rows]
