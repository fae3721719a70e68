"""What each type of attention layer costs: the rest of the table of `_counts`."""

import dataclasses
import math
from typing import Any

import keras

from keras_attn import layers
from keras_attn.ops import STREAMING_NORMALIZERS, chunked
from keras_attn.profiling._calls import Shape
from keras_attn.profiling._counts import Count, count

FLOAT32 = 4  # bytes


@count.register(layers.SelfAttention2D)
def _self_attention_2d(
    layer: Any, inputs: Shape, return_attention_scores: bool = False, **_: Any
) -> Count:
    batch, height, width, _channels = inputs
    keys, values = layer.query_conv.filters, layer.value_conv.filters
    attended = _attended(
        (batch, layer.num_heads, height * width),
        (height // layer.downsample) * (width // layer.downsample),
        (keys + values) // layer.num_heads,
        streams=_streams(layer, return_attention_scores),
    )
    for convolution in (layer.query_conv, layer.key_conv, layer.value_conv):
        attended += count(convolution, inputs)
    return attended + count(layer.output_conv, (batch, height, width, values))


@count.register(layers.MultiHeadAttention)
def _multi_head_attention(
    layer: Any, query: Shape, value: Shape, key: Shape | None = None, cache: Any = None, **call: Any
) -> Count:
    keys = value[1]
    if cache is not None:
        grows = isinstance(call.get("cache_index"), str)
        keys = cache["key"][2] + (keys if grows else 0)
    projected = count(layer.value_dense, value) + count(layer.key_dense, key or value)
    asked = call.pop("use_causal_mask", None)
    is_causal = cache is not None if asked is None else asked
    return projected + _multi_head_attend(layer, query, keys, use_causal_mask=is_causal, **call)


def _multi_head_attend(
    layer: Any,
    query: Shape,
    keys: int,
    use_causal_mask: bool = False,
    return_attention_scores: bool = False,
    **_: Any,
) -> Count:
    """All of a `MultiHeadAttention` but the projections of keys and values."""
    batch, queries, _features = query
    attended = _attended(
        (batch, layer.num_heads, queries),
        keys,
        layer.key_dim + layer.value_dim,
        streams=_streams(layer, return_attention_scores),
        banded=use_causal_mask or layer.window is not None,
        biases=layer.num_heads * queries * keys if layer.position == "relative" else 0,
    )
    heads = (batch, queries, layer.num_heads, layer.value_dim)
    return count(layer.query_dense, query) + attended + count(layer.output_dense, heads)


@count.register(layers.TransformerEncoderBlock)
def _transformer_encoder_block(layer: Any, inputs: Shape, **call: Any) -> Count:
    return count(layer.attention, inputs, value=inputs, **call) + _feed_forward(layer, inputs)


@count.register(layers.TransformerDecoderBlock)
def _transformer_decoder_block(
    layer: Any,
    inputs: Shape,
    memory: Shape | None = None,
    projected_memory: Any = None,
    **call: Any,
) -> Count:
    if call.get("use_causal_mask") is None:
        call["use_causal_mask"] = True
    total = count(layer.attention, inputs, value=inputs, **call)
    cross, scores = layer.cross_attention, call.get("return_attention_scores", False)
    if memory is not None:
        total += count(cross, inputs, value=memory, return_attention_scores=scores)
    else:
        keys = projected_memory["key"][2]
        total += _multi_head_attend(cross, inputs, keys, return_attention_scores=scores)
    return total + _feed_forward(layer, inputs)


def _feed_forward(layer: Any, inputs: Shape) -> Count:
    hidden = (*inputs[:-1], layer.feed_forward_in.units)
    return count(layer.feed_forward_in, inputs) + count(layer.feed_forward_out, hidden)


@count.register(keras.layers.MultiHeadAttention)
def _keras_multi_head_attention(
    layer: Any, query: Shape, value: Shape, key: Shape | None = None, **_: Any
) -> Count:
    axes = layer.attention_axes
    queries, keys = (math.prod(shape[axis] for axis in axes) for shape in (query, value))
    rows = math.prod(query[:-1])  # the queries, times the axes over which nothing attends
    attended = _attended(
        (rows // queries, layer.num_heads, queries),
        keys,
        layer.key_dim + layer.value_dim,
        streams=False,
    )
    for projection, shape in (
        (layer.query_dense, query),
        (layer.key_dense, key or value),
        (layer.value_dense, value),
        (layer.output_dense, (*query[:-1], layer.num_heads, layer.value_dim)),
    ):
        attended += count(projection, shape)
    gate = layer.num_heads * layer.value_dim if layer.get_config().get("use_gate") else 0
    return attended + Count(math.prod(query) * gate)


@count.register(layers.Attention)
def _attention(
    layer: Any,
    query: Shape,
    value: Shape,
    key: Shape | None = None,
    use_causal_mask: bool = False,
    return_attention_scores: bool = False,
    **_: Any,
) -> Count:
    streams = _streams(layer, return_attention_scores)
    attended = _attend(layer, query, value, streams=streams, banded=use_causal_mask)
    return attended + _projected_keys(layer, key or value)


def _projected_keys(layer: Any, key: Shape) -> Count:
    return Count() if layer.key_dense is None else count(layer.key_dense, key)


def _attend(
    layer: Any, query: Shape, value: Shape, *, streams: bool, banded: bool = False
) -> Count:
    """All of an `Attention` but the projection of its keys."""
    (batch, queries, features), keys = query, value[1]
    additive = layer.score == "additive"
    compared = layer.units if additive else features
    attended = _attended(
        (batch, 1, queries),
        keys,
        compared + value[-1],
        streams=streams and not additive,
        banded=banded,
        features=compared if additive else 1,
    )
    return attended + (count(layer.query_dense, query) if additive else Count())


@count.register(layers.AttentionPooling)
def _attention_pooling(
    layer: Any, inputs: Shape, return_attention_scores: bool = False, **_: Any
) -> Count:
    batch, features = inputs[0], inputs[-1]
    sequence = (batch, math.prod(inputs[1:-1]), features)
    scored = layer.score != "uniform"
    queries, heads = layer.num_queries or 1, layer.num_heads
    key_dim = layer.query.shape[-1] if scored else 0
    value_dim = layer.value_dense.kernel.shape[-1] if layer.project_values else features
    total = _attended(
        (batch, heads, queries),
        sequence[1],
        key_dim + value_dim,
        streams=_streams(layer, return_attention_scores),
    )
    if scored:
        total += count(layer.key_dense, sequence)
    if layer.project_values:
        total += count(layer.value_dense, sequence)
        total += count(layer.output_dense, (batch, queries, heads, value_dim))
    return total


@count.register(layers.AttentionDecoder)
def _attention_decoder(
    layer: Any,
    inputs: Shape,
    memory: Shape,
    initial_state: Any = None,
    return_attention_scores: bool = False,
    **_: Any,
) -> Count:
    (batch, steps, _features), streams = inputs, _streams(layer, return_attention_scores)
    step = _attend(layer.attention, (batch, 1, layer.units), memory, streams=streams)
    step += count(layer.recurrent_cell, (batch, layer.recurrent_cell.kernel.shape[0]))
    step += count(layer.readout_dense, (batch, layer.readout_dense.kernel.shape[0]))
    once = _projected_keys(layer.attention, memory)
    if initial_state is None:
        once += count(layer.initial_dense, (batch, memory[-1]))
    return once + dataclasses.replace(step, macs=steps * step.macs)


def _attended(
    queries: tuple[int, int, int],
    keys: int,
    sizes: int,
    *,
    streams: bool,
    banded: bool = False,
    features: int = 1,
    biases: int = 0,
) -> Count:
    """What attention costs, projections aside.

    Args:
        queries: batch, heads, and queries of each.
        keys: how many keys a query has; those outside a band are counted too.
        sizes: numbers compared for a score, and numbers in a value, together.
        streams: whether the streaming path can compute it.
        banded: whether positions limit the keys, which makes for other blocks.
        features: numbers in what becomes a score.
        biases: numbers in a learned bias, which is whole on every path.
    """
    batch, heads, length = queries
    scores = batch * heads * length * keys
    block = scores
    if streams and scores:
        rows, columns = chunked.block_shape(batch * heads, length, keys, banded)
        block = batch * heads * rows * columns
    pair = 2 * features * FLOAT32  # what the nonlinearity reads, and what it writes
    held = biases * FLOAT32
    return Count(scores * sizes, scores * pair + held, block * pair + held)


def _streams(layer: Any, return_attention_scores: bool) -> bool:
    return layer.normalizer in STREAMING_NORMALIZERS and not return_attention_scores
