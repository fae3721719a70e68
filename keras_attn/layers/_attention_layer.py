"""Base class of the layers that attend."""

from typing import Any, Self

import keras
import numpy as np

from keras_attn.layers._argument_names import (
    check_required,
    refuse_call_names,
    refuse_constructor_names,
)
from keras_attn.layers._sublayers import check_rank
from keras_attn.ops._arguments import sizes_match


class AttentionLayer(keras.layers.Layer):
    """A layer that takes masks as lists, and suggests its own names for arguments.

    It also checks the inputs of later calls against those that its weights were made for. Keras
    checks the first argument of a call alone, by `input_spec`.
    """

    _built_sizes: tuple[tuple[str, int], ...] = ()

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Refuse names of other libraries before Python misses an argument of ours."""
        # The constructor of a user's subclass may have arguments of any name.
        if cls.__init__.__module__.startswith("keras_attn."):
            refuse_constructor_names(cls.__name__, cls.__init__, cls.call, kwargs)
            check_required(cls.__name__, cls.__init__, args, kwargs)
        return super().__new__(cls, *args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        dropped = getattr(self, "_call_context_args", {"training"})  # by Keras, if they are unknown
        names = [name for name in kwargs if name not in dropped]
        refuse_call_names(type(self).__name__, type(self).call, names)
        for name, value in kwargs.items():
            if name.endswith("_mask") and isinstance(value, list | tuple):
                kwargs[name] = np.asarray(value)
        return super().__call__(*args, **kwargs)

    def _set_input_sizes(self, **shapes: Any) -> None:
        """Set the sizes of the inputs' last axes that the weights are made for, in `build`."""
        self._built_sizes = tuple((name, shape[-1]) for name, shape in shapes.items())

    def _check_input_sizes(self, **inputs: Any) -> None:
        """Raise ValueError if the last axis of an input is not of the size of the weights.

        None, inputs without weights of their own, and unknown sizes are not checked.
        """
        for name, tensor in inputs.items():
            self._check_input_size(name, name, tensor)

    def _check_input_size(self, name: str, argument: str, tensor: Any) -> None:
        """Check the last axis of an argument that is read in place of the input `name`."""
        expected = dict(self._built_sizes).get(name)
        if tensor is not None and not sizes_match(tensor.shape[-1], expected):
            raise ValueError(
                f"{self.name}: `{argument}` must have {expected} features (last axis), for which "
                f"the weights were made. Received: shape {tuple(tensor.shape)}. Project it to "
                f"{expected} features, or use another layer for it."
            )

    def _check_sequences(self, **inputs: Any) -> None:
        """Raise ValueError unless inputs are `(B, T, D)`, with the sizes of the weights."""
        shapes = {name: x.shape for name, x in inputs.items() if x is not None}
        check_rank(self, 3, "(batch, length, features)", **shapes)
        self._check_input_sizes(**inputs)
