"""The few best of a vocabulary, without going through it in order."""

from typing import Any

from keras import ops

from keras_attn.decoding.step_model import gather_beams

Tensor = Any

GROUP = 64


def top_k(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """`ops.top_k(x, k)` over the last axis of `(B, K, V)`, with `V` known; lower index first.

    The `k` best are in the `k` groups whose maxima are the best: the maxima are a fast pass,
    and only those groups are searched.

    Example:

    >>> values, indices = top_k(ops.reshape(ops.arange(5000.0), (1, 1, 5000)), 2)
    >>> ops.convert_to_numpy(indices).tolist()
    [[[4999, 4998]]]
    """
    batch, beams, vocabulary = ops.shape(x)
    groups = -(-vocabulary // GROUP)
    if groups < 4 * k:
        return ops.top_k(x, k)
    if groups * GROUP > vocabulary:
        padding = ((0, 0), (0, 0), (0, groups * GROUP - vocabulary))
        x = ops.pad(x, padding, constant_values=-float("inf"))
    x = ops.reshape(x, (batch * beams, groups, GROUP))
    _, best = ops.top_k(ops.max(x, axis=-1), k)
    best = ops.sort(ops.cast(best, "int32"), axis=-1)  # in order, for equals
    shape = (batch, beams, k * GROUP)
    values, order = ops.top_k(ops.reshape(gather_beams(x, best), shape), k)
    indices = ops.reshape(best[..., None] * GROUP + ops.arange(GROUP, dtype="int32"), shape)
    return values, ops.take_along_axis(indices, order, axis=-1)
