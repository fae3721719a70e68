"""Functions with a gradient of their own, on every backend."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_attn.ops._types import Tensor


def with_gradient(
    forward: Callable[[tuple, tuple], tuple],
    backward: Callable[[tuple, tuple, Any, Tensor], tuple],
    inputs: tuple,
    constants: tuple,
) -> Tensor:
    """Return the output of `forward`, differentiated by `backward`.

    Args:
        forward: `(inputs, constants) -> (output, saved)`.
        backward: `(inputs, constants, saved, doutput) -> gradients`, one for each input.
        inputs: tensors to differentiate with respect to.
        constants: other tensors, or None. They are arguments because JAX allows neither
            function to close over a tensor.

    Raises:
        RuntimeError: when the gradient itself is differentiated, which would be wrong
            because `saved` counts as constant in it.
    """
    if keras.backend.backend() == "jax":
        import jax

        def forward_and_save(inputs: tuple, constants: tuple) -> tuple:
            output, saved = forward(inputs, constants)
            return output, (inputs, constants, saved)

        def gradients(saved_all: tuple, doutput: Tensor) -> tuple:
            inputs, constants, saved = saved_all
            return backward(inputs, constants, saved, doutput), None

        traced = jax.custom_vjp(lambda inputs, constants: forward(inputs, constants)[0])
        traced.defvjp(forward_and_save, gradients)
        return traced(inputs, constants)

    def run(*inputs: Tensor) -> tuple:
        output, saved = forward(inputs, constants)
        saved = tuple(ops.stop_gradient(x) for x in saved)

        def gradient(*received: Tensor, upstream: Tensor | None = None) -> tuple:
            # PyTorch passes the inputs and `upstream`, TensorFlow only the upstream gradient.
            doutput = received[0] if upstream is None else upstream
            return _first_order_only(
                lambda *x: backward(x[1:], constants, saved, x[0]), doutput, *inputs
            )

        return output, gradient

    return ops.custom_gradient(run)(*inputs)


def _first_order_only(function: Callable[..., tuple], *arguments: Tensor) -> tuple:
    """Call the function and raise if its result is differentiated. JAX raises by itself."""
    if keras.backend.backend() == "torch":
        import torch

        if torch.is_grad_enabled():  # which only `create_graph=True` enables here
            _raise_second_order()
        return function(*arguments)

    @ops.custom_gradient
    def run(*arguments: Tensor) -> tuple:
        return function(*arguments), _raise_second_order

    return run(*arguments)


def _raise_second_order(*_: Any, **__: Any) -> Any:
    raise RuntimeError(
        "Streaming attention and linear_crossentropy have no second derivative. Where gradients of "
        "gradients are taken, pass implementation='full' to keras_attn.ops.attention, and compute "
        "losses from logits."
    )
