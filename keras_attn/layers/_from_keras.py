"""Arguments and conversion of `keras.layers.MultiHeadAttention`."""

from typing import Any

import keras

_SHARED = (
    *("num_heads", "key_dim", "value_dim", "dropout", "use_bias", "output_shape", "seed"),
    *("kernel_initializer", "bias_initializer", "kernel_regularizer", "bias_regularizer"),
    *("activity_regularizer", "kernel_constraint", "bias_constraint"),
    *("name", "dtype", "trainable"),
)
# Constructor arguments of the Keras layer that ours lacks: values that change nothing, and the
# remedy for the others.
_REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "attention_axes": (
        (None, 1, (1,), [1]),
        "Attention is over axis 1 alone. Make the axes to attend over one axis, (batch, length, "
        "features), by `keras.ops.transpose` and `keras.ops.reshape`",
    ),
    "sliding_window": ((None,), "Pass it as `window`"),
    "flash_attention": (
        (None, False),
        "Pass `implementation`: 'native' is the fused kernel of PyTorch, and 'chunked' has memory "
        "linear in the length on every backend",
    ),
    "use_gate": ((None, False), "Keep the Keras layer, or multiply the output by a gate"),
}


def refuse_keras_arguments(owner: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments without those of the Keras layer that change nothing.

    Args:
        owner: name of the layer class; it starts the message.
        arguments: further constructor arguments.

    Raises:
        ValueError: an argument asks for an option of the Keras layer that ours lacks.
    """
    for name, (neutral, remedy) in _REFUSED.items():
        if name in arguments and not any(arguments[name] == value for value in neutral):
            raise ValueError(
                f"{owner}: `{name}` is an option of keras.layers.MultiHeadAttention that this "
                f"layer does not have. Received: {name}={arguments[name]!r}. {remedy}."
            )
    return {name: value for name, value in arguments.items() if name not in _REFUSED}


def check_output_shape(owner: str, output_shape: Any) -> int | None:
    """Return the size of the output's last axis from an integer or a tuple of one.

    Raises:
        ValueError: the output would have several axes.
    """
    if not isinstance(output_shape, tuple | list):
        return output_shape
    if len(output_shape) != 1:
        raise ValueError(
            f"{owner}: `output_shape` must be one size. Received: {tuple(output_shape)}. Pass the "
            "product of the sizes, and split the last axis by `keras.layers.Reshape`."
        )
    return output_shape[0]


def converted_arguments(layer: keras.layers.MultiHeadAttention) -> dict[str, Any]:
    """Return the constructor arguments of our layer that computes the same as a Keras layer.

    Raises:
        ValueError: `layer` uses an option that our layer does not have.
    """
    config = layer.get_config()
    # A built Keras layer reports the axes that it derived.
    options = {name: config.get(name) for name in ("attention_axes", "use_gate")}
    refuse_keras_arguments(f"from_keras: {layer.name!r}", options)
    shared = {name: config[name] for name in _SHARED}
    return {**shared, "window": config.get("sliding_window")}


def projections(layer: keras.layers.MultiHeadAttention) -> list[keras.layers.Layer]:
    """Return the sublayers of a Keras layer that have weights, in the order of ours."""
    return [layer.query_dense, layer.key_dense, layer.value_dense, layer.output_dense]
