"""Writing into a cache of fixed size, on every backend."""

from typing import Any

import keras
from keras import ops

Tensor = Any


def write_rows(kept: Tensor, start: int | Tensor, rows: Tensor) -> Tensor:
    """`kept` `(B, S, ...)` with `rows` `(B, T, ...)` in place of those from `start` on.

    On TensorFlow `keras.ops.slice_update` is an operation of XLA's, which not every server
    knows. This one takes as long; XLA compiles it where `start` is an integer.
    """
    rows = ops.cast(rows, kept.dtype)
    if keras.backend.backend() != "tensorflow":
        return ops.slice_update(kept, (0, start, *(0 for _ in kept.shape[2:])), rows)
    import tensorflow as tf

    end = start + tf.shape(rows)[1]
    written = tf.concat([kept[:, :start], rows, kept[:, end:]], axis=1)
    return tf.ensure_shape(written, kept.shape)
