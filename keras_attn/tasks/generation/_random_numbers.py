"""Random numbers that depend on a seed and a position alone, alike in NumPy and TensorFlow."""

from typing import Any

RANDOM_BITS = 24  # of a random number, which float32 represents exactly
_WORD = 1 << 32
_MULTIPLIERS = (0x7FEB352D, 0x45D9F3B)  # odd, below 2^31: products with 32 bits fit into int64


def random_numbers(seed: Any, rows: Any, completions: Any, places: Any) -> Any:
    """Return random integers of `RANDOM_BITS` bits, a hash of the arguments.

    A generator with a counter (Salmon et al., SC 2011) gives each number by itself, so that a
    prompt has the same numbers in every batch, and in a SavedModel.

    Args:
        seed: int64 scalar, array or tensor.
        rows: int64 array or tensor, the position of the prompt.
        completions: int64 array or tensor, the index of the completion of a prompt.
        places: int64 array or tensor, the index of the token in a completion.

    Returns:
        int64 array or tensor of the shape to which the arguments broadcast.

    Example:

    >>> import numpy as np
    >>> numbers = random_numbers(np.int64(7), np.int64(0), np.int64(0), np.arange(3))
    >>> bool(((numbers >= 0) & (numbers < 2**24)).all())
    True
    """
    state = _mix(seed % _WORD)
    for part in (seed // _WORD % _WORD, rows, completions, places):
        state = _mix(state ^ _mix((part + 1) % _WORD))
    return state // (1 << (32 - RANDOM_BITS))


def _mix(x: Any) -> Any:
    """Return a hash of integers of 32 bits, a bijection of them."""
    for multiplier, shift in zip(_MULTIPLIERS, (1 << 16, 1 << 15), strict=True):
        x = ((x // shift) ^ x) * multiplier % _WORD
    return (x // (1 << 16)) ^ x
