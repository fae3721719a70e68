"""What a layer or a model costs: parameters, floating-point operations, attention memory."""

import dataclasses
from typing import Any

import keras

from keras_attn.profiling._attention_counts import count
from keras_attn.profiling._calls import Shape, flat


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a forward pass costs.

    Attributes:
        parameters: number of weights, trained or not.
        flops: floating-point operations for one example: two for each multiplication and
            addition of convolutions, matrix products and attention. Attention counts every
            pair of query and key, those that a mask or a window forbids too.
            Normalization, activation and pooling are left out, as is usual.
        attention_bytes_full: bytes that the widest attention holds at its peak where all
            `B x N x T x S` scores are built: 8 for each, a float32 score and the weight
            made of it. Additive scores peak before, with 8 bytes for each of the `units`
            features of a pair, and a learned relative bias adds its `4 x N x T x S`. 0
            without attention. `B` is the batch, 1 if it was given as None.
        attention_bytes_chunked: the same for one block of the streaming path, wherever that
            path can compute it (see `keras_attn.ops.attention`); attention that it cannot
            compute counts in full: additive scores, sparsemax and entmax15, weights that
            are returned, Keras's own layers.

    Queries, keys, values, masks and outputs are not in these bytes. Training holds more: on
    the full path the weights of every attention of the model at once, for the gradient.
    """

    parameters: int
    flops: int
    attention_bytes_full: int = 0
    attention_bytes_chunked: int = 0


def cost(model: Any, input_shape: Any = None) -> Cost:
    """What a layer or a model costs in a forward pass.

    An `AttentionDecoder` attends one query at a time, so its bytes are those of one step. A
    layer of an unknown type is taken to be free if it has no weights.

    Args:
        model: a layer, built or not, which stays as it is; a functional or sequential
            `keras.Model`; or an `ImageClassifier`, of which the network is counted.
        input_shape: shape of its input with the batch, such as `(None, 128, 64)`; a list
            of them for several inputs, in the order of the call (query, value). A model with
            known sizes needs none.

    Raises:
        TypeError: it holds a layer whose cost is not known.
        ValueError: sizes that are not known, or that the model was not built for.

    Example:

    >>> from keras_attn.layers import MultiHeadAttention
    >>> spent = cost(MultiHeadAttention(num_heads=8, key_dim=64), [(None, 4096, 512)] * 2)
    >>> spent.parameters, spent.flops, spent.attention_bytes_full
    (1050624, 42949672960, 1073741824)
    >>> spent.attention_bytes_chunked < spent.attention_bytes_full / 8
    True
    """
    model = getattr(model, "network", model)
    if not hasattr(model, "inputs"):
        model = _graph(model, input_shape)
    shapes = _shapes(model, input_shape)
    total = count(model, shapes)
    return Cost(
        parameters=model.count_params(),
        flops=2 * total.macs // shapes[0][0],
        attention_bytes_full=total.bytes_full,
        attention_bytes_chunked=total.bytes_chunked,
    )


def _graph(layer: Any, input_shape: Any) -> keras.Model:
    """A functional model of a copy of `layer` alone."""
    if isinstance(layer, keras.Model) and not isinstance(layer, keras.Sequential):
        count(layer, None)  # says what to pass instead
    if input_shape is None:
        raise ValueError(
            f"The cost of {layer.name!r} depends on the shape of its input. Pass `input_shape`, "
            "the batch included, such as (None, 128, 64); a list of shapes for several inputs."
        )
    copy = type(layer).from_config(layer.get_config())
    inputs = [keras.Input(batch_shape=shape) for shape in flat(input_shape)]
    graph = keras.Model(inputs, copy(*inputs))
    if layer.built and layer.count_params() != copy.count_params():
        raise ValueError(
            f"{layer.name!r} was built for inputs of other sizes. Received: input_shape="
            f"{input_shape}, for which it would have {copy.count_params():,} parameters, where it "
            f"has {layer.count_params():,}."
        )
    return graph


def _shapes(model: keras.Model, input_shape: Any) -> list[Shape]:
    """A shape with all sizes for each input of a functional model."""
    declared = [tuple(x.shape) for x in model.inputs]
    given = declared if input_shape is None else flat(input_shape)
    if [len(shape) for shape in given] != [len(shape) for shape in declared] or any(
        None not in sizes and len(set(sizes)) > 1
        for shapes in zip(given, declared, strict=True)
        for sizes in zip(*shapes, strict=True)
    ):
        raise ValueError(
            f"`input_shape` does not fit the inputs of {model.name!r}, which are {declared}, the "
            f"batch included. Received: {input_shape}."
        )
    shapes = []
    for shapes_of_one in zip(given, declared, strict=True):
        sizes = [a if b is None else b for a, b in zip(*shapes_of_one, strict=True)]
        shapes.append((sizes[0] or 1, *sizes[1:]))
    if any(None in shape for shape in shapes):
        raise ValueError(
            f"The cost of {model.name!r} depends on sizes that are not known: its inputs are "
            f"{shapes}. Pass `input_shape` with all of them but the batch, a list of shapes for "
            "several inputs."
        )
    return shapes
