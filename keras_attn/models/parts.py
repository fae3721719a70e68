"""Find the parts of a network: backbone, head, n-gram embedding and attention pooling.

Parts are found by structure and type, so that networks of this package, networks loaded from
`.keras` files and networks of users are treated alike.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras

from keras_attn._types import Tensor
from keras_attn._wording import counted
from keras_attn.layers import AttentionPooling, NGramEmbedding

Operation = Any  # a layer, or a function of `keras.ops` in a graph


class _End(NamedTuple):
    """The end of a network, searched back from the output to the last layers with weights."""

    nodes: list[Any]  # calls of these layers, in the order of branches
    operations: list[Operation]  # these layers, and all operations after them
    inputs: list[Operation]  # inputs of the network that reach the output without weights


def backbone(network: keras.Model) -> keras.Model:
    """Return the network from its inputs to the features that its classification head reads.

    The head begins with the last layers that have weights: they are found by walking back from
    the output through operations without weights (activations, scaling, a mean of branches).
    Where there are several, as in text models with `bag=True`, the features of all branches
    are concatenated.

    Args:
        network: A functional or sequential model with one output.

    Returns:
        A functional model to features `(B, F)` that shares the layers of `network`: setting
        `trainable = False` on it freezes them, and leaves the head as it is. Compile the
        network again after that.

    Raises:
        ValueError: The network is no functional or sequential model with one output; or the
            last layers with weights read something else than features `(B, F)`.

    Example:

    >>> from keras_attn import models
    >>> network = models.build("attention_net", stage_filters=(8, 16, 32), num_classes=4)
    >>> backbone(network).output.shape
    (None, 32)
    """
    features = _find_features(network)
    joined = features[0]
    if len(features) > 1:
        joined = keras.layers.Concatenate(name="backbone_features")(features)
    inputs = network.inputs[0] if isinstance(network, keras.Sequential) else network.input
    return keras.Model(inputs, joined, name=f"{network.name}_backbone")


def head(network: keras.Model) -> keras.Model:
    """Return the network from the features of `backbone(network)` to its output.

    Args:
        network: A functional or sequential model with one output.

    Returns:
        A functional model from features `(B, F)` that shares the layers of `network`.

    Raises:
        ValueError: See `backbone`.

    Example:

    >>> import numpy as np
    >>> from keras_attn import models
    >>> network = models.build("small_attention_cnn", num_classes=4)
    >>> images = np.ones((2, 32, 32, 3), "float32")
    >>> logits = head(network)(backbone(network)(images))
    >>> float(keras.ops.max(keras.ops.abs(logits - network(images))))
    0.0
    """
    features = _find_features(network)
    name = f"{network.name}_head"
    if len(features) == 1:
        return keras.Model(features[0], network.outputs[0], name=name)
    widths = [tensor.shape[-1] for tensor in features]
    branches = keras.Model(features, network.outputs[0], name=f"{name}_branches")
    joined = keras.Input((sum(widths),), dtype=features[0].dtype, name="features")
    parts, start = [], 0
    for width in widths:
        parts.append(joined[:, start : start + width])
        start += width
    return keras.Model(joined, branches(parts), name=name)


def head_layers(network: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers from the features of `backbone(network)` to the output, in their order.

    Raises:
        ValueError: See `backbone`.

    Example:

    >>> from keras_attn import models
    >>> [layer.name for layer in head_layers(models.build("attention_net"))]
    ['head', 'logits']
    """
    _find_features(network)  # raises ValueError if there is no head
    operations = {id(operation) for operation in _find_end(network).operations}
    return [layer for layer in network.layers if id(layer) in operations]


def ngram_embedding(network: keras.Model) -> NGramEmbedding:
    """Return the layer that embeds the n-grams of all orders of a text network.

    It is the first `NGramEmbedding` with ratio features (`num_ratios` above 0); if none has
    them, the first `NGramEmbedding`. A text model may have others that embed words only.

    Raises:
        ValueError: The network has no `NGramEmbedding`.

    Example:

    >>> from keras_attn import models
    >>> network = models.build("recurrent_attention", vocabulary_sizes=(9, 7))
    >>> ngram_embedding(network).vocabulary_sizes
    (9, 7)
    """
    embeddings = [layer for layer in network.layers if isinstance(layer, NGramEmbedding)]
    for layer in embeddings:
        if layer.num_ratios:
            return layer
    if embeddings:
        return embeddings[0]
    raise ValueError(
        f"The network {network.name!r} has no NGramEmbedding layer. Its layers are: "
        f"{', '.join(layer.name for layer in network.layers)}. Embed its ids with "
        "`keras_attn.layers.NGramEmbedding`."
    )


def attention_pooling(network: keras.Model) -> AttentionPooling | None:
    """Return the attention pooling whose scores say what the network's output depends on.

    It is the `AttentionPooling` with scores (`score` other than `"uniform"`) that is nearest to
    the output. Where the output is a mean of branches, the first branch with such a layer is
    searched: in text models with `bag=True` the network, not the bag.

    Args:
        network: A functional or sequential model with one output.

    Returns:
        The layer; None if no branch has one.

    Raises:
        ValueError: The network is no functional or sequential model with one output.

    Example:

    >>> from keras_attn import models
    >>> settings = {"vocabulary_sizes": (9, 7), "bag": True}
    >>> attention_pooling(models.build("text_transformer", **settings)).name
    'attention'
    >>> attention_pooling(models.build("text_transformer", attention="none", **settings))
    """
    for end in _find_end(network).nodes:
        for node in (end, *_ancestors(end.input_tensors)):
            layer = node.operation
            if isinstance(layer, AttentionPooling) and layer.score != "uniform":
                return layer
    return None


class FeatureMap(NamedTuple):
    """A feature map inside a network.

    Attributes:
        tensor: The symbolic tensor, `(B, height, width, C)` or `(B, height * width, C)`.
        height: Number of rows.
        width: Number of columns.
    """

    tensor: Tensor
    height: int
    width: int


def last_feature_map(network: keras.Model) -> FeatureMap | None:
    """Return the feature map that is nearest to the output of an image network.

    It is a tensor of rank 4 with more than one position, or the tokens that a
    `keras.layers.Reshape` makes of one, as in `compact_transformer`.

    Args:
        network: A functional or sequential model with one output and channels last.

    Returns:
        The map; None if the network has none of fixed size that a layer with weights computes.

    Raises:
        ValueError: The network is not a functional or sequential model with one output.

    Example:

    >>> from keras_attn import models
    >>> feature_map = last_feature_map(models.build("compact_transformer", num_layers=1))
    >>> feature_map.tensor.shape, feature_map.height, feature_map.width
    ((None, 64, 128), 8, 8)
    """
    _find_end(network)
    nodes = list(_ancestors(list(network.outputs)))
    sides = {
        node.output_tensors[0].shape[1]: tuple(node.input_tensors[0].shape[1:3])
        for node in nodes
        if isinstance(node.operation, keras.layers.Reshape)
        and len(node.output_tensors[0].shape) == 3
        and len(node.input_tensors[0].shape) == 4
        and None not in node.input_tensors[0].shape[1:3]
        and math.prod(node.input_tensors[0].shape[1:3]) == node.output_tensors[0].shape[1]
    }
    for node in nodes:
        before = [node, *_ancestors(node.input_tensors)]
        if not any(_weights(each.operation) for each in before):
            continue  # an input, or its preprocessing
        for tensor in node.output_tensors:
            if len(tensor.shape) == 4:
                height, width = tensor.shape[1:3]
            elif len(tensor.shape) == 3:
                height, width = sides.get(tensor.shape[1], (None, None))
            else:
                continue
            if height is not None and width is not None and height * width > 1:
                return FeatureMap(tensor, height, width)
    return None


def _find_end(network: keras.Model) -> _End:
    """Walk back from the output of a network to the last layers with weights."""
    outputs = getattr(network, "outputs", None)
    if not outputs or len(outputs) != 1:
        raise ValueError(
            "Parts are searched for in a functional or sequential model with one output. "
            f"Received: {network!r} with {counted(len(outputs or ()), 'output')}. Build the "
            "network with `keras.Model(inputs, outputs)`."
        )
    end = _End([], [], [])
    pending, seen = [outputs[0]], set()
    while pending:  # depth first, so that branches keep their order
        node = _node(pending.pop())
        if id(node) in seen:
            continue
        seen.add(id(node))
        if not node.input_tensors:
            end.inputs.append(node.operation)
            continue
        end.operations.append(node.operation)
        if _weights(node.operation):
            end.nodes.append(node)
        else:
            pending += reversed(node.input_tensors)
    return end


def _find_features(network: keras.Model) -> list[Tensor]:
    """Return the tensors `(B, F_k)` that the last layers with weights read, each once."""
    end = _find_end(network)
    if end.inputs:
        raise ValueError(
            f"The network {network.name!r} has no classification head: on a path from its "
            f"output back to the input {end.inputs[0].name!r} no layer has weights."
        )
    features = [_checked_features(network, node) for node in end.nodes]
    weighted = {id(node.operation) for node in end.nodes}
    for node in _ancestors(features):
        if id(node.operation) in weighted:
            raise ValueError(
                f"The network {network.name!r} has no classification head of its own: the layer "
                f"{node.operation.name!r} both computes features and reads them. Read the "
                "features by layers that nothing else depends on."
            )
    return list({id(tensor): tensor for tensor in features}.values())


def _checked_features(network: keras.Model, node: Any) -> Tensor:
    """Return what a layer reads, if it is one tensor of features."""
    shapes = [tuple(tensor.shape) for tensor in node.input_tensors]
    tensor = node.input_tensors[0]
    floating = keras.backend.is_float_dtype(tensor.dtype)
    if len(shapes) == 1 and len(shapes[0]) == 2 and shapes[0][1] is not None and floating:
        return tensor
    raise ValueError(
        f"The network {network.name!r} has no classification head: the last layer with weights, "
        f"{node.operation.name!r}, must read one float tensor of features (B, F). Received: "
        f"{', '.join(map(str, shapes))} of {tensor.dtype}. End the network in a layer such as "
        "`keras.layers.Dense` over pooled features."
    )


def _ancestors(tensors: list[Tensor]) -> Iterator[Any]:
    """Iterate over the nodes that compute tensors, the nearest first."""
    pending, seen = list(tensors), set()
    while pending:
        node = _node(pending.pop(0))
        if id(node) not in seen:
            seen.add(id(node))
            yield node
            pending += node.input_tensors


def _node(tensor: Tensor) -> Any:
    """Return the node of the graph whose output a symbolic tensor is."""
    operation, index, _ = tensor._keras_history
    return operation._inbound_nodes[index]


def _weights(operation: Operation) -> list[Any]:
    return getattr(operation, "weights", [])  # functions of `keras.ops` have none
