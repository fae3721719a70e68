"""Whether `fit` compiles with XLA, and functions of a model made fast on every backend."""

from collections.abc import Callable
from typing import Any

import keras


def compile_mode() -> bool | str:
    """The `jit_compile` of `compile`: not on a CPU under TensorFlow, where XLA is slower.

    `benchmarks/training_step.py` measures both.
    """
    if keras.backend.backend() != "tensorflow":
        return "auto"
    import tensorflow as tf

    return "auto" if tf.config.list_physical_devices("GPU") else False


def compiled(
    function: Callable[..., Any], model: keras.Model, *shapes: tuple[int | None, ...]
) -> Callable[..., Any]:
    """`function` as one graph, which reads the model's weights as they are at each call.

    Args:
        function: from int32 tensors to nested tensors, without side effects.
        model: whose weights it uses.
        shapes: the shape of each argument, None where it changes.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        specs = [tf.TensorSpec(shape, tf.int32) for shape in shapes]
        return tf.function(function, input_signature=specs, autograph=False)
    if keras.backend.backend() == "jax":
        import jax

        def pure(values: list[Any], *arguments: Any) -> Any:
            with keras.StatelessScope(list(zip(model.variables, values, strict=True))):
                return function(*arguments)

        jitted = jax.jit(pure)
        return lambda *arguments: jitted([v.value for v in model.variables], *arguments)
    return function
