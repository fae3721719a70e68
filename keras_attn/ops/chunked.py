"""Exact attention in blocks, with memory linear in the length.

The `T x S` scores are never held at once: queries and keys are split into blocks, and each
block of scores is computed, used and dropped, in the forward pass and again in the gradient
(Rabe and Staats, arXiv:2112.05682; Dao et al., arXiv:2205.14135). Blocks that a causal mask or
a window empties are skipped.

The forward pass saves the output and one statistic for each query (for softmax the log-sum-exp,
`lse`), from which the gradient computes every weight again. How a normalizer computes weights
from blocks is its `StreamingRule`; nothing here depends on which normalizer it is.

Gradients have FlashAttention's names: `do` is the gradient with respect to the output, `dq`,
`dk` and `dv` those with respect to query, key and value, and `delta = sum(o * do)`. Shapes are
written with `B` the batch, `K` the key heads, `R` the rows of a block (its queries times the
query heads that share a key head), `C` the keys of a block, `H` and `V` the sizes of a head.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import keras
from keras import ops

from keras_attn.ops._arguments import AttentionCall
from keras_attn.ops._blocks import (
    Axis,
    Band,
    PairBlocks,
    PositionalBlocks,
    broadcast_unknown_axes,
    max_block_sides,
)
from keras_attn.ops._gradients import with_gradient
from keras_attn.ops._loops import Stack, fori_loop
from keras_attn.ops._matmul import matmul
from keras_attn.ops._score_blocks import ScoreBlocks
from keras_attn.ops._types import Size, Tensor
from keras_attn.ops.streaming import StreamingRule


def chunked_attention(call: AttentionCall, chunk_size: int | None = None) -> Tensor:
    """Compute attention as `keras_attn.ops.attention` defines it, in blocks.

    Args:
        call: the checked arguments, with keys and values laid out `(B, S, K, H)`, and a
            normalizer that has a streaming rule.
        chunk_size: maximum queries and keys of a block; None suits them to a cache.

    Returns:
        Tensor `(B, T, N, V)` in the dtype of the value.
    """
    batch, num_queries, heads, _ = ops.shape(call.query)
    num_keys = call.key_length
    max_queries, max_keys = max_block_sides(batch * heads, num_keys, call.is_banded, chunk_size)
    scores_shape = batch, heads, num_queries, num_keys
    has_bias_tensor = call.bias is not None and not callable(call.bias)
    bias: tuple[Tensor, ...] = ()
    if has_bias_tensor:
        bias = (broadcast_unknown_axes(ops.cast(call.bias, "float32"), scores_shape),)
    mask = None if call.mask is None else broadcast_unknown_axes(call.mask, scores_shape)
    # Drawn once in a call; the seed of a block is derived from it and from the indices.
    seed = keras.random.randint((2,), 0, 2**30, "int32", call.seed) if call.dropout else None
    is_static_offset = isinstance(call.q_offset, int)
    assert call.normalizer.streaming is not None  # checked where the path is selected
    computation = _Computation(
        queries=Axis.split(num_queries, max_queries),
        keys=Axis.split(num_keys, max_keys),
        heads=heads,
        key_heads=call.key.shape[2],
        is_causal=call.is_causal,
        window=call.window,
        q_offset=call.q_offset if is_static_offset else None,
        bias=None if has_bias_tensor else call.bias,
        scale=call.scale,
        rule=call.normalizer.streaming,
        dropout=call.dropout,
    )
    return with_gradient(
        computation.forward,
        computation.backward,
        inputs=(call.query, call.key, call.value, *bias),
        constants=(mask, None if is_static_offset else ops.cast(call.q_offset, "int32"), seed),
    )


def block_shape(heads: int, queries: int, keys: int, is_banded: bool) -> tuple[int, int]:
    """Return the queries and keys of a block, for `heads` over batch and heads."""
    max_queries, max_keys = max_block_sides(heads, keys, is_banded, None)
    return Axis.split(queries, max_queries).size, Axis.split(keys, max_keys).size


@dataclasses.dataclass(frozen=True)
class _Computation:
    """The static arguments of a call. `with_gradient` passes the tensors to its methods."""

    queries: Axis
    keys: Axis
    heads: int
    key_heads: int
    is_causal: bool
    window: int | None
    q_offset: int | None  # None: it is a tensor, among the constants
    bias: Callable[[Tensor, Tensor], Tensor] | None  # a bias tensor is among the inputs
    scale: float
    rule: StreamingRule
    dropout: float

    def forward(self, inputs: tuple, constants: tuple) -> tuple[Tensor, tuple]:
        """Return the output, and the tensors to save for the gradient."""
        query, key, value, *bias = inputs
        blocks = self._score_blocks(bias, constants)
        q, k, v = self._split(blocks, query, key, value)
        output, statistic = _ForwardPass(blocks, self.rule, q, k, v).run()
        output = ops.cast(output, value.dtype)
        return output, (output, statistic)

    def backward(self, inputs: tuple, constants: tuple, saved: tuple, do: Tensor) -> tuple:
        """Return the gradient with respect to each input, in its dtype."""
        query, key, value, *bias = inputs
        output, statistic = saved
        blocks = self._score_blocks(bias, constants)
        q, k, v = self._split(blocks, query, key, value)
        do = ops.cast(do, "float32")
        delta = ops.sum(do * ops.cast(output, "float32"), axis=-1, keepdims=True)
        if not self.rule.subtracts_delta:
            delta = ops.zeros_like(delta)
        do, delta = blocks.split_queries(do), blocks.split_queries(delta)
        dq, *others = _BackwardPass(blocks, self.rule, q, k, v, statistic, do, delta).run()
        gradients = dq * self.scale, *others
        return tuple(ops.cast(g, x.dtype) for g, x in zip(gradients, inputs, strict=True))

    def _score_blocks(self, bias_inputs: list, constants: tuple) -> ScoreBlocks:
        mask, q_offset, seed = constants
        q_offset = q_offset if self.q_offset is None else self.q_offset
        band = Band(self.queries, self.keys, self.is_causal, self.window, q_offset)
        heads = self.heads, self.key_heads
        bias: PairBlocks | PositionalBlocks | None = None
        if bias_inputs:
            bias = PairBlocks(bias_inputs[0], *heads, band)
        elif self.bias is not None:
            bias = PositionalBlocks(self.bias, *heads, band)
        return ScoreBlocks(
            band=band,
            group=self.heads // self.key_heads,
            mask=None if mask is None else PairBlocks(mask, *heads, band),
            bias=bias,
            dropout=self.dropout,
            seed=seed,
        )

    def _split(
        self, blocks: ScoreBlocks, query: Tensor, key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        query = ops.cast(query, "float32") * self.scale
        return blocks.split_queries(query), blocks.split_keys(key), blocks.split_keys(value)


@dataclasses.dataclass(frozen=True)
class _ForwardPass:
    """Visit the key blocks of each query block, and update its output and its statistic."""

    blocks: ScoreBlocks
    rule: StreamingRule
    q: Tensor  # (count, B, K, R, H), scaled
    k: Tensor  # (count, B, K, C, H)
    v: Tensor  # (count, B, K, C, V)

    def run(self) -> tuple[Tensor, Tensor]:
        """Return the output `(B, T, N, V)` and the statistics `(count, B, K, R, 1)`, float32."""
        count, shape = self.blocks.band.queries.count, ops.shape(self.q)[1:-1]
        stacks = tuple(Stack.empty(count, (*shape, size)) for size in (self.v.shape[-1], 1))
        outputs, statistics = fori_loop(0, count, self._visit_queries, stacks)
        return self.blocks.merge_queries(outputs.to_tensor()), statistics.to_tensor()

    def _visit_queries(self, i: Size, stacks: tuple) -> tuple:
        q = self.q[i]
        zeros = ops.zeros_like(q[..., :1])
        key_count = self.blocks.count_keys(i, zeros) if self.rule.requires_key_count else zeros
        output = ops.repeat(zeros, self.v.shape[-1], axis=-1)
        carry = output, self.rule.initial_statistic(key_count)
        visit_keys = functools.partial(self._visit_keys, i, q)
        results = self.rule.finish(*self.blocks.loop_over_keys(i, visit_keys, carry))
        return tuple(stack.write(i, x) for stack, x in zip(stacks, results, strict=True))

    def _visit_keys(self, i: Size, q: Tensor, j: Size, carry: tuple, is_border: bool) -> tuple:
        (output, statistic), k = carry, self.k[j]
        scores = self.blocks.scores(i, j, q, k, is_border)
        attend = functools.partial(self._attend, i, j, q, k)
        return self.rule.update(output, statistic, scores, attend)

    def _attend(self, i: Size, j: Size, q: Tensor, k: Tensor, weights: Tensor) -> Tensor:
        factors = self.blocks.dropout_factors(i, j, q, k)
        return matmul(_multiply(weights, factors), self.v[j])


class _QueryBlock(NamedTuple):
    """The tensors of one query block in the backward pass."""

    i: Size
    q: Tensor  # (B, K, R, H), scaled
    q_for_scores: Tensor  # (B, K, R, H), or (B, K, R, H + 2) with the statistic
    statistic: Tensor  # (B, K, R, 1)
    do: Tensor  # (B, K, R, V)
    delta: Tensor  # (B, K, R, 1)


@dataclasses.dataclass(frozen=True)
class _BackwardPass:
    """Visit the key blocks of each query block, and add to `dq`, `dk`, `dv` and `dbias`."""

    blocks: ScoreBlocks
    rule: StreamingRule
    q: Tensor  # (count, B, K, R, H), scaled
    k: Tensor  # (count, B, K, C, H)
    v: Tensor  # (count, B, K, C, V)
    statistic: Tensor  # (count, B, K, R, 1)
    do: Tensor  # (count, B, K, R, V)
    delta: Tensor  # (count, B, K, R, 1)

    @property
    def bias(self) -> PairBlocks | None:
        """The bias that has a gradient."""
        return self.blocks.bias if isinstance(self.blocks.bias, PairBlocks) else None

    def run(self) -> list[Tensor]:
        """Return the gradients of the scaled query, the key, the value and the bias, float32."""
        blocks, bias = self.blocks, self.bias
        count, num_key_blocks = blocks.band.queries.count, blocks.band.keys.count
        stacks = [Stack.empty(count, ops.shape(self.q)[1:])]
        stacks += [Stack.zeros(num_key_blocks, ops.shape(x)[1:]) for x in (self.k, self.v)]
        stacks += [] if bias is None else [bias.zero_gradients()]
        dq, dk, dv, *dbias = fori_loop(0, count, self._visit_queries, tuple(stacks))
        return [
            blocks.merge_queries(dq.to_tensor()),
            blocks.merge_keys(dk.to_tensor()),
            blocks.merge_keys(dv.to_tensor()),
            *([] if bias is None else [bias.merge_gradients(dbias[0])]),
        ]

    def _visit_queries(self, i: Size, stacks: tuple) -> tuple:
        q, statistic = self.q[i], self.statistic[i]
        row = _QueryBlock(
            i=i,
            q=q,
            q_for_scores=_append_shift(q, statistic) if self.rule.shifts_scores else q,
            statistic=statistic,
            do=self.do[i],
            delta=self.delta[i],
        )
        dqs, *others = stacks
        visit_keys = functools.partial(self._visit_keys, row)
        dq, *others = self.blocks.loop_over_keys(i, visit_keys, (ops.zeros_like(q), *others))
        return dqs.write(i, dq), *others

    def _visit_keys(self, row: _QueryBlock, j: Size, carry: tuple, is_border: bool) -> tuple:
        dq, dks, dvs, *dbias = carry
        k, v = self.k[j], self.v[j]
        factors = self.blocks.dropout_factors(row.i, j, row.q, k)
        k_for_scores = _append_ones(k) if self.rule.shifts_scores else k
        scores = self.blocks.scores(row.i, j, row.q_for_scores, k_for_scores, is_border)
        weights = self.rule.weights(scores, row.statistic)
        dweights = _dweights_minus_delta(row, v, factors)
        dscores = self.rule.dscores(scores, row.statistic, weights, dweights)
        dv = matmul(_multiply(weights, factors), row.do, transpose_a=True)
        dk = matmul(dscores, row.q, transpose_a=True)
        dq = dq + matmul(dscores, k)
        dks = dks.write(j, dks.read(j) + dk)
        dvs = dvs.write(j, dvs.read(j) + dv)
        if self.bias is not None:
            dbias = [self.bias.add_gradient(dbias[0], row.i, j, self.blocks.ungroup(dscores))]
        return dq, dks, dvs, *dbias


def _dweights_minus_delta(row: _QueryBlock, v: Tensor, factors: Tensor | None) -> Tensor:
    """Return the gradient `(B, K, R, C)` with respect to the weights, minus `delta`."""
    if factors is None:
        return matmul(_append_shift(row.do, row.delta), _append_ones(v), transpose_b=True)
    return matmul(row.do, v, transpose_b=True) * factors - row.delta


def _append_shift(x: Tensor, shift: Tensor) -> Tensor:
    """Append two columns such that `_append_shift(x, s) @ _append_ones(y).T = x @ y.T - s`.

    Two more columns in a product cost less than a pass over the scores. The shift is split in
    two, so that a product in reduced precision (TF32, the default of TensorFlow on a GPU)
    rounds neither part.
    """
    coarse = ops.cast(ops.cast(shift, "bfloat16"), "float32")
    return ops.concatenate([x, -coarse, coarse - shift], axis=-1)


def _append_ones(y: Tensor) -> Tensor:
    """Append two columns of ones, see `_append_shift`."""
    ones = ops.ones_like(y[..., :1])
    return ops.concatenate([y, ones, ones], axis=-1)


def _multiply(x: Tensor, factors: Tensor | None) -> Tensor:
    return x if factors is None else x * factors
