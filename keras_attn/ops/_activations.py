"""GELU compiled by XLA, for training on CPUs with TensorFlow.

Without XLA, every operation of GELU and of its gradient passes over the whole tensor, and rounds
in half precision. The compiled functions make one pass each, and round once.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import keras

from keras_attn.ops._devices import only_cpus
from keras_attn.ops._types import Tensor

MIN_COMPILED_SIZE = 2**12  # elements of one example; compiling takes 0.15 s for each shape


def apply_activation(
    activation: Callable[[Tensor], Tensor], x: Tensor, training: bool | None
) -> Tensor:
    """Return `activation(x)`, in training by a faster function where there is one.

    Graphs that are exported do not train, so that they need no XLA where they are served.

    Args:
        activation: a Keras activation.
        x: float tensor.
        training: whether the gradient is going to be computed.
    """
    if training and activation is keras.activations.gelu and _is_compiled_faster(x):
        return _compiled_gelu()(x)
    return activation(x)


def _is_compiled_faster(x: Tensor) -> bool:
    if keras.backend.backend() != "tensorflow" or isinstance(x, keras.KerasTensor):
        return False
    import tensorflow as tf

    if tf.executing_eagerly():
        return False  # every shape is static there, and a new length would be compiled each time
    if x.dtype not in ("float32", "bfloat16", "float16"):
        return False  # XLA's float64 is less precise than that of TensorFlow
    example = x.shape[1:]
    has_static_shape = all(side is not None for side in example)
    return has_static_shape and math.prod(example) >= MIN_COMPILED_SIZE and _compiles_for_cpu()


@functools.cache
def _compiles_for_cpu() -> bool:
    """Return whether CPUs are the only devices, and TensorFlow was built with XLA for them."""
    import tensorflow as tf

    if not only_cpus():
        return False
    try:
        with tf.init_scope():
            tf.function(lambda x: x + 1.0, jit_compile=True)(tf.constant(0.0))
    except tf.errors.OpError:
        return False
    return True


@functools.cache
def _compiled_gelu() -> Any:
    import tensorflow as tf

    def cdf(x: Tensor) -> Tensor:
        # `erf` is faster than `erfc`. Below -6, where it has no correct digit, the value is 0.
        return tf.where(x < -6.0, 0.0, 0.5 + 0.5 * tf.math.erf(x * math.sqrt(0.5)))

    @tf.function(jit_compile=True)
    def value(x: Tensor) -> Tensor:
        wide = tf.cast(x, "float32")
        return tf.cast(wide * cdf(wide), x.dtype)

    @tf.function(jit_compile=True)
    def gradient(x: Tensor, upstream: Tensor) -> Tensor:
        wide = tf.cast(x, "float32")
        density = tf.exp(-0.5 * wide * wide) / math.sqrt(2.0 * math.pi)
        return tf.cast(tf.cast(upstream, "float32") * (cdf(wide) + wide * density), x.dtype)

    @tf.custom_gradient
    def gelu(x: Tensor) -> Tensor:
        return value(x), lambda upstream: gradient(x, upstream)

    return gelu
