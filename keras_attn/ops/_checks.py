"""What attention refuses, and what it says."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

Tensor = Any


def check_shapes(query: tuple, key: tuple, value: tuple, heads_first: bool = False) -> None:
    received = f"Received: query {tuple(query)}, key {tuple(key)}, value {tuple(value)}."
    received += " `key` and `value` are heads first." if heads_first else ""
    length, heads = (2, 1) if heads_first else (1, 2)
    if not len(query) == len(key) == len(value) == 4:
        raise ValueError(
            f"`query`, `key` and `value` must have shape (batch, length, heads, size). {received}"
        )
    if query[-1] != key[-1]:
        raise ValueError(f"`query` and `key` must have heads of one size (last axis). {received}")
    if key[heads] != value[heads] or query[2] % key[heads]:
        raise ValueError(
            f"`key` and `value` must have the same number of heads (axis {heads}), and it must "
            f"divide that of `query`. {received}"
        )
    if not same(key[length], value[length]):
        raise ValueError(f"`key` and `value` must have one length (axis {length}). {received}")
    if not (same(query[0], key[0]) and same(key[0], value[0])):
        raise ValueError(f"`query`, `key` and `value` must have one batch size. {received}")


def same(a: int | None, b: int | None) -> bool:
    return a is None or b is None or a == b


def checked_mask(mask: Tensor | None, scores: tuple) -> Tensor | None:
    if mask is None:
        return None
    mask = ops.convert_to_tensor(mask)
    _check_broadcasts("mask", mask.shape, scores)
    return ops.cast(mask, "bool")


def checked_bias(bias: Tensor | None, scores: tuple) -> Tensor | None:
    if bias is not None and not callable(bias):
        bias = ops.convert_to_tensor(bias)
        _check_broadcasts("bias", bias.shape, scores)
    return bias


def _check_broadcasts(name: str, shape: tuple, scores: tuple) -> None:
    fits = len(shape) == 4 and all(s == 1 or same(s, n) for s, n in zip(shape, scores, strict=True))
    if not fits:
        raise ValueError(
            f"`{name}` must have rank 4 and broadcast to the scores' shape (batch, heads, "
            f"queries, keys) = {tuple(scores)}. Received: shape {tuple(shape)}. A padding mask "
            "(batch, keys) becomes one by `keras_attn.ops.padding_mask`; a (queries, keys) "
            "mask by `mask[None, None]`."
        )


def positional_bias(
    bias: Callable[[Tensor, Tensor], Tensor], heads: int, queries: Tensor, keys: Tensor
) -> Tensor:
    """What a bias that is a function gives for these positions, if it fits."""
    given = ops.convert_to_tensor(bias(queries, keys))
    expected = (1, heads, queries.shape[0], keys.shape[0])
    if len(given.shape) != 4 or not all(
        s == 1 or same(s, n) for s, n in zip(given.shape, expected, strict=True)
    ):
        raise ValueError(
            "`bias` is a function: it must return a tensor of rank 4 that broadcasts to (1, heads, "
            f"queries, keys) = {expected}. Received: shape {tuple(given.shape)}."
        )
    return given


def check_offset(q_offset: Any) -> None:
    integer = isinstance(q_offset, int) and not isinstance(q_offset, bool)
    if not integer and not (
        hasattr(q_offset, "dtype")
        and len(q_offset.shape) == 0
        and "int" in keras.backend.standardize_dtype(q_offset.dtype)
    ):
        raise ValueError(
            "`q_offset` must be an integer or a scalar integer tensor, the position of the first "
            f"query among the keys. Received: {q_offset!r}."
        )


def as_position(offset: int | Tensor) -> int | Tensor:
    """An offset as positions count: a Python integer, or an int32 scalar tensor."""
    return offset if isinstance(offset, int) else ops.cast(offset, "int32")


def check_dropout(dropout: float, seed: Any) -> None:
    if not 0.0 <= dropout < 1.0:
        raise ValueError(f"`dropout` must be a rate in [0, 1). Received: {dropout!r}.")
    if dropout > 0.0 and seed is None:
        raise ValueError(
            "`dropout` needs a `seed`: pass an integer or a `keras.random.SeedGenerator` "
            "(a layer keeps one of its own). Received: seed=None."
        )
