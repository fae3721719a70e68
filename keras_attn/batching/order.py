"""The order of training examples, as a function of the seed and the epoch.

An epoch's order does not depend on what was drawn before it, so a run resumed at epoch 7
reads the same batches as an uninterrupted one. It is the same on every backend.
"""

import numpy as np

from keras_attn._wording import counted


def epoch_order(size: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order in which an epoch reads `size` examples.

    Args:
        size: Number of examples.
        seed: Integer of the run.
        epoch: Number of the epoch, from 0.

    Returns:
        int64 array `(size,)`: a permutation of the row numbers.

    Example:

    >>> epoch_order(4, seed=0, epoch=0).tolist() == epoch_order(4, seed=0, epoch=0).tolist()
    True
    """
    return np.random.default_rng([seed, epoch]).permutation(size)


def check_batch_size(batch_size: int, size: int) -> None:
    """Raise ValueError unless `size` training examples fill at least one batch."""
    if not 0 < batch_size <= size:
        raise ValueError(
            f"`batch_size` must be between 1 and the {counted(size, 'training example')}. "
            f"Received: {batch_size!r}."
        )
