"""Whether `fit` compiles with XLA, and functions of a model made fast on every backend."""

from collections.abc import Callable, Sequence
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
    function: Callable[..., Any],
    variables: Sequence[keras.Variable],
    *shapes: tuple[int | None, ...],
) -> Callable[..., Any]:
    """`function` as one graph, which reads variables as they are at each call.

    Args:
        function: from int32 tensors to nested tensors. What it assigns to variables may be lost.
        variables: all that it reads.
        shapes: the shape of each argument, None where it changes.
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
