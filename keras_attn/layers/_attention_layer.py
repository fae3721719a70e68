"""Base class of the layers that attend."""

from collections.abc import Sequence
from typing import Any, Self

import keras
import numpy as np

from keras_attn._names import unknown
from keras_attn.layers._argument_names import (
    check_required,
    refuse_call_names,
    refuse_constructor_names,
)
from keras_attn.layers._lora import check_lora_settings, check_without_lora
from keras_attn.layers._sublayers import check_rank
from keras_attn.ops._arguments import sizes_match

PROJECTIONS = ("_dense", "_conv")  # ends of the names of attributes that hold projections
LORA_TARGETS = ("query", "value")


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

    def enable_lora(
        self, rank: int, lora_alpha: float | None = None, targets: Sequence[str] | None = None
    ) -> None:
        """Adapt projections by products of two low-rank matrices (Hu et al., arXiv:2106.09685).

        Each target computes `x @ (W + lora_alpha / rank * A @ B)` and trains `A` and `B` in place
        of `W`. `B` starts at 0, so that outputs do not change. Saved weights hold the sum, as those
        of `enable_lora` of Keras's layers do. Where `W` has three axes, `A` has the first two.

        Args:
            rank: rank of the update, the number of columns of `A`.
            lora_alpha: scale of the update, times `rank`; None is `rank`.
            targets: names of the projections, such as `("query", "value")`; None is those two, or
                every projection of a layer that does not have both. A Transformer block adapts
                its attention layers.

        Raises:
            ValueError: `rank` or `lora_alpha` is not positive; a target is unknown, has LoRA
                already or has a constraint; the layer is not built, or has no projections.

        Example:

        >>> import numpy as np
        >>> from keras_attn.layers import MultiHeadAttention
        >>> layer = MultiHeadAttention(num_heads=2, key_dim=8)
        >>> x = np.ones((1, 5, 16), "float32")
        >>> before = layer(x, x)
        >>> layer.enable_lora(rank=2)
        >>> float(keras.ops.max(keras.ops.abs(layer(x, x) - before)))
        0.0
        >>> projection = layer.query_dense
        >>> tuple(projection.lora_kernel_a.shape), tuple(projection.lora_kernel_b.shape)
        ((16, 2, 2), (2, 8))
        """
        owner = type(self).__name__
        check_lora_settings(owner, rank, lora_alpha)
        if not self.built:
            raise ValueError(
                f"{self.name}: `enable_lora` needs the layer's weights. Call the layer before, or "
                "`build` it."
            )
        for layer in self.lora_projections(targets):
            layer.enable_lora(rank, lora_alpha=lora_alpha)

    def lora_projections(self, targets: Sequence[str] | None = None) -> list[keras.layers.Layer]:
        """Return the projections that `enable_lora` adapts.

        Raises:
            ValueError: see `enable_lora`.
        """
        nested = [
            layer
            for layer in self._flatten_layers(include_self=False)
            if isinstance(layer, AttentionLayer) and layer.projections()
        ]
        if nested:
            return [layer for part in nested for layer in part.lora_projections(targets)]
        projections = self.projections()
        if not projections:
            raise ValueError(f"{self.name}: this {type(self).__name__} projects nothing.")
        if targets is None:
            targets = LORA_TARGETS if {*LORA_TARGETS} <= {*projections} else tuple(projections)
        if isinstance(targets, str):
            targets = (targets,)
        for name in targets:
            if name not in projections:
                raise ValueError(f"{self.name}: {unknown('`targets`', name, projections)}")
        selected = [projections[name] for name in targets]
        check_without_lora(self.name, selected)
        return selected

    def projections(self) -> dict[str, keras.layers.Layer]:
        """Return the layer's own projections by name, such as `"query"`."""
        return {
            name.rpartition("_")[0]: layer
            # On PyTorch, sublayers are in `_modules` and not among the attributes.
            for name, layer in {**vars(self), **getattr(self, "_modules", {})}.items()
            if name.endswith(PROJECTIONS) and layer is not None
        }

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
