"""Attention over the full matrix of scores."""

from typing import Any

import keras
from keras import ops

from keras_attn.ops import masks, normalizers
from keras_attn.ops._arguments import (
    AttentionCall,
    check_dropout,
    convert_mask,
    evaluate_bias,
    sizes_match,
)
from keras_attn.ops._matmul import matmul_few_rows
from keras_attn.ops._scores import add_bias, bias_mask, mask_scores, zero_masked_rows
from keras_attn.ops._types import Tensor
from keras_attn.ops.layout import swap_heads
from keras_attn.ops.normalizers import Normalizer

# Scores of one head up to which one einsum beats transposes and a faster product.
MAX_EINSUM_SCORES = 2**16


def full_attention(call: AttentionCall, return_weights: bool = False) -> Any:
    """Compute attention as `keras_attn.ops.attention` defines it, from all `T x S` scores."""
    scores = _scores(call)
    band = masks.band_mask(
        ops.shape(call.query)[1],
        call.key_length,
        is_causal=call.is_causal,
        window=call.window,
        q_offset=call.q_offset,
    )
    mask = masks.combine(call.mask, band)
    scores = scores if mask is None else mask_scores(scores, mask)
    bias = _bias(call)
    if bias is not None:  # a bias of -inf excludes a key as well
        scores, mask = add_bias(scores, bias), masks.combine(mask, bias_mask(bias))
    weights, dropped = _weights(scores, mask, call.normalizer, call.dropout, call.seed)
    output = _weighted_sum(dropped, call.value, mask, call.heads_first)
    if return_weights:
        return output, _weights_to_return(weights, mask, call.value)
    return output


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
    """Compute attention from scores of any origin (additive, bilinear, ...).

    Args:
        scores: float tensor `(B, N, T, S)`, finite; exclude keys by `mask`, not by -inf.
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
    normalize = normalizers.get(normalizer)
    scores, value = ops.convert_to_tensor(scores), ops.convert_to_tensor(value)
    if len(scores.shape) != 4 or len(value.shape) != 4:
        raise ValueError(
            "`scores` must have shape (batch, heads, queries, keys) and `value` "
            "(batch, keys, heads, size). "
            f"Received: {tuple(scores.shape)} and {tuple(value.shape)}."
        )
    batch_matches = sizes_match(scores.shape[0], value.shape[0])
    keys_match = sizes_match(scores.shape[3], value.shape[1])
    if not (batch_matches and keys_match) or scores.shape[1] % value.shape[2]:
        raise ValueError(
            "`value` must have the batch size (axis 0) and the number of keys (axis 1) of "
            "`scores`, and a number of heads (axis 2) that divides theirs. "
            f"Received: scores {tuple(scores.shape)}, value {tuple(value.shape)}."
        )
    check_dropout(dropout, seed)
    mask = convert_mask(mask, scores.shape)
    scores = ops.cast(scores, "float32")
    scores = scores if mask is None else mask_scores(scores, mask)
    weights, dropped = _weights(scores, mask, normalize, dropout, seed)
    output = _weighted_sum(dropped, value, mask)
    return (output, _weights_to_return(weights, mask, value)) if return_weights else output


def _scores(call: AttentionCall) -> Tensor:
    """Compute the scaled scores `(B, N, T, S)`, float32."""
    query, key = ops.cast(call.query, "float32") * call.scale, ops.cast(call.key, "float32")
    heads = query.shape[2]
    if not call.heads_first:
        if heads == key.shape[2] and _prefers_einsum(query.shape[1], key.shape[1]):
            return ops.einsum("btnh,bsnh->bnts", query, key)
        key = swap_heads(key)
    key_heads = key.shape[1]
    queries = _group_heads(swap_heads(query), key_heads)
    return _ungroup_heads(matmul_few_rows(queries, key, transpose_b=True), heads, key_heads)


def _bias(call: AttentionCall) -> Tensor | None:
    """Return the bias as a tensor that broadcasts to `(B, N, T, S)`, or None."""
    if not callable(call.bias):
        return call.bias
    queries, keys = (
        ops.arange(ops.shape(call.query)[1], dtype="int32"),
        ops.arange(call.key_length, dtype="int32"),
    )
    return evaluate_bias(call.bias, call.query.shape[2], queries + call.q_offset, keys)


def _weights(
    scores: Tensor, mask: Tensor | None, normalizer: Normalizer, dropout: float, seed: Any
) -> tuple[Tensor, Tensor]:
    """Return the float32 weights before and after dropout; fully masked rows are arbitrary.

    Those rows are set to 0 in the output, which is smaller than the weights. Scores are float32,
    near -1e30 where the mask is False.
    """
    weights = normalizer.formula(scores, mask)
    return weights, keras.random.dropout(weights, dropout, seed=seed) if dropout else weights


def _weighted_sum(
    weights: Tensor, value: Tensor, mask: Tensor | None, heads_first: bool = False
) -> Tensor:
    """Return `(B, T, N, V)` in the dtype of `value`, with fully masked rows set to 0."""
    values, heads = ops.cast(value, "float32"), weights.shape[1]
    if not heads_first:
        if heads == value.shape[2] and _prefers_einsum(*weights.shape[2:]):
            weights = zero_masked_rows(weights, mask)
            return ops.cast(ops.einsum("bnts,bsnv->btnv", weights, values), value.dtype)
        values = swap_heads(values)
    key_heads = values.shape[1]
    output = matmul_few_rows(_group_heads(weights, key_heads), values)
    output = zero_masked_rows(_ungroup_heads(output, heads, key_heads), mask)
    return ops.cast(swap_heads(output), value.dtype)


def _weights_to_return(weights: Tensor, mask: Tensor | None, value: Tensor) -> Tensor:
    return ops.cast(zero_masked_rows(weights, mask), value.dtype)


def _prefers_einsum(queries: int | None, keys: int | None) -> bool:
    return queries is not None and keys is not None and queries * keys <= MAX_EINSUM_SCORES


def _group_heads(x: Tensor, key_heads: int) -> Tensor:
    """Reshape `(B, N, T, X)` to `(B, K, N / K * T, X)`: the queries that share a key head."""
    batch, heads, length, size = ops.shape(x)
    if heads == key_heads:
        return x
    return ops.reshape(x, (batch, key_heads, heads // key_heads * length, size))


def _ungroup_heads(x: Tensor, heads: int, key_heads: int) -> Tensor:
    """Reshape `(B, K, N / K * T, X)` to `(B, N, T, X)`."""
    if heads == key_heads:
        return x
    batch, _, length, size = ops.shape(x)
    return ops.reshape(x, (batch, heads, length // (heads // key_heads), size))
