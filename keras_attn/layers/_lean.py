"""Keras's layers on `(B, T, D)`, with their variables, in fewer operations of TensorFlow."""

import math
from typing import Any

import keras
from keras import ops

from keras_attn.ops.layout import reshape

Tensor = Any


class HeadsDense(keras.layers.EinsumDense):
    """`keras.layers.EinsumDense` from features to heads, or back.

    The variables are those of Keras's layer. TensorFlow would make an `Einsum` of it, or a
    product for each row of the batch: both are slower than the one product of two matrices that
    it is.

    Args:
        heads, size: the output's shape is `(B, T, heads, size)`; or, with `features`, the
            input's.
        features: the output's shape is `(B, T, features)`.
        use_bias: whether to add one.
        name, dtype, kernel_initializer, bias_initializer: as of Keras's layer.
    """

    def __init__(
        self,
        heads: int,
        size: int,
        *,
        features: int | None = None,
        use_bias: bool,
        name: str | None = None,
        dtype: Any = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
    ) -> None:
        to_heads = features is None
        super().__init__(
            "btd,dnh->btnh" if to_heads else "btnh,nhd->btd",
            output_shape=(None, heads, size) if to_heads else (None, features),
            bias_axes=("nh" if to_heads else "d") if use_bias else None,
            name=name,
            dtype=dtype,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
        )
        self.contracted = 1 if to_heads else 2  # axes of the input
        self.supports_masking = True  # or Keras warns that it destroys the input's mask

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        kernel = ops.convert_to_tensor(self.kernel)
        outer, inner = kernel.shape[: self.contracted], kernel.shape[self.contracted :]
        flat = ops.reshape(kernel, (math.prod(outer), math.prod(inner)))
        return positions_times(inputs, flat, self.bias, inner)

    def quantize(self, mode: Any = None, type_check: bool = False, config: Any = None) -> None:
        """As Keras's layer, which would refuse a subclass."""
        super().quantize(mode, type_check=False, config=config)


class RowsDense(keras.layers.Dense):
    """`keras.layers.Dense` on `(B, T, D)`, without what TensorFlow computes of its shape."""

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        output = positions_times(inputs, self.kernel, self.bias, (self.units,))
        return output if self.activation is None else self.activation(output)

    def quantize(self, mode: Any = None, type_check: bool = False, config: Any = None) -> None:
        """As Keras's layer, which would refuse a subclass."""
        super().quantize(mode, type_check=False, config=config)


class RowsNormalization(keras.layers.LayerNormalization):
    """`keras.layers.LayerNormalization` over the last axis, in fewer operations."""

    def __init__(self, epsilon: float, *, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(epsilon=epsilon, name=name, dtype=dtype)

    def call(self, inputs: Tensor) -> Tensor:
        wide = keras.backend.result_type(inputs.dtype, "float32")
        x = ops.cast(inputs, wide)
        x = x - ops.mean(x, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(x), axis=-1, keepdims=True)
        scale = ops.rsqrt(variance + self.epsilon) * ops.cast(self.gamma, wide)
        return ops.cast(x * scale + ops.cast(self.beta, wide), self.compute_dtype)


def positions_times(
    x: Tensor, kernel: Tensor, bias: Tensor | None, sizes: tuple[int, ...]
) -> Tensor:
    """`(B, T, *sizes)`: each position of `x` `(B, T, ...)` times a matrix, plus a bias."""
    batch, length, *_ = ops.shape(x)
    output = ops.matmul(ops.reshape(x, (-1, kernel.shape[0])), kernel)
    if bias is not None:
        output = ops.add(output, ops.reshape(bias, (-1,)))
    return reshape(output, (batch, length, *sizes))
