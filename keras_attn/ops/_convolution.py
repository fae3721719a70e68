"""Convolution of small maps with a faster gradient, for training in bfloat16 on CPUs."""

import functools
from typing import Any

import keras

from keras_attn.ops._devices import only_cpus
from keras_attn.ops._types import Tensor

# Above it, oneDNN's gradient with respect to the kernel is as fast. It multiplies rows of maps,
# padded to a multiple of 32 positions.
MAX_WIDTH = 8


def gradient_is_faster(inputs: Tensor) -> bool:
    """Return whether `convolve_small_map` trains faster than `keras.ops.conv` on these maps."""
    if keras.backend.backend() != "tensorflow" or isinstance(inputs, keras.KerasTensor):
        return False
    width = inputs.shape[2]
    return inputs.dtype == "bfloat16" and width is not None and width <= MAX_WIDTH and only_cpus()


def convolve_small_map(inputs: Tensor, kernel: Tensor) -> Tensor:
    """Convolve with stride 1 and padding `"same"`, on TensorFlow.

    The gradient with respect to the kernel is one matrix product for each of its positions.

    Args:
        inputs: float tensor `(B, H, W, C)`.
        kernel: tensor `(K, L, C, F)` of the same dtype, with odd `K` and `L`.

    Returns:
        Tensor `(B, H, W, F)`.
    """
    return _function()(inputs, kernel)


@functools.cache
def _function() -> Any:
    import tensorflow as tf

    @tf.custom_gradient
    def convolve(inputs: Tensor, kernel: Tensor) -> Tensor:
        options = {"strides": [1, 1, 1, 1], "padding": "SAME"}

        def gradients(upstream: Tensor) -> tuple[Tensor, Tensor]:
            d_inputs = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(inputs), filter=kernel, out_backprop=upstream, **options
            )
            return d_inputs, _kernel_gradient(inputs, upstream, kernel.shape)

        return tf.nn.conv2d(inputs, kernel, **options), gradients

    return convolve


def _kernel_gradient(inputs: Tensor, upstream: Tensor, shape: Any) -> Tensor:
    """Return the gradient `(K, L, C, F)` from inputs `(B, H, W, C)` and the output's gradient."""
    import tensorflow as tf

    rows, columns, channels, filters = shape
    _, height, width, _ = tf.unstack(tf.shape(inputs))
    top, left = rows // 2, columns // 2
    padded = tf.pad(inputs, [[0, 0], [top, top], [left, left], [0, 0]])
    upstream = tf.reshape(upstream, (-1, filters))
    products = []
    for row in range(rows):
        for column in range(columns):
            shifted = padded[:, row : row + height, column : column + width]
            shifted = tf.reshape(shifted, (-1, channels))
            products.append(tf.matmul(shifted, upstream, transpose_a=True))
    return tf.reshape(tf.stack(products), shape)
