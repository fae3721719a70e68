"""Caches of keys and values for decoding, of fixed size or growing, on every backend."""

from typing import Any

import keras
from keras import ops

from keras_attn._types import Tensor
from keras_attn.layers._types import Tensors
from keras_attn.ops._arguments import convert_offset

LENGTH_AXIS = 2  # of the keys and values of a cache, (B, K, S, size)
END = "end"  # the `cache_index` of a growing cache


def update_cache(cache: Tensors, index: int | Tensor | str, new: Tensors) -> Tensors:
    """Return the cache with new keys and values `(B, K, T, size)`.

    They are written from position `index` on, or appended if `index` is `"end"`.
    """
    if _is_end(index):
        return {name: _append(cached, new[name]) for name, cached in cache.items()}
    start = convert_offset(index)
    return {name: _write(cached, start, new[name]) for name, cached in cache.items()}


def new_positions_start(cache: Tensors, index: int | Tensor | str) -> int | Tensor:
    """Return the position of the first new key."""
    return ops.shape(cache["key"])[LENGTH_AXIS] if _is_end(index) else convert_offset(index)


def updated_length(cache: Any, index: Any, new: int | None) -> int | None:
    """Return the number of keys after an update with `new` positions; None if unknown.

    Without a cache, all keys are new.
    """
    if cache is None:
        return new
    length = cache["key"].shape[LENGTH_AXIS]
    if not _is_end(index):
        return length
    return None if length is None or new is None else length + new


def check_cache(name: str, cache: Any, index: Any, queries: int | None, values: int | None) -> None:
    """Raise ValueError if a cache and an index do not fit each other or the inputs.

    Args:
        name: name of the layer, for error messages.
        cache: the call argument `cache`.
        index: the call argument `cache_index`.
        queries: number of queries, None if unknown.
        values: number of values, None if unknown.
    """
    if (cache is None) != (index is None):
        raise ValueError(
            f"{name}: `cache` and `cache_index` go together. Received: "
            f"cache={'None' if cache is None else 'a cache'}, cache_index={index!r}. A growing "
            f"cache has cache_index={END!r}."
        )
    if cache is None:
        return
    wrong = isinstance(index, str) and index != END
    if set(cache) != {"key", "value"} or wrong or (isinstance(index, int) and index < 0):
        raise ValueError(
            f"{name}: `cache` must come from `make_cache` or the previous call, with 'key' and "
            f"'value', and `cache_index` must be {END!r} or not negative. Received: a cache with "
            f"{sorted(cache)}, cache_index={index!r}."
        )
    length = cache["key"].shape[LENGTH_AXIS]
    known = isinstance(index, int) and queries is not None and length is not None
    if known and index + queries > length:
        raise ValueError(
            f"{name}: the cache has {length} positions; {queries} more do not fit after "
            f"cache_index={index}. Make a longer one with `make_cache`, or use a growing one "
            f"with cache_index={END!r}."
        )
    if queries != values:
        raise ValueError(
            f"{name}: with a cache `query` and `value` must be the same new positions. "
            f"Received: lengths {queries} and {values}. For cross-attention use `project` and "
            "`attend`."
        )


def _is_end(index: Any) -> bool:
    return isinstance(index, str) and index == END


def _append(cached: Tensor, new: Tensor) -> Tensor:
    return ops.concatenate([cached, ops.cast(new, cached.dtype)], axis=LENGTH_AXIS)


def _write(cached: Tensor, start: int | Tensor, new: Tensor) -> Tensor:
    """Return `cached` with the positions from `start` on replaced by `new`.

    On TensorFlow `keras.ops.slice_update` is an operation of XLA, which not every server
    supports. Slices and a concatenation are as fast; XLA compiles them if `start` is an integer.
    """
    new = ops.cast(new, cached.dtype)
    if keras.backend.backend() != "tensorflow":
        return ops.slice_update(cached, (0, 0, start, 0), new)
    import tensorflow as tf

    end = start + tf.shape(new)[LENGTH_AXIS]
    parts = [cached[:, :, :start], new, cached[:, :, end:]]
    return tf.ensure_shape(tf.concat(parts, axis=LENGTH_AXIS), cached.shape)
