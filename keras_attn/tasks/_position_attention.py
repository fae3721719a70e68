"""Attention weights of an image model."""

import dataclasses
import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_attn.layers import SelfAttention2D, TransformerEncoderBlock
from keras_attn.tasks.task import Task


@dataclasses.dataclass(frozen=True)
class AttentionMap:
    """The attention weights of one layer over the positions of its feature map.

    Attributes:
        layer: Name of the layer.
        weights: Float32 array `(B, num_heads, H, W, H', W')`: the weight of the key at the second
            `(row, column)` for the query at the first. In a layer that downsamples its keys,
            `H' = H // downsample`.
    """

    layer: str
    weights: np.ndarray

    def query(self, row: int, column: int, image: int = 0) -> np.ndarray:
        """Return the weights `(H', W')` of the keys for one query, averaged over heads."""
        return self.weights[image, :, row, column].mean(axis=0)

    def received(self, image: int = 0) -> np.ndarray:
        """Return the weights `(H', W')` of the keys, averaged over heads and queries."""
        return self.weights[image].mean(axis=(0, 1, 2))

    def entropy(self) -> np.ndarray:
        """Return the entropy of each head in nats, averaged over queries: `(B, num_heads)`.

        It is the logarithm of the number of keys for uniform attention, and 0 if each query
        attends to a single key.
        """
        batch, heads, height, width = self.weights.shape[:4]
        rows = self.weights.reshape(batch, heads, height * width, -1)
        normalized = rows / np.maximum(rows.sum(axis=-1, keepdims=True), 1e-12)
        return -(normalized * np.log(np.maximum(normalized, 1e-12))).sum(axis=-1).mean(axis=-1)


def attention_maps(model: Any, images: np.ndarray) -> list[AttentionMap]:
    """Return the attention weights over the positions of a model's maps, first layer to last.

    They are those of each `SelfAttention2D`, and of each `TransformerEncoderBlock` whose tokens
    are the positions of a feature map, made by a `keras.layers.Reshape`. Layers that pool, such
    as `AttentionPooling`, have no queries on a map and are not included.

    Args:
        model: An `ImageClassifier`, or a functional model with such layers. Layers of nested
            models are not included.
        images: For a classifier, uint8 images `(B, H, W, 3)` of any size; for another model, its
            input.

    Raises:
        TypeError: `model` is neither an image classifier nor another Keras model.
        ValueError: The model has no such layer.

    Example:

    >>> from keras_attn import datasets, tasks
    >>> labels = datasets.describe_dataset("shapes").label_names
    >>> model = tasks.from_architecture("small_attention_cnn", labels)
    >>> maps = attention_maps(model, np.zeros((2, 32, 32, 3), "uint8"))
    >>> maps[0].layer, maps[0].weights.shape
    ('attention', (2, 1, 8, 8, 8, 8))
    """
    is_task = isinstance(model, Task)
    if not isinstance(model, keras.Model) or (is_task and not hasattr(model, "normalization")):
        raise TypeError(
            "`model` must be an ImageClassifier or a functional Keras model with attention over "
            f"the positions of a map. Received: {type(model).__name__}. For attention to words "
            "call `explain(text)` of a text classifier or translator."
        )
    network, inputs = model, images
    if is_task:
        network, inputs = model.network, model.normalization(model.preprocess(images))
    layers = attention_layers(network)
    if not layers:
        raise ValueError(
            f"The model {model.name!r} has no attention over the positions of a map to read: no "
            "SelfAttention2D, and no TransformerEncoderBlock after a Reshape of a map to tokens. "
            f"Its layers are: {', '.join(layer.name for layer in network.layers)}."
        )
    layer_inputs = {layer.name: layer.input for layer, _ in layers}
    features = keras.Model(network.inputs, layer_inputs)(inputs)
    maps = []
    for layer, sides in layers:
        feature_map = features[layer.name]
        _, scores = layer(feature_map, return_attention_scores=True)
        height, width = sides or feature_map.shape[1:3]
        downsample = getattr(layer, "downsample", 1)
        keys = (height // downsample, width // downsample)
        shape = (len(images), layer.num_heads, height, width, *keys)
        weights = ops.convert_to_numpy(ops.cast(scores, "float32")).reshape(shape)
        maps.append(AttentionMap(layer.name, weights))
    return maps


def attention_layers(
    network: keras.Model,
) -> list[tuple[keras.layers.Layer, tuple[int, int] | None]]:
    """Return the layers that `attention_maps` reads, each with `(H, W)` if it reads tokens."""
    sides = {
        layer.output.shape[1]: tuple(layer.input.shape[1:3])
        for layer in network.layers
        if isinstance(layer, keras.layers.Reshape)
        and (len(layer.input.shape), len(layer.output.shape)) == (4, 3)
        and None not in layer.input.shape[1:3]
        and layer.output.shape[1] == math.prod(layer.input.shape[1:3])
    }
    result: list[tuple[keras.layers.Layer, tuple[int, int] | None]] = []
    for layer in network.layers:
        if isinstance(layer, SelfAttention2D):
            result.append((layer, None))
        elif isinstance(layer, TransformerEncoderBlock) and layer.input.shape[1] in sides:
            result.append((layer, sides[layer.input.shape[1]]))
    return result
