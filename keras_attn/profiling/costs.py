"""Cost of a layer or a model: parameters, floating-point operations, attention memory."""

import dataclasses
from typing import Any

import keras

from keras_attn.profiling._attention_counts import count
from keras_attn.profiling._calls import Shape, flat


@dataclasses.dataclass(frozen=True)
class Cost:
    """Cost of a forward pass.

    Attributes:
        parameters: Number of weights, trainable or not.
        flops: Floating-point operations for one example: two for each multiply-accumulate of
            convolutions, matrix products and attention. Attention counts every pair of query
            and key, including pairs excluded by a mask or a window. Normalization, activation
            and pooling are not counted, as is usual.
        attention_bytes_full: Peak memory in bytes of the attention layer that needs most, if
            all `B x N x T x S` scores are stored: 8 bytes for each pair of query and key, a
            float32 score and a float32 weight. Additive scores need 8 bytes for each of the
            `units` features of a pair, and a learned relative bias adds `4 x N x T x S` bytes.
            0 without attention. `B` is the batch size, or 1 if it is None.
        attention_bytes_chunked: The same for one block of the streaming path, see
            `keras_attn.ops.attention`. Attention that the streaming path does not support
            counts in full: additive scores, sparsemax and entmax15, returned attention scores,
            and Keras's own attention layers.

    These bytes exclude queries, keys, values, masks and outputs. Training needs more memory: on
    the full path, the weights of all attention layers are stored for the gradient.
    """

    parameters: int
    flops: int
    attention_bytes_full: int = 0
    attention_bytes_chunked: int = 0


def cost(model: Any, input_shape: Any = None) -> Cost:
    """Return the cost of a forward pass of a layer or a model.

    An `AttentionDecoder` attends with one query at a time, so its bytes are those of one step.
    Layers of unknown types count as free if they have no weights.

    Args:
        model: A layer, built or not, which is not changed; a functional or sequential
            `keras.Model`; or a classification task, whose network is counted.
        input_shape: Shape of the input including the batch size, such as `(None, 128, 64)`; a
            list of shapes for several inputs, in the order of the call (query, value). It is
            optional for models with known sizes.

    Raises:
        TypeError: The model has a layer whose cost is not known.
        ValueError: A size is not known, or does not fit the sizes that the model was built for.

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
    """Return a functional model that calls a copy of `layer`."""
    if isinstance(layer, keras.Model) and not isinstance(layer, keras.Sequential):
        count(layer, None)  # raises an error that says what to pass instead
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
    """Return the shape of each input of a functional model, with all sizes known."""
    declared = [tuple(x.shape) for x in model.inputs]
    requested = declared if input_shape is None else flat(input_shape)
    if [len(shape) for shape in requested] != [len(shape) for shape in declared] or any(
        None not in sizes and len(set(sizes)) > 1
        for shapes in zip(requested, declared, strict=True)
        for sizes in zip(*shapes, strict=True)
    ):
        raise ValueError(
            f"`input_shape` does not fit the inputs of {model.name!r}, which are {declared}, the "
            f"batch included. Received: {input_shape}."
        )
    shapes = []
    for pair in zip(requested, declared, strict=True):
        sizes = [a if b is None else b for a, b in zip(*pair, strict=True)]
        shapes.append((sizes[0] or 1, *sizes[1:]))
    if any(None in shape for shape in shapes):
        raise ValueError(
            f"The cost of {model.name!r} depends on sizes that are not known: its inputs are "
            f"{shapes}. Pass `input_shape` with all of them but the batch, a list of shapes for "
            "several inputs."
        )
    return shapes
