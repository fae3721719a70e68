"""Gradients of functions of one tensor and log-odds to differentiate, on every backend."""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from keras_attn._types import Tensor


def gradient(function: Callable[[Tensor], Tensor], x: np.ndarray) -> np.ndarray:
    """Return the gradient of a scalar function with respect to its argument.

    Args:
        function: Function of a tensor of `keras.ops` operations and layers, to a scalar.
        x: Float array.

    Returns:
        Float32 array of the shape of `x`.

    Example:

    >>> gradient(lambda x: ops.sum(x**2), np.array([1.0, 3.0], "float32"))
    array([2., 6.], dtype=float32)
    """
    tensor = ops.convert_to_tensor(x)
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(tensor)
            value = function(tensor)
        result = tape.gradient(value, tensor)
    elif backend == "jax":
        import jax

        result = jax.grad(function)(tensor)
    elif backend == "torch":
        import torch

        tensor = tensor.detach().requires_grad_()
        (result,) = torch.autograd.grad(function(tensor), tensor)
    else:
        raise NotImplementedError(
            f"Gradients need the TensorFlow, JAX or PyTorch backend. Received: {backend!r}."
        )
    return ops.convert_to_numpy(ops.cast(result, "float32"))


def log_odds_in_graph(logits: Tensor, index: int) -> Tensor:
    """Return the log-odds of a label from logits `(C,)`, a float32 scalar.

    Example:

    >>> logits = ops.convert_to_tensor([1.0, 0.0, 0.0])
    >>> round(float(log_odds_in_graph(logits, 0)), 4)  # 1 - log(2)
    0.3069
    """
    logits = ops.cast(logits, "float32")
    others = ops.where(ops.arange(logits.shape[0]) == index, -1e9, logits)
    return logits[index] - ops.logsumexp(others)
