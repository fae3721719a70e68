"""The masks that attention layers are given, as one."""

from typing import Any

from keras import ops

from keras_attn.ops import combine, padding_mask

Tensor = Any


def joined_mask(name: str, padding: Tensor | None, pairs: Tensor | None) -> Tensor | None:
    """One mask of rank 4 from `padding_mask` `(B, S)` and `attention_mask`.

    The latter is `(B, T, S)` or `(B, N, T, S)`; a key must be allowed by both.
    """
    check_pairs(name, pairs)
    if pairs is not None:
        pairs = ops.cast(pairs, "bool")
        pairs = pairs[:, None] if len(pairs.shape) == 3 else pairs
    return combine(None if padding is None else padding_mask(padding), pairs)


def padding_of(
    name: str, padding: Tensor | None, cache: Any, *implicit: Tensor | None
) -> Tensor | None:
    """The padding mask to take: the one that is given, else the first that Keras fills in.

    Raises:
        ValueError: Keras fills one in beside a cache. It is of the new positions, and the keys
            are those of the cache as well.
    """
    if padding is not None:
        return padding
    found = next((mask for mask in implicit if mask is not None), None)
    if found is not None and cache is not None:
        raise ValueError(
            f"{name}: the inputs carry a mask of Keras's, {tuple(found.shape)}, which says nothing "
            "of the keys in the cache. Give `padding_mask`, (batch, keys) with those of the cache, "
            "or embed without `mask_zero`."
        )
    return found


def check_pairs(name: str, pairs: Tensor | None) -> None:
    """Refuse an `attention_mask` of another rank than 3 or 4."""
    if pairs is not None and len(pairs.shape) not in (3, 4):
        raise ValueError(
            f"{name}: `attention_mask` must have shape (batch, queries, keys) or "
            f"(batch, heads, queries, keys). Received: shape {tuple(pairs.shape)}. A "
            "(batch, keys) mask is a `padding_mask`: pass it as that."
        )
