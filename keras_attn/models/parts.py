"""Find the parts of a classification network: its backbone, its head, and named layers of both.

Parts are found by structure and type, so that networks of this package, networks loaded from
`.keras` files and networks of users are treated alike.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import keras

Tensor = Any
Operation = Any  # a layer, or a function of `keras.ops` in a graph


class _Head(NamedTuple):
    features: list[Tensor]  # the tensors (B, F_k) that the layers with weights read
    operations: list[Operation]  # those from the features to the output


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
    features = _find_head(network).features
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
    features = _find_head(network).features
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
    operations = {id(operation) for operation in _find_head(network).operations}
    return [layer for layer in network.layers if id(layer) in operations]


def _find_head(network: keras.Model) -> _Head:
    outputs = getattr(network, "outputs", None)
    if not outputs or len(outputs) != 1:
        raise ValueError(
            "A classification head is searched for in a functional or sequential model with one "
            f"output. Received: {network!r} with {len(outputs or ())} outputs. Build the "
            "network with `keras.Model(inputs, outputs)`."
        )
    features: list[Tensor] = []
    operations: list[Operation] = []
    pending, seen = [outputs[0]], set()
    while pending:  # depth first, so that branches keep their order
        node = _node(pending.pop())
        if id(node) in seen:
            continue
        seen.add(id(node))
        if not node.input_tensors:
            raise ValueError(
                f"The network {network.name!r} has no classification head: on a path from its "
                f"output back to the input {node.operation.name!r} no layer has weights."
            )
        operations.append(node.operation)
        if _weights(node.operation):
            features += _checked_features(network, node)
        else:
            pending += reversed(node.input_tensors)
    _check_apart(network, features, operations)
    return _Head(_distinct(features), operations)


def _checked_features(network: keras.Model, node: Any) -> list[Tensor]:
    shapes = [tuple(tensor.shape) for tensor in node.input_tensors]
    tensor = node.input_tensors[0]
    floating = keras.backend.is_float_dtype(tensor.dtype)
    if len(shapes) == 1 and len(shapes[0]) == 2 and shapes[0][1] is not None and floating:
        return [tensor]
    raise ValueError(
        f"The network {network.name!r} has no classification head: the last layer with weights, "
        f"{node.operation.name!r}, must read one float tensor of features (B, F). Received: "
        f"{', '.join(map(str, shapes))} of {tensor.dtype}. End the network in a layer such as "
        "`keras.layers.Dense` over pooled features."
    )


def _check_apart(network: keras.Model, features: list[Tensor], operations: list[Operation]) -> None:
    """Raise ValueError if a layer of the head also takes part in the features."""
    with_weights = {id(operation) for operation in operations if _weights(operation)}
    for node in _ancestors(features):
        if id(node.operation) in with_weights:
            raise ValueError(
                f"The network {network.name!r} has no classification head of its own: the layer "
                f"{node.operation.name!r} both computes features and reads them. Read the "
                "features by layers that nothing else depends on."
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


def _distinct(tensors: list[Tensor]) -> list[Tensor]:
    return list({id(tensor): tensor for tensor in tensors}.values())
