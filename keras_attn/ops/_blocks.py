"""Blocks of queries and keys, of masks and of biases, and the blocks inside a band."""

import dataclasses
import math
from collections.abc import Callable

import keras
from keras import ops

from keras_attn.ops._arguments import evaluate_bias
from keras_attn.ops._loops import Stack
from keras_attn.ops._types import Size, Tensor

# The sides of a block of scores, and the size of a block over batch and heads, as measured by
# benchmarks/attention.py. A block of a few heads stays in the cache. With many heads it cannot,
# because matrix products lose their speed below MIN_SIDE.
MAX_QUERIES, MAX_KEYS, MAX_KEYS_BANDED, MIN_SIDE = 512, 2048, 512, 128
MAX_SCORES_PER_HEAD, MAX_SCORES, MAX_SCORES_BANDED = 2**19, 2**24, 2**23


@dataclasses.dataclass(frozen=True)
class Axis:
    """A length split into `count` blocks of `size`, the last of them padded.

    The blocks are as equal as possible, so that at most `count - 1` positions are padding.
    """

    length: Size
    count: Size
    size: Size

    @classmethod
    def split(cls, length: Size, max_size: Size) -> "Axis":
        """Split a length into the fewest blocks of at most `max_size`."""
        count = maximum(ceil_div(length, max_size), 1)
        return cls(length, count, maximum(ceil_div(length, count), 1))

    @property
    def padding(self) -> Size:
        """The number of padded positions."""
        return self.count * self.size - self.length

    def positions(self, i: Size) -> Tensor:
        """Return the positions of block `i`, int32 `(size,)`."""
        return i * self.size + ops.arange(self.size, dtype="int32")


@dataclasses.dataclass(frozen=True)
class Band:
    """The keys that each query attends to by its position: causal, windowed, or all.

    Query `t` has the position `t + q_offset` among the keys.
    """

    queries: Axis
    keys: Axis
    is_causal: bool
    window: int | None
    q_offset: Size

    def first_key(self, position: Size) -> Size:
        """Return the first key for a query at `position`; it may be negative."""
        return 0 if self.window is None else position - self.window + 1

    def end_key(self, position: Size) -> Size:
        """Return one past the last key for a query at `position`; it may exceed the length."""
        if self.is_causal:
            return position + 1
        return self.keys.length if self.window is None else position + self.window

    def count_keys(self, i: Size) -> Tensor:
        """Count the keys of each query of block `i`, float32 `(size, 1)`."""
        positions = (self.queries.positions(i) + self.q_offset)[:, None]
        ends = ops.minimum(self.end_key(positions), self.keys.length)
        starts = ops.maximum(self.first_key(positions), 0)
        return ops.cast(ops.maximum(ends - starts, 0), "float32")

    def key_block_ranges(self, i: Size) -> list[tuple[Size, Size, bool]]:
        """Return ranges of key blocks for query block `i`: start, stop, whether to mask them.

        Blocks outside the band are in no range. Only the blocks at the border of the band, and
        those with padding, have to be masked.
        """
        keys, queries = self.keys, self.queries
        top = i * queries.size + self.q_offset
        bottom = top + queries.size - 1
        start = clip(self.first_key(top) // keys.size, 0, keys.count)
        stop = clip(ceil_div(self.end_key(bottom), keys.size), start, keys.count)
        inner_start = clip(ceil_div(self.first_key(bottom), keys.size), start, stop)
        inner_end = minimum(self.end_key(top), keys.length) // keys.size
        inner_stop = clip(inner_end, inner_start, stop)
        ranges = [
            (start, inner_start, True),
            (inner_start, inner_stop, False),
            (inner_stop, stop, True),
        ]
        return [x for x in ranges if not (isinstance(x[1], int) and x[0] is x[1])]

    def mask(self, i: Size, j: Size) -> Tensor:
        """Return the mask of query block `i` and key block `j`, boolean `(queries, keys)`."""
        queries = (self.queries.positions(i) + self.q_offset)[:, None]
        keys = self.keys.positions(j)[None, :]
        mask = keys < minimum(self.end_key(queries), self.keys.length)
        if self.window is not None:
            mask = ops.logical_and(mask, keys >= self.first_key(queries))
        return mask


class PairBlocks:
    """The blocks of a mask or a bias that is a tensor, and of the gradient of a bias.

    Args:
        x: tensor that broadcasts to `(B, N, T, S)`, from `broadcast_unknown_axes`.
        heads: `N`, the query heads.
        key_heads: `K`, the key heads.
        band: the blocks of queries and keys.

    Blocks have shape `(B, K, N / K, queries, keys)`. An axis of size 1 keeps its size: it is
    neither split nor padded.
    """

    def __init__(self, x: Tensor, heads: int, key_heads: int, band: Band) -> None:
        self.shape = ops.shape(x)
        self.axes = (
            band.queries if x.shape[2] != 1 else SINGLE,
            band.keys if x.shape[3] != 1 else SINGLE,
        )
        self.heads = (key_heads, heads // key_heads) if x.shape[1] != 1 else (1, 1)
        for axis, split in enumerate(self.axes, start=2):
            x = pad_end(x, axis, split.padding)
        lengths = [split.count * split.size for split in self.axes]
        self.padded = ops.reshape(x, (self.shape[0], *self.heads, *lengths))
        self.block_shape = (self.shape[0], *self.heads, *(split.size for split in self.axes))

    def block(self, i: Size, j: Size) -> Tensor:
        """Return the block of query block `i` and key block `j`."""
        queries, keys = self.axes
        start = (0, 0, 0, *self._indices(i, j, queries.size, keys.size))
        return ops.slice(self.padded, start, self.block_shape)

    def zero_gradients(self) -> Stack:
        """Create the gradients of all blocks, all zero."""
        return Stack.zeros(self.axes[0].count * self.axes[1].count, self.block_shape)

    def add_gradient(self, gradients: Stack, i: Size, j: Size, dscores: Tensor) -> Stack:
        """Add the gradient of one block of scores `(B, K, N / K, queries, keys)`."""
        broadcast = [axis for axis, size in enumerate(self.padded.shape) if size == 1]
        broadcast += [3 + n for n, split in enumerate(self.axes) if split is SINGLE]
        index = sum(self._indices(i, j, self.axes[1].count, 1))
        dblock = ops.sum(dscores, axis=tuple(sorted(set(broadcast))), keepdims=True)
        return gradients.write(index, gradients.read(index) + dblock)

    def merge_gradients(self, gradients: Stack) -> Tensor:
        """Return the gradient with the shape of `x`."""
        counts = [split.count for split in self.axes]
        merged = ops.reshape(gradients.to_tensor(), (*counts, *self.block_shape))
        merged = ops.transpose(merged, (2, 3, 4, 0, 5, 1, 6))
        lengths = [split.count * split.size for split in self.axes]
        merged = ops.reshape(merged, (self.shape[0], math.prod(self.heads), *lengths))
        return merged[:, :, : self.axes[0].length, : self.axes[1].length]

    def _indices(self, i: Size, j: Size, step_i: Size, step_j: Size) -> tuple[Size, Size]:
        queries, keys = self.axes
        return (0 if queries is SINGLE else i * step_i, 0 if keys is SINGLE else j * step_j)


class PositionalBlocks:
    """The blocks of a bias that is a function of positions and has no gradient."""

    def __init__(
        self, bias: Callable[[Tensor, Tensor], Tensor], heads: int, key_heads: int, band: Band
    ) -> None:
        self.bias, self.band = bias, band
        self.heads, self.key_heads = heads, key_heads

    def block(self, i: Size, j: Size) -> Tensor:
        """Return the bias of query block `i` and key block `j`, `(1, K, N / K, queries, keys)`."""
        queries = self.band.queries.positions(i) + self.band.q_offset
        keys = self.band.keys.positions(j)
        bias = evaluate_bias(self.bias, self.heads, queries, keys)
        heads = (self.key_heads, self.heads // self.key_heads) if bias.shape[1] != 1 else (1, 1)
        return ops.reshape(bias, (1, *heads, *ops.shape(bias)[2:]))


def broadcast_unknown_axes(x: Tensor, scores_shape: tuple) -> Tensor:
    """Broadcast a mask or a bias along the axes whose size is not static.

    Such an axis may turn out to have size 1, which `PairBlocks` treats differently.

    Args:
        x: boolean or float32 tensor that broadcasts to `scores_shape`.
        scores_shape: `(B, N, T, S)`; sizes may be scalar tensors.
    """
    if None not in x.shape:
        return x
    pairs = zip(scores_shape, x.shape, strict=True)
    zeros = ops.zeros([size if old is None else 1 for size, old in pairs], x.dtype)
    is_boolean = keras.backend.standardize_dtype(x.dtype) == "bool"
    return ops.logical_or(x, zeros) if is_boolean else x + zeros


SINGLE = Axis(1, 1, 1)  # an axis along which a mask or a bias does not vary


def pad_end(x: Tensor, axis: int, amount: Size) -> Tensor:
    """Append `amount` zeros to `x` along `axis`."""
    if isinstance(amount, int) and amount == 0:
        return x
    shape = list(ops.shape(x))
    shape[axis] = amount
    return ops.concatenate([x, ops.zeros(shape, x.dtype)], axis=axis)


def max_block_sides(
    heads: Size, keys: Size, is_banded: bool, chunk_size: int | None
) -> tuple[Size, Size]:
    """Return the maximum queries and keys of a block.

    Args:
        heads: batch size times query heads.
        keys: number of keys.
        is_banded: whether positions limit the keys of a query. Smaller blocks then leave out
            more of the scores.
        chunk_size: the value of both sides, if it is not None.
    """
    if chunk_size is not None:
        return chunk_size, chunk_size
    max_scores = minimum(
        MAX_SCORES_PER_HEAD,
        maximum(MAX_SCORES_BANDED if is_banded else MAX_SCORES, heads) // maximum(heads, 1),
    )
    max_keys = minimum(MAX_KEYS_BANDED if is_banded else MAX_KEYS, maximum(keys, 1))
    max_queries = clip(max_scores // max_keys, MIN_SIDE, MAX_QUERIES)
    return max_queries, minimum(maximum(max_scores // max_queries, MIN_SIDE), max_keys)


def ceil_div(a: Size, b: Size) -> Size:
    """Return `a / b`, rounded up."""
    return -(-a // b)


def minimum(a: Size, b: Size) -> Size:
    """Return the smaller of two sizes, as a Python integer where both are static."""
    return min(a, b) if isinstance(a, int) and isinstance(b, int) else ops.minimum(a, b)


def maximum(a: Size, b: Size) -> Size:
    """Return the larger of two sizes, as a Python integer where both are static."""
    return max(a, b) if isinstance(a, int) and isinstance(b, int) else ops.maximum(a, b)


def clip(x: Size, low: Size, high: Size) -> Size:
    """Return the size limited to `[low, high]`, as a Python integer where all are static."""
    return maximum(minimum(x, high), low)
