"""The arguments of `keras_attn.ops.attention`: their checks, and a record of one call."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import keras
from keras import ops

from keras_attn._validation import check_positive_integer, check_rate
from keras_attn.ops._mask_values import check_mask_values
from keras_attn.ops._types import Size, Tensor
from keras_attn.ops.layout import swap_heads

if TYPE_CHECKING:
    from keras_attn.ops.normalizers import Normalizer


@dataclasses.dataclass(frozen=True)
class AttentionCall:
    """The checked arguments of one call, see `keras_attn.ops.attention` for each of them."""

    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    bias: Tensor | Callable[[Tensor, Tensor], Tensor] | None
    scale: float
    is_causal: bool
    window: int | None
    q_offset: Size
    normalizer: "Normalizer"
    dropout: float
    seed: Any
    heads_first: bool = False

    @property
    def is_banded(self) -> bool:
        """Return whether the position of a query limits the keys that it attends to."""
        return self.is_causal or self.window is not None

    @property
    def key_length(self) -> Size:
        """The number of keys, `S`."""
        return ops.shape(self.key)[2 if self.heads_first else 1]

    def with_lengths_first(self) -> Self:
        """Return the same call, with keys and values laid out `(B, S, K, H)`."""
        if not self.heads_first:
            return self
        key, value = swap_heads(self.key), swap_heads(self.value)
        return dataclasses.replace(self, key=key, value=value, heads_first=False)


def check_shapes(query: tuple, key: tuple, value: tuple, heads_first: bool = False) -> None:
    """Raise ValueError unless the shapes of query, key and value fit one another."""
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
    if not sizes_match(key[length], value[length]):
        raise ValueError(f"`key` and `value` must have one length (axis {length}). {received}")
    if not (sizes_match(query[0], key[0]) and sizes_match(key[0], value[0])):
        raise ValueError(f"`query`, `key` and `value` must have one batch size. {received}")


def sizes_match(a: int | None, b: int | None) -> bool:
    """Return whether two static sizes are equal, or may be because one of them is unknown."""
    return a is None or b is None or a == b


def convert_mask(mask: Tensor | None, scores_shape: tuple) -> Tensor | None:
    """Return the mask as a boolean tensor.

    Raises:
        ValueError: the mask does not broadcast to `scores_shape`, `(B, N, T, S)`, or may hold
            values to add to the scores.
    """
    if mask is None:
        return None
    mask = ops.convert_to_tensor(mask)
    _check_broadcasts("mask", mask.shape, scores_shape)
    check_mask_values(mask=mask, bias_hint="; pass values to add to the scores as `bias=`")
    return ops.cast(mask, "bool")


def convert_bias(bias: Any, scores_shape: tuple) -> Any:
    """Return the bias as a tensor; a bias that is a function, or None, is returned as it is.

    Raises:
        ValueError: the bias does not broadcast to `scores_shape`, `(B, N, T, S)`.
    """
    if bias is not None and not callable(bias):
        bias = ops.convert_to_tensor(bias)
        _check_broadcasts("bias", bias.shape, scores_shape)
    return bias


def evaluate_bias(
    bias: Callable[[Tensor, Tensor], Tensor], heads: int, queries: Tensor, keys: Tensor
) -> Tensor:
    """Return the bias at the positions `(t,)` of queries and `(s,)` of keys.

    Raises:
        ValueError: the result does not broadcast to `(1, heads, t, s)`.
    """
    result = ops.convert_to_tensor(bias(queries, keys))
    expected = (1, heads, queries.shape[0], keys.shape[0])
    if not _broadcasts(result.shape, expected):
        raise ValueError(
            "`bias` is a function: it must return a tensor of rank 4 that broadcasts to (1, heads, "
            f"queries, keys) = {expected}. Received: shape {tuple(result.shape)}."
        )
    return result


def check_window(window: int | None) -> None:
    """Raise ValueError unless the window is a positive integer or None."""
    _check_positive_integer_or_none("window", window)


def check_chunk_size(chunk_size: int | None, implementation: str) -> None:
    """Raise ValueError unless the chunk size is positive and the path streams, or it is None."""
    _check_positive_integer_or_none("chunk_size", chunk_size)
    if chunk_size is not None and implementation not in ("auto", "chunked"):
        raise ValueError(
            "`chunk_size` belongs to the streaming path. Received: "
            f"chunk_size={chunk_size} with implementation={implementation!r}. Leave it out, or "
            "pass implementation='chunked'."
        )


def check_q_offset(q_offset: Any) -> None:
    """Raise ValueError unless the offset is an integer or a scalar integer tensor."""
    is_integer = isinstance(q_offset, int) and not isinstance(q_offset, bool)
    if not is_integer and not (
        hasattr(q_offset, "dtype")
        and len(q_offset.shape) == 0
        and "int" in keras.backend.standardize_dtype(q_offset.dtype)
    ):
        raise ValueError(
            "`q_offset` must be an integer or a scalar integer tensor, the position of the first "
            f"query among the keys. Received: {q_offset!r}."
        )


def convert_offset(offset: Size) -> Size:
    """Return an offset in the dtype of positions: a Python integer or an int32 scalar."""
    return offset if isinstance(offset, int) else ops.cast(offset, "int32")


def check_dropout(dropout: float, seed: Any) -> None:
    """Raise ValueError unless the rate is in [0, 1), and has a seed where it is above 0."""
    check_rate("dropout", dropout)
    if dropout > 0.0 and seed is None:
        raise ValueError(
            "`dropout` needs a `seed`: pass an integer or a `keras.random.SeedGenerator` "
            "(layers create their own). Received: seed=None."
        )


def _check_broadcasts(name: str, shape: tuple, scores_shape: tuple) -> None:
    if not _broadcasts(shape, scores_shape):
        raise ValueError(
            f"`{name}` must have rank 4 and broadcast to the scores' shape (batch, heads, "
            f"queries, keys) = {tuple(scores_shape)}. Received: shape {tuple(shape)}. A padding "
            "mask (batch, keys) becomes one by `keras_attn.ops.padding_mask`; a (queries, keys) "
            "mask by `mask[None, None]`."
        )


def _broadcasts(shape: tuple, target: tuple) -> bool:
    pairs = zip(shape, target, strict=False)
    return len(shape) == 4 and all(size == 1 or sizes_match(size, to) for size, to in pairs)


def _check_positive_integer_or_none(name: str, value: int | None) -> None:
    if value is None:
        return
    try:
        check_positive_integer(name, value)
    except ValueError as error:
        raise ValueError(
            f"`{name}` must be a positive integer or None. Received: {value!r}."
        ) from error
