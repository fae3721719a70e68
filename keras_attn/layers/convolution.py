"""Convolution blocks, the stages of image models."""

from typing import Any

import keras
from keras import initializers

from keras_attn._types import Tensor
from keras_attn.layers._fast_layers import FastConv2D, FusedBatchNormalization
from keras_attn.layers._sublayers import (
    PACKAGE,
    check_choice,
    check_positive_integers,
    check_rank,
    clone_initializer,
    is_replicated,
)
from keras_attn.ops._activations import apply_activation

POOLS = {"max": keras.layers.MaxPooling2D, "average": keras.layers.AveragePooling2D}


@keras.saving.register_keras_serializable(package=PACKAGE)
class ConvBlock(keras.layers.Layer):
    """Convolution, pooling, batch normalization, activation, in that order.

    Pooling comes before the normalization, which then computes a quarter of the numbers
    (Page, "How to train your ResNet", 2019; Jordan, arXiv:2404.00498). If it is built under a
    `tf.distribute` strategy, the batch statistics are those of all replicas.

    Args:
        filters: number of channels of the output.
        kernel_size: side of the square kernel.
        strides: stride of the convolution along both sides.
        pool: None, `"max"` or `"average"`, a pooling that halves both sides, rounded down.
        activation: name of a Keras activation, or None.
        padding: `"same"` or `"valid"`.
        momentum: momentum of the moving statistics of the normalization.
        epsilon: added to the variance in the normalization.
        kernel_initializer: initializer of the convolution's kernel.
        scale: whether the normalization multiplies by a learned scale.

    Call arguments:
        inputs: float tensor `(B, H, W, C)`.
        training: whether to normalize by the statistics of the batch.

    Returns:
        Tensor `(B, H', W', filters)`.

    Example:

    >>> import numpy as np
    >>> tuple(ConvBlock(8, pool="max")(np.ones((2, 6, 10, 3), "float32")).shape)
    (2, 3, 5, 8)
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        strides: int = 1,
        pool: str | None = None,
        activation: Any = "relu",
        padding: str = "same",
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        kernel_initializer: Any = "he_normal",
        scale: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integers(self, filters=filters, kernel_size=kernel_size, strides=strides)
        check_choice(self, (None, *POOLS), pool=pool)
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.pool = pool
        self.activation = keras.activations.get(activation)
        self.padding = padding
        self.momentum = momentum
        self.epsilon = epsilon
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.scale = scale

    def build(self, input_shape: Any) -> None:
        check_rank(self, 4, "(batch, height, width, channels)", inputs=input_shape)
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={-1: input_shape[-1]})
        sides = self.compute_output_shape(input_shape)[1:3]
        if any(side is not None and side < 1 for side in sides):
            raise ValueError(
                f"ConvBlock: the output of inputs {tuple(input_shape)} is empty with kernel_size="
                f"{self.kernel_size}, padding={self.padding!r} and pool={self.pool!r}. Use "
                "larger maps, or pool less often."
            )
        self.convolution = FastConv2D(
            self.filters,
            self.kernel_size,
            strides=self.strides,
            padding=self.padding,
            kernel_initializer=clone_initializer(self.kernel_initializer),
            name="convolution",
            dtype=self.dtype_policy,
        )
        self.normalization = FusedBatchNormalization(
            momentum=self.momentum,
            epsilon=self.epsilon,
            scale=self.scale,
            synchronized=is_replicated(),
            name="normalization",
            dtype=self.dtype_policy,
        )
        self.pooling = _make_pooling(self.pool, self.dtype_policy)
        self.convolution.build(input_shape)
        self.normalization.build((None, None, None, self.filters))

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        x = self.convolution(inputs, training=training)
        if self.pooling is not None:
            x = self.pooling(x)
        x = self.normalization(x, training=training)
        return apply_activation(self.activation, x, training)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        spatial = [
            _output_side(side, self.kernel_size, self.strides, self.padding)
            for side in input_shape[1:3]
        ]
        if self.pool is not None:
            spatial = [None if side is None else side // 2 for side in spatial]
        return (input_shape[0], *spatial, self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "pool": self.pool,
            "activation": keras.activations.serialize(self.activation),
            "padding": self.padding,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "scale": self.scale,
        }


@keras.saving.register_keras_serializable(package=PACKAGE)
class ResidualBlock(keras.layers.Layer):
    """Two convolutions with a residual connection (He et al., arXiv:1512.03385).

    The shortcut is the identity if the shape stays the same. If the sides are halved it is
    average-pooled, and if the number of channels changes it is projected by a 1x1
    convolution, so that both shapes always match.

    Args:
        filters: number of channels of the output.
        downsample: None; `"max"` or `"average"`, which pool after the first
            convolution; or `"stride"`, a first convolution of stride 2. All three halve
            both sides, rounded down; `"stride"` needs even sides.
        activation: name of a Keras activation, or None.
        momentum: see `ConvBlock`.
        epsilon: see `ConvBlock`.
        kernel_initializer: initializer of the convolutions' kernels.
        scale: whether the normalizations multiply by a learned scale.

    Call arguments:
        inputs: float tensor `(B, H, W, C)`.
        training: whether to normalize by the statistics of the batch.

    Returns:
        Tensor `(B, H, W, filters)`, or `(B, H // 2, W // 2, filters)`.

    Example:

    >>> import numpy as np
    >>> block = ResidualBlock(16, downsample="max")
    >>> tuple(block(np.ones((2, 8, 6, 4), "float32")).shape)
    (2, 4, 3, 16)
    """

    def __init__(
        self,
        filters: int,
        downsample: str | None = None,
        activation: Any = "relu",
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        kernel_initializer: Any = "he_normal",
        scale: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integers(self, filters=filters)
        check_choice(self, (None, *POOLS, "stride"), downsample=downsample)
        self.filters = filters
        self.downsample = downsample
        self.activation = keras.activations.get(activation)
        self.momentum = momentum
        self.epsilon = epsilon
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.scale = scale

    def build(self, input_shape: Any) -> None:
        check_rank(self, 4, "(batch, height, width, channels)", inputs=input_shape)
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={-1: input_shape[-1]})
        strided = self.downsample == "stride"
        if strided and any(side is not None and side % 2 for side in input_shape[1:3]):
            raise ValueError(
                'ResidualBlock: downsample="stride" needs even sides, to match the shortcut. '
                f'Received: inputs {tuple(input_shape)}. Use downsample="max" or "average".'
            )
        pool = None if strided else self.downsample
        common = {
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "scale": self.scale,
            "dtype": self.dtype_policy,
        }

        def block(name: str, kernel_size: int = 3, **settings: Any) -> ConvBlock:
            initializer = clone_initializer(self.kernel_initializer)
            return ConvBlock(
                self.filters,
                kernel_size,
                kernel_initializer=initializer,
                name=name,
                **settings,
                **common,
            )

        self.first = block(
            "first", strides=2 if strided else 1, pool=pool, activation=self.activation
        )
        self.second = block("second", activation=None)
        self.pooling = _make_pooling("average" if self.downsample else None, self.dtype_policy)
        self.projection = None
        if input_shape[-1] != self.filters:
            self.projection = block("projection", kernel_size=1, activation=None)
            self.projection.build(input_shape)
        self.first.build(input_shape)
        self.second.build(self.first.compute_output_shape(input_shape))

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        residual = self.second(self.first(inputs, training=training), training=training)
        shortcut = inputs if self.pooling is None else self.pooling(inputs)
        if self.projection is not None:
            shortcut = self.projection(shortcut, training=training)
        return apply_activation(self.activation, residual + shortcut, training)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        batch, *spatial, _ = input_shape
        if self.downsample is not None:
            spatial = [None if side is None else side // 2 for side in spatial]
        return (batch, *spatial, self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "downsample": self.downsample,
            "activation": keras.activations.serialize(self.activation),
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "scale": self.scale,
        }


def _make_pooling(kind: str | None, dtype: Any) -> keras.layers.Layer | None:
    return (
        None
        if kind is None
        else POOLS[kind](2, data_format="channels_last", name="pooling", dtype=dtype)
    )


def _output_side(side: int | None, kernel: int, stride: int, padding: str) -> int | None:
    if side is None:
        return None
    positions = side if padding == "same" else side - kernel + 1
    return -(-positions // stride)  # rounded up
