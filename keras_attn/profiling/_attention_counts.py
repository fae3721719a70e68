"""Cost of each attention layer type, registered with `count` of `_counts`."""

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
    total = _attention_cost(
        (batch, layer.num_heads, height * width),
        (height // layer.downsample) * (width // layer.downsample),
        (keys + values) // layer.num_heads,
        can_stream=_can_stream(layer, return_attention_scores),
    )
    for convolution in (layer.query_conv, layer.key_conv, layer.value_conv):
        total += count(convolution, inputs)
    return total + count(layer.output_conv, (batch, height, width, values))


@count.register(layers.MultiHeadAttention)
def _multi_head_attention(
    layer: Any, query: Shape, value: Shape, key: Shape | None = None, cache: Any = None, **call: Any
) -> Count:
    keys = value[1]
    if cache is not None:
        grows = isinstance(call.get("cache_index"), str)
        keys = cache["key"][2] + (keys if grows else 0)
    projected = count(layer.value_dense, value) + count(layer.key_dense, key or value)
    use_causal_mask = call.pop("use_causal_mask", None)
    if use_causal_mask is None:
        use_causal_mask = cache is not None
    return projected + _multi_head_attention_core(
        layer, query, keys, use_causal_mask=use_causal_mask, **call
    )


def _multi_head_attention_core(
    layer: Any,
    query: Shape,
    keys: int,
    use_causal_mask: bool = False,
    return_attention_scores: bool = False,
    **_: Any,
) -> Count:
    """Return the cost of a `MultiHeadAttention` without the projections of keys and values."""
    batch, queries, _features = query
    total = _attention_cost(
        (batch, layer.num_heads, queries),
        keys,
        layer.key_dim + layer.value_dim,
        can_stream=_can_stream(layer, return_attention_scores),
        banded=use_causal_mask or layer.window is not None,
        biases=layer.num_heads * queries * keys if layer.position == "relative" else 0,
    )
    heads = (batch, queries, layer.num_heads, layer.value_dim)
    return count(layer.query_dense, query) + total + count(layer.output_dense, heads)


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
        total += _multi_head_attention_core(cross, inputs, keys, return_attention_scores=scores)
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
    rows = math.prod(query[:-1])  # queries, times the sizes of axes without attention
    total = _attention_cost(
        (rows // queries, layer.num_heads, queries),
        keys,
        layer.key_dim + layer.value_dim,
        can_stream=False,
    )
    for projection, shape in (
        (layer.query_dense, query),
        (layer.key_dense, key or value),
        (layer.value_dense, value),
        (layer.output_dense, (*query[:-1], layer.num_heads, layer.value_dim)),
    ):
        total += count(projection, shape)
    gate = layer.num_heads * layer.value_dim if layer.get_config().get("use_gate") else 0
    return total + Count(math.prod(query) * gate)


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
    can_stream = _can_stream(layer, return_attention_scores)
    total = _attention_core(layer, query, value, can_stream=can_stream, banded=use_causal_mask)
    return total + _key_projection(layer, key or value)


def _key_projection(layer: Any, key: Shape) -> Count:
    return Count() if layer.key_dense is None else count(layer.key_dense, key)


def _attention_core(
    layer: Any, query: Shape, value: Shape, *, can_stream: bool, banded: bool = False
) -> Count:
    """Return the cost of an `Attention` without the projection of its keys."""
    (batch, queries, features), keys = query, value[1]
    additive = layer.score == "additive"
    compared = layer.units if additive else features
    total = _attention_cost(
        (batch, 1, queries),
        keys,
        compared + value[-1],
        can_stream=can_stream and not additive,
        banded=banded,
        features=compared if additive else 1,
    )
    return total + (count(layer.query_dense, query) if additive else Count())


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
    total = _attention_cost(
        (batch, heads, queries),
        sequence[1],
        key_dim + value_dim,
        can_stream=_can_stream(layer, return_attention_scores),
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
    (batch, steps, _features), can_stream = inputs, _can_stream(layer, return_attention_scores)
    step = _attention_core(layer.attention, (batch, 1, layer.units), memory, can_stream=can_stream)
    step += count(layer.recurrent_cell, (batch, layer.recurrent_cell.kernel.shape[0]))
    step += count(layer.readout_dense, (batch, layer.readout_dense.kernel.shape[0]))
    per_call = _key_projection(layer.attention, memory)
    if initial_state is None:
        per_call += count(layer.initial_dense, (batch, memory[-1]))
    return per_call + dataclasses.replace(step, macs=steps * step.macs)


def _attention_cost(
    queries: tuple[int, int, int],
    keys: int,
    sizes: int,
    *,
    can_stream: bool,
    banded: bool = False,
    features: int = 1,
    biases: int = 0,
) -> Count:
    """Return the cost of attention without projections.

    Args:
        queries: Batch size, number of heads, and number of queries.
        keys: Number of keys, including keys that a band excludes.
        sizes: Sum of the sizes of a key and a value.
        can_stream: Whether the streaming path supports the attention.
        banded: Whether keys are limited by position, which changes the block shape.
        features: Number of features of a pair that are reduced to a score.
        biases: Number of elements of a learned bias, which every path stores in full.
    """
    batch, heads, length = queries
    scores = batch * heads * length * keys
    block = scores
    if can_stream and scores:
        rows, columns = chunked.block_shape(batch * heads, length, keys, banded)
        block = batch * heads * rows * columns
    pair = 2 * features * FLOAT32  # input and output of the nonlinearity
    bias_bytes = biases * FLOAT32
    return Count(scores * sizes, scores * pair + bias_bytes, block * pair + bias_bytes)


def _can_stream(layer: Any, return_attention_scores: bool) -> bool:
    return layer.normalizer in STREAMING_NORMALIZERS and not return_attention_scores
