"""Distribution strategies by name."""

import contextlib
from typing import Any

import keras

from keras_attn._names import unknown

STRATEGIES = ("none", "one_device", "mirrored")


def strategy(name: str) -> Any:
    """The `tf.distribute` strategy of a name, or None for `"none"`.

    Args:
        name: `"none"`, `"one_device"` (the first GPU, or the CPU) or `"mirrored"` (all the
            GPUs of this machine, or its logical CPUs).

    Raises:
        ValueError: no strategy has that name, or the backend is not TensorFlow.
    """
    if name not in STRATEGIES:
        raise ValueError(unknown("strategy", name, STRATEGIES))
    if name == "none":
        return None
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"The strategy {name!r} is one of TensorFlow, and Keras runs on "
            f"{keras.backend.backend()!r}. Use 'none', or KERAS_BACKEND=tensorflow."
        )
    import tensorflow as tf

    gpus = tf.config.list_logical_devices("GPU")
    devices = [device.name for device in gpus or tf.config.list_logical_devices("CPU")]
    if name == "one_device":
        return tf.distribute.OneDeviceStrategy(devices[0])
    return tf.distribute.MirroredStrategy(devices)


def scope(strategy_or_name: str | Any) -> contextlib.AbstractContextManager[Any]:
    """The scope in which a model must be built to train under a strategy.

    Args:
        strategy_or_name: a name, see `strategy`, or a `tf.distribute.Strategy`.
    """
    if not hasattr(strategy_or_name, "scope"):
        strategy_or_name = strategy(strategy_or_name)
    return contextlib.nullcontext() if strategy_or_name is None else strategy_or_name.scope()
