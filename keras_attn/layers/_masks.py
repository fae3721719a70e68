"""Select, check and combine the mask arguments of attention layers."""

import keras
import numpy as np
from keras import ops

from keras_attn._types import Tensor
from keras_attn.layers._types import Tensors
from keras_attn.ops import combine
from keras_attn.ops import padding_mask as expand_padding_mask

_BIAS_HINT = "; pass values to add to the scores as `bias=` to `keras_attn.ops.attention`"


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


def check_masks(
    name: str, num_heads: int, padding_mask: Tensor | None, attention_mask: Tensor | None
) -> None:
    """Raise ValueError if a mask has a wrong shape, or holds values to add to the scores."""
    check_mask_values(name, padding_mask=padding_mask, attention_mask=attention_mask)
    if padding_mask is not None and len(padding_mask.shape) != 2:
        raise ValueError(
            f"{name}: `padding_mask` must have shape (batch, keys). Received: shape "
            f"{tuple(padding_mask.shape)}. A mask with an axis of queries is an "
            "`attention_mask`: pass it as that."
        )
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


def check_mask_values(name: str, **masks: Tensor | None) -> None:
    """Raise ValueError if a mask holds values other than True and False, 1 and 0.

    An additive mask of 0 and -1e9, cast to boolean, would exclude exactly the keys that it
    means to keep. Boolean and integer masks pass without a look at their values. A float mask
    passes in eager code if all its values are 0 or 1; in a graph its values cannot be read,
    and it is refused. Keras's own implicit masks are boolean.

    Args:
        name: name of the layer, for error messages.
        **masks: masks by the name of their argument.
    """
    for argument, mask in masks.items():
        if mask is None:
            continue
        dtype = keras.backend.standardize_dtype(mask.dtype)
        if not dtype.startswith(("float", "bfloat")):
            continue
        values = _eager_values(mask)
        if values is None:
            received = f"a symbolic {dtype} tensor, whose values cannot be checked"
        elif np.isin(values, (0.0, 1.0)).all():
            continue
        else:
            received = f"{dtype} values from {values.min():g} to {values.max():g}"
        raise ValueError(
            f"{name}: `{argument}` must be boolean (True = attend) or integer; in eager code also "
            f"float, of values 0 and 1. Received: {received}. Cast a mask of 0 and 1 to boolean"
            + _BIAS_HINT * (argument == "attention_mask")
            + "."
        )


def _eager_values(mask: Tensor) -> np.ndarray | None:
    """Return the values of a mask as float32, or None if it is symbolic."""
    if isinstance(mask, keras.KerasTensor):
        return None
    try:
        return ops.convert_to_numpy(mask).astype("float32")
    except (NotImplementedError, TypeError, RuntimeError):  # one of each backend, in its graphs
        return None
