"""Matrix products, softmax and argmax, with the faster of equal operations."""

import math
from collections.abc import Callable

import keras
from keras import ops

from keras_attn.ops._types import Tensor

MAX_FEW_ROWS = 8  # query rows, as in a decoding step
MAX_SMALL_SIZE = 2**14  # multiplications of one product, or elements of a softmax


def matmul(a: Tensor, b: Tensor, *, transpose_a: bool = False, transpose_b: bool = False) -> Tensor:
    """Compute `a @ b`, optionally with the last two axes of either operand transposed.

    `keras.ops.matmul` has no transposed operands, so that a transposed block of scores would
    be copied.
    """
    if keras.backend.backend() == "tensorflow" and not isinstance(a, keras.KerasTensor):
        import tensorflow as tf

        return tf.matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b)
    a = ops.swapaxes(a, -1, -2) if transpose_a else a
    return ops.matmul(a, ops.swapaxes(b, -1, -2) if transpose_b else b)


def matmul_few_rows(a: Tensor, b: Tensor, *, transpose_b: bool = False) -> Tensor:
    """Compute `a @ b` for `a` of rank 4, faster where `a` has few rows (axis 2).

    On a CPU, oneDNN's product behind `tf.matmul` has a fixed cost far above that of so small
    a product. `BatchMatMulV3` has no such cost, but is slower for several rows and many columns.
    """
    rows = a.shape[2]
    if not _has_few_rows(rows, a):
        return matmul(a, b, transpose_b=transpose_b)
    import tensorflow as tf

    def small_product() -> Tensor:
        return tf.raw_ops.BatchMatMulV3(x=a, y=b, Tout=a.dtype, adj_y=transpose_b)

    if rows == 1:
        return small_product()
    size = rows * math.prod(ops.shape(b)[2:])
    return _cond(
        size <= MAX_SMALL_SIZE, small_product, lambda: matmul(a, b, transpose_b=transpose_b)
    )


def softmax_few_rows(scores: Tensor) -> Tensor:
    """Compute `softmax(scores)` over the last axis, faster for `(B, N, T, S)` with a small `T`.

    The fused softmax has a fixed cost on a CPU as well, see `matmul_few_rows`.
    """
    rows = scores.shape[-2] if len(scores.shape) == 4 else None
    if not _has_few_rows(rows, scores):
        return ops.softmax(scores, axis=-1)
    import tensorflow as tf

    def small_softmax() -> Tensor:
        maximum = tf.stop_gradient(tf.reduce_max(scores, axis=-1, keepdims=True))
        exponentials = tf.exp(scores - maximum)
        return exponentials / tf.reduce_sum(exponentials, axis=-1, keepdims=True)

    if rows == 1:
        return small_softmax()
    size = math.prod(ops.shape(scores))
    return _cond(size <= MAX_SMALL_SIZE, small_softmax, lambda: tf.nn.softmax(scores))


def argmax(x: Tensor) -> Tensor:
    """Return an index of a greatest element of each row, int32.

    `keras.ops.argmax` on TensorFlow makes several passes, to order the two zeros.
    """
    if keras.backend.backend() == "tensorflow" and not isinstance(x, keras.KerasTensor):
        import tensorflow as tf

        return tf.argmax(x, axis=-1, output_type="int32")
    return ops.cast(ops.argmax(x, axis=-1), "int32")


def _has_few_rows(rows: int | None, x: Tensor) -> bool:
    few = rows is not None and rows <= MAX_FEW_ROWS
    symbolic = isinstance(x, keras.KerasTensor)
    return few and not symbolic and keras.backend.backend() == "tensorflow"


def _cond(
    predicate: bool | Tensor, if_true: Callable[[], Tensor], if_false: Callable[[], Tensor]
) -> Tensor:
    """Call one of two functions, in Python where the predicate is static."""
    if isinstance(predicate, bool):
        return if_true() if predicate else if_false()
    import tensorflow as tf

    return tf.cond(predicate, if_true, if_false)
