"""Transfer a trained backbone to a network for other classes."""

import dataclasses
import math
from typing import Any, NamedTuple

import keras

from keras_attn.models.parts import backbone
from keras_attn.models.registry import build, describe_architecture


class CopiedBackbone(NamedTuple):
    """What `copy_backbone` did.

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
            backbone, or one with other shapes; the message names the first. Or one of the
            networks has no backbone, see `backbone`.

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


def build_with_new_head(
    architecture: str, source: keras.Model, num_classes: int, **settings: Any
) -> keras.Model:
    """Build an architecture for another number of classes, with a trained backbone.

    The log-count ratios of a text model stay those of the classes that its backbone was
    trained for: the config field `ratio_classes` says how many there are.

    Args:
        architecture: A registered name of a classifier, see `list_architectures`.
        source: The trained network, built from the same architecture and settings.
        num_classes: Number of classes of the new network.
        **settings: The settings that `source` was built with, except `num_classes`.

    Returns:
        A network with the backbone's weights copied, and a fresh head.

    Raises:
        ValueError: See `configure` and `copy_backbone`.

    Example:

    >>> from keras_attn import models
    >>> trained = models.build("small_attention_cnn", filters=(8, 16))
    >>> new = build_with_new_head("small_attention_cnn", trained, 3, filters=(8, 16))
    >>> new.output.shape
    (None, 3)
    """
    fields = {
        field.name for field in dataclasses.fields(describe_architecture(architecture).config)
    }
    if "ratio_classes" in fields and settings.get("ratio_classes") is None:
        settings = {**settings, "ratio_classes": source.output_shape[-1]}
    target = build(architecture, num_classes=num_classes, **settings)
    copy_backbone(source, target)
    return target


def _misfit(source: keras.layers.Layer, target: keras.layers.Layer) -> str | None:
    """Return how the weights of two layers differ in number or shape; None if they do not."""
    if len(source.weights) != len(target.weights):
        return f"it has {len(target.weights)} weights, and the other {len(source.weights)}"
    for weight, other in zip(source.weights, target.weights, strict=True):
        if tuple(weight.shape) != tuple(other.shape):
            return f"its {other.name!r} has shape {other.shape}, and the other's {weight.shape}"
    return None
