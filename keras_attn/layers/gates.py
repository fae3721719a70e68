"""Channel and spatial attention: feature maps multiplied by learned gates."""

import math
from typing import Any

import keras
from keras import initializers, ops

from keras_attn._types import Tensor
from keras_attn.layers._sublayers import (
    PACKAGE,
    check_positive_integers,
    check_rank,
    clone_initializer,
)


@keras.saving.register_keras_serializable(package=PACKAGE)
class SqueezeExcite(keras.layers.Layer):
    """A gate on every channel, from the means of all channels (Hu et al., arXiv:1709.01507).

    The mean of each channel over the map goes through a bottleneck of `max(1, C // ratio)`
    units and back to `C`, then through `gate_activation`, and multiplies the channel.

    Args:
        ratio: channels divided by units of the bottleneck.
        activation: Keras activation of the bottleneck.
        gate_activation: Keras activation of the gate.
        use_bias: whether the two dense layers have biases; the authors found none better on
            residual networks.
        kernel_initializer: initializer of the dense layers' kernels.
        bias_initializer: initializer of their biases.

    Call arguments:
        inputs: float tensor `(B, H, W, C)`.

    Returns:
        Tensor `(B, H, W, C)`. Means are taken in float32, as `keras.ops.mean` does.

    Example:

    >>> import numpy as np
    >>> tuple(SqueezeExcite(ratio=4)(np.ones((2, 5, 6, 8), "float32")).shape)
    (2, 5, 6, 8)
    """

    def __init__(
        self,
        ratio: int = 16,
        activation: Any = "relu",
        gate_activation: Any = "sigmoid",
        use_bias: bool = False,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integers(self, ratio=ratio)
        self.ratio = ratio
        self.activation = keras.activations.get(activation)
        self.gate_activation = keras.activations.get(gate_activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)

    def build(self, input_shape: Any) -> None:
        channels = _channels(self, input_shape)
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={-1: channels})
        units = max(1, channels // self.ratio)
        self.squeeze_dense = _make_dense(self, "squeeze", units, self.activation)
        self.excite_dense = _make_dense(self, "excite", channels, self.gate_activation)
        self.squeeze_dense.build((None, channels))
        self.excite_dense.build((None, units))

    def call(self, inputs: Tensor) -> Tensor:
        gate = self.excite_dense(self.squeeze_dense(ops.mean(inputs, axis=(1, 2))))
        return inputs * gate[:, None, None, :]

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "ratio": self.ratio,
            "activation": keras.activations.serialize(self.activation),
            "gate_activation": keras.activations.serialize(self.gate_activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
        }


@keras.saving.register_keras_serializable(package=PACKAGE)
class EfficientChannelAttention(keras.layers.Layer):
    """A gate on every channel, from the means of its neighbours (Wang et al., arXiv:1910.03151).

    One kernel without bias slides over the means of the channels, zeros beyond the
    first and the last, and a sigmoid of it multiplies each channel. There are `kernel_size`
    weights in all. The order of the channels matters, unlike in `SqueezeExcite`.

    Args:
        kernel_size: number of channels that each gate depends on, odd; None is the odd
            number nearest to `abs((log2(C) + beta) / gamma)`, the larger of two equally near.
        gamma: see `kernel_size`.
        beta: see `kernel_size`.
        kernel_initializer: initializer of the kernel.

    Call arguments:
        inputs: float tensor `(B, H, W, C)`.

    Returns:
        Tensor `(B, H, W, C)`. Means are taken in float32, as `keras.ops.mean` does.

    Example:

    >>> import numpy as np
    >>> layer = EfficientChannelAttention()
    >>> tuple(layer(np.ones((2, 5, 6, 256), "float32")).shape), layer.count_params()
    ((2, 5, 6, 256), 5)
    """

    def __init__(
        self,
        kernel_size: int | None = None,
        gamma: float = 2,
        beta: float = 1,
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if kernel_size is not None:
            _check_odd(self, kernel_size=kernel_size)
        if not gamma > 0:
            raise ValueError(
                f"EfficientChannelAttention: `gamma` must be positive. Received: {gamma!r}."
            )
        self.kernel_size = kernel_size
        self.gamma = gamma
        self.beta = beta
        self.kernel_initializer = initializers.get(kernel_initializer)

    def build(self, input_shape: Any) -> None:
        channels = _channels(self, input_shape)
        self.input_spec = keras.layers.InputSpec(ndim=4)
        self.convolution = keras.layers.Conv1D(
            1,
            self.kernel_size or self._adaptive_kernel_size(channels),
            padding="same",
            activation="sigmoid",
            use_bias=False,
            kernel_initializer=clone_initializer(self.kernel_initializer),
            data_format="channels_last",
            name="convolution",
            dtype=self.dtype_policy,
        )
        self.convolution.build((None, channels, 1))

    def call(self, inputs: Tensor) -> Tensor:
        gate = self.convolution(ops.mean(inputs, axis=(1, 2))[..., None])
        return inputs * gate[:, None, None, :, 0]

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "gamma": self.gamma,
            "beta": self.beta,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
        }

    def _adaptive_kernel_size(self, channels: int) -> int:
        size = int(abs((math.log2(channels) + self.beta) / self.gamma))
        return size if size % 2 else size + 1


@keras.saving.register_keras_serializable(package=PACKAGE)
class CBAM(keras.layers.Layer):
    """A gate on every channel, then one on every position (Woo et al., arXiv:1807.06521).

    The channel gate is the sigmoid of the sum of one perceptron (`max(1, C // ratio)`
    units, relu, `C` units) of the channels' means and of their maxima. The spatial gate is
    the sigmoid of a convolution over the mean and the maximum of each position's channels.
    As in the paper's formulas neither has a bias; the authors' code has biases in the
    perceptron and batch normalization after the convolution.

    Args:
        ratio: channels divided by hidden units of the perceptron.
        kernel_size: side of the convolution's square kernel, odd.
        use_bias: whether the perceptron and the convolution have biases.
        kernel_initializer: initializer of the kernels.
        bias_initializer: initializer of the biases.

    Call arguments:
        inputs: float tensor `(B, H, W, C)`.

    Returns:
        Tensor `(B, H, W, C)`. Means are taken in float32, as `keras.ops.mean` does.

    Example:

    >>> import numpy as np
    >>> tuple(CBAM(ratio=4)(np.ones((2, 5, 6, 8), "float32")).shape)
    (2, 5, 6, 8)
    """

    def __init__(
        self,
        ratio: int = 16,
        kernel_size: int = 7,
        use_bias: bool = False,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integers(self, ratio=ratio)
        _check_odd(self, kernel_size=kernel_size)
        self.ratio = ratio
        self.kernel_size = kernel_size
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)

    def build(self, input_shape: Any) -> None:
        channels = _channels(self, input_shape)
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={-1: channels})
        units = max(1, channels // self.ratio)
        self.squeeze_dense = _make_dense(self, "squeeze", units, "relu")
        self.excite_dense = _make_dense(self, "excite", channels, None)
        self.spatial_conv = keras.layers.Conv2D(
            1,
            self.kernel_size,
            padding="same",
            activation="sigmoid",
            use_bias=self.use_bias,
            kernel_initializer=clone_initializer(self.kernel_initializer),
            bias_initializer=clone_initializer(self.bias_initializer),
            data_format="channels_last",
            name="spatial",
            dtype=self.dtype_policy,
        )
        self.squeeze_dense.build((None, channels))
        self.excite_dense.build((None, units))
        self.spatial_conv.build((*input_shape[:-1], 2))

    def call(self, inputs: Tensor) -> Tensor:
        mean, maximum = (
            self.excite_dense(self.squeeze_dense(descriptor))
            for descriptor in (ops.mean(inputs, axis=(1, 2)), ops.max(inputs, axis=(1, 2)))
        )
        x = inputs * ops.sigmoid(mean + maximum)[:, None, None, :]
        statistics = [ops.mean(x, axis=-1), ops.max(x, axis=-1)]
        return x * self.spatial_conv(ops.stack(statistics, axis=-1))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "ratio": self.ratio,
            "kernel_size": self.kernel_size,
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
        }


def _channels(layer: keras.layers.Layer, input_shape: Any) -> int:
    """Return the number of channels of feature maps.

    Raises:
        ValueError: the inputs are not feature maps, or their channels are unknown.
    """
    check_rank(layer, 4, "(batch, height, width, channels)", inputs=input_shape)
    if input_shape[-1] is None:
        raise ValueError(
            f"{type(layer).__name__}: the channels of `inputs` must be known. "
            f"Received: {tuple(input_shape)}."
        )
    return input_shape[-1]


def _check_odd(layer: keras.layers.Layer, **arguments: Any) -> None:
    check_positive_integers(layer, **arguments)
    for name, value in arguments.items():
        if value % 2 == 0:
            raise ValueError(f"{type(layer).__name__}: `{name}` must be odd. Received: {value!r}.")


def _make_dense(layer: Any, name: str, units: int, activation: Any) -> keras.layers.Dense:
    return keras.layers.Dense(
        units,
        activation=activation,
        use_bias=layer.use_bias,
        kernel_initializer=clone_initializer(layer.kernel_initializer),
        bias_initializer=clone_initializer(layer.bias_initializer),
        name=name,
        dtype=layer.dtype_policy,
    )
