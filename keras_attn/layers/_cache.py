"""A cache of keys and values, of fixed size or growing, on every backend."""

from typing import Any

import keras
from keras import ops

from keras_attn.ops._arguments import convert_offset

Tensor = Any
Cache = dict[str, Tensor]  # keys and values (B, K, S, size)

LENGTH_AXIS = 2
END = "end"  # the `cache_index` of a cache that grows


def added(cache: Cache, index: int | Tensor | str, rows: Cache) -> Cache:
    """The cache with further rows `(B, K, T, size)`, from `index` on or at its end."""
    if _is_end(index):
        return {name: _appended(kept, rows[name]) for name, kept in cache.items()}
    start = convert_offset(index)
    return {name: _written(kept, start, rows[name]) for name, kept in cache.items()}


def start_of(cache: Cache, index: int | Tensor | str) -> int | Tensor:
    """The position of the first row that is added."""
    return ops.shape(cache["key"])[LENGTH_AXIS] if _is_end(index) else convert_offset(index)


def length_after(cache: Cache, index: int | Tensor | str, new: int | None) -> int | None:
    """How long the cache is when `new` rows are added; None where it is not known."""
    length = cache["key"].shape[LENGTH_AXIS]
    if not _is_end(index):
        return length
    return None if length is None or new is None else length + new


def check_cache(name: str, cache: Any, index: Any, queries: int | None, values: int | None) -> None:
    """Refuse a cache and an index that do not go together, or have no room."""
    if (cache is None) != (index is None):
        raise ValueError(
            f"{name}: `cache` and `cache_index` go together. Received: "
            f"cache={'None' if cache is None else 'a cache'}, cache_index={index!r}. A cache that "
            f"grows has cache_index={END!r}."
        )
    if cache is None:
        return
    wrong = isinstance(index, str) and index != END
    if set(cache) != {"key", "value"} or wrong or (isinstance(index, int) and index < 0):
        raise ValueError(
            f"{name}: `cache` is what `make_cache` or the last call gave, with 'key' and "
            f"'value', and `cache_index` is {END!r} or not negative. Received: a cache with "
            f"{sorted(cache)}, cache_index={index!r}."
        )
    length = cache["key"].shape[LENGTH_AXIS]
    known = isinstance(index, int) and queries is not None and length is not None
    if known and index + queries > length:
        raise ValueError(
            f"{name}: the cache has {length} positions; {queries} more do not fit after "
            f"cache_index={index}. Make a longer one with `make_cache`, or let it grow with "
            f"cache_index={END!r}."
        )
    if queries != values:
        raise ValueError(
            f"{name}: with a cache `query` and `value` are the same new positions. "
            f"Received: lengths {queries} and {values}. For cross-attention use `project` and "
            "`attend`."
        )


def _is_end(index: Any) -> bool:
    return isinstance(index, str) and index == END


def _appended(kept: Tensor, rows: Tensor) -> Tensor:
    return ops.concatenate([kept, ops.cast(rows, kept.dtype)], axis=LENGTH_AXIS)


def _written(kept: Tensor, start: int | Tensor, rows: Tensor) -> Tensor:
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
