"""Lookup tables made of sorted constants.

A TensorFlow lookup table is a resource, which every export has to track. Constants are part
of the graph. Searching them takes about as long.
"""

from collections.abc import Sequence
from typing import Any

from keras_attn._types import Tensor

_NUM_HASHES = (1 << 63) - 1


class IntegerLookup:
    """Map int64 keys to int32 values, and every other integer to 0.

    Args:
        keys: Distinct integers `(K,)`.
        values: Integers `(K,)`.
    """

    def __init__(self, keys: Any, values: Any) -> None:
        import numpy as np
        import tensorflow as tf

        keys, values = np.asarray(keys, "int64"), np.asarray(values, "int32")
        order = np.argsort(keys)
        self._keys = tf.constant(keys[order])
        self._values = tf.constant(values[order])

    def __call__(self, keys: Tensor) -> Tensor:
        """Return the int32 values `(N,)` of int64 keys `(N,)`."""
        import tensorflow as tf

        # `tf.searchsorted` refuses an empty `keys`; the operation that it calls does not.
        places = tf.raw_ops.LowerBound(sorted_inputs=self._keys[None], values=keys[None])[0]
        places = tf.minimum(places, tf.size(self._keys) - 1)
        is_key = tf.gather(self._keys, places) == keys
        return tf.where(is_key, tf.gather(self._values, places), 0)


class StringLookup:
    """Map each of several distinct strings to its index, and every other string to -1.

    Args:
        strings: Distinct strings.

    Raises:
        ValueError: Two of the strings have the same hash.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        import tensorflow as tf

        self._strings = tf.constant(list(strings))
        hashes = tf.strings.to_hash_bucket_fast(self._strings, _NUM_HASHES).numpy()
        if len(set(hashes.tolist())) < len(strings):
            raise ValueError("Two of the strings have the same 63 bits of FarmHash. Leave out one.")
        self._index_of_hash = IntegerLookup(hashes, range(len(strings)))

    def __call__(self, strings: Tensor) -> Tensor:
        """Return the indices of strings, an int32 tensor of their shape."""
        import tensorflow as tf

        flat = tf.reshape(strings, [-1])
        indices = self._index_of_hash(tf.strings.to_hash_bucket_fast(flat, _NUM_HASHES))
        # Strings outside of the table may share a hash with one in it: compare them.
        is_equal = tf.gather(self._strings, indices) == flat
        return tf.reshape(tf.where(is_equal, indices, -1), tf.shape(strings))
