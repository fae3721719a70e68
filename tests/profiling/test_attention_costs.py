"""Costs of attention against counts by hand, written out.

A score takes two float32 numbers, itself and its weight: 8 bytes.
"""

import keras
import numpy as np
import pytest

from keras_attn import layers
from keras_attn.ops import chunked, dispatch
from keras_attn.profiling import cost

K = keras.layers
MHA = layers.MultiHeadAttention
T, S, D, V = 5, 7, 6, 4
QUERY, VALUE, KEY = (None, T, D), (None, S, V), (None, S, 3)


@pytest.fixture(autouse=True)
def blocks(monkeypatch):
    """Blocks of at most 512 queries and 2048 keys, 512 in a band, whatever is tuned."""
    fixed = lambda heads, keys, banded, chunk_size: (512, 512 if banded else 2048)  # noqa: E731
    monkeypatch.setattr(chunked, "max_block_sides", fixed)


@pytest.mark.parametrize("kind", [MHA, K.MultiHeadAttention])
def test_multi_head_attention(kind):
    # Two heads of 8 for queries and keys, 3 for values.
    spent = cost(kind(2, 8, value_dim=3), [QUERY, VALUE, KEY])
    projections = 5 * 6 * 2 * 8 + 7 * 3 * 2 * 8 + 7 * 4 * 2 * 3 + 5 * (2 * 3) * 6
    assert spent.flops == 2 * (projections + 2 * 5 * 7 * (8 + 3))
    assert spent.parameters == (6 + 1) * 16 + (3 + 1) * 16 + (4 + 1) * 6 + (6 + 1) * 6
    assert spent.attention_bytes_full == 8 * 2 * 5 * 7
    assert spent.attention_bytes_chunked == 8 * 2 * 5 * 7  # one block


def test_fewer_heads_of_keys_make_projections_cheaper_and_nothing_else():
    spent = cost(MHA(4, 8, num_kv_heads=2, qk_norm=True), [QUERY, VALUE])
    projections = 5 * 6 * 4 * 8 + 2 * (7 * 4 * 2 * 8) + 5 * (4 * 8) * 6
    assert spent.flops == 2 * (projections + 4 * 5 * 7 * (8 + 8))
    assert spent.attention_bytes_full == 8 * 4 * 5 * 7


@pytest.mark.parametrize("settings", [{"window": 3}, {"position": "rotary"}, {"use_bias": False}])
def test_what_changes_no_flops(settings):
    shapes = [(None, T, D)] * 2
    assert cost(MHA(2, 8, **settings), shapes).flops == cost(MHA(2, 8), shapes).flops


def test_a_causal_mask_changes_the_block_and_counts_as_dense():
    def model(**call):
        x = keras.Input((1000, D))
        return cost(keras.Model(x, MHA(1, 8)(x, x, **call)))

    dense, causal = model(), model(use_causal_mask=True)
    assert causal.flops == dense.flops
    assert causal.attention_bytes_full == dense.attention_bytes_full == 8 * 1000 * 1000
    # 2 blocks of 500 queries; the keys at once, or in 2 blocks as well.
    assert dense.attention_bytes_chunked == 8 * 500 * 1000
    assert causal.attention_bytes_chunked == 8 * 500 * 500
    assert cost(MHA(1, 8, window=9), [(None, 1000, D)] * 2).attention_bytes_chunked == 8 * 500**2


def test_bytes_are_of_the_whole_batch():
    spent = cost(MHA(2, 8), [(3, 4096, D)] * 2)
    assert spent.attention_bytes_full == 8 * 3 * 2 * 4096 * 4096
    assert spent.attention_bytes_chunked == 8 * 3 * 2 * 512 * 2048


def test_the_block_is_the_one_that_the_streaming_path_takes(monkeypatch):
    asked = []

    def sides(*arguments):
        asked.append(arguments)
        return 8, 6

    monkeypatch.setattr(chunked, "max_block_sides", sides)
    monkeypatch.setattr(dispatch, "BANDED_CROSSOVER", 0)
    layer, x = MHA(2, 8, window=3), np.ones((3, 20, D), "float32")
    layer(x, x)
    # Of 20 queries and keys at most 8 and 6: blocks of 7 and 5.
    assert cost(layer, [x.shape] * 2).attention_bytes_chunked == 8 * 3 * 2 * 7 * 5
    assert len(asked) == 2
    assert asked[0] == asked[1]


def test_attention_that_cannot_stream_counts_in_full():
    shapes = [(None, 1000, D)] * 2
    whole = 8 * 1000 * 1000
    x = keras.Input((1000, D))
    returned = keras.Model(x, MHA(1, 8)(x, x, return_attention_scores=True))
    for spent in (
        cost(MHA(1, 8, normalizer="sparsemax"), shapes),
        cost(MHA(1, 8, normalizer="entmax15"), shapes),
        cost(K.MultiHeadAttention(1, 8), shapes),
        cost(returned),
    ):
        assert spent.attention_bytes_full == spent.attention_bytes_chunked == whole
    assert cost(MHA(1, 8, normalizer="sigmoid"), shapes).attention_bytes_chunked < whole


def test_a_learned_bias_is_whole_on_both_paths():
    shapes = [(2, 1000, D)] * 2
    spent = cost(MHA(3, 8, position="relative"), shapes)
    bias = 4 * 3 * 1000 * 1000
    assert spent.attention_bytes_full == 2 * 3 * 8 * 1000 * 1000 + bias
    assert spent.attention_bytes_chunked == 2 * 3 * 8 * 500 * 1000 + bias
    alibi = cost(MHA(3, 8, position="alibi"), shapes)
    assert alibi.attention_bytes_chunked == 2 * 3 * 8 * 500 * 1000


def test_the_widest_attention_counts():
    x, y = keras.Input((10, D)), keras.Input((30, D))
    model = keras.Model([x, y], MHA(2, 8)(MHA(4, 8)(x, x), y))
    assert cost(model).attention_bytes_full == 8 * max(4 * 10 * 10, 2 * 10 * 30)


def test_a_step_of_decoding_attends_to_the_whole_cache():
    layer = MHA(2, 8)
    x, kept = keras.Input((1, D)), keras.Input((2, 9, 8))
    index = keras.Input((), batch_size=1, dtype="int32")
    cache = {"key": kept, "value": kept}
    output, _ = layer(x, x, cache=cache, cache_index=index[0])
    spent = cost(keras.Model([x, kept, index], output))
    assert spent.flops == 2 * (4 * 6 * 2 * 8 + 2 * 9 * (8 + 8))
    assert spent.attention_bytes_full == 8 * 2 * 9
    output, _ = layer(x, x, cache=cache, cache_index="end", use_causal_mask=False)
    assert cost(keras.Model([x, kept], output)).attention_bytes_full == 8 * 2 * (9 + 1)


def test_kerass_own_with_a_gate_and_with_axes():
    gated = K.MultiHeadAttention(2, 8, value_dim=3, use_gate=True)
    plain = K.MultiHeadAttention(2, 8, value_dim=3)
    shapes = [QUERY, QUERY]
    assert cost(gated, shapes).flops - cost(plain, shapes).flops == 2 * 5 * 6 * 2 * 3
    # Along the second axis of three: for each of 3 positions of the first, 5 attend to 5.
    along = cost(K.MultiHeadAttention(2, 8, attention_axes=2), [(None, 3, T, D)] * 2)
    assert along.flops == 2 * (4 * 3 * 5 * 6 * 2 * 8 + 3 * 2 * 5 * 5 * (8 + 8))
    assert along.attention_bytes_full == 8 * 3 * 2 * 5 * 5


def test_self_attention_2d():
    # C = 16: keys of 16 // 8 = 2 channels, values of 16 // 2 = 8.
    spent = cost(layers.SelfAttention2D(num_heads=2), (None, 6, 5, 16))
    projections = 30 * 16 * (2 + 2 + 8) + 30 * 8 * 16
    assert spent.flops == 2 * (projections + 30 * 30 * (2 + 8))
    assert spent.attention_bytes_full == 8 * 2 * 30 * 30


def test_self_attention_2d_with_fewer_keys():
    # The convolutions see the whole map; 3 x 2 positions are left of 6 x 5.
    spent = cost(layers.SelfAttention2D(downsample=2), (None, 6, 5, 16))
    projections = 30 * 16 * (2 + 2 + 8) + 30 * 8 * 16
    assert spent.flops == 2 * (projections + 30 * 6 * (2 + 8))
    assert spent.attention_bytes_full == 8 * 30 * 6


@pytest.mark.parametrize("score", ["scaled_dot", "dot", "cosine"])
def test_attention_by_products(score):
    spent = cost(layers.Attention(score), [QUERY, VALUE, (None, S, D)])
    assert spent.flops == 2 * 5 * 7 * (6 + 4)
    assert spent.attention_bytes_full == 8 * 5 * 7


def test_bilinear_attention_projects_its_keys():
    spent = cost(layers.Attention("bilinear"), [QUERY, VALUE, KEY])
    assert spent.flops == 2 * (7 * 3 * 6 + 5 * 7 * (6 + 4))
    assert spent.attention_bytes_full == 8 * 5 * 7


def test_additive_attention_holds_the_features_of_every_pair():
    spent = cost(layers.Attention("additive", units=8), [(2, T, D), (2, S, V)])
    assert spent.flops == 2 * (5 * 6 * 8 + 7 * 4 * 8 + 5 * 7 * (8 + 4))
    assert spent.attention_bytes_full == spent.attention_bytes_chunked == 8 * 2 * 5 * 7 * 8


def test_attention_streams():
    spent = cost(layers.Attention(), [(None, 1000, D)] * 2)
    assert spent.attention_bytes_full == 8 * 1000 * 1000
    assert spent.attention_bytes_chunked == 8 * 500 * 1000


@pytest.mark.parametrize("shape", [(None, 12, D), (None, 3, 4, D)])
def test_attention_pooling(shape):
    layer = layers.AttentionPooling(3, num_heads=2, key_dim=8, value_dim=5, output_size=9)
    spent = cost(layer, shape)
    projections = 12 * 6 * 2 * 8 + 12 * 6 * 2 * 5 + 3 * (2 * 5) * 9
    assert spent.flops == 2 * (projections + 2 * 3 * 12 * (8 + 5))
    assert spent.attention_bytes_full == 8 * 2 * 3 * 12
    assert cost(layers.AttentionPooling(), shape).attention_bytes_full == 8 * 12


@pytest.mark.parametrize("score", ["additive", "scaled_dot"])
@pytest.mark.parametrize("shape", [(None, 12, D), (None, 3, 4, D)])
def test_attention_pooling_of_the_inputs_themselves(score, shape):
    layer = layers.AttentionPooling(3, key_dim=8, score=score, project_values=False)
    spent = cost(layer, shape)
    assert spent.flops == 2 * (12 * 6 * 8 + 3 * 12 * (8 + 6))
    assert spent.parameters == 3 * 8 + (6 + 1) * 8
    # The tanh is of keys, and no pair of a query and a key has features.
    assert spent.attention_bytes_full == spent.attention_bytes_chunked == 8 * 3 * 12


def test_attention_pooling_by_the_mean():
    mean = cost(layers.AttentionPooling(3, score="uniform", project_values=False), (None, 12, D))
    assert (mean.flops, mean.parameters) == (2 * 3 * 12 * 6, 0)
    assert mean.attention_bytes_full == 8 * 3 * 12
    settings = {"num_heads": 2, "key_dim": 8, "value_dim": 5, "output_size": 9}
    projected = cost(layers.AttentionPooling(3, score="uniform", **settings), (None, 12, D))
    assert projected.flops == 2 * (12 * 6 * 2 * 5 + 2 * 3 * 12 * 5 + 3 * (2 * 5) * 9)
    assert projected.parameters == (6 + 1) * 10 + (10 + 1) * 9


def test_attention_decoder_in_bahdanaus_order():
    # Inputs of 6, memory of 4, units 8, compared in a space of 3.
    spent = cost(layers.AttentionDecoder(8, attention_units=3), [QUERY, VALUE])
    once = 7 * 4 * 3 + 4 * 8  # keys, initial state
    attention = 8 * 3 + 7 * (3 + 4)
    gru = 3 * 8 * (6 + 4 + 8)
    readout = (8 + 4 + 6) * 8
    assert spent.flops == 2 * (once + 5 * (attention + gru + readout))
    # One step at a time.
    assert spent.attention_bytes_full == spent.attention_bytes_chunked == 8 * 7 * 3


def test_attention_decoder_in_luongs_order():
    spent = cost(layers.AttentionDecoder(8, "luong", "lstm"), [QUERY, (None, 3000, V)])
    once = 3000 * 4 * 8 + 4 * 2 * 8
    attention = 3000 * (8 + 4)
    lstm = 4 * 8 * (6 + 8 + 8)
    readout = (8 + 4) * 8
    assert spent.flops == 2 * (once + 5 * (attention + lstm + readout))
    assert spent.attention_bytes_full == 8 * 3000
    assert spent.attention_bytes_chunked == 8 * 1500  # of at most 2048 keys


def test_attention_decoder_without_feeding_and_with_a_state():
    decoder = layers.AttentionDecoder(8, "luong", score="scaled_dot", input_feeding=False)
    x, memory, state = keras.Input((T, D)), keras.Input((S, 8)), keras.Input((8,))
    output = decoder(x, memory, initial_state={"hidden": state})
    step = 7 * (8 + 8) + 3 * 8 * (6 + 8) + (8 + 8) * 8
    assert cost(keras.Model([x, memory, state], output)).flops == 2 * 5 * step


def test_transformer_encoder_block():
    spent = cost(layers.TransformerEncoderBlock(2, 32, num_kv_heads=1), QUERY)
    attention = 5 * 6 * (6 + 3 + 3) + 2 * 5 * 5 * (3 + 3) + 5 * 6 * 6
    assert spent.flops == 2 * (attention + 2 * 5 * 6 * 32)
    assert spent.attention_bytes_full == 8 * 2 * 5 * 5


def test_transformer_encoder_block_that_is_causal():
    x = keras.Input((1000, D))
    block = layers.TransformerEncoderBlock(1, 32)
    assert cost(block, (None, 1000, D)).attention_bytes_chunked == 8 * 500 * 1000
    causal = keras.Model(x, block(x, use_causal_mask=True))
    assert cost(causal).attention_bytes_chunked == 8 * 500 * 500


def test_transformer_decoder_block():
    spent = cost(layers.TransformerDecoderBlock(2, 32), [QUERY, VALUE])
    attention = 4 * 5 * 6 * 6 + 2 * 5 * 5 * (3 + 3)
    cross = 2 * 5 * 6 * 6 + 2 * 7 * 4 * 6 + 2 * 5 * 7 * (3 + 3)
    assert spent.flops == 2 * (attention + cross + 2 * 5 * 6 * 32)
    assert spent.attention_bytes_full == 8 * 2 * 5 * 7


def test_transformer_decoder_block_step_by_step():
    block = layers.TransformerDecoderBlock(2, 32)
    block.build((None, 1, D), (None, S, V))
    x, kept, projected = (keras.Input(shape) for shape in ((1, D), (2, 9, 3), (2, S, 3)))
    output, _ = block(
        x,
        projected_memory={"key": projected, "value": projected},
        cache={"key": kept, "value": kept},
        cache_index=0,
        use_causal_mask=False,
    )
    attention = 4 * 6 * 6 + 2 * 9 * (3 + 3)
    cross = 2 * 6 * 6 + 2 * 7 * (3 + 3)
    spent = cost(keras.Model([x, kept, projected], output))
    assert spent.flops == 2 * (attention + cross + 2 * 6 * 32)
