"""Checks of arguments and other helpers that several layers share."""

from collections.abc import Iterable
from typing import Any

import keras
from keras import initializers

from keras_attn._names import unknown
from keras_attn._validation import check_positive_integer, check_rate

PACKAGE = "keras_attn"


def clone_initializer(initializer: Any) -> Any:
    """Return a copy of `initializer` for one sublayer.

    An initializer object draws the same values at every call, and would start two sublayers
    of one shape alike; its copies draw others. Only the copies of an initializer with a `seed`
    draw the same values, as in Keras's layers.
    """
    if isinstance(initializer, initializers.Initializer):
        return initializer.clone()
    return initializers.get(initializer)


def check_positive_integers(layer: keras.layers.Layer, **arguments: Any) -> None:
    """Raise ValueError unless every argument is an integer of at least 1."""
    for name, value in arguments.items():
        check_positive_integer(name, value, owner=type(layer).__name__)


def check_rates(layer: keras.layers.Layer, **arguments: Any) -> None:
    """Raise ValueError unless every argument is a rate in [0, 1)."""
    for name, value in arguments.items():
        check_rate(name, value, owner=type(layer).__name__)


def check_choice(
    layer: keras.layers.Layer, accepted: Iterable[str | None], **arguments: Any
) -> None:
    """Raise ValueError unless every argument is one of the accepted names."""
    for name, value in arguments.items():
        if value not in accepted:
            raise ValueError(f"{type(layer).__name__}: {unknown(f'`{name}`', value, accepted)}")


def check_rank(layer: keras.layers.Layer, expected: int, layout: str, **shapes: Any) -> None:
    """Raise ValueError unless every input has the rank `expected`."""
    for name, shape in shapes.items():
        if len(shape) != expected:
            raise ValueError(
                f"{type(layer).__name__}: `{name}` must have shape {layout}. "
                f"Received: shape {tuple(shape)}."
            )


def is_replicated() -> bool:
    """Return whether a `tf.distribute` strategy of several replicas is in scope."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync > 1
