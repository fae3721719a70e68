"""Attention, the one function that everything else here calls.

Shapes are written with `B` the batch, `T` the queries, `S` the keys, `N` the query
heads, `K` the key heads (`K` divides `N`) and `H` the size of a head.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_attn.ops import masks, normalizers

Tensor = Any


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    scale: float | None = None,
    is_causal: bool = False,
    window: int | None = None,
    q_offset: int | Tensor = 0,
    normalizer: str = "softmax",
    dropout: float = 0.0,
    seed: int | keras.random.SeedGenerator | None = None,
    implementation: str = "auto",
    return_weights: bool = False,
) -> Any:
    """Scaled dot-product attention (Vaswani et al., arXiv:1706.03762).

    Scores, normalization and the weighted sum are computed in float32 whatever the
    dtype of the inputs, and the query is scaled before the product, so that float16
    neither overflows nor drifts. A query that may attend to nothing gets exactly 0.

    Args:
        query: float tensor `(B, T, N, H)`.
        key: float tensor `(B, S, K, H)`. With `K < N` (grouped or multi-query
            attention) query head `n` uses key head `n // (N // K)`.
        value: float tensor `(B, S, K, V)`.
        mask: tensor of rank 4 that broadcasts to `(B, N, T, S)`; True = attend;
            numbers are cast to boolean (a mask of 0 and -inf to add is a `bias`). A padding
            mask is `(B, 1, 1, S)`, see `keras_attn.ops.padding_mask`.
        bias: float tensor of rank 4 that broadcasts to `(B, N, T, S)`, added to the
            scaled scores. To exclude a position use `mask`, not a bias of -inf.
        scale: factor on the scores; None is `1 / sqrt(H)`.
        is_causal: a query attends to keys up to and including its own position.
        window: attend only to near keys: `window` keys, its own included, if causal;
            else those at a distance below `window` on either side.
        q_offset: position of the first query among the keys, an integer or a scalar
            integer tensor (the number of cached keys when decoding).
        normalizer: `"softmax"`, `"softmax1"`, `"sigmoid"`, `"normalized_sigmoid"`,
            `"sparsemax"` or `"entmax15"`, see `keras_attn.ops.normalizers`.
        dropout: rate in [0, 1) at which weights are dropped.
        seed: integer or `keras.random.SeedGenerator`, needed with `dropout`.
        implementation: `"auto"` or `"full"` (builds all `B x N x T x S` scores).
        return_weights: also return the weights, as they were before dropout.

    Returns:
        Tensor `(B, T, N, V)` in the dtype of `value`; with `return_weights` a pair of
        it and the weights `(B, N, T, S)`.

    Raises:
        ValueError: shapes that do not fit one another, an unknown name, a rate outside
            [0, 1), dropout without a seed.

    Example:

    >>> import numpy as np
    >>> x = np.ones((1, 3, 2, 4), "float32")
    >>> output, weights = attention(x, x, x, is_causal=True, return_weights=True)
    >>> tuple(output.shape), tuple(weights.shape)
    ((1, 3, 2, 4), (1, 2, 3, 3))
    """
    query, key, value = (ops.convert_to_tensor(x) for x in (query, key, value))
    _check_shapes(query.shape, key.shape, value.shape)
    if implementation != "auto" and implementation not in IMPLEMENTATIONS:
        accepted = ", ".join(repr(name) for name in ("auto", *IMPLEMENTATIONS))
        raise ValueError(
            f"Unknown `implementation`: received {implementation!r}. Accepted: {accepted}."
        )
    scores_shape = (query.shape[0], query.shape[2], query.shape[1], key.shape[1])
    band = masks.band_mask(
        ops.shape(query)[1],
        ops.shape(key)[1],
        is_causal=is_causal,
        window=window,
        q_offset=q_offset,
    )
    compute = IMPLEMENTATIONS["full" if implementation == "auto" else implementation]
    return compute(
        query,
        key,
        value,
        mask=masks.combine(_checked_mask(mask, scores_shape), band),
        bias=_checked_bias(bias, scores_shape),
        scale=query.shape[-1] ** -0.5 if scale is None else scale,
        normalizer=normalizer,
        dropout=dropout,
        seed=seed,
        return_weights=return_weights,
    )


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
    normalize = normalizers.get(normalizer)
    scores, value = ops.convert_to_tensor(scores), ops.convert_to_tensor(value)
    if len(scores.shape) != 4 or len(value.shape) != 4:
        raise ValueError(
            "`scores` must have shape (batch, heads, queries, keys) and `value` "
            "(batch, keys, heads, size). "
            f"Received: {tuple(scores.shape)} and {tuple(value.shape)}."
        )
    fits = _same(scores.shape[0], value.shape[0]) and _same(scores.shape[3], value.shape[1])
    if not fits or scores.shape[1] % value.shape[2]:
        raise ValueError(
            "`value` must have the batch size (axis 0) and the number of keys (axis 1) of "
            "`scores`, and a number of heads (axis 2) that divides theirs. "
            f"Received: scores {tuple(scores.shape)}, value {tuple(value.shape)}."
        )
    if not 0.0 <= dropout < 1.0:
        raise ValueError(f"`dropout` must be a rate in [0, 1). Received: {dropout!r}.")
    if dropout > 0.0 and seed is None:
        raise ValueError(
            "`dropout` needs a `seed`: pass an integer or a `keras.random.SeedGenerator` "
            "(a layer keeps one of its own). Received: seed=None."
        )
    mask = _checked_mask(mask, scores.shape)
    weights = normalize(ops.cast(scores, "float32"), mask)
    dropped = keras.random.dropout(weights, dropout, seed=seed) if dropout else weights
    heads, key_heads = scores.shape[1], value.shape[2]
    values = ops.transpose(ops.cast(value, "float32"), (0, 2, 1, 3))
    output = _ungroup(ops.matmul(_group(dropped, key_heads), values), heads, key_heads)
    output = ops.cast(ops.transpose(output, (0, 2, 1, 3)), value.dtype)
    return (output, ops.cast(weights, value.dtype)) if return_weights else output


def _full(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    mask: Tensor | None,
    bias: Tensor | None,
    scale: float,
    **rest: Any,
) -> Any:
    """Attention over the whole matrix of scores."""
    heads, key_heads = query.shape[2], key.shape[2]
    queries = ops.transpose(ops.cast(query, "float32") * scale, (0, 2, 1, 3))
    keys = ops.transpose(ops.cast(key, "float32"), (0, 2, 3, 1))
    scores = _ungroup(ops.matmul(_group(queries, key_heads), keys), heads, key_heads)
    if bias is not None:
        scores = scores + ops.cast(bias, "float32")
    return attend(scores, value, mask, **rest)


# `auto` chooses among these; a streaming and a native path stand here beside `full`.
IMPLEMENTATIONS: dict[str, Callable[..., Any]] = {"full": _full}


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


def _check_shapes(query: tuple, key: tuple, value: tuple) -> None:
    received = f"Received: query {tuple(query)}, key {tuple(key)}, value {tuple(value)}."
    if not len(query) == len(key) == len(value) == 4:
        raise ValueError(
            f"`query`, `key` and `value` must have shape (batch, length, heads, size). {received}"
        )
    if query[-1] != key[-1]:
        raise ValueError(f"`query` and `key` must have heads of one size (last axis). {received}")
    if key[2] != value[2] or query[2] % key[2]:
        raise ValueError(
            "`key` and `value` must have the same number of heads (axis 2), and it must "
            f"divide that of `query`. {received}"
        )
    if not _same(key[1], value[1]):
        raise ValueError(f"`key` and `value` must have one length (axis 1). {received}")
    if not (_same(query[0], key[0]) and _same(key[0], value[0])):
        raise ValueError(f"`query`, `key` and `value` must have one batch size. {received}")


def _same(a: int | None, b: int | None) -> bool:
    return a is None or b is None or a == b


def _checked_mask(mask: Tensor | None, scores: tuple) -> Tensor | None:
    if mask is None:
        return None
    mask = ops.convert_to_tensor(mask)
    _check_broadcasts("mask", mask.shape, scores)
    return ops.cast(mask, "bool")


def _checked_bias(bias: Tensor | None, scores: tuple) -> Tensor | None:
    if bias is not None:
        bias = ops.convert_to_tensor(bias)
        _check_broadcasts("bias", bias.shape, scores)
    return bias


def _check_broadcasts(name: str, shape: tuple, scores: tuple) -> None:
    fits = len(shape) == 4 and all(
        s == 1 or _same(s, n) for s, n in zip(shape, scores, strict=True)
    )
    if not fits:
        raise ValueError(
            f"`{name}` must have rank 4 and broadcast to the scores' shape (batch, heads, "
            f"queries, keys) = {tuple(scores)}. Received: shape {tuple(shape)}. A padding mask "
            "(batch, keys) becomes one by `keras_attn.ops.padding_mask`; a (queries, keys) "
            "mask by `mask[None, None]`."
        )
