"""Graphs of functions for converters, which take no string, no loop and no cuDNN operation."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras


@contextlib.contextmanager
def changed_settings(owner: keras.layers.Layer, **settings: Any) -> Iterator[None]:
    """Set attributes of all layers that have them for a while.

    A string replaces only strings: recurrent layers of Keras have a number as `implementation`.
    """
    saved = []
    try:
        for layer in owner._flatten_layers():
            for name, value in settings.items():
                current = getattr(layer, name, None)
                if current is not None and isinstance(current, str) >= isinstance(value, str):
                    saved.append((layer, name, current))
                    setattr(layer, name, value)
        yield
    finally:
        for layer, name, value in saved:
            setattr(layer, name, value)


def prepared_for_tracing(owner: keras.layers.Layer) -> contextlib.AbstractContextManager[None]:
    """Disable cuDNN in recurrent layers, and compute attention in full, without loops.

    The operation of cuDNN cannot run on a CPU. Attention by blocks, which `"auto"` selects for long
    sequences, is a loop that converters do not know, and gives the same output.
    """
    return changed_settings(owner, use_cudnn=False, implementation="full")


def traced(
    function: Callable[..., dict[str, Any]], owner: keras.layers.Layer, inputs: Mapping[str, Any]
) -> tuple[Any, Any]:
    """Return a module that holds the variables, and the concrete function without its strings.

    Args:
        function: Function from tensors to a dictionary of named tensors.
        owner: The layer whose variables the function uses.
        inputs: `tf.TensorSpec` of each argument by name.
    """
    import tensorflow as tf

    def numbers(*arguments: Any) -> dict[str, Any]:
        outputs = function(**dict(zip(inputs, arguments, strict=True)))
        return {name: each for name, each in outputs.items() if each.dtype != tf.string}

    specs = [tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in inputs.items()]
    module = tf.Module()
    module.variables_ = [variable.value for variable in owner.variables]
    return module, tf.function(numbers, autograph=False).get_concrete_function(*specs)
