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
PADDING_MASK = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]], bool)


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


@pytest.mark.parametrize("grows", [False, True])
@pytest.mark.parametrize("position", [None, "rotary"])
def test_decoding_step_by_step_equals_the_whole(position, grows):
    blocks = [TransformerDecoderBlock(2, 12, position=position, num_kv_heads=1) for _ in range(2)]

    def whole(x):
        for block in blocks:
            x = block(x, MEMORY, memory_padding_mask=PADDING_MASK)
        return array(x)

    expected = whole(INPUTS)
    caches = [block.make_cache(B, 0 if grows else T + 2) for block in blocks]
    memories = [block.project_memory(MEMORY) for block in blocks]
    index = 0
    for size in (2, 1, 2):
        x = INPUTS[:, index : index + size]
        for n, block in enumerate(blocks):
            x, caches[n] = block(
                x,
                projected_memory=memories[n],
                memory_padding_mask=PADDING_MASK,
                cache=caches[n],
                cache_index="end" if grows else index,
            )
        np.testing.assert_allclose(array(x), expected[:, index : index + size], atol=1e-4)
        index += size


def test_the_mask_of_a_step_with_a_cache_may_say_all():
    block = TransformerDecoderBlock(2, 12)
    block(INPUTS, MEMORY)
    arguments = {
        "projected_memory": block.project_memory(MEMORY),
        "cache": block.make_cache(B),
        "cache_index": "end",
    }
    every = np.ones((B, T, T), bool)
    causal, _ = block(INPUTS, attention_mask=every, **arguments)
    np.testing.assert_allclose(array(causal), array(block(INPUTS, MEMORY)), atol=1e-5)
    seeing, _ = block(INPUTS, attention_mask=every, use_causal_mask=False, **arguments)
    assert abs(array(seeing) - array(causal))[:, :-1].max() > 1e-3
    masked, _ = block(INPUTS, attention_mask=np.tril(every), use_causal_mask=False, **arguments)
    np.testing.assert_allclose(array(masked), array(causal), atol=1e-5)


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
    projected = {
        name: keras.KerasTensor(x.shape) for name, x in block.project_memory(MEMORY).items()
    }
    _, (_, symbolic) = block(
        keras.KerasTensor((B, T, D)), projected_memory=projected, return_attention_scores=True
    )
    assert symbolic.shape == (B, 2, T, S)


def test_dropout_differs_between_steps_and_seeds_and_ends_with_training():
    block = TransformerEncoderBlock(2, 12, dropout=0.5, seed=3)
    first, second = (array(block(INPUTS, training=True)) for _ in range(2))
    assert (first != second).any()
    again = TransformerEncoderBlock(2, 12, dropout=0.5, seed=3)
    again(INPUTS)
    again.set_weights(block.get_weights())
    np.testing.assert_array_equal(array(again(INPUTS)), array(block(INPUTS)))
    np.testing.assert_array_equal(array(again(INPUTS, training=True)), first)
    other = TransformerEncoderBlock(2, 12, dropout=0.5, seed=4)
    other(INPUTS)
    other.set_weights(block.get_weights())
    assert (array(other(INPUTS, training=True)) != first).any()
    decoder = TransformerDecoderBlock(2, 12, dropout=0.5, seed=3)
    decoder(INPUTS, MEMORY)
    assert decoder.attention.seed != decoder.cross_attention.seed


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"intermediate_dim": 0}, "`intermediate_dim` must be an integer of at least 1"),
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


def test_attention_weights_may_be_dropped_at_another_rate():
    keras.utils.set_random_seed(0)
    for block, dropped in (
        (TransformerEncoderBlock(2, 12, dropout=0.0, attention_dropout=0.5), True),
        (TransformerEncoderBlock(2, 12, dropout=0.5, attention_dropout=0.0), True),
        (TransformerEncoderBlock(2, 12, dropout=0.0, attention_dropout=0.0), False),
    ):
        plain, trained = array(block(INPUTS)), array(block(INPUTS, training=True))
        assert np.allclose(plain, trained) != dropped
    assert block.attention.dropout == 0.0
    assert TransformerDecoderBlock(2, 12, dropout=0.25).attention_dropout is None
    with pytest.raises(ValueError, match="`attention_dropout`"):
        TransformerEncoderBlock(2, 12, attention_dropout=1.0)


def test_a_decoder_takes_a_mask_of_pairs_besides_the_future():
    block = TransformerDecoderBlock(2, 12)
    mask = RANDOM.uniform(size=(B, T, T)) < 0.5
    _, (own, _) = block(INPUTS, MEMORY, attention_mask=mask, return_attention_scores=True)
    allowed = np.broadcast_to((mask & np.tril(np.ones((T, T), bool)))[:, None], own.shape)
    assert array(own)[~allowed].max() == 0.0
    assert array(own)[allowed].min() > 0.0


def test_beams_share_a_cache_whose_slots_only_their_line_sees():
    block = TransformerDecoderBlock(2, 12)
    lines = RANDOM.normal(size=(B, 2, 3, D)).astype("float32")  # two beams of three steps
    whole = [array(block(lines[:, k], MEMORY)) for k in range(2)]
    memory, cache = block.project_memory(MEMORY), block.make_cache(B, 6)
    for step in range(3):
        slots = np.arange(6)
        own = (slots[None] % 2 == np.arange(2)[:, None]) & (slots[None] // 2 <= step)
        output, cache = block(
            lines[:, :, step],
            projected_memory=memory,
            cache=cache,
            cache_index=2 * step,
            attention_mask=np.broadcast_to(own, (B, 2, 6)),
        )
        for k in range(2):
            np.testing.assert_allclose(array(output)[:, k], whole[k][:, step], atol=1e-5)


@pytest.mark.tensorflow
def test_one_path_is_built_where_it_is_chosen():
    import tensorflow as tf

    def branches(**settings):
        block = TransformerEncoderBlock(2, 12, **settings)
        block.build((None, None, D))
        spec = tf.TensorSpec((None, None, D))
        graph = tf.function(block.__call__).get_concrete_function(spec).graph
        return [op.type for op in graph.get_operations() if op.type.endswith("If")]

    assert branches()
    assert not branches(implementation="full")
    with pytest.raises(ValueError, match="implementation"):
        TransformerEncoderBlock(2, 12, implementation="fast")


@pytest.mark.slow
@pytest.mark.tensorflow
def test_one_query_has_one_graph_for_all_lengths():
    import tensorflow as tf

    from keras_attn.ops import attention

    query, keys = tf.TensorSpec((None, 1, 2, 4)), tf.TensorSpec((None, None, 2, 4))
    graph = tf.function(attention).get_concrete_function(query, keys, keys).graph
    assert not [op for op in graph.get_operations() if op.type.endswith("If")]
