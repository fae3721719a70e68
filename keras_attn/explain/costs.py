"""What a model costs: parameters, and floating-point operations of a forward pass."""

import dataclasses
import math
from typing import Any

import keras

from keras_attn import layers


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one example costs.

    Attributes:
        parameters: number of weights, trained or not.
        flops: floating-point operations of a forward pass of one example: two for each
            multiplication and addition of convolutions, matrix products and attention.
            Normalization, activation and pooling are left out, as is usual.
    """

    parameters: int
    flops: int


def cost(model: keras.Model) -> Cost:
    """The cost of a functional model of image layers.

    Args:
        model: a functional `keras.Model` with known sizes, batch aside.

    Raises:
        TypeError: the model holds a layer with weights whose cost is not known.

    Example:

    >>> inputs = keras.Input((8, 8, 3))
    >>> cost(keras.Model(inputs, keras.layers.Conv2D(4, 3, padding="same")(inputs)))
    Cost(parameters=112, flops=13824)
    """
    macs = 0
    for layer in model.layers:
        if not isinstance(layer, keras.layers.InputLayer):
            macs += _macs(layer, tuple(layer.input.shape))
    return Cost(parameters=model.count_params(), flops=2 * macs)


def _macs(layer: Any, shape: tuple) -> int:
    """Multiplications and additions, counted as pairs, of one example of `shape`."""
    if isinstance(layer, keras.layers.Conv2D | layers.PatchWhitening):
        _, height, width, _ = layer.compute_output_shape(shape)
        return math.prod(layer.kernel.shape) * height * width
    if isinstance(layer, keras.layers.Dense):
        return math.prod(layer.kernel.shape) * math.prod(shape[1:-1])
    if isinstance(layer, layers.ConvBlock):
        return _macs(layer.convolution, shape)
    if isinstance(layer, layers.ResidualBlock):
        total = _macs(layer.first, shape)
        inner = layer.first.compute_output_shape(shape)
        total += _macs(layer.second, inner)
        if layer.projection is not None:
            total += _macs(layer.projection, (shape[0], *inner[1:3], shape[-1]))
        return total
    if isinstance(layer, layers.SelfAttention2D):
        return _self_attention_macs(layer, shape)
    if layer.weights:
        raise TypeError(
            f"The cost of layers of type {type(layer).__name__} is not known "
            f"(layer {layer.name!r} has weights)."
        )
    return 0


def _self_attention_macs(layer: layers.SelfAttention2D, shape: tuple) -> int:
    positions = shape[1] * shape[2]
    keys, values = layer.query_conv.filters, layer.value_conv.filters
    projections = 2 * _macs(layer.query_conv, shape) + _macs(layer.value_conv, shape)
    output = _macs(layer.output_conv, (*shape[:-1], values))
    return projections + output + positions**2 * (keys + values)
