"""Faster equivalents of Keras layers on `(B, T, D)`, with the same variables and output.

They compute one product of two matrices. On TensorFlow the Keras layers run an `Einsum`, one
product for each row of the batch, or operations on shapes beside it, all of which are slower.
"""

import math
from typing import Any

import keras
from keras import ops

from keras_attn._types import Tensor
from keras_attn.ops.layout import reshape


class HeadsDense(keras.layers.EinsumDense):
    """`keras.layers.EinsumDense` from features to heads, or from heads to features.

    Args:
        heads: number of heads.
        size: size of each head.
        features: None to map features to heads, `(B, T, D)` to `(B, T, heads, size)`; or the
            size of the output to map heads to features, `(B, T, heads, size)` to
            `(B, T, features)`.
        use_bias: whether to add a bias.
        **settings: initializers, regularizers, constraints, name and dtype, see
            `keras.layers.EinsumDense`.
    """

    def __init__(
        self,
        heads: int,
        size: int,
        *,
        features: int | None = None,
        use_bias: bool,
        **settings: Any,
    ) -> None:
        to_heads = features is None
        super().__init__(
            "btd,dnh->btnh" if to_heads else "btnh,nhd->btd",
            output_shape=(None, heads, size) if to_heads else (None, features),
            bias_axes=("nh" if to_heads else "d") if use_bias else None,
            **settings,
        )
        self.contracted_axes = 1 if to_heads else 2
        self.supports_masking = True  # or Keras warns that it destroys the input's mask

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        kernel = ops.convert_to_tensor(self.kernel)
        split = self.contracted_axes
        outer, inner = kernel.shape[:split], kernel.shape[split:]
        matrix = ops.reshape(kernel, (math.prod(outer), math.prod(inner)))
        return dense(inputs, matrix, self.bias, inner)

    def quantize(self, mode: Any = None, type_check: bool = False, config: Any = None) -> None:
        """Quantize as the Keras layer does, which refuses a subclass by default."""
        super().quantize(mode, type_check=False, config=config)


class SequenceDense(keras.layers.Dense):
    """`keras.layers.Dense` on `(B, T, D)`."""

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        output = dense(inputs, self.kernel, self.bias, (self.units,))
        return output if self.activation is None else self.activation(output)

    def quantize(self, mode: Any = None, type_check: bool = False, config: Any = None) -> None:
        """Quantize as the Keras layer does, which refuses a subclass by default."""
        super().quantize(mode, type_check=False, config=config)


class SequenceLayerNormalization(keras.layers.LayerNormalization):
    """`keras.layers.LayerNormalization` over the last axis."""

    def __init__(self, epsilon: float, *, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(epsilon=epsilon, name=name, dtype=dtype)

    def call(self, inputs: Tensor) -> Tensor:
        statistics_dtype = keras.backend.result_type(inputs.dtype, "float32")
        x = ops.cast(inputs, statistics_dtype)
        x = x - ops.mean(x, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(x), axis=-1, keepdims=True)
        scale = ops.rsqrt(variance + self.epsilon) * ops.cast(self.gamma, statistics_dtype)
        return ops.cast(x * scale + ops.cast(self.beta, statistics_dtype), self.compute_dtype)


def dense(x: Tensor, matrix: Tensor, bias: Tensor | None, sizes: tuple[int, ...]) -> Tensor:
    """Return each position of `x` `(B, T, ...)` times a matrix, plus a bias: `(B, T, *sizes)`."""
    batch, length, *_ = ops.shape(x)
    output = ops.matmul(ops.reshape(x, (-1, matrix.shape[0])), matrix)
    if bias is not None:
        output = ops.add(output, ops.reshape(bias, (-1,)))
    return reshape(output, (batch, length, *sizes))
