"""The few best of a vocabulary, without going through it in order."""

import math
from typing import Any

import keras
from keras import ops

from keras_attn.ops import gather_beams

Tensor = Any


def stable_top_k(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """`ops.top_k(x, k)` with int32 indices, the lower one first among equals on every backend."""
    if keras.backend.backend() == "torch":  # whose own takes any of them
        import torch

        values, indices = torch.sort(x, dim=-1, descending=True, stable=True)
        return values[..., :k], ops.cast(indices[..., :k], "int32")
    values, indices = ops.top_k(x, k)
    return values, ops.cast(indices, "int32")


def top_k(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """`stable_top_k(x, k)` of rows `(R, V)`, with `V` known.

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
        return stable_top_k(x, k)
    if groups * size > vocabulary:
        padding = ((0, 0), (0, groups * size - vocabulary))
        x = ops.pad(x, padding, constant_values=-float("inf"))
    x = ops.reshape(x, (-1, groups, size))
    _, best = stable_top_k(ops.max(x, axis=-1), k)
    best = ops.sort(best, axis=-1)  # in order, for equals
    values, order = stable_top_k(ops.reshape(gather_beams(x, best), (-1, k * size)), k)
    # Of what was gathered, to what it was of: its group, and its place in it.
    return values, gather_beams(best, order // size) * size + order % size


def _group_size(vocabulary: int, k: int) -> int:
    """A size with about as many groups as are elements in `k` of them.

    A divisor of the vocabulary, if one is near: else it is copied, to be padded.
    """
    ideal = max(math.isqrt(vocabulary // k), 1)
    near = [size for size in range(ideal // 2 + 1, 2 * ideal + 1) if vocabulary % size == 0]
    return min(near, key=lambda size: abs(math.log(size / ideal)), default=ideal)
