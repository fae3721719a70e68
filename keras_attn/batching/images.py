"""Batches of images."""

import math

import keras
import numpy as np

from keras_attn.batching.order import check_batch_size, epoch_order
from keras_attn.datasets import ImageSplit


def flipped(size: int, seed: int, epoch: int) -> np.ndarray:
    """Which of `size` images are mirrored in an epoch, where they are every other one.

    Half of them, drawn by the seed, begin mirrored; the others follow in the next epoch, so
    that two epochs show every image from both sides (Jordan, arXiv:2404.00498).

    Example:

    >>> bool(np.all(flipped(4, seed=0, epoch=0) != flipped(4, seed=0, epoch=1)))
    True
    """
    return (np.random.default_rng([seed, 1]).integers(2, size=size) + epoch) % 2 == 1


class ImageBatches(keras.utils.PyDataset):
    """Full training batches of several epochs in a row, shuffled anew each epoch.

    An epoch's batches depend on the seed and the epoch alone.

    Args:
        split: what to train on.
        batch_size: images a batch; what does not fill a batch is left out that epoch.
        seed: integer that, with the epoch, makes the order.
        epochs: number of the epoch to stop before.
        alternating_flip: mirror each image every other epoch, see `flipped`.

    Raises:
        ValueError: the split does not fill one batch.
    """

    def __init__(
        self,
        split: ImageSplit,
        batch_size: int,
        *,
        seed: int,
        epochs: int,
        alternating_flip: bool = False,
    ) -> None:
        super().__init__()
        check_batch_size(batch_size, len(split))
        self.split, self.batch_size, self.seed = split, batch_size, seed
        self.epochs, self.alternating_flip = epochs, alternating_flip
        self.steps = len(split) // batch_size
        self._epoch = -1

    def __len__(self) -> int:
        return self.steps * self.epochs

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        epoch, step = divmod(index, self.steps)
        order, mirrored = self._drawn(epoch)
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


class ImageEvaluationBatches(keras.utils.PyDataset):
    """All images of a split in its order, for `evaluate` and `validation_data`.

    Args:
        split: the images.
        batch_size: images a batch; the last may have fewer.
    """

    def __init__(self, split: ImageSplit, batch_size: int) -> None:
        super().__init__()
        self.split, self.batch_size = split, batch_size

    def __len__(self) -> int:
        return math.ceil(len(self.split) / self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rows = slice(index * self.batch_size, (index + 1) * self.batch_size)
        return self.split.images[rows], self.split.labels[rows]
