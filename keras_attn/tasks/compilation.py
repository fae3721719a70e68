"""Whether `fit` compiles with XLA."""

import keras


def compile_mode() -> bool | str:
    """The `jit_compile` of `compile`: not on a CPU under TensorFlow, where XLA is slower.

    `benchmarks/training_step.py` measures both.
    """
    if keras.backend.backend() != "tensorflow":
        return "auto"
    import tensorflow as tf

    return "auto" if tf.config.list_physical_devices("GPU") else False
