"""Keras's layers on `(B, T, D)`, with their variables, in fewer operations of TensorFlow."""

import math
from typing import Any

import keras
from keras import ops

from keras_attn.ops.layout import reshape

Tensor = Any


class HeadsDense(keras.layers.EinsumDense):
    """`keras.layers.EinsumDense` from features to heads, or back.

    The variables are those of Keras's layer. TensorFlow would make a product for each row of
    the batch of it, or an `Einsum`, which takes twice as long; in a step of decoding it is what
    takes longest.

    Args:
        heads, size: the output's shape is `(B, T, heads, size)`; or, with `features`, the
            input's.
        features: the output's shape is `(B, T, features)`.
        use_bias: whether to add one.
    """

    def __init__(
        self, heads: int, size: int, *, features: int | None = None, use_bias: bool, **kwargs: Any
    ) -> None:
        to_heads = features is None
        super().__init__(
            "btd,dnh->btnh" if to_heads else "btnh,nhd->btd",
            output_shape=(None, heads, size) if to_heads else (None, features),
            bias_axes=("nh" if to_heads else "d") if use_bias else None,
            **kwargs,
        )
        self.contracted = 1 if to_heads else 2  # axes of the input
        self.supports_masking = True  # or Keras warns that it destroys the input's mask

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        kernel = ops.convert_to_tensor(self.kernel)
        outer, inner = kernel.shape[: self.contracted], kernel.shape[self.contracted :]
        flat = ops.reshape(kernel, (math.prod(outer), math.prod(inner)))
        return rows_times(inputs, flat, self.bias, inner)


class RowsDense(keras.layers.Dense):
    """`keras.layers.Dense` on `(B, T, D)`, without what TensorFlow computes of its shape."""

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        output = rows_times(inputs, self.kernel, self.bias, (self.units,))
        return output if self.activation is None else self.activation(output)


class RowsNormalization(keras.layers.LayerNormalization):
    """`keras.layers.LayerNormalization` over the last axis, in half as many operations."""

    def call(self, inputs: Tensor) -> Tensor:
        x = ops.cast(inputs, "float32")
        x = x - ops.mean(x, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(x), axis=-1, keepdims=True)
        scale = ops.rsqrt(variance + self.epsilon) * ops.cast(self.gamma, "float32")
        return ops.cast(x * scale + ops.cast(self.beta, "float32"), self.compute_dtype)


def rows_times(x: Tensor, kernel: Tensor, bias: Tensor | None, sizes: tuple[int, ...]) -> Tensor:
    """`(B, T, *sizes)`: each position of `x` `(B, T, ...)` times a matrix, plus a bias."""
    batch, length, *_ = ops.shape(x)
    output = ops.matmul(ops.reshape(x, (-1, kernel.shape[0])), kernel)
    if bias is not None:
        output = ops.add(output, ops.reshape(bias, (-1,)))
    return reshape(output, (batch, length, *sizes))
