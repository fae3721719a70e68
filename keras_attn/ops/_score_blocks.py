"""Computation of blocks of scores, with bias, masks and dropout.

Shapes are written with `B` the batch, `K` the key heads, `G` the query heads that share a key
head, `R` the rows of a block (its queries times `G`) and `C` the keys of a block.
"""

import dataclasses
import functools
from collections.abc import Callable

import keras
from keras import ops

from keras_attn.ops._blocks import Axis, Band, PairBlocks, PositionalBlocks, pad_end
from keras_attn.ops._loops import fori_loop
from keras_attn.ops._matmul import matmul
from keras_attn.ops._scores import add_bias, bias_mask, mask_scores
from keras_attn.ops._types import Size, Tensor
from keras_attn.ops.masks import combine


@dataclasses.dataclass(frozen=True)
class ScoreBlocks:
    """Compute blocks of scores and of dropout.

    Args:
        band: the blocks of queries and keys, and the keys that a position allows.
        group: `G`, the query heads that share a key head.
        mask: blocks of the mask, or None.
        bias: blocks of the bias, or None.
        dropout: rate at which weights are dropped.
        seed: int32 `(2,)`, or None without dropout.
    """

    band: Band
    group: int
    mask: PairBlocks | None
    bias: PairBlocks | PositionalBlocks | None
    dropout: float
    seed: Tensor | None

    def loop_over_keys(self, i: Size, body: Callable[..., tuple], carry: tuple) -> tuple:
        """Run `carry = body(j, carry, is_border=...)` for the key blocks `j` of query block `i`.

        `is_border` says whether the band has to be applied to the scores of the block.
        """
        for start, stop, is_border in self.band.key_block_ranges(i):
            carry = fori_loop(start, stop, functools.partial(body, is_border=is_border), carry)
        return carry

    def scores(self, i: Size, j: Size, query: Tensor, key: Tensor, is_border: bool) -> Tensor:
        """Return scores `(B, K, R, C)`, near -1e30 where a key is masked.

        Args:
            i: index of the query block.
            j: index of the key block.
            query: scaled queries `(B, K, R, H)`.
            key: keys `(B, K, C, H)`.
            is_border: whether to apply the band.
        """
        scores = matmul(query, key, transpose_b=True)
        if self.bias is None and self.mask is None and not is_border:
            return scores
        shape = ops.shape(scores)
        scores = self.ungroup(scores)
        if self.bias is not None:
            scores = add_bias(scores, self.bias.block(i, j))
        if self.mask is not None:
            scores = mask_scores(scores, self.mask.block(i, j))
        if is_border:
            scores = mask_scores(scores, self.band.mask(i, j))
        return ops.reshape(scores, shape)

    def count_keys(self, i: Size, zeros: Tensor) -> Tensor:
        """Count the keys that each row of query block `i` may attend to.

        Args:
            i: index of the query block.
            zeros: zeros `(B, K, R, 1)`, the shape of the result.
        """
        zeros_by_head = self.ungroup(zeros)
        if self.mask is None and self.bias is None:
            return ops.reshape(zeros_by_head + self.band.count_keys(i), ops.shape(zeros))
        body = functools.partial(self._add_key_count, i)
        (count,) = self.loop_over_keys(i, body, (zeros_by_head,))
        return ops.reshape(count, ops.shape(zeros))

    def _add_key_count(self, i: Size, j: Size, carry: tuple, is_border: bool) -> tuple:
        band = self.band.mask(i, j) if is_border else ops.ones((1, self.band.keys.size), "bool")
        allowed = combine(
            band,
            None if self.mask is None else self.mask.block(i, j),
            None if self.bias is None else bias_mask(self.bias.block(i, j)),
        )
        return (carry[0] + ops.sum(ops.cast(allowed, "float32"), axis=-1, keepdims=True),)

    def dropout_factors(self, i: Size, j: Size, query: Tensor, key: Tensor) -> Tensor | None:
        """Return the factors `(B, K, R, C)` of dropout, or None without dropout.

        They depend only on the seed and the indices, so that the gradient drops the weights
        that the forward pass dropped.
        """
        if self.seed is None:
            return None
        shape = (*ops.shape(query)[:-1], ops.shape(key)[-2])
        index = ops.cast(i * self.band.keys.count + j, "int32")
        seed = ops.stack([self.seed[0], self.seed[1] + index])
        seed = ops.cast(seed, "uint32") if keras.backend.backend() == "jax" else seed
        uniform = keras.random.uniform(shape, dtype="float32", seed=_FixedSeed(seed))
        return ops.cast(uniform >= self.dropout, "float32") / (1.0 - self.dropout)

    def ungroup(self, x: Tensor) -> Tensor:
        """Reshape `(B, K, R, X)` to `(B, K, G, queries, X)`."""
        batch, key_heads, _, width = ops.shape(x)
        return ops.reshape(x, (batch, key_heads, self.group, self.band.queries.size, width))

    def split_queries(self, x: Tensor) -> Tensor:
        """Split `(B, T, K * G, X)` into query blocks `(count, B, K, R, X)`, float32."""
        return _split(x, self.band.queries, self.group)

    def split_keys(self, x: Tensor) -> Tensor:
        """Split `(B, S, K, X)` into key blocks `(count, B, K, C, X)`, float32."""
        return _split(x, self.band.keys, 1)

    def merge_queries(self, x: Tensor) -> Tensor:
        """Merge query blocks into `(B, T, K * G, X)`, without the padding."""
        return _merge(x, self.band.queries, self.group)

    def merge_keys(self, x: Tensor) -> Tensor:
        """Merge key blocks into `(B, S, K, X)`, without the padding."""
        return _merge(x, self.band.keys, 1)


class _FixedSeed(keras.random.SeedGenerator):
    """A drawn seed for `keras.random` functions, which would draw another from an integer."""

    def __init__(self, seed: Tensor) -> None:
        self.seed_tensor = seed

    def next(self, ordered: bool = True) -> Tensor:
        return self.seed_tensor


def _split(x: Tensor, axis: Axis, group: int) -> Tensor:
    x = pad_end(ops.cast(x, "float32"), 1, axis.padding)
    batch, _, heads, width = ops.shape(x)
    x = ops.reshape(x, (batch, axis.count, axis.size, heads // group, group, width))
    x = ops.transpose(x, (1, 0, 3, 4, 2, 5))
    return ops.reshape(x, (axis.count, batch, heads // group, group * axis.size, width))


def _merge(x: Tensor, axis: Axis, group: int) -> Tensor:
    _, batch, heads, _, width = ops.shape(x)
    x = ops.reshape(x, (axis.count, batch, heads, group, axis.size, width))
    x = ops.transpose(x, (1, 0, 4, 2, 3, 5))
    x = ops.reshape(x, (batch, axis.count * axis.size, heads * group, width))
    return x[:, : axis.length]
