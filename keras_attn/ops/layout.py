"""Layouts of heads: lengths first in layers, heads first in matrix products."""

from collections.abc import Iterable
from typing import Any

import keras
from keras import ops

from keras_attn.ops._types import Tensor

MAX_SHORT_LENGTH = 16


def swap_heads(x: Tensor) -> Tensor:
    """Swap axes 1 and 2: `(B, S, K, H)` to `(B, K, S, H)`, or the reverse.

    Where both axes are short, as in a decoding step, slices are concatenated instead:
    TensorFlow's transpose has a far higher fixed cost on a CPU.

    Args:
        x: tensor `(B, S, K, H)`.

    Returns:
        Tensor `(B, K, S, H)`.

    Example:

    >>> tuple(swap_heads(ops.zeros((2, 5, 3, 4))).shape)
    (2, 3, 5, 4)
    """
    batch, a, b, size = ops.shape(x)
    if is_one(a) or is_one(b):  # the order of the elements does not change
        return reshape(x, (batch, b, a, size))
    is_static = isinstance(a, int) and isinstance(b, int)
    is_short = is_static and min(a, b) > 0 and max(a, b) <= MAX_SHORT_LENGTH
    if not is_short or keras.backend.backend() != "tensorflow":
        return ops.transpose(x, (0, 2, 1, 3))
    parts = ops.split(reshape(x, (batch, 1, a, b * size)), b, axis=3)
    return ops.concatenate(parts, axis=1)


def reshape(x: Tensor, sizes: Iterable[Any]) -> Tensor:
    """Reshape as `keras.ops.reshape`, with -1 in place of a single size that is not static.

    The graph then need not compute that size.
    """
    sizes = list(sizes)
    unknown = [index for index, size in enumerate(sizes) if not isinstance(size, int)]
    if len(unknown) == 1 and not any(isinstance(size, int) and size == -1 for size in sizes):
        sizes[unknown[0]] = -1
    return ops.reshape(x, sizes)


def is_one(size: Any) -> bool:
    """Return whether a size is static and 1."""
    return isinstance(size, int) and size == 1
