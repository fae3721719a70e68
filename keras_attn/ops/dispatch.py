"""The function `attention`, which checks its arguments and selects an implementation.

Shapes are written with `B` the batch, `T` the queries, `S` the keys, `N` the query heads, `K`
the key heads (`K` divides `N`) and `H` the size of a head.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_attn._names import suggest_names, unknown
from keras_attn.ops import chunked, full, native, normalizers
from keras_attn.ops._arguments import (
    AttentionCall,
    check_chunk_size,
    check_dropout,
    check_q_offset,
    check_shapes,
    check_window,
    convert_bias,
    convert_mask,
    convert_offset,
)
from keras_attn.ops._types import Size, Tensor

IMPLEMENTATIONS = ("auto", "full", "chunked", "native")

# Numbers of scores from which the streaming path is taken, as measured by benchmarks/attention.py.
# For each head: where it is about as fast as Keras's attention and holds a tenth of its memory.
# (The full path is then faster by a tenth or so; with a band it is much slower.)
CROSSOVER, BANDED_CROSSOVER = 2**23, 2**21
# Over batch and heads: where the full path would hold gigabytes.
TOTAL_CROSSOVER = 2**28
MAX_UNKNOWN_BATCH = 1024  # batch size that is assumed where it is not static


@suggest_names(
    causal="`is_causal`",
    use_causal_mask="`is_causal`",
    padding_mask="`mask`: `keras_attn.ops.padding_mask(mask)`",
    attention_mask="`mask`",
    attn_mask="`mask` (True = attend), or `bias` for values to add to the scores",
    sliding_window="`window`",
    need_weights="`return_weights`",
    return_attention_scores="`return_weights`",
    flash_attention="`implementation`",
)
def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    mask: Tensor | None = None,
    bias: Tensor | Callable[[Tensor, Tensor], Tensor] | None = None,
    scale: float | None = None,
    is_causal: bool = False,
    window: int | None = None,
    q_offset: Size = 0,
    normalizer: str = "softmax",
    dropout: float = 0.0,
    seed: int | keras.random.SeedGenerator | None = None,
    implementation: str = "auto",
    chunk_size: int | None = None,
    return_weights: bool = False,
    heads_first: bool = False,
) -> Any:
    """Compute scaled dot-product attention (Vaswani et al., arXiv:1706.03762).

    Scores, normalization and the weighted sum are computed in float32 whatever the dtype of
    the inputs, and the query is scaled before the product, so that float16 does not overflow.
    A query that may attend to nothing gives exactly 0, and an empty batch an empty output.

    Args:
        query: float tensor `(B, T, N, H)`.
        key: float tensor `(B, S, K, H)`. With `K < N` (grouped or multi-query attention) query
            head `n` uses key head `n // (N // K)`.
        value: float tensor `(B, S, K, V)`.
        mask: tensor of rank 4 that broadcasts to `(B, N, T, S)`, True = attend. Boolean or
            integer; in eager code also float, of 0 and 1 alone (pass a mask of 0 and -inf as
            `bias`). A padding mask is `(B, 1, 1, S)`, see `keras_attn.ops.padding_mask`.
        bias: float tensor of rank 4 that broadcasts to `(B, N, T, S)`, added to the scaled
            scores; -inf excludes a key as a mask does. Or a function without trainable
            parameters, from integer positions `(t,)` of queries and `(s,)` of keys to the bias
            `(1, N, t, s)`; the streaming path calls it for one block at a time.
        scale: factor on the scores; None is `1 / sqrt(H)`.
        is_causal: attend only to keys up to and including the query's own position.
        window: attend only to near keys: with `is_causal`, to `window` keys, the query's own
            included; otherwise to keys at a distance below `window` on either side.
        q_offset: integer or scalar integer tensor, the position of the first query among the
            keys (in decoding, the number of cached keys).
        normalizer: name of the function from scores to weights, one of
            `keras_attn.ops.NORMALIZERS`.
        dropout: rate in [0, 1) at which weights are dropped.
        seed: integer or `keras.random.SeedGenerator`, required with `dropout`.
        implementation: `"full"` computes all `B x N x T x S` scores at once. `"chunked"`
            computes them in blocks, and again in the gradient: memory is linear in the length,
            and blocks that `is_causal` or `window` empties are skipped. It supports the
            normalizers in `keras_attn.ops.STREAMING_NORMALIZERS`, and cannot return weights.
            `"native"` is PyTorch's fused kernel. `"auto"` takes the implementation that was
            measured to be best at these sizes. All give the same output, up to rounding and to
            which weights dropout draws.
        chunk_size: maximum queries and keys of a block; selects the streaming path. None
            suits the block to a cache.
        return_weights: also return the weights, before dropout.
        heads_first: whether `key` is laid out `(B, K, S, H)` and `value` `(B, K, S, V)`, the
            layout of the matrix products. It saves transposing keys and values at each step
            where they are read repeatedly, as those of a cache.

    Returns:
        Tensor `(B, T, N, V)` in the dtype of `value`; with `return_weights` a pair of it and
        the weights `(B, N, T, S)`.

    Raises:
        ValueError: shapes that do not fit one another, a mask of other values than 0 and 1, an
            unknown name, a rate outside [0, 1), dropout without a seed, or an implementation that
            does not support the arguments.
        TypeError: an argument has its name in another library; the message names ours.

    Example:

    >>> import numpy as np
    >>> x = np.ones((1, 3, 2, 4), "float32")
    >>> output, weights = attention(x, x, x, is_causal=True, return_weights=True)
    >>> tuple(output.shape), tuple(weights.shape)
    ((1, 3, 2, 4), (1, 2, 3, 3))
    """
    query, key, value = (ops.convert_to_tensor(x) for x in (query, key, value))
    check_shapes(query.shape, key.shape, value.shape, heads_first)
    check_dropout(dropout, seed)
    check_window(window)
    check_q_offset(q_offset)
    num_keys = key.shape[2 if heads_first else 1]
    scores_shape = (query.shape[0], query.shape[2], query.shape[1], num_keys)
    call = AttentionCall(
        query=query,
        key=key,
        value=value,
        mask=convert_mask(mask, scores_shape),
        bias=convert_bias(bias, scores_shape),
        scale=query.shape[-1] ** -0.5 if scale is None else scale,
        is_causal=is_causal,
        window=window,
        q_offset=convert_offset(q_offset),
        normalizer=normalizers.get(normalizer),
        dropout=dropout,
        seed=seed,
        heads_first=heads_first,
    )
    selected = _select(call, implementation, chunk_size, return_weights)
    if selected == "full":
        return full.full_attention(call, return_weights)
    if selected == "chunked":
        return chunked.chunked_attention(call.with_lengths_first(), chunk_size)
    return native.native_attention(call) if selected == "native" else _attend_by_size(call)


def _select(
    call: AttentionCall, implementation: str, chunk_size: int | None, return_weights: bool
) -> str | None:
    """Return the implementation to use, or None if it depends on the sizes."""
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(unknown("`implementation`", implementation, IMPLEMENTATIONS))
    check_chunk_size(chunk_size, implementation)
    unsupported = {
        "full": None,
        "chunked": _explain_unstreamable(call, return_weights),
        "native": "it has no weights to return"
        if return_weights
        else native.explain_unsupported(call),
    }
    selects_chunks = implementation == "auto" and chunk_size is not None
    requested = "chunked" if selects_chunks else implementation
    if requested == "auto":
        if unsupported["native"] is None:
            return "native"
        return "full" if unsupported["chunked"] else None
    if unsupported[requested]:
        raise ValueError(
            f"The requested implementation (implementation={implementation!r}, "
            f"chunk_size={chunk_size}) cannot compute this: {unsupported[requested]}. Leave both "
            "arguments out to use one that can."
        )
    return requested


def _explain_unstreamable(call: AttentionCall, return_weights: bool) -> str | None:
    """Return why the streaming path cannot compute this call, or None if it can."""
    if return_weights:
        return "it never holds the weights that `return_weights` requests"
    if call.normalizer.streaming is None:
        return f"{call.normalizer.name!r} needs whole rows of scores"
    if any(isinstance(x, keras.KerasTensor) for x in vars(call).values()):
        return "the inputs are symbolic; it runs inside a layer"
    return None


def _attend_by_size(call: AttentionCall) -> Tensor:
    """Use the full or the streaming path, whichever was measured to be better at this size."""
    batch, num_queries, heads, _ = ops.shape(call.query)
    if isinstance(num_queries, int) and num_queries == 1:  # one row of scores fits anywhere
        return full.full_attention(call)
    head_scores = _product(num_queries, call.key_length)
    total_scores = _product(batch * heads, head_scores)
    crossover = BANDED_CROSSOVER if call.is_banded else CROSSOVER

    def stream() -> Tensor:
        return chunked.chunked_attention(call.with_lengths_first())

    if isinstance(head_scores, int) and head_scores >= crossover:
        return stream()
    if isinstance(head_scores, int) and isinstance(total_scores, int):
        return stream() if total_scores >= TOTAL_CROSSOVER else full.full_attention(call)
    if isinstance(head_scores, int) and heads * head_scores * MAX_UNKNOWN_BATCH < TOTAL_CROSSOVER:
        return full.full_attention(call)
    is_large = ops.logical_or(head_scores >= crossover, total_scores >= TOTAL_CROSSOVER)
    return ops.cond(is_large, stream, lambda: full.full_attention(call))


def _product(a: Size, b: Size) -> Size:
    """Return `a * b`, as a float where it is not static, which cannot overflow."""
    if isinstance(a, int) and isinstance(b, int):
        return a * b
    return ops.cast(a, "float32") * ops.cast(b, "float32")
