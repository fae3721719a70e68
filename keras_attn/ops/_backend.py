"""What streaming needs and `keras.ops` cannot say, on every backend.

`keras.ops.fori_loop` runs ten iterations at once on TensorFlow, and would hold ten blocks
of scores; what a loop writes into is another container on each backend; and
`keras.ops.matmul` has no transposed operands, which would copy a block of scores.
"""

import math
from collections.abc import Callable
from typing import Any, Self

import keras
from keras import ops

Tensor = Any


class Stack:
    """Blocks of one shape, which a loop reads and replaces by number.

    On TensorFlow a `TensorArray`, on PyTorch a list, elsewhere a tensor with the blocks
    along axis 0, which the compiler updates in place.
    """

    def __init__(self, items: Any) -> None:
        self.items = items

    @classmethod
    def empty(cls, count: int | Tensor, shape: tuple) -> Self:
        """`count` float32 blocks of `shape`, each to be written before it is read."""
        if keras.backend.backend() != "tensorflow":
            return cls.zeros(count, shape)
        import tensorflow as tf

        known = [size if isinstance(size, int) else None for size in shape]
        return cls(tf.TensorArray("float32", count, element_shape=known, clear_after_read=False))

    @classmethod
    def zeros(cls, count: int | Tensor, shape: tuple) -> Self:
        """`count` float32 blocks of `shape`, all zero."""
        zeros = ops.zeros((count, *shape), "float32")
        if keras.backend.backend() == "tensorflow":
            return cls(cls.empty(count, shape).items.unstack(zeros))
        return cls(list(zeros) if keras.backend.backend() == "torch" else zeros)

    def read(self, i: int | Tensor) -> Tensor:
        return self.items.read(i) if hasattr(self.items, "read") else self.items[i]

    def write(self, i: int | Tensor, block: Tensor) -> Self:
        """The stack with block `i` replaced; the old one is not to be used again."""
        if isinstance(self.items, list):
            self.items[i] = block
            return self
        write = getattr(self.items, "write", None)
        return type(self)(write(i, block) if write else self.items.at[i].set(block))

    def stacked(self) -> Tensor:
        """All blocks as one tensor, along a new axis 0."""
        if hasattr(self.items, "stack"):
            return self.items.stack()
        return ops.stack(self.items) if isinstance(self.items, list) else self.items


def fori_loop(
    start: int | Tensor,
    stop: int | Tensor,
    body: Callable[[Any, tuple], tuple],
    carry: tuple,
) -> tuple:
    """`for i in range(start, stop): carry = body(i, carry)`; the carry may hold stacks."""
    known = isinstance(start, int) and isinstance(stop, int)
    if (known and stop - start <= 1) or _is_eager(carry):
        for i in range(int(start), int(stop)):
            carry = body(i, carry)
        return carry
    stacks = [isinstance(x, Stack) for x in carry]

    def dressed(carry: tuple) -> tuple:
        return tuple(Stack(x) if is_stack else x for x, is_stack in zip(carry, stacks, strict=True))

    def step(i: Tensor, carry: tuple) -> tuple:
        return _bare(body(i, dressed(carry)))

    if keras.backend.backend() == "jax":
        return dressed(ops.fori_loop(start, stop, step, _bare(carry)))
    import tensorflow as tf

    _, last = tf.while_loop(
        lambda i, _: i < stop,
        lambda i, carry: (i + 1, step(i, carry)),
        (ops.cast(start, "int32"), _bare(carry)),
        parallel_iterations=1,
    )
    return dressed(last)


def with_gradient(
    forward: Callable[[tuple, tuple], tuple],
    backward: Callable[[tuple, tuple, Any, Tensor], tuple],
    inputs: tuple,
    fixed: tuple,
) -> Tensor:
    """The output of `forward`, differentiated by `backward`.

    Args:
        forward: `(inputs, fixed) -> (output, kept)`.
        backward: `(inputs, fixed, kept, upstream) -> gradients`, one for each input.
        inputs: the tensors to differentiate by.
        fixed: other tensors, or None. JAX allows none to be closed over.
    """
    if keras.backend.backend() == "jax":
        import jax

        def output_and_kept(inputs: tuple, fixed: tuple) -> tuple:
            output, kept = forward(inputs, fixed)
            return output, (inputs, fixed, kept)

        def gradients(all_kept: tuple, upstream: Tensor) -> tuple:
            inputs, fixed, kept = all_kept
            return backward(inputs, fixed, kept, upstream), None

        traced = jax.custom_vjp(lambda inputs, fixed: forward(inputs, fixed)[0])
        traced.defvjp(output_and_kept, gradients)
        return traced(inputs, fixed)

    def run(*inputs: Tensor) -> tuple:
        output, kept = forward(inputs, fixed)
        kept = tuple(ops.stop_gradient(x) for x in kept)

        def gradient(*received: Tensor, upstream: Tensor | None = None) -> tuple:
            # PyTorch passes the inputs and `upstream`, TensorFlow the upstream alone.
            upstream = received[0] if upstream is None else upstream
            return _once(lambda *x: backward(x[1:], fixed, kept, x[0]), upstream, *inputs)

        return output, gradient

    return ops.custom_gradient(run)(*inputs)


def _once(function: Callable[..., tuple], *arguments: Tensor) -> tuple:
    """What the function returns; its own gradient, which would be wrong, is refused.

    What was kept of the forward pass counts as constant in it. (JAX refuses by itself.)
    """
    if keras.backend.backend() == "torch":
        import torch

        if torch.is_grad_enabled():  # as only `create_graph=True` makes it here
            _refuse_second_order()
        return function(*arguments)

    @ops.custom_gradient
    def run(*arguments: Tensor) -> tuple:
        return function(*arguments), _refuse_second_order

    return run(*arguments)


def _refuse_second_order(*_: Any, **__: Any) -> Any:
    raise RuntimeError(
        "The streaming path of attention has no second derivative. Pass "
        "implementation='full' to keras_attn.ops.attention where gradients of gradients are taken."
    )


def _bare(carry: tuple) -> tuple:
    return tuple(x.items if isinstance(x, Stack) else x for x in carry)


def _is_eager(carry: tuple) -> bool:
    """Whether the loop can run now, and need not be traced or compiled."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.executing_eagerly()
    if keras.backend.backend() == "jax":
        import jax

        return not any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(_bare(carry)))
    return True


FEW_QUERIES = 8  # queries, as in a step of decoding
LIGHT = 2**14  # numbers


def matmul_of_few(a: Tensor, b: Tensor, *, transpose_b: bool = False) -> Tensor:
    """`a @ b` for `a` of rank 4, which may have few rows (axis 2), as in a step of decoding.

    TensorFlow's product on a CPU, oneDNN's, has a fixed cost far above that of so small a one.
    Another of its operations has none; it is the slower one where there are several rows, and
    many columns.
    """
    rows = a.shape[2]
    if not _are_few(rows, a):
        return matmul(a, b, transpose_b=transpose_b)
    import tensorflow as tf

    def light() -> Tensor:
        return tf.raw_ops.BatchMatMulV3(x=a, y=b, Tout=a.dtype, adj_y=transpose_b)

    if rows == 1:
        return light()
    work = rows * math.prod(ops.shape(b)[2:])  # of one product
    return _either(work <= LIGHT, light, lambda: matmul(a, b, transpose_b=transpose_b))


def softmax_of_few(scores: Tensor) -> Tensor:
    """`softmax(scores)` over the last axis of `(B, N, T, S)`, where T may be small; see above."""
    rows = scores.shape[-2] if len(scores.shape) == 4 else None
    if not _are_few(rows, scores):
        return ops.softmax(scores, axis=-1)
    import tensorflow as tf

    def light() -> Tensor:
        top = tf.stop_gradient(tf.reduce_max(scores, axis=-1, keepdims=True))
        exponentials = tf.exp(scores - top)
        return exponentials / tf.reduce_sum(exponentials, axis=-1, keepdims=True)

    if rows == 1:
        return light()
    size = math.prod(ops.shape(scores))
    return _either(size <= LIGHT, light, lambda: tf.nn.softmax(scores))


def _either(light: bool | Tensor, a: Callable[[], Tensor], b: Callable[[], Tensor]) -> Tensor:
    """What one of two functions gives: chosen now, where that is known."""
    if isinstance(light, bool):
        return a() if light else b()
    import tensorflow as tf

    return tf.cond(light, a, b)


def _are_few(rows: int | None, x: Tensor) -> bool:
    few = rows is not None and rows <= FEW_QUERIES
    symbolic = isinstance(x, keras.KerasTensor)
    return few and not symbolic and keras.backend.backend() == "tensorflow"


def matmul(a: Tensor, b: Tensor, *, transpose_a: bool = False, transpose_b: bool = False) -> Tensor:
    """`a @ b`, either of them transposed in its last two axes."""
    if keras.backend.backend() == "tensorflow" and not isinstance(a, keras.KerasTensor):
        import tensorflow as tf

        return tf.matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b)
    a = ops.swapaxes(a, -1, -2) if transpose_a else a
    return ops.matmul(a, ops.swapaxes(b, -1, -2) if transpose_b else b)
