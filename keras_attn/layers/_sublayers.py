"""What layers share when they make sublayers."""

from collections.abc import Iterable
from typing import Any

import keras
from keras import initializers

from keras_attn._names import unknown

PACKAGE = "keras_attn"


def fresh(initializer: Any) -> Any:
    """A copy of `initializer` for one sublayer, so that no two draw the same values.

    An initializer object draws the same numbers at every call, and its copies others; but for
    one with a seed of its own, whose copies draw the same, as in Keras's layers.
    """
    if isinstance(initializer, initializers.Initializer):
        return initializer.clone()
    return initializers.get(initializer)


def positive(layer: keras.layers.Layer, **arguments: Any) -> None:
    """Refuse constructor arguments that are not positive integers, by name."""
    for name, value in arguments.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(
                f"{type(layer).__name__}: `{name}` must be a positive integer. Received: {value!r}."
            )


def rate(layer: keras.layers.Layer, **arguments: float) -> None:
    """Refuse constructor arguments that are not rates in [0, 1), by name."""
    for name, value in arguments.items():
        if not 0.0 <= value < 1.0:
            raise ValueError(
                f"{type(layer).__name__}: `{name}` must be a rate in [0, 1). Received: {value!r}."
            )


def choice(layer: keras.layers.Layer, accepted: Iterable[str | None], **arguments: Any) -> None:
    """Refuse constructor arguments that are not among the accepted names, by name."""
    for name, value in arguments.items():
        if value not in accepted:
            raise ValueError(f"{type(layer).__name__}: {unknown(f'`{name}`', value, accepted)}")


def rank(layer: keras.layers.Layer, expected: int, layout: str, **shapes: Any) -> None:
    """Refuse inputs of another rank than `expected`, by name."""
    for name, shape in shapes.items():
        if len(shape) != expected:
            raise ValueError(
                f"{type(layer).__name__}: `{name}` must have shape {layout}. "
                f"Received: shape {tuple(shape)}."
            )


def replicated() -> bool:
    """Whether what is built now is built for several replicas of a `tf.distribute` strategy."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync > 1
