"""Padding of rows of ids to a common length."""

from collections.abc import Sequence

import numpy as np

from keras_attn._token_ids import PADDING_ID


def pad_rows(rows: Sequence[np.ndarray], multiple: int = 1) -> np.ndarray:
    """Return rows of ids as one array, padded with 0 at the end.

    Args:
        rows: Integer arrays `(length,)`.
        multiple: `T` is the longest length, at least 1, rounded up to a multiple of it.

    Returns:
        int32 array `(B, T)`.

    Example:

    >>> pad_rows([np.array([5, 6, 7]), np.array([8])], multiple=2).tolist()
    [[5, 6, 7, 0], [8, 0, 0, 0]]
    """
    longest = max([1, *map(len, rows)])
    padded_ids = np.full((len(rows), round_up(longest, multiple)), PADDING_ID, "int32")
    for padded_row, ids in zip(padded_ids, rows, strict=True):
        padded_row[: len(ids)] = ids
    return padded_ids


def round_up(length: int, multiple: int) -> int:
    """Return the smallest multiple of `multiple` that is at least `length`."""
    return -(-length // multiple) * multiple
