"""Layouts of heads: lengths first, as layers see them, or heads first, as products read them."""

from collections.abc import Iterable
from typing import Any

import keras
from keras import ops

Tensor = Any

SHORT = 16


def swap_heads(x: Tensor) -> Tensor:
    """`(B, K, S, H)` from `(B, S, K, H)`, or the reverse: axes 1 and 2 exchanged.

    Where both are short, as in a step of decoding, parts of `x` are joined: TensorFlow's
    transpose has a fixed cost on a CPU that is far above that.

    Example:

    >>> tuple(swap_heads(ops.zeros((2, 5, 3, 4))).shape)
    (2, 3, 5, 4)
    """
    batch, a, b, size = ops.shape(x)
    if is_one(a) or is_one(b):  # nothing moves
        return reshape(x, (batch, b, a, size))
    short = isinstance(a, int) and isinstance(b, int) and max(a, b) <= SHORT
    if not short or keras.backend.backend() != "tensorflow":
        return ops.transpose(x, (0, 2, 1, 3))
    parts = ops.split(reshape(x, (batch, 1, a, b * size)), b, axis=3)
    return ops.concatenate(parts, axis=1)


def reshape(x: Tensor, sizes: Iterable[Any]) -> Tensor:
    """`keras.ops.reshape`; of sizes that are not known, a single one need not be computed."""
    sizes = list(sizes)
    unknown = [index for index, size in enumerate(sizes) if not isinstance(size, int)]
    if len(unknown) == 1 and not any(isinstance(size, int) and size == -1 for size in sizes):
        sizes[unknown[0]] = -1
    return ops.reshape(x, sizes)


def is_one(size: Any) -> bool:
    """Whether an axis is known to have the size 1."""
    return isinstance(size, int) and size == 1
