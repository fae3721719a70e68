"""What attention refuses, and what it says."""

from typing import Any

from keras import ops

Tensor = Any


def check_shapes(query: tuple, key: tuple, value: tuple) -> None:
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
    if not same(key[1], value[1]):
        raise ValueError(f"`key` and `value` must have one length (axis 1). {received}")
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


def check_dropout(dropout: float, seed: Any) -> None:
    if not 0.0 <= dropout < 1.0:
        raise ValueError(f"`dropout` must be a rate in [0, 1). Received: {dropout!r}.")
    if dropout > 0.0 and seed is None:
        raise ValueError(
            "`dropout` needs a `seed`: pass an integer or a `keras.random.SeedGenerator` "
            "(a layer keeps one of its own). Received: seed=None."
        )
