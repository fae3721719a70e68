"""Compilation of training steps and of functions that use a model, on every backend."""

from collections.abc import Callable, Sequence
from typing import Any

import keras


def compile_mode() -> bool | str:
    """Return the value to pass to `keras.Model.compile` as `jit_compile`.

    It is False for TensorFlow on a CPU, where XLA is slower (`benchmarks/training_step.py`
    measures both), and `"auto"` otherwise.
    """
    if keras.backend.backend() != "tensorflow":
        return "auto"
    import tensorflow as tf

    return "auto" if tf.config.list_physical_devices("GPU") else False


def needs_static_shapes() -> bool:
    """Return whether functions are compiled for each shape of their inputs, as XLA does."""
    return keras.backend.backend() == "jax"


def compiled(
    function: Callable[..., Any],
    variables: Sequence[keras.Variable],
    *shapes: tuple[int | None, ...],
) -> Callable[..., Any]:
    """Return `function` compiled as one graph that reads the current values of variables.

    Args:
        function: Function from int32 tensors to nested tensors. It must not assign to variables:
            assignments may be lost.
        variables: All variables that `function` reads.
        shapes: Shape of each argument, with None for sizes that vary.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        specs = [tf.TensorSpec(shape, tf.int32) for shape in shapes]
        return tf.function(function, input_signature=specs, autograph=False)
    if keras.backend.backend() == "jax":
        import jax

        def pure(values: list[Any], *arguments: Any) -> Any:
            with keras.StatelessScope(list(zip(variables, values, strict=True))):
                return function(*arguments)

        jitted = jax.jit(pure)
        return lambda *arguments: jitted([v.value for v in variables], *arguments)
    return function
