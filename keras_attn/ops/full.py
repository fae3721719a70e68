"""Attention over the whole matrix of scores."""

from typing import Any

import keras
from keras import ops

from keras_attn.ops import masks, normalizers
from keras_attn.ops._backend import matmul_of_few
from keras_attn.ops._call import Call
from keras_attn.ops._checks import check_dropout, checked_mask, positional_bias, same
from keras_attn.ops.layout import swap_heads

Tensor = Any

# Scores a head up to which one fused operation beats transposes and a faster product.
SMALL = 2**16


def full(call: Call, return_weights: bool = False) -> Any:
    """Attention as `keras_attn.ops.attention` defines it, from all `B x N x T x S` scores."""
    scores = _scores(call)
    bias = None if call.bias is None else _bias(call)
    if bias is not None:
        scores = normalizers.biased(scores, bias)
    band = masks.band_mask(
        ops.shape(call.query)[1],
        call.key_length,
        is_causal=call.is_causal,
        window=call.window,
        q_offset=call.q_offset,
    )
    mask = masks.combine(call.mask, band)
    weights, dropped = _weights(scores, mask, call.normalizer, call.dropout, call.seed)
    allowed = mask if bias is None else masks.combine(mask, normalizers.unexcluded(bias))
    output = _weighted_sum(dropped, call.value, allowed, call.heads_first)
    return (output, _returned(weights, allowed, call.value)) if return_weights else output


def attend(
    scores: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    *,
    normalizer: str = "softmax",
    dropout: float = 0.0,
    seed: int | keras.random.SeedGenerator | None = None,
    return_weights: bool = False,
) -> Any:
    """Attention from scores of any origin (additive, bilinear, ...) to the output.

    Args:
        scores: float tensor `(B, N, T, S)`.
        value: float tensor `(B, S, K, V)`, `K` dividing `N`.
        mask: tensor of rank 4 that broadcasts to `(B, N, T, S)`, True = attend.
        normalizer: see `attention`.
        dropout: see `attention`.
        seed: see `attention`.
        return_weights: see `attention`.

    Returns:
        Tensor `(B, T, N, V)` in the dtype of `value`; with `return_weights` a pair of
        it and the weights `(B, N, T, S)`, before dropout.

    Raises:
        ValueError: as `attention`.

    Example:

    >>> import numpy as np
    >>> output = attend(np.zeros((2, 1, 3, 5)), np.ones((2, 5, 1, 4), "float32"))
    >>> tuple(output.shape)
    (2, 3, 1, 4)
    """
    normalizers.get(normalizer)
    scores, value = ops.convert_to_tensor(scores), ops.convert_to_tensor(value)
    if len(scores.shape) != 4 or len(value.shape) != 4:
        raise ValueError(
            "`scores` must have shape (batch, heads, queries, keys) and `value` "
            "(batch, keys, heads, size). "
            f"Received: {tuple(scores.shape)} and {tuple(value.shape)}."
        )
    fits = same(scores.shape[0], value.shape[0]) and same(scores.shape[3], value.shape[1])
    if not fits or scores.shape[1] % value.shape[2]:
        raise ValueError(
            "`value` must have the batch size (axis 0) and the number of keys (axis 1) of "
            "`scores`, and a number of heads (axis 2) that divides theirs. "
            f"Received: scores {tuple(scores.shape)}, value {tuple(value.shape)}."
        )
    check_dropout(dropout, seed)
    mask = checked_mask(mask, scores.shape)
    weights, dropped = _weights(scores, mask, normalizer, dropout, seed)
    output = _weighted_sum(dropped, value, mask)
    return (output, _returned(weights, mask, value)) if return_weights else output


def _scores(call: Call) -> Tensor:
    """The scaled scores `(B, N, T, S)`, in float32."""
    query, key = ops.cast(call.query, "float32") * call.scale, ops.cast(call.key, "float32")
    heads = query.shape[2]
    if not call.heads_first:
        if heads == key.shape[2] and _is_small(query.shape[1], key.shape[1]):
            return ops.einsum("btnh,bsnh->bnts", query, key)
        key = swap_heads(key)
    key_heads = key.shape[1]
    queries = _group(swap_heads(query), key_heads)
    return _ungroup(matmul_of_few(queries, key, transpose_b=True), heads, key_heads)


def _weights(
    scores: Tensor, mask: Tensor | None, normalizer: str, dropout: float, seed: Any
) -> tuple[Tensor, Tensor]:
    """Weights in float32, dead rows not yet zeroed; before and after dropout."""
    weights = normalizers.weights(normalizer, ops.cast(scores, "float32"), mask)
    return weights, keras.random.dropout(weights, dropout, seed=seed) if dropout else weights


def _weighted_sum(
    weights: Tensor, value: Tensor, mask: Tensor | None, is_heads_first: bool = False
) -> Tensor:
    """`(B, T, N, V)` in the dtype of `value`, dead rows zeroed."""
    values, heads = ops.cast(value, "float32"), weights.shape[1]
    if not is_heads_first:
        if heads == value.shape[2] and _is_small(*weights.shape[2:]):
            weights = normalizers.zero_dead(weights, mask)
            return ops.cast(ops.einsum("bnts,bsnv->btnv", weights, values), value.dtype)
        values = swap_heads(values)
    key_heads = values.shape[1]
    output = _ungroup(matmul_of_few(_group(weights, key_heads), values), heads, key_heads)
    return ops.cast(swap_heads(normalizers.zero_dead(output, mask)), value.dtype)


def _returned(weights: Tensor, mask: Tensor | None, value: Tensor) -> Tensor:
    return ops.cast(normalizers.zero_dead(weights, mask), value.dtype)


def _is_small(queries: int | None, keys: int | None) -> bool:
    return queries is not None and keys is not None and queries * keys <= SMALL


def _bias(call: Call) -> Tensor:
    if not callable(call.bias):
        return call.bias
    queries, keys = ops.arange(ops.shape(call.query)[1]), ops.arange(call.key_length)
    heads = call.query.shape[2]
    return positional_bias(call.bias, heads, queries + call.q_offset, keys)


def _group(x: Tensor, key_heads: int) -> Tensor:
    """`(B, N, T, X)` -> `(B, K, N / K * T, X)`: the queries that share a key head."""
    batch, heads, length, size = ops.shape(x)
    if heads == key_heads:
        return x
    return ops.reshape(x, (batch, key_heads, heads // key_heads * length, size))


def _ungroup(x: Tensor, heads: int, key_heads: int) -> Tensor:
    """`(B, K, N / K * T, X)` -> `(B, N, T, X)`."""
    if heads == key_heads:
        return x
    batch, _, length, size = ops.shape(x)
    return ops.reshape(x, (batch, heads, length // (heads // key_heads), size))
