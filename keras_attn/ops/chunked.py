"""Exact attention in blocks, with memory linear in the length.

The scores are never whole: queries and keys are cut into blocks, and each block of scores
is computed, used and dropped, in the forward pass and again in the gradient (Rabe and
Staats, arXiv:2112.05682; Dao et al., arXiv:2205.14135). Blocks that a causal mask or a
window empties are not computed.

Each block is normalized on its own, and joins those before it by the logarithm of its sum
of exponentials. That logarithm over all blocks, kept for each query, gives every weight
back from its score alone, which is what the gradient needs.

Shapes of blocks are written with `R` the queries of a block times the query heads that
share a key head (`G`), and `C` the keys of a block.
"""

import dataclasses
import functools
from typing import Any

import keras
from keras import ops

from keras_attn.ops._backend import Stack, fori_loop, matmul, with_gradient
from keras_attn.ops._blocks import (
    Axis,
    Band,
    Int,
    Pairs,
    Positional,
    block_sides,
    padded,
    spread,
)
from keras_attn.ops._call import Call
from keras_attn.ops.normalizers import FLOOR, biased, floored, softmax

Tensor = Any
Bias = Pairs | Positional | None

# The sum of exponentials before the first block, as a logarithm: softmax1 has a key of
# score 0 and value 0 that is always there. The sigmoid judges each key on its own.
STARTS = {"softmax": FLOOR, "normalized_sigmoid": FLOOR, "softmax1": 0.0}
NORMALIZERS = (*STARTS, "sigmoid")


def chunked(call: Call, chunk_size: int | None = None) -> Tensor:
    """Attention as `keras_attn.ops.attention` defines it, in blocks."""
    query, key, value = call.query, call.key, call.value
    batch, queries, heads, _ = ops.shape(query)
    keys, key_heads = ops.shape(key)[1], key.shape[2]
    rows, columns = block_sides(batch * heads, keys, call.banded, chunk_size)
    axes = Axis.cut(queries, rows), Axis.cut(keys, columns)
    scores = batch, heads, queries, keys
    learned: tuple[Tensor, ...] = ()
    if call.bias is not None and not callable(call.bias):
        learned = (spread(ops.cast(call.bias, "float32"), scores),)
    mask = None if call.mask is None else spread(call.mask, scores)
    # Two numbers of this call; those of a block follow from its place.
    seed = keras.random.randint((2,), 0, 2**30, "int32", call.seed) if call.dropout else None
    known_offset = isinstance(call.q_offset, int)
    fixed = mask, None if known_offset else ops.cast(call.q_offset, "int32"), seed

    def passes(learned: list, fixed: tuple) -> tuple["_Passes", Bias]:
        mask, offset, seed = fixed
        q_offset = call.q_offset if known_offset else offset
        band = Band(*axes, call.is_causal, call.window, q_offset)
        mask = None if mask is None else Pairs(mask, heads, key_heads, band)
        bias: Bias = Pairs(learned[0], heads, key_heads, band) if learned else None
        if callable(call.bias):
            bias = Positional(call.bias, (key_heads, heads // key_heads), band)
        settings = call.scale, call.normalizer, call.dropout, seed
        return _Passes(heads // key_heads, band, mask, *settings), bias

    def forward(inputs: tuple, fixed: tuple) -> tuple:
        query, key, value, *learned = inputs
        of_call, bias = passes(learned, fixed)
        output, residuals = of_call.forward(query, key, value, bias)
        return output, (output, residuals)

    def backward(inputs: tuple, fixed: tuple, kept: tuple, upstream: Tensor) -> tuple:
        query, key, value, *learned = inputs
        of_call, bias = passes(learned, fixed)
        output, residuals = kept
        gradients = of_call.backward(query, key, value, bias, output, residuals, upstream)
        return tuple(ops.cast(g, x.dtype) for g, x in zip(gradients, inputs, strict=True))

    return with_gradient(forward, backward, (query, key, value, *learned), fixed)


def block_shape(heads: int, queries: int, keys: int, banded: bool) -> tuple[int, int]:
    """Queries and keys of a block, for `heads` over batch and heads."""
    rows, columns = block_sides(heads, keys, banded, None)
    return Axis.cut(queries, rows).size, Axis.cut(keys, columns).size


@dataclasses.dataclass(frozen=True)
class _Passes:
    """The forward and the backward pass over the blocks of one call."""

    group: int
    band: Band
    mask: Pairs | None
    scale: float
    normalizer: str
    dropout: float
    seed: Tensor | None

    def forward(self, query: Tensor, key: Tensor, value: Tensor, bias: Bias) -> tuple:
        """The output `(B, T, N, V)`, and a residual for each query, `(count, B, K, R, 1)`."""
        queries, keys, values = self._cut(query, key, value)
        attend = self._attend_sigmoid if self.normalizer == "sigmoid" else self._attend_softmax

        def row(i: Int, carry: tuple) -> tuple:
            blocks = attend(i, queries[i], keys, values, bias)
            return tuple(stack.write(i, block) for stack, block in zip(carry, blocks, strict=True))

        count, shape = self.band.queries.count, ops.shape(queries)[1:-1]
        empty = tuple(Stack.empty(count, (*shape, size)) for size in (value.shape[-1], 1))
        outputs, residuals = fori_loop(0, count, row, empty)
        output = self._joined(outputs.stacked(), self.band.queries, self.group)
        return ops.cast(output, value.dtype), residuals.stacked()

    def backward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        bias: Bias,
        output: Tensor,
        residuals: Tensor,
        upstream: Tensor,
    ) -> list[Tensor]:
        """The gradients by query, key, value and bias, if there is one; float32."""
        rows, columns, group = self.band.queries, self.band.keys, self.group
        learned = bias if isinstance(bias, Pairs) else None
        queries, keys, values = self._cut(query, key, value)
        upstream = ops.cast(upstream, "float32")
        means = ops.sum(upstream * ops.cast(output, "float32"), axis=-1, keepdims=True)
        if self.normalizer == "sigmoid":  # no weight depends on another
            means = ops.zeros_like(means)
        upstreams, means = (self._split(x, rows, group) for x in (upstream, means))

        def row(i: Int, carry: tuple) -> tuple:
            query, upstream, mean = queries[i], upstreams[i], means[i]
            shifted_query = self._shifted_query(query, residuals[i])

            def add(j: Int, carry: tuple, banded: bool) -> tuple:
                by_query, by_keys, by_values, *by_bias = carry
                keep = self._keep(i, j, query, keys[j])
                scores = self._scores(i, j, shifted_query, self._key(keys[j]), bias, banded)
                weights, slope = self._weights(scores, residuals[i])
                by_weights = _by_weights(upstream, values[j], mean, keep)
                by_scores = _times(weights * by_weights, slope)
                by_value = matmul(_times(weights, keep), upstream, transpose_a=True)
                by_key = matmul(by_scores, query, transpose_a=True)
                by_query = by_query + matmul(by_scores, keys[j])
                by_keys = by_keys.write(j, by_keys.read(j) + by_key)
                by_values = by_values.write(j, by_values.read(j) + by_value)
                if learned is not None:
                    by_bias = [learned.add(by_bias[0], i, j, self._paired(by_scores))]
                return by_query, by_keys, by_values, *by_bias

            by_queries, *others = carry
            by_query, *others = self._over_keys(i, add, (ops.zeros_like(query), *others))
            return by_queries.write(i, by_query), *others

        stacks = [Stack.empty(rows.count, ops.shape(queries)[1:])]
        stacks += [Stack.zeros(columns.count, ops.shape(x)[1:]) for x in (keys, values)]
        stacks += [] if learned is None else [learned.gradients()]
        by_query, by_key, by_value, *by_bias = fori_loop(0, rows.count, row, tuple(stacks))
        return [
            self._joined(by_query.stacked(), rows, group) * self.scale,
            self._joined(by_key.stacked(), columns),
            self._joined(by_value.stacked(), columns),
            *([] if learned is None else [learned.joined(by_bias[0])]),
        ]

    # One block of queries over all of its keys.

    def _attend_softmax(
        self, i: Int, query: Tensor, keys: Tensor, values: Tensor, bias: Bias
    ) -> tuple[Tensor, Tensor]:
        """The output `(B, K, R, V)`, and the logarithm of the sum of exponentials."""

        def join(j: Int, carry: tuple, banded: bool) -> tuple:
            output, total = carry
            scores = self._evidence(self._scores(i, j, query, keys[j], bias, banded))
            weights = softmax(scores)
            block_total = _log_sum_exp(scores, weights)
            joined = ops.logaddexp(total, block_total)
            attended = matmul(_times(weights, self._keep(i, j, query, keys[j])), values[j])
            output = output * ops.exp(total - joined) + attended * ops.exp(block_total - joined)
            return output, joined

        column = ops.zeros_like(query[..., :1])
        start = _columns(column, values.shape[-1]), column + STARTS[self.normalizer]
        output, total = self._over_keys(i, join, start)
        # Weights will be exp(score - total): this total makes those of a dead row 0.
        dead = total < FLOOR / 2
        return ops.where(dead, 0.0, output), ops.where(dead, -FLOOR, total)

    def _attend_sigmoid(
        self, i: Int, query: Tensor, keys: Tensor, values: Tensor, bias: Bias
    ) -> tuple[Tensor, Tensor]:
        """The output `(B, K, R, V)`, and the logarithm of the number of keys allowed."""
        column = ops.zeros_like(query[..., :1])
        log_count = ops.log(ops.maximum(self._count(i, column), 1.0))

        def add(j: Int, carry: tuple, banded: bool) -> tuple:
            scores = self._scores(i, j, query, keys[j], bias, banded)
            weights = ops.sigmoid(scores - log_count)
            keep = self._keep(i, j, query, keys[j])
            return (carry[0] + matmul(_times(weights, keep), values[j]),)

        (output,) = self._over_keys(i, add, (_columns(column, values.shape[-1]),))
        return output, log_count

    def _count(self, i: Int, column: Tensor) -> Tensor:
        """How many keys each query of block `i` may attend to, `(B, K, R, 1)`."""
        paired = self._paired(column)
        if self.mask is None:
            return ops.reshape(paired + self.band.seen(i), ops.shape(column))
        mask = self.mask

        def add(j: Int, carry: tuple, banded: bool) -> tuple:
            allowed = ops.ones((1, self.band.keys.size), "bool")
            allowed = self.band.allows(i, j) if banded else allowed
            allowed = ops.logical_and(mask.block(i, j), allowed)
            return (carry[0] + ops.sum(ops.cast(allowed, "float32"), axis=-1, keepdims=True),)

        (count,) = self._over_keys(i, add, (paired,))
        return ops.reshape(count, ops.shape(column))

    def _over_keys(self, i: Int, body: Any, carry: tuple) -> tuple:
        for start, stop, banded in self.band.ranges(i):
            carry = fori_loop(start, stop, functools.partial(body, banded=banded), carry)
        return carry

    # One block of scores.

    def _scores(
        self,
        i: Int,
        j: Int,
        query: Tensor,
        key: Tensor,
        bias: Bias,
        banded: bool,
    ) -> Tensor:
        """Scores `(B, K, R, C)`, far below any other where a key is not allowed."""
        scores = matmul(query, key, transpose_b=True)
        if bias is None and self.mask is None and not banded:
            return scores
        shape = ops.shape(scores)
        scores = self._paired(scores)
        if bias is not None:
            scores = biased(scores, bias.block(i, j))
        if self.mask is not None:
            scores = floored(scores, self.mask.block(i, j))
        if banded:
            scores = floored(scores, self.band.allows(i, j))
        return ops.reshape(scores, shape)

    def _evidence(self, scores: Tensor) -> Tensor:
        return ops.log_sigmoid(scores) if self.normalizer == "normalized_sigmoid" else scores

    # In the gradient scores come with the residual subtracted, by columns more in the
    # product, which cost less than a pass over the scores; all but those that are mapped
    # before it is to be subtracted.

    def _shifted_query(self, query: Tensor, residual: Tensor) -> Tensor:
        return query if self.normalizer == "normalized_sigmoid" else _shifted(query, residual)

    def _key(self, key: Tensor) -> Tensor:
        return key if self.normalizer == "normalized_sigmoid" else _shifting(key)

    def _weights(self, scores: Tensor, residual: Tensor) -> tuple[Tensor, Tensor | None]:
        """The weights, and a factor on the gradient by the scores."""
        if self.normalizer == "sigmoid":
            weights = ops.sigmoid(scores)
            return weights, 1.0 - weights
        if self.normalizer == "normalized_sigmoid":
            return ops.exp(self._evidence(scores) - residual), ops.sigmoid(-scores)
        return ops.exp(scores), None

    def _keep(self, i: Int, j: Int, query: Tensor, key: Tensor) -> Tensor | None:
        """The factors `(B, K, R, C)` of dropout, the same whenever the block is computed."""
        if self.seed is None:
            return None
        shape = (*ops.shape(query)[:-1], ops.shape(key)[-2])
        place = ops.cast(i * self.band.keys.count + j, "int32")
        seed = ops.stack([self.seed[0], self.seed[1] + place])
        seed = _Drawn(ops.cast(seed, "uint32") if keras.backend.backend() == "jax" else seed)
        kept = keras.random.uniform(shape, dtype="float32", seed=seed) >= self.dropout
        return ops.cast(kept, "float32") / (1.0 - self.dropout)

    # Cutting and joining.

    def _cut(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query = ops.cast(query, "float32") * self.scale
        return (
            self._split(query, self.band.queries, self.group),
            self._split(key, self.band.keys),
            self._split(value, self.band.keys),
        )

    def _split(self, x: Tensor, axis: Axis, group: int = 1) -> Tensor:
        """`(B, length, K * group, X)` -> `(count, B, K, group * size, X)`, float32."""
        x = padded(ops.cast(x, "float32"), 1, axis.padding)
        batch, _, heads, width = ops.shape(x)
        x = ops.reshape(x, (batch, axis.count, axis.size, heads // group, group, width))
        x = ops.transpose(x, (1, 0, 3, 4, 2, 5))
        return ops.reshape(x, (axis.count, batch, heads // group, group * axis.size, width))

    def _joined(self, x: Tensor, axis: Axis, group: int = 1) -> Tensor:
        """The inverse of `_split`, without the padding."""
        _, batch, heads, _, width = ops.shape(x)
        x = ops.reshape(x, (axis.count, batch, heads, group, axis.size, width))
        x = ops.transpose(x, (1, 0, 4, 2, 3, 5))
        x = ops.reshape(x, (batch, axis.count * axis.size, heads * group, width))
        return x[:, : axis.length]

    def _paired(self, x: Tensor) -> Tensor:
        """`(B, K, G * queries, X)` -> `(B, K, G, queries, X)`."""
        batch, heads, _, width = ops.shape(x)
        return ops.reshape(x, (batch, heads, self.group, self.band.queries.size, width))


class _Drawn(keras.random.SeedGenerator):
    """A seed that is already drawn, for a function that wants a generator."""

    def __init__(self, seed: Tensor) -> None:
        self.drawn = seed

    def next(self, ordered: bool = True) -> Tensor:
        return self.drawn


def _log_sum_exp(scores: Tensor, weights: Tensor) -> Tensor:
    """The logarithm of the sum of exponentials of each row, whose softmax is `weights`.

    It is the score of any key less the logarithm of its weight. The greatest of a few keys
    will do, unless its weight is nearly 0; then it is the greatest of all.
    """

    def greatest(keys: int | None) -> tuple[Tensor, Tensor]:
        return tuple(ops.max(x[..., :keys], axis=-1, keepdims=True) for x in (scores, weights))

    few = greatest(64)
    score, weight = ops.cond(ops.min(few[1]) > 1e-20, lambda: few, lambda: greatest(None))
    return score - ops.log(weight)


def _by_weights(upstream: Tensor, value: Tensor, mean: Tensor, keep: Tensor | None) -> Tensor:
    """The gradient by the weights, less its mean over them."""
    if keep is None:
        return matmul(_shifted(upstream, mean), _shifting(value), transpose_b=True)
    return matmul(upstream, value, transpose_b=True) * keep - mean


def _shifted(x: Tensor, shift: Tensor) -> Tensor:
    """Columns that make `x @ _shifting(y).T` equal to `x @ y.T - shift`.

    In two parts, so that a product in reduced precision (TF32, the default of TensorFlow on
    a GPU) rounds neither.
    """
    coarse = ops.cast(ops.cast(shift, "bfloat16"), "float32")
    return ops.concatenate([x, -coarse, coarse - shift], axis=-1)


def _shifting(y: Tensor) -> Tensor:
    ones = ops.ones_like(y[..., :1])
    return ops.concatenate([y, ones, ones], axis=-1)


def _columns(column: Tensor, width: int) -> Tensor:
    """Zeros `(B, K, R, width)` from zeros `(B, K, R, 1)`."""
    return ops.repeat(column, width, axis=-1)


def _times(x: Tensor, factors: Tensor | None) -> Tensor:
    return x if factors is None else x * factors
