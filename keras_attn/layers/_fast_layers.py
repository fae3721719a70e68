"""Faster equivalents of Keras layers, with the same variables and output.

Layers on `(B, T, D)` compute one product of two matrices. On TensorFlow the Keras layers run an
`Einsum`, one product for each row of the batch, or operations on shapes beside it, all of which
are slower. Convolution, normalization and activation of images are faster in training alone.
"""

import math
from typing import Any

import keras
from keras import ops

from keras_attn._types import Tensor
from keras_attn.layers._sublayers import PACKAGE
from keras_attn.ops._activations import apply_activation
from keras_attn.ops._convolution import convolve_small_map, gradient_is_faster
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
        if self.activation is None:
            return output
        return apply_activation(self.activation, output, training)

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


class FastConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` on `(B, H, W, C)`, without bias and activation.

    In bfloat16, the gradient with respect to the kernel is faster for small maps on CPUs.

    Args:
        filters: number of channels of the output.
        kernel_size: side of the square kernel, or both sides.
        strides: stride along both sides.
        padding: `"same"` or `"valid"`.
        kernel_initializer: initializer of the kernel.
        name: name of the layer.
        dtype: dtype or policy of the layer.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int = 1,
        padding: str = "valid",
        *,
        kernel_initializer: Any = "glorot_uniform",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            filters,
            kernel_size,
            strides=strides,
            padding=padding,
            use_bias=False,
            kernel_initializer=kernel_initializer,
            data_format="channels_last",
            name=name,
            dtype=dtype,
        )

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        is_centered = self.strides == (1, 1) and self.padding == "same"
        has_odd_sides = all(side % 2 for side in self.kernel_size)
        if training and is_centered and has_odd_sides and gradient_is_faster(inputs):
            return convolve_small_map(inputs, ops.cast(self.kernel, inputs.dtype))
        return super().call(inputs)


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` over the last axis of `(B, H, W, C)`.

    In training on TensorFlow it is one fused operation, unless batches are synchronized between
    replicas or a mask is given.

    Args:
        momentum: momentum of the moving statistics.
        epsilon: added to the variance.
        scale: whether to multiply by a learned scale.
        synchronized: whether the statistics are those of all replicas.
        name: name of the layer.
        dtype: dtype or policy of the layer.
    """

    def __init__(
        self,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        *,
        scale: bool = True,
        synchronized: bool = False,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            momentum=momentum,
            epsilon=epsilon,
            scale=scale,
            synchronized=synchronized,
            name=name,
            dtype=dtype,
        )

    def call(
        self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None
    ) -> Tensor:
        trains = training and self.trainable and not self.synchronized
        if mask is not None or not trains or not self._can_fuse(inputs):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        gamma, beta = (
            tf.fill(self.moving_mean.shape, value)
            if weight is None
            else tf.convert_to_tensor(weight)
            for weight, value in ((self.gamma, 1.0), (self.beta, 0.0))
        )
        output, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=gamma,
            offset=beta,
            mean=tf.zeros(0),
            variance=tf.zeros(0),
            epsilon=self.epsilon,
            is_training=True,
        )
        # The operation returns the unbiased variance, and Keras averages the biased one.
        count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), "float32")
        variance = variance * (tf.maximum(count - 1.0, 1.0) / count)
        for average, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            average.assign(average * self.momentum + value * (1.0 - self.momentum))
        return output

    def _can_fuse(self, inputs: Tensor) -> bool:
        if keras.backend.backend() != "tensorflow" or isinstance(inputs, keras.KerasTensor):
            return False
        has_kernel = inputs.dtype in ("float32", "bfloat16", "float16")
        return has_kernel and self.variable_dtype == "float32" and len(inputs.shape) == 4


@keras.saving.register_keras_serializable(package=PACKAGE)
class FastActivation(keras.layers.Activation):
    """`keras.layers.Activation`. GELU is compiled in training on CPUs, see `apply_activation`."""

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        return apply_activation(self.activation, inputs, training)


def dense(x: Tensor, matrix: Tensor, bias: Tensor | None, sizes: tuple[int, ...]) -> Tensor:
    """Return each position of `x` `(B, T, ...)` times a matrix, plus a bias: `(B, T, *sizes)`."""
    batch, length, *_ = ops.shape(x)
    output = ops.matmul(ops.reshape(x, (-1, matrix.shape[0])), matrix)
    if bias is not None:
        output = ops.add(output, ops.reshape(bias, (-1,)))
    return reshape(output, (batch, length, *sizes))
