"""Loops over blocks with bounded memory, on every backend.

`keras.ops.fori_loop` runs ten iterations in parallel on TensorFlow, and would hold ten blocks
of scores at once. The container that a loop writes to differs between the backends too.
"""

from collections.abc import Callable
from typing import Any, Self

import keras
from keras import ops

from keras_attn.ops._types import Size, Tensor


class Stack:
    """Blocks of one shape that a loop reads and replaces by index.

    The blocks are a `TensorArray` on TensorFlow, a list on PyTorch, and elsewhere a tensor
    with the blocks along axis 0, which the compiler updates in place.
    """

    def __init__(self, items: Any) -> None:
        self.items = items

    @classmethod
    def empty(cls, count: Size, shape: tuple) -> Self:
        """Create `count` float32 blocks of `shape`; write each before reading it."""
        if keras.backend.backend() != "tensorflow":
            return cls.zeros(count, shape)
        import tensorflow as tf

        static = [size if isinstance(size, int) else None for size in shape]
        return cls(tf.TensorArray("float32", count, element_shape=static, clear_after_read=False))

    @classmethod
    def zeros(cls, count: Size, shape: tuple) -> Self:
        """Create `count` float32 blocks of `shape`, all zero."""
        zeros = ops.zeros((count, *shape), "float32")
        if keras.backend.backend() == "tensorflow":
            return cls(cls.empty(count, shape).items.unstack(zeros))
        return cls(list(zeros) if keras.backend.backend() == "torch" else zeros)

    def read(self, i: Size) -> Tensor:
        """Return block `i`."""
        return self.items.read(i) if hasattr(self.items, "read") else self.items[i]

    def write(self, i: Size, block: Tensor) -> Self:
        """Return the stack with block `i` replaced; do not use the old stack afterwards."""
        if isinstance(self.items, list):
            self.items[i] = block
            return self
        write = getattr(self.items, "write", None)
        return type(self)(write(i, block) if write else self.items.at[i].set(block))

    def to_tensor(self) -> Tensor:
        """Return all blocks as one tensor, stacked along a new axis 0."""
        if hasattr(self.items, "stack"):
            return self.items.stack()
        return ops.stack(self.items) if isinstance(self.items, list) else self.items


def fori_loop(
    start: Size,
    stop: Size,
    body: Callable[[Any, tuple], tuple],
    carry: tuple,
) -> tuple:
    """Run `for i in range(start, stop): carry = body(i, carry)` and return the last carry.

    Args:
        start: first index.
        stop: one past the last index.
        body: function from an index and the carry to the next carry.
        carry: tuple of tensors and of `Stack`.
    """
    static = isinstance(start, int) and isinstance(stop, int)
    if (static and stop - start <= 1) or _runs_eagerly(carry):
        for i in range(int(start), int(stop)):
            carry = body(i, carry)
        return carry
    is_stack = [isinstance(x, Stack) for x in carry]

    def wrap(items: tuple) -> tuple:
        pairs = zip(items, is_stack, strict=True)
        return tuple(Stack(x) if stack else x for x, stack in pairs)

    def step(i: Tensor, items: tuple) -> tuple:
        return _unwrap(body(i, wrap(items)))

    if keras.backend.backend() == "jax":
        return wrap(ops.fori_loop(start, stop, step, _unwrap(carry)))
    import tensorflow as tf

    _, items = tf.while_loop(
        lambda i, _: i < stop,
        lambda i, items: (i + 1, step(i, items)),
        (ops.cast(start, "int32"), _unwrap(carry)),
        parallel_iterations=1,
    )
    return wrap(items)


def _unwrap(carry: tuple) -> tuple:
    return tuple(x.items if isinstance(x, Stack) else x for x in carry)


def _runs_eagerly(carry: tuple) -> bool:
    """Return whether the loop can run in Python, without being traced or compiled."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.executing_eagerly()
    if keras.backend.backend() == "jax":
        import jax

        return not any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(_unwrap(carry)))
    return True
