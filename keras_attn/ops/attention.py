"""Attention, the one function that everything else here calls.

Shapes are written with `B` the batch, `T` the queries, `S` the keys, `N` the query
heads, `K` the key heads (`K` divides `N`) and `H` the size of a head.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_attn._names import unknown
from keras_attn.ops import chunked, full, masks, native, normalizers
from keras_attn.ops._call import Call
from keras_attn.ops._checks import (
    as_position,
    check_dropout,
    check_offset,
    check_shapes,
    checked_bias,
    checked_mask,
)

Tensor = Any

IMPLEMENTATIONS = ("auto", "full", "chunked", "native")

# From so many scores the streaming path is taken: for each head, where it is about as fast as
# Keras's attention is and holds a tenth of it (the full path is then the faster by a tenth or
# so; with a band it is the slower by far); and over batch and heads, where the full path would
# hold gigabytes. Measured, see benchmarks/attention.py.
CROSSOVER, BANDED_CROSSOVER = 2**23, 2**21
TOTAL_CROSSOVER = 2**28
LARGE_BATCH = 1024  # of unknown batches, larger ones are not reckoned with


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
    q_offset: int | Tensor = 0,
    normalizer: str = "softmax",
    dropout: float = 0.0,
    seed: int | keras.random.SeedGenerator | None = None,
    implementation: str = "auto",
    chunk_size: int | None = None,
    return_weights: bool = False,
    heads_first: bool = False,
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
            scaled scores. Or a function without learned parameters, which gives the bias
            `(1, N, t, s)` for integer positions `(t,)` of queries and `(s,)` of keys, and
            which the streaming path asks for one block at a time.
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
        implementation: `"full"` builds all `B x N x T x S` scores. `"chunked"` computes
            them in blocks, forward and again in the gradient, with memory linear in the
            length, and leaves out blocks that `is_causal` or `window` empties; it has all but
            `sparsemax`, `entmax15` and the weights. `"native"` is PyTorch's fused kernel.
            `"auto"` takes the one that was measured to be better at these sizes. All give
            the same output, up to rounding and to which weights dropout draws.
        chunk_size: queries and keys in a block of the streaming path, which is then taken;
            None suits them to a cache.
        return_weights: also return the weights, as they were before dropout.
        heads_first: whether `key` is laid out `(B, K, S, H)` and `value` `(B, K, S, V)`, as the
            products read them: keys and values that are read again and again, such as those of
            a cache, need not be laid out anew each time.

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
    check_shapes(query.shape, key.shape, value.shape, heads_first)
    check_dropout(dropout, seed)
    masks.check_window(window)
    check_offset(q_offset)
    normalizers.get(normalizer)
    keys = key.shape[2 if heads_first else 1]
    scores_shape = (query.shape[0], query.shape[2], query.shape[1], keys)
    call = Call(
        query=query,
        key=key,
        value=value,
        mask=checked_mask(mask, scores_shape),
        bias=checked_bias(bias, scores_shape),
        scale=query.shape[-1] ** -0.5 if scale is None else scale,
        is_causal=is_causal,
        window=window,
        q_offset=as_position(q_offset),
        normalizer=normalizer,
        dropout=dropout,
        seed=seed,
        heads_first=heads_first,
    )
    path = _select(call, implementation, chunk_size, return_weights)
    if path == "full":
        return full.full(call, return_weights)
    if path == "chunked":
        return chunked.chunked(call.lengths_first(), chunk_size)
    return native.native(call) if path == "native" else _by_size(call)


def _select(
    call: Call, implementation: str, chunk_size: int | None, return_weights: bool
) -> str | None:
    """The path to take; None where the sizes decide."""
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(unknown("`implementation`", implementation, IMPLEMENTATIONS))
    if chunk_size is not None:
        _check_chunk_size(chunk_size, implementation)
    refusals = {
        "full": None,
        "chunked": _streaming_refusal(call, return_weights),
        "native": "it has no weights to return" if return_weights else native.refusal(call),
    }
    wanted = "chunked" if implementation == "auto" and chunk_size is not None else implementation
    if wanted == "auto":
        if refusals["native"] is None:
            return "native"
        return "full" if refusals["chunked"] else None
    if refusals[wanted]:
        asked = f"implementation={implementation!r}, chunk_size={chunk_size}"
        raise ValueError(
            f"The path asked for ({asked}) cannot compute this: {refusals[wanted]}. Leave both "
            "out, and a path that can is taken."
        )
    return wanted


def _streaming_refusal(call: Call, return_weights: bool) -> str | None:
    """Why the streaming path cannot compute this call, or None where it can."""
    if return_weights:
        return "it never holds the weights that `return_weights` asks for"
    if call.normalizer not in chunked.NORMALIZERS:
        return f"{call.normalizer!r} needs whole rows of scores"
    if any(isinstance(x, keras.KerasTensor) for x in vars(call).values()):
        return "the inputs are symbolic; it runs inside a layer"
    return None


def _by_size(call: Call) -> Tensor:
    """The full path or the streaming one, whichever was measured to be better at this size."""
    batch, queries, heads, _ = ops.shape(call.query)
    if isinstance(queries, int) and queries == 1:  # a row of scores: nothing to save
        return full.full(call)
    a_head = _product(queries, call.key_length)
    in_all = _product(batch * heads, a_head)
    crossover = BANDED_CROSSOVER if call.banded else CROSSOVER

    def streamed() -> Tensor:
        return chunked.chunked(call.lengths_first())

    if isinstance(a_head, int) and a_head >= crossover:
        return streamed()
    if isinstance(a_head, int) and isinstance(in_all, int):
        return streamed() if in_all >= TOTAL_CROSSOVER else full.full(call)
    if isinstance(a_head, int) and heads * a_head * LARGE_BATCH < TOTAL_CROSSOVER:
        return full.full(call)
    large = ops.logical_or(a_head >= crossover, in_all >= TOTAL_CROSSOVER)
    return ops.cond(large, streamed, lambda: full.full(call))


def _product(a: int | Tensor, b: int | Tensor) -> int | Tensor:
    """`a * b`, in floating point where it is not known, so that it cannot overflow."""
    if isinstance(a, int) and isinstance(b, int):
        return a * b
    return ops.cast(a, "float32") * ops.cast(b, "float32")


def _check_chunk_size(chunk_size: int, implementation: str) -> None:
    if isinstance(chunk_size, bool) or not isinstance(chunk_size, int) or chunk_size < 1:
        raise ValueError(
            f"`chunk_size` must be a positive integer or None. Received: {chunk_size!r}."
        )
    if implementation not in ("auto", "chunked"):
        raise ValueError(
            "`chunk_size` belongs to the streaming path. Received: "
            f"chunk_size={chunk_size} with implementation={implementation!r}. Leave it out, or "
            "pass implementation='chunked'."
        )
