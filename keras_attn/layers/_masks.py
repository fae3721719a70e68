"""Select, check and combine the mask arguments of attention layers."""

from keras import ops

from keras_attn._types import Tensor
from keras_attn.layers._types import Tensors
from keras_attn.ops import combine
from keras_attn.ops import padding_mask as expand_padding_mask
from keras_attn.ops._mask_values import BIAS_HINT, check_mask_values


def combine_masks(
    name: str,
    num_heads: int,
    padding_mask: Tensor | None,
    attention_mask: Tensor | None,
) -> Tensor | None:
    """Return one boolean mask that broadcasts to `(B, N, T, S)`, or None without any mask.

    Args:
        name: name of the layer, for error messages.
        num_heads: number of heads of the layer, `N`.
        padding_mask: `(B, S)`, True for keys that may be attended to.
        attention_mask: `(B, T, S)`, `(B, 1, T, S)` or `(B, N, T, S)`, True = attend. A key
            must be allowed by both masks.

    Raises:
        ValueError: a mask has a wrong shape, or holds values to add to the scores.
    """
    check_masks(name, num_heads, padding_mask, attention_mask)
    if padding_mask is not None:
        padding_mask = expand_padding_mask(padding_mask)
    if attention_mask is not None:
        attention_mask = ops.cast(attention_mask, "bool")
        if len(attention_mask.shape) == 3:
            attention_mask = attention_mask[:, None]
    return combine(padding_mask, attention_mask)


def select_padding_mask(
    name: str, padding_mask: Tensor | None, cache: Tensors | None, *implicit: Tensor | None
) -> Tensor | None:
    """Return `padding_mask`, or else the first implicit mask that Keras filled in.

    Raises:
        ValueError: `padding_mask` is None, and Keras filled in a mask for a call with a cache.
            That mask covers the new positions only, but the keys include those of the cache.
    """
    if padding_mask is not None:
        return padding_mask
    keras_mask = next((mask for mask in implicit if mask is not None), None)
    if keras_mask is not None and cache is not None:
        raise ValueError(
            f"{name}: the inputs carry an implicit Keras mask of shape {tuple(keras_mask.shape)}, "
            "which does not cover the keys in the cache. Pass `padding_mask` of shape (batch, "
            "keys), including the keys in the cache, or embed without `mask_zero`."
        )
    return keras_mask


def select_key_mask(
    name: str,
    padding_mask: Tensor | None,
    cache: Tensors | None,
    key: tuple[Tensor | None, Tensor | None],
    value: tuple[Tensor, Tensor | None],
) -> Tensor | None:
    """Return the mask of the keys from `padding_mask`, `key_mask` and `value_mask`.

    With several explicit masks, a key must be allowed by all of them. Masks that Keras filled in
    count only where none is explicit.

    Args:
        name: name of the layer, for error messages.
        padding_mask: the call argument.
        cache: the call argument.
        key: the call arguments `key` and `key_mask`.
        value: the call arguments `value` and `value_mask`.

    Raises:
        ValueError: an explicit mask has a wrong shape or wrong values; or see
            `select_padding_mask`.
    """
    explicit = {"padding_mask": padding_mask}
    for argument, (inputs, mask) in {"key_mask": key, "value_mask": value}.items():
        explicit[argument] = None if is_implicit(mask, inputs) else mask
    given = {argument: mask for argument, mask in explicit.items() if mask is not None}
    if not given:
        implicit = [key[1]] if value[1] is key[1] else [key[1], value[1]]
        select_padding_mask(name, None, cache, *implicit)
        for mask in implicit:
            check_mask_values(owner=name, padding_mask=mask)
        return combine(*implicit)
    if len(given) == 1 and padding_mask is not None:
        return padding_mask  # checked by `combine_masks`
    for argument, mask in given.items():
        check_sequence_mask(name, argument, "keys", mask)
    return combine(*(ops.cast(mask, "bool") for mask in given.values()))


def is_implicit(mask: Tensor | None, inputs: Tensor | None) -> bool:
    """Return whether a mask is None or the one that Keras attached to the inputs."""
    return mask is None or mask is getattr(inputs, "_keras_mask", None)


def check_sequence_mask(name: str, argument: str, axis: str, mask: Tensor) -> None:
    """Raise ValueError unless a mask has shape `(batch, axis)` and the values of a mask."""
    check_mask_values(owner=name, **{argument: mask})
    if len(mask.shape) != 2:
        raise ValueError(
            f"{name}: `{argument}` must have shape (batch, {axis}). Received: shape "
            f"{tuple(mask.shape)}. A mask with axes of queries and keys is an `attention_mask`: "
            "pass it as that."
        )


def check_masks(
    name: str, num_heads: int, padding_mask: Tensor | None, attention_mask: Tensor | None
) -> None:
    """Raise ValueError if a mask has a wrong shape, or holds values to add to the scores."""
    check_mask_values(owner=name, attention_mask=attention_mask, bias_hint=BIAS_HINT)
    if padding_mask is not None:
        check_sequence_mask(name, "padding_mask", "keys", padding_mask)
    if attention_mask is None:
        return
    shape = tuple(attention_mask.shape)
    if len(shape) == 3 or (len(shape) == 4 and shape[1] in (None, 1, num_heads)):
        return
    raise ValueError(
        f"{name}: `attention_mask` must have shape (batch, queries, keys) or (batch, heads, "
        f"queries, keys), with 1 or {num_heads} heads. Received: shape {shape}. A (batch, keys) "
        "mask is a `padding_mask`: pass it as that."
    )
