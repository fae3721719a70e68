"""Transfer a trained backbone to a network for other classes."""

import math
from typing import NamedTuple

import keras

from keras_attn._wording import counted
from keras_attn.models.parts import backbone


class CopiedBackbone(NamedTuple):
    """The result of `copy_backbone`.

    Attributes:
        num_parameters: Number of parameters copied.
        fresh_layers: Names of the target's layers with weights that were not copied to.
    """

    num_parameters: int
    fresh_layers: tuple[str, ...]


def copy_backbone(source: keras.Model, target: keras.Model) -> CopiedBackbone:
    """Copy every weight of a network's backbone into layers of the same name.

    Nothing is copied unless everything fits.

    Args:
        source: The trained network, a functional or sequential model.
        target: The network to copy to, as a rule one with another head.

    Returns:
        The number of parameters copied, and the names of the layers left as they were.

    Raises:
        ValueError: A layer of the source's backbone has no counterpart in the target's
            backbone, or one with other shapes or another gain; the message names the first. Or one
            of the networks has no backbone, see `backbone`.

    Example:

    >>> from keras_attn import models
    >>> trained, other = (models.build("attention_net", num_classes=n) for n in (10, 3))
    >>> copy_backbone(trained, other).fresh_layers
    ('head',)
    """
    targets = {layer.name: layer for layer in backbone(target).layers}
    pairs = []
    for layer in backbone(source).layers:
        if not layer.weights:
            continue
        counterpart = targets.get(layer.name)
        if counterpart is None:
            raise ValueError(
                f"The backbone of {target.name!r} has no layer {layer.name!r}, which that of "
                f"{source.name!r} has. Build both with the same settings."
            )
        if misfit := _misfit(layer, counterpart):
            raise ValueError(
                f"The layer {layer.name!r} of {target.name!r} does not fit that of "
                f"{source.name!r}: {misfit}. Build both with the same settings."
            )
        pairs.append((layer, counterpart))
    number = 0
    for layer, counterpart in pairs:
        counterpart.set_weights(layer.get_weights())
        number += sum(math.prod(weight.shape) for weight in layer.weights)
    copied = {layer.name for layer, _ in pairs}
    fresh = [layer.name for layer in target.layers if layer.weights and layer.name not in copied]
    return CopiedBackbone(number, tuple(fresh))


def _misfit(source: keras.layers.Layer, target: keras.layers.Layer) -> str | None:
    """Return how weights of two layers differ in number, shape or scale; None if they do not."""
    if len(source.weights) != len(target.weights):
        return (
            f"it has {counted(len(target.weights), 'weight')}, and the other {len(source.weights)}"
        )
    for weight, other in zip(source.weights, target.weights, strict=True):
        if tuple(weight.shape) != tuple(other.shape):
            return f"its {other.name!r} has shape {other.shape}, and the other's {weight.shape}"
    gains = [getattr(layer, "gain", None) for layer in (target, source)]  # factors on weights
    if gains[0] != gains[1]:
        return f"its gain is {gains[0]}, and the other's {gains[1]}"
    return None
