"""Check of the values of masks."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_attn.ops._types import Tensor

BIAS_HINT = "; pass values to add to the scores as `bias=` to `keras_attn.ops.attention`"


def check_mask_values(*, owner: str = "", bias_hint: str = "", **masks: Tensor | None) -> None:
    """Raise ValueError if a mask holds values other than True and False, 1 and 0.

    An additive mask of 0 and -1e9, cast to boolean, would exclude exactly the keys that it
    means to keep. Boolean masks pass without a look at their values. A float mask passes in
    eager code if all its values are 0 or 1; in a graph its values cannot be read, and it is
    refused. An integer mask passes, unless eager code finds a negative value in it. Keras's own
    implicit masks are boolean.

    Args:
        owner: name of the layer or function that takes the masks; it starts the message.
        bias_hint: advice for a user who means to add values to the scores.
        **masks: masks by the name of their argument; each a tensor, an array, or None.

    Raises:
        ValueError: a mask may hold values to add to the scores.
    """
    for argument, mask in masks.items():
        received = None if mask is None else _explain_refusal(mask)
        if received is not None:
            raise ValueError(
                f"{owner}{': ' * bool(owner)}`{argument}` must be boolean (True = attend) or "
                "integer, 0 and 1; in eager code also float, of values 0 and 1. Received: "
                f'{received}. Cast a mask of 0 and 1 by `keras.ops.cast(mask, "bool")`{bias_hint}.'
            )


def _explain_refusal(mask: Any) -> str | None:
    """Return what was received in place of a mask, or None if it is a mask."""
    dtype = keras.backend.standardize_dtype(mask.dtype)
    if dtype == "bool" or dtype.startswith("uint"):
        return None
    is_integer = dtype.startswith("int")
    values = _eager_values(mask)
    if values is None:
        if is_integer:
            return None
        # Keras declares them so, even if the function of a Lambda returns booleans.
        origin = " (`keras.Input` and `keras.layers.Lambda` are float by default)"
        return f"a symbolic {dtype} tensor, whose values cannot be checked" + (
            origin if isinstance(mask, keras.KerasTensor) else ""
        )
    if (values >= 0).all() if is_integer else np.isin(values, (0.0, 1.0)).all():
        return None
    return f"{dtype} values from {values.min():g} to {values.max():g}"


def _eager_values(mask: Tensor) -> np.ndarray | None:
    """Return the values of a mask as float32, or None if it is symbolic."""
    if isinstance(mask, keras.KerasTensor):
        return None
    try:
        return ops.convert_to_numpy(mask).astype("float32")
    except (NotImplementedError, TypeError, RuntimeError):  # one of each backend, in its graphs
        return None
