"""Attention weights of an image model."""

import dataclasses
import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_attn import models
from keras_attn.layers import SelfAttention2D, TransformerEncoderBlock
from keras_attn.tasks.task import Task

# Layers that compute each position of a map or each token by itself.
WITHIN_POSITIONS = (
    keras.layers.Activation,
    keras.layers.BatchNormalization,
    keras.layers.Dropout,
    keras.layers.LayerNormalization,
    keras.layers.Reshape,
)


@dataclasses.dataclass(frozen=True)
class AttentionMap:
    """The attention weights of one layer over the positions of its feature map.

    Attributes:
        layer: Name of the layer.
        weights: Float32 array `(B, num_heads, H, W, H', W')`: the weight of the key at the second
            `(row, column)` for the query at the first. In a layer that downsamples its keys,
            `H' = H // downsample`.
        downsample: Side of the squares of positions whose mean is a key.
    """

    layer: str
    weights: np.ndarray
    downsample: int = 1

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
    features = keras.Model(network.inputs[0], layer_inputs)(inputs)
    maps = []
    for layer, sides in layers:
        feature_map = features[layer.name]
        _, scores = layer(feature_map, return_attention_scores=True)
        height, width = sides or feature_map.shape[1:3]
        downsample = getattr(layer, "downsample", 1)
        keys = (height // downsample, width // downsample)
        shape = (len(images), layer.num_heads, height, width, *keys)
        weights = ops.convert_to_numpy(ops.cast(scores, "float32")).reshape(shape)
        maps.append(AttentionMap(layer.name, weights, downsample))
    return maps


def attention_rollout(network: keras.Model, inputs: Any) -> np.ndarray | None:
    """Return how attention mixes the positions of the last map into the pooled features.

    Attention rollout of Abnar and Zuidema (arXiv:2005.00928): the weights of each layer, averaged
    over heads, are averaged with the identity, which represents the residual connection, and
    multiplied from the last layer to the first. Only layers on a map of the size of the last one
    count. The pooling weights, or equal ones without attention pooling, average the rows.

    Args:
        network: A functional model with layers that `attention_maps` reads.
        inputs: Inputs of the network `(B, H, W, C)`.

    Returns:
        Float array `(B, H', W')` whose maps each sum to 1. None if no layer attends, or if layers
        between the last of them and the pooling may mix positions, such as convolutions.

    Example:

    >>> from keras_attn import models
    >>> network = models.build("compact_transformer", num_layers=2, num_classes=3)
    >>> rollout = attention_rollout(network, np.zeros((2, 32, 32, 3), "float32"))
    >>> rollout.shape, rollout.sum(axis=(1, 2)).round(4)
    ((2, 8, 8), array([1., 1.]))
    """
    layers = attention_layers(network)
    if not layers or _mixes_positions_after(network, layers[-1][0]):
        return None
    maps = attention_maps(network, inputs)
    batch, _, height, width = maps[-1].weights.shape[:4]
    positions = height * width
    mixing = _pooling_weights(network, inputs)
    if mixing is None:
        mixing = np.full((batch, positions), 1.0 / positions)
    for layer in reversed(maps):
        if layer.weights.shape[2:4] == (height, width):
            mixing = 0.5 * mixing + 0.5 * np.einsum("bq,bqk->bk", mixing, _over_positions(layer))
    return mixing.reshape(batch, height, width)


def _mixes_positions_after(network: keras.Model, layer: keras.layers.Layer) -> bool:
    """Return whether operations between a layer and the pooling may mix positions of its map."""
    feature_map = models.last_feature_map(network)
    if feature_map is None:
        return True
    tensor = feature_map.tensor
    while True:
        operation, index, _ = tensor._keras_history
        if operation is layer:
            return False
        inputs = operation._inbound_nodes[index].input_tensors
        if not isinstance(operation, WITHIN_POSITIONS) or len(inputs) != 1:
            return True
        (tensor,) = inputs


def _over_positions(layer: AttentionMap) -> np.ndarray:
    """Return the mean weights of all heads `(B, H * W, H * W)`, with rows that sum to 1.

    In a layer that downsamples its keys, the weight of a key is split over its positions. Those at
    the right and lower edges that are in no key have none.
    """
    weights = layer.weights.mean(axis=1, dtype="float64")
    batch, height, width, key_height, key_width = weights.shape
    rows, columns = (np.arange(size) // layer.downsample for size in (height, width))
    in_key = (rows < key_height)[:, None] & (columns < key_width)
    rows, columns = np.minimum(rows, key_height - 1), np.minimum(columns, key_width - 1)
    weights = weights[:, :, :, rows][..., columns] * in_key
    weights = weights.reshape(batch, height * width, -1)
    return weights / np.maximum(weights.sum(axis=-1, keepdims=True), 1e-12)


def _pooling_weights(network: keras.Model, inputs: Any) -> np.ndarray | None:
    """Return the attention pooling's weight of each position `(B, T)`, or None without one."""
    pooling = models.attention_pooling(network)
    if pooling is None:
        return None
    pooled = keras.Model(network.inputs[0], pooling.input)(inputs)
    x, *masks = keras.tree.flatten(pooled)
    padding_mask = masks[0] if masks else None
    _, scores = pooling(x, padding_mask=padding_mask, return_attention_scores=True)
    weights = ops.convert_to_numpy(ops.cast(scores, "float32")).astype("float64")
    weights = weights.reshape(weights.shape[0], -1, weights.shape[-1]).mean(axis=1)
    return weights / np.maximum(weights.sum(axis=-1, keepdims=True), 1e-12)


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
