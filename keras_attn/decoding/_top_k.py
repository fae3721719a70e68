"""The few best of a vocabulary, without going through it in order."""

import math
from typing import Any

from keras import ops

from keras_attn.ops import gather_beams

Tensor = Any


def top_k(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """`ops.top_k(x, k)` of rows `(R, V)`, with `V` known; the lower index first among equals.

    The `k` best are in the `k` groups whose maxima are the best: the maxima are a fast pass,
    and only those groups are searched.

    Example:

    >>> values, indices = top_k(ops.reshape(ops.arange(5000.0), (1, 5000)), 2)
    >>> ops.convert_to_numpy(indices).tolist()
    [[4999, 4998]]
    """
    vocabulary = x.shape[1]
    size = _group_size(vocabulary, k)
    groups = -(-vocabulary // size)
    if groups < 4 * k:
        values, indices = ops.top_k(x, k)
        return values, ops.cast(indices, "int32")
    if groups * size > vocabulary:
        padding = ((0, 0), (0, groups * size - vocabulary))
        x = ops.pad(x, padding, constant_values=-float("inf"))
    x = ops.reshape(x, (-1, groups, size))
    _, best = ops.top_k(ops.max(x, axis=-1), k)
    best = ops.sort(ops.cast(best, "int32"), axis=-1)  # in order, for equals
    values, order = ops.top_k(ops.reshape(gather_beams(x, best), (-1, k * size)), k)
    order = ops.cast(order, "int32")
    # Of what was gathered, to what it was of: its group, and its place in it.
    return values, gather_beams(best, order // size) * size + order % size


def _group_size(vocabulary: int, k: int) -> int:
    """A size with about as many groups as are elements in `k` of them.

    A divisor of the vocabulary, if one is near: else it is copied, to be padded.
    """
    ideal = max(math.isqrt(vocabulary // k), 1)
    near = [size for size in range(ideal // 2 + 1, 2 * ideal + 1) if vocabulary % size == 0]
    return min(near, key=lambda size: abs(math.log(size / ideal)), default=ideal)
