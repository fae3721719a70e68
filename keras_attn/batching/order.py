"""The order of training: a function of the seed and the epoch, on every backend.

An epoch's order does not depend on what was drawn before it, so that a run resumed at
epoch 7 sees the batches that it would have seen uninterrupted.
"""

import numpy as np


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
