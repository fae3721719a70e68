"""Top-k of a vocabulary, without sorting it."""

import math

import keras
from keras import ops

from keras_attn._types import Tensor
from keras_attn.ops import gather_beams


def stable_top_k(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return `ops.top_k(x, k)` with int32 indices, the lower first among equals."""
    if keras.backend.backend() == "torch":  # its `topk` returns equals in any order
        import torch

        values, indices = torch.sort(x, dim=-1, descending=True, stable=True)
        return values[..., :k], ops.cast(indices[..., :k], "int32")
    values, indices = ops.top_k(x, k)
    return values, ops.cast(indices, "int32")


def top_k(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return `stable_top_k(x, k)` of rows `(R, V)`, with a static `V`.

    The `k` largest values are in the `k` groups with the largest maxima. Maxima are fast to
    compute, and only those groups are searched.

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
    best = ops.sort(best, axis=-1)  # in ascending order, so that the lower is first among equals
    values, order = stable_top_k(ops.reshape(gather_beams(x, best), (-1, k * size)), k)
    # From an index into the gathered groups to one into the row: group, and position in it.
    return values, gather_beams(best, order // size) * size + order % size


def _group_size(vocabulary: int, k: int) -> int:
    """Return the size of groups that makes both passes about equally long.

    Prefer a divisor of the vocabulary if one is near, since other sizes need a padded copy.
    """
    ideal = max(math.isqrt(vocabulary // k), 1)
    divisors = [size for size in range(ideal // 2 + 1, 2 * ideal + 1) if vocabulary % size == 0]
    return min(divisors, key=lambda size: abs(math.log(size / ideal)), default=ideal)
