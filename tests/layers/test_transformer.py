"""The Transformer blocks: their formula, their cache, and Keras's and their own masks."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn.layers import TransformerDecoderBlock, TransformerEncoderBlock

B, T, S, D = 2, 5, 6, 8
RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(B, T, D)).astype("float32")
MEMORY = RANDOM.normal(size=(B, S, 7)).astype("float32")
REAL = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]], bool)


def array(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def normalized(x, kind):
    mean = 0.0 if kind == "rms" else x.mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + 1e-6)


@pytest.mark.parametrize("normalization", ["layer", "rms"])
@pytest.mark.parametrize("normalize_first", [True, False])
def test_both_blocks_equal_their_formula(normalize_first, normalization):
    settings = {"normalization": normalization, "normalize_first": normalize_first}
    decoder = TransformerDecoderBlock(2, 12, activation="relu", **settings)
    encoder = TransformerEncoderBlock(2, 12, activation="relu", **settings)
    got = array(decoder(INPUTS, MEMORY)), array(encoder(INPUTS))

    def residual(x, function):
        if normalize_first:
            return x + function(normalized(x, normalization))
        return normalized(x + function(x), normalization)

    def feed_forward(block):
        (w1, b1), (w2, b2) = (
            map(array, dense.weights) for dense in (block.feed_forward_in, block.feed_forward_out)
        )
        return lambda x: np.maximum(x @ w1 + b1, 0.0) @ w2 + b2

    x = residual(INPUTS, lambda x: array(decoder.attention(x, x, use_causal_mask=True)))
    x = residual(x, lambda x: array(decoder.cross_attention(x, MEMORY)))
    np.testing.assert_allclose(got[0], residual(x, feed_forward(decoder)), atol=1e-4)
    x = residual(INPUTS, lambda x: array(encoder.attention(x, x)))
    np.testing.assert_allclose(got[1], residual(x, feed_forward(encoder)), atol=1e-4)


@pytest.mark.parametrize("position", [None, "rotary"])
def test_decoding_step_by_step_equals_the_whole(position):
    blocks = [TransformerDecoderBlock(2, 12, position=position, num_kv_heads=1) for _ in range(2)]

    def whole(x):
        for block in blocks:
            x = block(x, MEMORY, memory_padding_mask=REAL)
        return array(x)

    expected = whole(INPUTS)
    caches = [block.make_cache(B, T + 2) for block in blocks]
    memories = [block.project_memory(MEMORY) for block in blocks]
    index = 0
    for size in (2, 1, 2):
        x = INPUTS[:, index : index + size]
        for n, block in enumerate(blocks):
            x, caches[n] = block(
                x,
                projected_memory=memories[n],
                memory_padding_mask=REAL,
                cache=caches[n],
                cache_index=index,
            )
        np.testing.assert_allclose(array(x), expected[:, index : index + size], atol=1e-4)
        index += size


def test_an_encoder_with_a_cache_is_a_decoder_without_memory():
    block = TransformerEncoderBlock(2, 12, position="alibi")
    expected = array(block(INPUTS, use_causal_mask=True))
    cache = block.make_cache(B, T)
    for index in range(T):
        x, cache = block(INPUTS[:, index : index + 1], cache=cache, cache_index=index)
        np.testing.assert_allclose(array(x)[:, 0], expected[:, index], atol=1e-4)


def test_scores_of_both_attentions_are_returned():
    block = TransformerDecoderBlock(2, 12)
    output, (own, other) = block(INPUTS, MEMORY, return_attention_scores=True)
    assert [tuple(x.shape) for x in (output, own, other)] == [(B, T, D), (B, 2, T, T), (B, 2, T, S)]
    assert not np.triu(array(own), 1).any()
    symbolic = block(
        keras.KerasTensor((B, T, D)), keras.KerasTensor((B, S, 7)), return_attention_scores=True
    )
    assert [x.shape for x in (symbolic[0], *symbolic[1])] == [(B, T, D), (B, 2, T, T), (B, 2, T, S)]


def test_dropout_differs_between_places_steps_and_blocks_and_ends_with_training():
    block = TransformerEncoderBlock(2, 12, dropout=0.5, seed=3)
    first, second = (array(block(INPUTS, training=True)) for _ in range(2))
    assert (first != second).any()
    again = TransformerEncoderBlock(2, 12, dropout=0.5, seed=3)
    again(INPUTS)
    again.set_weights(block.get_weights())
    np.testing.assert_array_equal(array(again(INPUTS)), array(block(INPUTS)))
    decoder = TransformerDecoderBlock(2, 12, dropout=0.5, seed=3)
    decoder(INPUTS, MEMORY)
    assert decoder.attention.seed != decoder.cross_attention.seed


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"intermediate_dim": 0}, "`intermediate_dim` must be a positive integer"),
        ({"normalization": "batch"}, "Accepted: 'layer', 'rms'"),
        ({"normalizer": "softmx"}, "Did you mean 'softmax'"),
        ({"num_kv_heads": 3}, "must divide"),
        ({"num_heads": 3}, "multiple of `num_heads`. Received: 8 features, 3 heads"),
    ],
    ids=str,
)
def test_refuses_arguments_that_do_not_fit(settings, message):
    with pytest.raises(ValueError, match=message):
        TransformerEncoderBlock(**{"num_heads": 2, "intermediate_dim": 12, **settings})(INPUTS)


@pytest.mark.parametrize("both", [True, False])
def test_a_decoder_wants_one_memory(both):
    block = TransformerDecoderBlock(2, 12)
    block(INPUTS, MEMORY)
    projected = block.project_memory(MEMORY) if both else None
    with pytest.raises(ValueError, match="both" if both else "neither"):
        block(INPUTS, MEMORY if both else None, projected_memory=projected)


def test_a_decoder_wants_its_memory_first():
    with pytest.raises(ValueError, match="`memory` must be given in the first call"):
        TransformerDecoderBlock(2, 12)(INPUTS)


def test_a_block_without_weights_makes_no_cache():
    with pytest.raises(ValueError, match="`make_cache` needs the block's weights"):
        TransformerEncoderBlock(2, 12).make_cache(B, T)
    with pytest.raises(ValueError, match="`project_memory` needs the block's weights"):
        TransformerDecoderBlock(2, 12).project_memory(MEMORY)
