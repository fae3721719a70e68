"""A cache of keys and values, of fixed size or growing, on every backend."""

from typing import Any

import keras
from keras import ops

Tensor = Any

LENGTH_AXIS = 2  # of (B, K, S, size)


def appended(kept: Tensor, rows: Tensor) -> Tensor:
    """`kept` `(B, K, S, size)` with `rows` `(B, K, T, size)` behind it."""
    return ops.concatenate([kept, ops.cast(rows, kept.dtype)], axis=LENGTH_AXIS)


def written(kept: Tensor, start: int | Tensor, rows: Tensor) -> Tensor:
    """`kept` with `rows` in place of those from `start` on.

    On TensorFlow `keras.ops.slice_update` is an operation of XLA's, which not every server
    knows. This one takes as long; XLA compiles it where `start` is an integer.
    """
    rows = ops.cast(rows, kept.dtype)
    if keras.backend.backend() != "tensorflow":
        return ops.slice_update(kept, (0, 0, start, 0), rows)
    import tensorflow as tf

    end = start + tf.shape(rows)[LENGTH_AXIS]
    parts = [kept[:, :, :start], rows, kept[:, :, end:]]
    return tf.ensure_shape(tf.concat(parts, axis=LENGTH_AXIS), kept.shape)
