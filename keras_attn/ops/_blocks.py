"""How attention is cut into blocks, and which blocks a band leaves anything in."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_attn.ops._backend import Stack
from keras_attn.ops._checks import positional_bias

Tensor = Any
Int = int | Any  # a Python integer where the length is known, else a scalar tensor

# The sides of a block of scores, and how many it has over batch and heads: measured, see
# benchmarks/attention.py. A block of a few heads stays in the cache; with many heads it
# must not, for below the least side the matrix products lose their speed.
MOST_QUERIES, MOST_KEYS, MOST_KEYS_BANDED, LEAST = 512, 2048, 512, 128
SCORES_A_HEAD, MOST_SCORES, MOST_SCORES_BANDED = 2**19, 2**24, 2**23


@dataclasses.dataclass(frozen=True)
class Axis:
    """A length cut into `count` blocks of `size`, the last one padded.

    The blocks are as equal as can be, so that at most `count - 1` positions are padding.
    """

    length: Int
    count: Int
    size: Int

    @classmethod
    def cut(cls, length: Int, most: Int) -> "Axis":
        count = maximum(ceil_div(length, most), 1)
        return cls(length, count, maximum(ceil_div(length, count), 1))

    @property
    def padding(self) -> Int:
        return self.count * self.size - self.length

    def positions(self, i: Int) -> Tensor:
        """The positions of block `i`, int32 `(size,)`."""
        return i * self.size + ops.arange(self.size)


@dataclasses.dataclass(frozen=True)
class Band:
    """Which keys a query sees by its position: causal, windowed, or all that there are."""

    queries: Axis
    keys: Axis
    is_causal: bool
    window: int | None
    q_offset: Int

    @property
    def limits(self) -> bool:
        return self.is_causal or self.window is not None

    def first(self, position: Int) -> Int:
        """The first key that the query at `position` sees, perhaps below 0."""
        return 0 if self.window is None else position - self.window + 1

    def end(self, position: Int) -> Int:
        """One past the last key that the query at `position` sees, perhaps past the end."""
        if self.is_causal:
            return position + 1
        return self.keys.length if self.window is None else position + self.window

    def seen(self, i: Int) -> Tensor:
        """How many keys each query of block `i` sees, float32 `(size, 1)`."""
        positions = (self.queries.positions(i) + self.q_offset)[:, None]
        ends = ops.minimum(self.end(positions), self.keys.length)
        return ops.cast(ops.maximum(ends - ops.maximum(self.first(positions), 0), 0), "float32")

    def ranges(self, i: Int) -> list[tuple[Int, Int, bool]]:
        """Runs of key blocks for query block `i`: first, end, and whether to mask them.

        Blocks that no query of the block sees are in no run; only those at the border of
        the band, or with padding, have to be masked.
        """
        keys, queries = self.keys, self.queries
        top = i * queries.size + self.q_offset
        bottom = top + queries.size - 1
        start = clip(self.first(top) // keys.size, 0, keys.count)
        stop = clip(ceil_div(self.end(bottom), keys.size), start, keys.count)
        full_start = clip(ceil_div(self.first(bottom), keys.size), start, stop)
        full_end = minimum(self.end(top), keys.length) // keys.size
        full_stop = clip(full_end, full_start, stop)
        runs = [(start, full_start, True), (full_start, full_stop, False), (full_stop, stop, True)]
        return [run for run in runs if not (isinstance(run[1], int) and run[0] is run[1])]

    def allows(self, i: Int, j: Int) -> Tensor:
        """Which keys of block `j` the queries of block `i` see, boolean `(rows, columns)`."""
        queries = (self.queries.positions(i) + self.q_offset)[:, None]
        keys = self.keys.positions(j)[None, :]
        allowed = keys < minimum(self.end(queries), self.keys.length)
        if self.window is not None:
            allowed = ops.logical_and(allowed, keys >= self.first(queries))
        return allowed


class Pairs:
    """A mask or a bias over pairs of queries and keys, and its blocks.

    Args:
        x: tensor that broadcasts to `(B, N, T, S)`, as of `spread`.
        heads: `N`, the heads of the queries.
        key_heads: `K`; blocks have axes `(B, K, N / K, queries, keys)`.
        band: how the queries and keys are cut.

    An axis of size 1 stays so: it is neither cut nor padded.
    """

    def __init__(self, x: Tensor, heads: int, key_heads: int, band: Band) -> None:
        self.shape = ops.shape(x)
        self.axes = (
            band.queries if x.shape[2] != 1 else ONE,
            band.keys if x.shape[3] != 1 else ONE,
        )
        by_head = (key_heads, heads // key_heads) if x.shape[1] != 1 else (1, 1)
        for axis, cut in enumerate(self.axes, start=2):
            x = padded(x, axis, cut.padding)
        lengths = [cut.count * cut.size for cut in self.axes]
        self.whole = ops.reshape(x, (self.shape[0], *by_head, *lengths))
        self.heads = by_head
        self.block_shape = (self.shape[0], *by_head, *(cut.size for cut in self.axes))

    def block(self, i: Int, j: Int) -> Tensor:
        """The part for query block `i` and key block `j`, `(B, K, N / K, rows, columns)`."""
        rows, columns = self.axes
        start = (0, 0, 0, *self._place(i, j, rows.size, columns.size))
        return ops.slice(self.whole, start, self.block_shape)

    def gradients(self) -> Stack:
        """Gradients of all blocks, none added yet."""
        return Stack.zeros(self.axes[0].count * self.axes[1].count, self.block_shape)

    def add(self, gradients: Stack, i: Int, j: Int, by_scores: Tensor) -> Stack:
        """Add what one block of scores `(B, K, N / K, rows, columns)` contributes."""
        alone = [axis for axis, size in enumerate(self.whole.shape) if size == 1]
        alone += [3 + n for n, cut in enumerate(self.axes) if cut is ONE]
        place = sum(self._place(i, j, self.axes[1].count, 1))
        by_block = ops.sum(by_scores, axis=tuple(sorted(set(alone))), keepdims=True)
        return gradients.write(place, gradients.read(place) + by_block)

    def joined(self, gradients: Stack) -> Tensor:
        """The gradient, in the shape of `x`."""
        counts = [cut.count for cut in self.axes]
        whole = ops.reshape(gradients.stacked(), (*counts, *self.block_shape))
        whole = ops.transpose(whole, (2, 3, 4, 0, 5, 1, 6))
        lengths = [cut.count * cut.size for cut in self.axes]
        whole = ops.reshape(whole, (self.shape[0], math.prod(self.heads), *lengths))
        return whole[:, :, : self.axes[0].length, : self.axes[1].length]

    def _place(self, i: Int, j: Int, step_i: Int, step_j: Int) -> tuple[Int, Int]:
        rows, columns = self.axes
        return (0 if rows is ONE else i * step_i, 0 if columns is ONE else j * step_j)


class Positional:
    """A bias that is a function of positions, and its blocks; nothing in it is learned."""

    def __init__(
        self, bias: Callable[[Tensor, Tensor], Tensor], heads: tuple[int, int], band: Band
    ) -> None:
        self.bias, self.heads, self.band = bias, heads, band

    def block(self, i: Int, j: Int) -> Tensor:
        """The part for query block `i` and key block `j`, `(1, K, N / K, rows, columns)`."""
        queries = self.band.queries.positions(i) + self.band.q_offset
        keys = self.band.keys.positions(j)
        bias = positional_bias(self.bias, math.prod(self.heads), queries, keys)
        heads = self.heads if bias.shape[1] != 1 else (1, 1)
        return ops.reshape(bias, (1, *heads, *ops.shape(bias)[2:]))


def spread(x: Tensor, scores: tuple) -> Tensor:
    """A mask or a bias as large as the scores in each axis that may turn out to be of size 1.

    Args:
        x: boolean or float32 tensor that broadcasts to `scores`.
        scores: the shape `(B, N, T, S)`; sizes may be scalar tensors.
    """
    if None not in x.shape:
        return x
    known = [size if old is None else 1 for size, old in zip(scores, x.shape, strict=True)]
    zeros = ops.zeros(known, x.dtype)
    return ops.logical_or(x, zeros) if _is_bool(x) else x + zeros


ONE = Axis(1, 1, 1)  # an axis in which a mask or a bias does not vary


def padded(x: Tensor, axis: int, amount: Int) -> Tensor:
    """`x` with `amount` zeros after its end along `axis`."""
    if isinstance(amount, int) and amount == 0:
        return x
    shape = list(ops.shape(x))
    shape[axis] = amount
    return ops.concatenate([x, ops.zeros(shape, x.dtype)], axis=axis)


def block_sides(heads: Int, keys: Int, banded: bool, chunk_size: int | None) -> tuple[Int, Int]:
    """The most queries and the most keys of a block, for `heads` over batch and heads."""
    if chunk_size is not None:
        return chunk_size, chunk_size
    most = minimum(
        SCORES_A_HEAD, maximum(MOST_SCORES_BANDED if banded else MOST_SCORES, heads) // heads
    )
    columns = minimum(MOST_KEYS_BANDED if banded else MOST_KEYS, maximum(keys, 1))
    rows = clip(most // columns, LEAST, MOST_QUERIES)
    return rows, minimum(maximum(most // rows, LEAST), columns)


def ceil_div(a: Int, b: Int) -> Int:
    return -(-a // b)


def minimum(a: Int, b: Int) -> Int:
    return min(a, b) if isinstance(a, int) and isinstance(b, int) else ops.minimum(a, b)


def maximum(a: Int, b: Int) -> Int:
    return max(a, b) if isinstance(a, int) and isinstance(b, int) else ops.maximum(a, b)


def clip(x: Int, low: Int, high: Int) -> Int:
    return maximum(minimum(x, high), low)


def _is_bool(x: Tensor) -> bool:
    return keras.backend.standardize_dtype(x.dtype) == "bool"
