"""What Keras's own multi-head attention has in common with ours."""

from typing import Any

import keras

_KERAS_ONLY = (
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


def settings_of(layer: keras.layers.MultiHeadAttention) -> dict[str, Any]:
    """The constructor arguments of ours that make the same of a Keras layer.

    Raises:
        ValueError: `layer` uses what has no equal here.
    """
    config = layer.get_config()
    shape = config["output_shape"]
    unequal = [name for name in _KERAS_ONLY if config.get(name)]
    # A built Keras layer reports the axes that it derived: (1,) is the only case here.
    if tuple(config.get("attention_axes") or ()) == (1,):
        unequal.remove("attention_axes")
    if isinstance(shape, tuple | list):
        unequal += ["output_shape"] if len(shape) != 1 else []
        shape = shape[0]
    if unequal:
        raise ValueError(
            f"from_keras: {layer.name!r} uses {', '.join(unequal)}, which this layer does not "
            "have. Rebuild it without, or keep the Keras layer."
        )
    shared = {name: config[name] for name in _SHARED}
    return {**shared, "output_shape": shape, "window": config.get("sliding_window")}


def projections(layer: Any) -> list[Any]:
    """The sublayers that hold the weights, in the order of ours."""
    return [layer.query_dense, layer.key_dense, layer.value_dense, layer.output_dense]
