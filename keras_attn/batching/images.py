"""Training batches of images."""

import keras
import numpy as np

from keras_attn.batching.evaluation import Examples
from keras_attn.batching.order import check_batch_size, epoch_order


def draw_flips(size: int, seed: int, epoch: int) -> np.ndarray:
    """Return which of `size` images an epoch mirrors, under alternating flip.

    A random half of the images, drawn by `seed`, is mirrored in epoch 0, the other half in
    epoch 1, and so on in turn: two epochs show every image from both sides
    (Jordan, arXiv:2404.00498).

    Args:
        size: Number of images.
        seed: Integer of the run.
        epoch: Number of the epoch, from 0.

    Returns:
        Boolean array `(size,)`.

    Example:

    >>> bool(np.all(draw_flips(4, seed=0, epoch=0) != draw_flips(4, seed=0, epoch=1)))
    True
    """
    return (np.random.default_rng([seed, 1]).integers(2, size=size) + epoch) % 2 == 1


class ImageBatches(keras.utils.PyDataset):
    """Full training batches of several epochs in a row, shuffled anew each epoch.

    Batch `i` is batch `i % steps` of epoch `i // steps`. The batches of an epoch depend only
    on the seed and the epoch.

    Args:
        split: The training images, such as an `ImageSplit`.
        batch_size: Images per batch. Images that do not fill a batch are left out that epoch.
        seed: Integer that, with the epoch, determines the order.
        epochs: Number of epochs.
        alternating_flip: Whether to mirror each image every other epoch, see `draw_flips`.

    Returns:
        By index a tuple of uint8 images `(B, H, W, C)` and int32 labels `(B,)`.

    Raises:
        ValueError: The split does not fill one batch.
    """

    def __init__(
        self,
        split: Examples,
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
        self._planned_epoch = -1

    def __len__(self) -> int:
        return self.steps * self.epochs

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        epoch, step = divmod(index, self.steps)
        order, flips = self._plan(epoch)
        rows = order[step * self.batch_size : (step + 1) * self.batch_size]
        images, labels = self.split.batch(rows)
        if self.alternating_flip:
            mirrored = flips[rows]
            images[mirrored] = images[mirrored, :, ::-1]  # a copy: `rows` is an index array
        return images, labels

    def _plan(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the order and the flips of an epoch; those of the last one are kept."""
        if self._planned_epoch != epoch:
            size = len(self.split)
            self._order_and_flips = (
                epoch_order(size, self.seed, epoch),
                draw_flips(size, self.seed, epoch),
            )
            self._planned_epoch = epoch
        return self._order_and_flips
