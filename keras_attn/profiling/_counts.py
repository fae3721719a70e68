"""Cost of each layer type, dispatched on the type; attention is in `_attention_counts`.

To add a type, register a function with `count.register`. It takes the layer, the shape of the
first call argument and, as keywords, the other call arguments that it needs, with shapes in place
of tensors. All sizes are known, including the batch size.
"""

import dataclasses
import functools
import math
from typing import Any

import keras

from keras_attn import layers
from keras_attn.profiling._calls import Shape, calls, flat


@dataclasses.dataclass(frozen=True)
class Count:
    """Cost of a batch.

    Attributes:
        macs: Number of multiply-accumulate operations.
        bytes_full: See `Cost.attention_bytes_full`.
        bytes_chunked: See `Cost.attention_bytes_chunked`.
    """

    macs: int = 0
    bytes_full: int = 0
    bytes_chunked: int = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(
            self.macs + other.macs,
            max(self.bytes_full, other.bytes_full),
            max(self.bytes_chunked, other.bytes_chunked),
        )


@functools.singledispatch
def count(layer: Any, inputs: Any, **_: Any) -> Count:
    """Return the cost of one call of `layer` with a first argument of the shape `inputs`.

    Raises:
        TypeError: The type is not registered, and has weights or multiplies matrices.
    """
    if getattr(layer, "weights", ()) or type(layer).__name__ in _PRODUCTS:
        raise TypeError(
            f"The cost of layers of type {type(layer).__name__} is not known: {layer.name!r} has "
            "weights, or multiplies matrices. `cost` supports the layers of keras_attn, common "
            "layers of Keras, and functional models of them."
        )
    return Count()


# Layers without weights and operations of `keras.ops` that multiply matrices.
_PRODUCTS = {
    *("AdditiveAttention", "Attention", "Conv", "ConvTranspose", "DepthwiseConv", "Dot"),
    *("DotProductAttention", "Einsum", "Inner", "Matmul", "Outer", "SeparableConv", "Tensordot"),
}


def _free(layer: Any, inputs: Any, **_: Any) -> Count:
    return Count()


for _free_type in (
    layers.BranchMean,
    layers.CutMix,
    layers.Cutout,
    layers.ImageNormalization,
    layers.Mixup,
    layers.NGramEmbedding,
    layers.PositionEmbedding,
    layers.RandomTimeShift,
    layers.RandomColor,
    layers.RandomFlip,
    layers.RandomNoise,
    layers.RandomPlacement,
    layers.RandomShift,
    layers.RandomSpeedPerturbation,
    layers.RandomSpectralTilt,
    layers.RandomTrim,
    layers.RelativePositionBias,
    layers.SinusoidalPositionEncoding,
    layers.SpecAugment,
    keras.layers.BatchNormalization,
    keras.layers.Embedding,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.Normalization,
    keras.layers.PReLU,
    keras.layers.RMSNormalization,
):
    count.register(_free_type, _free)


@count.register(keras.Model)
def _model(model: Any, inputs: Any, **_: Any) -> Count:
    if not hasattr(model, "inputs"):
        raise TypeError(
            f"The cost of {model.name!r} is not known: it is a {type(model).__name__}, and layer "
            "calls can be read only of functional and sequential models. Pass the layers or "
            "functional models that it consists of."
        )
    parts = (count(layer, first, **others) for layer, first, others in calls(model, flat(inputs)))
    return sum(parts, Count())


@count.register(keras.layers.Dense)
def _dense(layer: Any, inputs: Shape, **_: Any) -> Count:
    return Count(math.prod(inputs) * layer.units)


@count.register(keras.layers.EinsumDense)
def _einsum_dense(layer: Any, inputs: Shape, **_: Any) -> Count:
    """Count a multiplication for each combination of the indices of inputs and kernel."""
    input_labels, kernel_labels = layer.equation.split("->")[0].split(",")
    sizes = zip(kernel_labels, layer.kernel.shape, strict=True)
    kernel_only = math.prod(size for label, size in sizes if label not in input_labels)
    return Count(math.prod(inputs) * kernel_only)


@count.register(layers.PatchWhitening)
@count.register(keras.layers.Conv1D)
@count.register(keras.layers.Conv2D)
@count.register(keras.layers.Conv3D)
def _convolution(layer: Any, inputs: Shape, **_: Any) -> Count:
    """Count one window over the channels of a group for each element of the output."""
    outputs = math.prod(layer.compute_output_shape(inputs))
    return Count(outputs * math.prod(layer.kernel.shape[:-1]))


@count.register(keras.layers.DepthwiseConv1D)
@count.register(keras.layers.DepthwiseConv2D)
def _depthwise_convolution(layer: Any, inputs: Shape, **_: Any) -> Count:
    return Count(math.prod(layer.compute_output_shape(inputs)) * math.prod(layer.kernel_size))


@count.register(layers.LogMelSpectrogram)
def _spectrogram(layer: Any, inputs: Shape, **_: Any) -> Count:
    """Count the filters, and the Fourier transform as `2.5 N log2 N` operations on `N` samples."""
    batch, frames, bins = layer.compute_output_shape(inputs)
    length = layer.fft_length
    transform = math.ceil(1.25 * length * math.log2(length))
    return Count(batch * frames * (transform + (length // 2 + 1) * bins))


@count.register(keras.layers.GRUCell)
@count.register(keras.layers.LSTMCell)
def _cell(layer: Any, inputs: Shape, **_: Any) -> Count:
    return Count(
        inputs[0] * sum(math.prod(k.shape) for k in (layer.kernel, layer.recurrent_kernel))
    )


@count.register(keras.layers.GRU)
@count.register(keras.layers.LSTM)
def _recurrent(layer: Any, inputs: Shape, **_: Any) -> Count:
    """Count one step of the cell for each position."""
    batch, length, features = inputs
    return count(layer.cell, (batch * length, features))


@count.register(keras.layers.Bidirectional)
def _bidirectional(layer: Any, inputs: Shape, **_: Any) -> Count:
    return count(layer.forward_layer, inputs) + count(layer.backward_layer, inputs)


@count.register(layers.ConvBlock)
def _conv_block(layer: Any, inputs: Shape, **_: Any) -> Count:
    return count(layer.convolution, inputs)


@count.register(layers.ResidualBlock)
def _residual_block(layer: Any, inputs: Shape, **_: Any) -> Count:
    inner = layer.first.compute_output_shape(inputs)
    total = count(layer.first, inputs) + count(layer.second, inner)
    if layer.projection is not None:
        total += count(layer.projection, (*inner[:-1], inputs[-1]))
    return total


@count.register(layers.SqueezeExcite)
def _squeeze_excite(layer: Any, inputs: Shape, **_: Any) -> Count:
    batch, channels = inputs[0], inputs[-1]
    squeezed = (batch, layer.squeeze_dense.units)
    return count(layer.squeeze_dense, (batch, channels)) + count(layer.excite_dense, squeezed)


@count.register(layers.EfficientChannelAttention)
def _efficient_channel_attention(layer: Any, inputs: Shape, **_: Any) -> Count:
    return count(layer.convolution, (inputs[0], inputs[-1], 1))


@count.register(layers.CBAM)
def _cbam(layer: Any, inputs: Shape, **_: Any) -> Count:
    rows = 2 * inputs[0]  # means and maxima go through the same perceptron
    squeezed = (rows, layer.squeeze_dense.units)
    perceptron = count(layer.squeeze_dense, (rows, inputs[-1])) + count(
        layer.excite_dense, squeezed
    )
    return perceptron + count(layer.spatial_conv, (*inputs[:-1], 2))
