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


def flipped(size: int, seed: int, epoch: int) -> np.ndarray:
    """Which of `size` images are mirrored in an epoch, where they are every other one.

    Half of them, drawn by the seed, begin mirrored; the others follow in the next epoch, so
    that two epochs show every image from both sides (Jordan, arXiv:2404.00498).

    Example:

    >>> bool(np.all(flipped(4, seed=0, epoch=0) != flipped(4, seed=0, epoch=1)))
    True
    """
    return (np.random.default_rng([seed, 1]).integers(2, size=size) + epoch) % 2 == 1


def training_batches(
    split: Split,
    batch_size: int,
    *,
    seed: int,
    epochs: int,
    initial_epoch: int = 0,
    alternating_flip: bool = False,
) -> Any:
    """Full batches of `(uint8 images, int32 labels)`, shuffled anew each epoch.

    Args:
        split: what to train on.
        batch_size: examples a batch; what does not fill a batch is left out that epoch.
        seed: integer that, with the epoch, makes the order.
        epochs: number of the epoch to stop before.
        initial_epoch: number of the first epoch.
        alternating_flip: mirror each image every other epoch, see `flipped`.

    Returns:
        The batches of all epochs in a row: on TensorFlow a `tf.data.Dataset`, elsewhere a
        `keras.utils.PyDataset`. Pass either to `fit` with `shuffle=False` and
        `steps_per_epoch=len(split) // batch_size`.

    Raises:
        ValueError: the split does not fill one batch.
    """
    check_batch_size(batch_size, len(split))
    if keras.backend.backend() != "tensorflow":
        return _EpochBatches(split, batch_size, seed, epochs, initial_epoch, alternating_flip)
    import tensorflow as tf

    steps = len(split) // batch_size
    images, labels = tf.constant(split.images), tf.constant(split.labels)

    def drawn(function: Any, epoch: Any, dtype: Any) -> Any:
        values = tf.numpy_function(
            lambda number: function(len(split), seed, int(number)), [epoch], dtype
        )
        return tf.ensure_shape(values, [len(split)])

    def indices(epoch: Any) -> Any:
        order = drawn(epoch_order, epoch, tf.int64)[: steps * batch_size]
        rows = tf.reshape(order, [steps, batch_size])
        mirrored = tf.gather(drawn(flipped, epoch, tf.bool), rows)
        return tf.data.Dataset.from_tensor_slices((rows, mirrored))

    def examples(rows: Any, mirrored: Any) -> Any:
        chosen = tf.gather(images, rows)
        if alternating_flip:
            chosen = tf.where(mirrored[:, None, None, None], tf.reverse(chosen, [2]), chosen)
        return chosen, tf.gather(labels, rows)

    epochs_left = tf.data.Dataset.range(initial_epoch, epochs)
    return epochs_left.flat_map(indices).map(examples).prefetch(2)


class _EpochBatches(keras.utils.PyDataset):
    """The same batches, of all epochs in a row, for backends without TensorFlow."""

    def __init__(
        self,
        split: Split,
        batch_size: int,
        seed: int,
        epochs: int,
        initial_epoch: int,
        alternating_flip: bool,
    ) -> None:
        super().__init__()
        self.alternating_flip = alternating_flip
        self.split, self.batch_size, self.seed = split, batch_size, seed
        self.epochs, self.initial_epoch = epochs, initial_epoch
        self.steps = len(split) // batch_size
        self._epoch = -1

    def __len__(self) -> int:
        return self.steps * (self.epochs - self.initial_epoch)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        epoch, step = divmod(index, self.steps)
        order, mirrored = self._drawn(self.initial_epoch + epoch)
        rows = order[step * self.batch_size : (step + 1) * self.batch_size]
        images = self.split.images[rows]
        if self.alternating_flip:
            images[mirrored[rows]] = images[mirrored[rows], :, ::-1]
        return images, self.split.labels[rows]

    def _drawn(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        if self._epoch != epoch:
            size = len(self.split)
            drawn = epoch_order(size, self.seed, epoch), flipped(size, self.seed, epoch)
            self._epoch, self._of_epoch = epoch, drawn
        return self._of_epoch
