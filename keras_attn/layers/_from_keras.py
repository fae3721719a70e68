"""Conversion of `keras.layers.MultiHeadAttention`."""

from typing import Any

import keras

_UNSUPPORTED = (
    "attention_axes",
    "use_gate",
    "kernel_regularizer",
    "bias_regularizer",
    "activity_regularizer",
    "kernel_constraint",
    "bias_constraint",
)
_SHARED = (
    *("num_heads", "key_dim", "value_dim", "dropout", "use_bias", "seed"),
    *("kernel_initializer", "bias_initializer", "name", "dtype", "trainable"),
)


def converted_arguments(layer: keras.layers.MultiHeadAttention) -> dict[str, Any]:
    """Return the constructor arguments of our layer that computes the same as a Keras layer.

    Raises:
        ValueError: `layer` uses an option that our layer does not have.
    """
    config = layer.get_config()
    shape = config["output_shape"]
    unsupported = [name for name in _UNSUPPORTED if config.get(name)]
    # A built Keras layer reports the axes that it derived; (1,) is the only ones we support.
    if tuple(config.get("attention_axes") or ()) == (1,):
        unsupported.remove("attention_axes")
    if isinstance(shape, tuple | list):
        unsupported += ["output_shape"] if len(shape) != 1 else []
        shape = shape[0]
    if unsupported:
        raise ValueError(
            f"from_keras: {layer.name!r} uses {', '.join(unsupported)}, which this layer does not "
            "have. Rebuild it without, or keep the Keras layer."
        )
    shared = {name: config[name] for name in _SHARED}
    return {**shared, "output_shape": shape, "window": config.get("sliding_window")}


def projections(layer: keras.layers.MultiHeadAttention) -> list[keras.layers.Layer]:
    """Return the sublayers of a Keras layer that have weights, in the order of ours."""
    return [layer.query_dense, layer.key_dense, layer.value_dense, layer.output_dense]
