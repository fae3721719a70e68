"""Lookup in sorted constants.

A table of TensorFlow's is a resource, which every export has to be told of; constants go
wherever the graph goes. Searching them takes about as long.
"""

from collections.abc import Sequence
from typing import Any

Tensor = Any

_HASHES = (1 << 63) - 1


class IntegerLookup:
    """From int64 keys to int32 values, and to 0 from what is no key."""

    def __init__(self, keys: Any, values: Any) -> None:
        import numpy as np
        import tensorflow as tf

        keys, values = np.asarray(keys, "int64"), np.asarray(values, "int32")
        order = np.argsort(keys)
        self._keys = tf.constant(keys[order])
        self._values = tf.constant(values[order])

    def __call__(self, keys: Tensor) -> Tensor:
        """Values `(N,)` of `keys` `(N,)`."""
        import tensorflow as tf

        # tf.searchsorted cannot search for nothing; the operation below it can.
        places = tf.raw_ops.LowerBound(sorted_inputs=self._keys[None], values=keys[None])[0]
        places = tf.minimum(places, tf.size(self._keys) - 1)
        found = tf.gather(self._keys, places) == keys
        return tf.where(found, tf.gather(self._values, places), 0)


class StringLookup:
    """From distinct strings to their places in a list, and to -1 from any other."""

    def __init__(self, strings: Sequence[str]) -> None:
        import tensorflow as tf

        self._strings = tf.constant(list(strings))
        hashes = tf.strings.to_hash_bucket_fast(self._strings, _HASHES).numpy()
        if len(set(hashes.tolist())) < len(strings):
            raise ValueError("Two of the strings have the same 63 bits of FarmHash. Leave out one.")
        self._places = IntegerLookup(hashes, range(len(strings)))

    def __call__(self, strings: Tensor) -> Tensor:
        """Places, int32 of the shape of `strings`."""
        import tensorflow as tf

        flat = tf.reshape(strings, [-1])
        places = self._places(tf.strings.to_hash_bucket_fast(flat, _HASHES))
        found = tf.gather(self._strings, places) == flat  # exact, whatever the hashes say
        return tf.reshape(tf.where(found, places, -1), tf.shape(strings))
