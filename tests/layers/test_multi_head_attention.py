"""Multi-head attention against Keras's own, and its masks."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn.layers import (
    MultiHeadAttention,
    TransformerDecoderBlock,
    TransformerEncoderBlock,
)

B, T, S, D = 2, 4, 6, 8
RANDOM = np.random.default_rng(0)
QUERY = RANDOM.normal(size=(B, T, D)).astype("float32")
VALUE = RANDOM.normal(size=(B, S, D)).astype("float32")
PADDING_MASK = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]], bool)


def pair(**settings):
    # Keras 3.15 on JAX fails where the two sizes differ.
    value_dim = 5 if keras.backend.backend() == "tensorflow" else 3
    theirs = keras.layers.MultiHeadAttention(2, 3, value_dim=value_dim, **settings)
    theirs(QUERY, VALUE)
    return theirs, MultiHeadAttention.from_keras(theirs)


@pytest.mark.parametrize("settings", [{}, {"use_bias": False}, {"output_shape": 7}])
def test_equals_keras_with_its_weights(settings):
    theirs, ours = pair(**settings)
    assert [w.shape for w in ours.weights] == [w.shape for w in theirs.weights]
    expected = theirs(
        QUERY, VALUE, attention_mask=PADDING_MASK[:, None], return_attention_scores=True
    )
    received = ours(QUERY, VALUE, padding_mask=PADDING_MASK, return_attention_scores=True)
    for a, b in zip(received, expected, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(a), ops.convert_to_numpy(b), atol=1e-5)


def test_causal_self_attention_equals_keras():
    theirs, ours = pair()
    expected = theirs(VALUE, VALUE, use_causal_mask=True)
    received = ours(VALUE, VALUE, use_causal_mask=True)
    np.testing.assert_allclose(
        ops.convert_to_numpy(received), ops.convert_to_numpy(expected), atol=1e-5
    )


def test_separate_key_is_used():
    theirs, ours = pair()
    key = VALUE[:, ::-1]
    np.testing.assert_allclose(
        ops.convert_to_numpy(ours(QUERY, VALUE, key)),
        ops.convert_to_numpy(theirs(QUERY, VALUE, key)),
        atol=1e-5,
    )
    assert not ops.convert_to_numpy(
        ops.all(ops.isclose(ours(QUERY, VALUE, key), ours(QUERY, VALUE)))
    )


@pytest.mark.skipif(
    "sliding_window" not in keras.layers.MultiHeadAttention(1, 1).get_config(),
    reason="this Keras has no sliding_window",
)
def test_window_equals_keras_where_it_has_one():
    theirs, ours = pair(sliding_window=2)
    np.testing.assert_allclose(
        ops.convert_to_numpy(ours(VALUE, VALUE)),
        ops.convert_to_numpy(theirs(VALUE, VALUE)),
        atol=1e-5,
    )


def test_from_keras_refuses_what_has_no_equal():
    with pytest.raises(ValueError, match=r"from_keras.*attention_axes"):
        MultiHeadAttention.from_keras(keras.layers.MultiHeadAttention(2, 3, attention_axes=(1, 2)))


def test_two_blocks_do_not_see_padded_positions():
    first, second = MultiHeadAttention(2, 4), MultiHeadAttention(2, 4)

    def stack(x, mask):
        x = ops.add(x, first(x, x, padding_mask=mask))
        return ops.convert_to_numpy(x + second(x, x, padding_mask=mask))

    changed = np.where(PADDING_MASK[..., None], VALUE, 100.0)
    np.testing.assert_allclose(
        stack(changed, PADDING_MASK)[PADDING_MASK],
        stack(VALUE, PADDING_MASK)[PADDING_MASK],
        atol=1e-5,
    )
    assert not np.allclose(
        stack(changed, None)[PADDING_MASK], stack(VALUE, None)[PADDING_MASK], atol=1e-2
    )


def test_an_implicit_mask_of_another_length_is_named():
    x, layer = np.zeros((2, 4, 8), "float32"), MultiHeadAttention(2, 4)
    inputs = keras.ops.convert_to_tensor(x)
    inputs._keras_mask = keras.ops.ones((2, 6), "bool")
    with pytest.raises(ValueError, match=r"`(key|value)_mask` must.*\(2, 6\).*Keras attached to"):
        layer(inputs, inputs)


def test_the_implicit_mask_of_keras_is_taken_and_carried_on():
    tokens = np.array([[3, 1, 2, 4], [2, 1, 0, 0]])
    embedding = keras.layers.Embedding(5, D, mask_zero=True)
    layer = MultiHeadAttention(2, 4)
    embedded = embedding(tokens)
    output = layer(embedded, embedded)
    unmasked = ops.convert_to_tensor(ops.convert_to_numpy(embedded))
    explicit = layer(unmasked, unmasked, padding_mask=tokens != 0)
    np.testing.assert_allclose(
        ops.convert_to_numpy(output), ops.convert_to_numpy(explicit), atol=1e-6
    )
    ignored = ops.convert_to_numpy(layer(unmasked, unmasked))
    assert not np.allclose(ops.convert_to_numpy(output), ignored, atol=1e-4)
    np.testing.assert_array_equal(ops.convert_to_numpy(output._keras_mask), tokens != 0)


def test_a_row_of_padding_alone_gives_the_bias_of_the_output_projection():
    layer = MultiHeadAttention(2, 4)
    nothing = np.zeros((B, S), bool)
    output, scores = layer(QUERY, VALUE, padding_mask=nothing, return_attention_scores=True)
    np.testing.assert_array_equal(ops.convert_to_numpy(scores), 0.0)
    bias = ops.convert_to_numpy(layer.output_dense.bias)
    np.testing.assert_array_equal(ops.convert_to_numpy(output), np.broadcast_to(bias, output.shape))


def test_a_padding_mask_given_as_attention_mask_is_refused():
    with pytest.raises(ValueError, match=r"(?s)is a `padding_mask`"):
        MultiHeadAttention(2, 4)(VALUE, VALUE, attention_mask=PADDING_MASK)


def test_masks_are_checked_and_taken_by_position_in_functional_models():
    inputs, padding_mask = keras.Input((S, D)), keras.Input((S,), dtype="bool")
    layer = MultiHeadAttention(2, 4)
    model = keras.Model([inputs, padding_mask], layer(inputs, inputs, inputs, padding_mask))
    np.testing.assert_allclose(
        ops.convert_to_numpy(model([VALUE, PADDING_MASK])),
        ops.convert_to_numpy(layer(VALUE, VALUE, padding_mask=PADDING_MASK)),
        atol=1e-6,
    )
    with pytest.raises(ValueError, match="is a `padding_mask`"):
        layer(inputs, inputs, attention_mask=padding_mask)


@pytest.mark.parametrize(
    "settings", [{"num_heads": 0}, {"key_dim": 2.5}, {"dropout": 1.0}, {"normalizer": "sofmax"}]
)
def test_impossible_arguments_are_refused_by_name(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        MultiHeadAttention(**{"num_heads": 2, "key_dim": 4, **settings})


def test_dropout_acts_in_training_alone_and_repeats_by_seed():
    def outputs(seed):
        layer = MultiHeadAttention(2, 4, dropout=0.5, seed=seed, kernel_initializer="ones")
        return [ops.convert_to_numpy(layer(QUERY, VALUE, training=mode)) for mode in (True, False)]

    dropped, plain = outputs(1)
    assert not np.allclose(dropped, plain)
    np.testing.assert_array_equal(outputs(1)[0], dropped)
    assert not np.allclose(outputs(2)[0], dropped)


# Heads, positions and windows.


def array(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def test_key_heads_are_shared_in_order():
    shared = MultiHeadAttention(4, 3, num_kv_heads=2)
    output = array(shared(QUERY, VALUE, padding_mask=PADDING_MASK))
    whole = MultiHeadAttention(4, 3)
    whole(QUERY, VALUE)
    for ours, theirs in zip(whole.weights, shared.weights, strict=True):
        value = array(theirs)
        if ours.shape != theirs.shape:  # keys and values: query head n uses head n // 2
            value = np.repeat(value, 2, axis=-2)
        ours.assign(value)
    np.testing.assert_allclose(
        array(whole(QUERY, VALUE, padding_mask=PADDING_MASK)), output, atol=1e-5
    )
    sizes = [w.shape for w in shared.weights if w.name == "kernel"]
    assert sizes == [(D, 4, 3), (D, 2, 3), (D, 2, 3), (4, 3, D)]


def test_normalized_queries_and_keys_do_not_see_their_scale():
    layer = MultiHeadAttention(2, 4, use_bias=False, qk_norm=True)
    scores = [array(layer(x, x, return_attention_scores=True)[1]) for x in (VALUE, 30.0 * VALUE)]
    np.testing.assert_allclose(*scores, atol=1e-4)
    assert {w.path.split("/")[-2] for w in layer.weights if w.name == "scale"} == {
        "query_norm",
        "key_norm",
    }


@pytest.mark.parametrize("position", ["rotary", "alibi", "relative"])
def test_positions_count_by_their_difference_alone(position):
    """The same sequence later in the cache attends alike; without positions order is lost."""
    layer = MultiHeadAttention(2, 4, position=position)
    plain = MultiHeadAttention(2, 4)
    layer(VALUE, VALUE), plain(VALUE, VALUE)
    if position == "relative":
        layer.relative_bias.embeddings.assign(RANDOM.normal(size=(32, 2)).astype("float32"))
    expected = array(layer(VALUE, VALUE, use_causal_mask=True))
    padded = np.pad(VALUE, [(0, 0), (5, 0), (0, 0)])
    padding_mask = np.broadcast_to(np.arange(S + 5) >= 5, (B, S + 5))
    later = array(layer(padded, padded, padding_mask=padding_mask, use_causal_mask=True))[:, 5:]
    np.testing.assert_allclose(later, expected, atol=1e-5)
    shuffled = VALUE[:, ::-1]
    moved = array(layer(QUERY, shuffled)) - array(layer(QUERY, VALUE))
    assert np.abs(moved).max() > 1e-3
    unmoved = array(plain(QUERY, shuffled)) - array(plain(QUERY, VALUE))
    np.testing.assert_allclose(unmoved, 0.0, atol=1e-5)


def test_alibi_is_the_bias_of_its_paper():
    layer, plain = MultiHeadAttention(2, 4, position="alibi"), MultiHeadAttention(2, 4)
    plain(VALUE, VALUE)
    _, scores = layer(VALUE, VALUE, return_attention_scores=True)
    plain.set_weights(layer.get_weights())
    _, before = plain(VALUE, VALUE, return_attention_scores=True)
    distance = np.abs(np.arange(S)[:, None] - np.arange(S))
    slopes = np.array([2.0**-4, 2.0**-8])[:, None, None]
    expected = array(before) * np.exp(-slopes * distance)
    expected /= expected.sum(-1, keepdims=True)
    np.testing.assert_allclose(array(scores), expected, atol=1e-5)


# Decoding.

SETTINGS = [
    {},
    {"num_kv_heads": 1, "qk_norm": True, "position": "rotary"},
    {"position": "alibi", "window": 3},
    {"position": "relative", "normalizer": "sigmoid"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("left", [0, 2])
@pytest.mark.parametrize("grows", [False, True])
def test_steps_with_a_cache_equal_the_whole(settings, left, grows):
    """A prompt of four, padded on the left in the second row, then one by one."""
    layer = MultiHeadAttention(2, 4, **settings)
    padding_mask = np.arange(S)[None] >= np.array([[0], [left]])
    whole = array(layer(VALUE, VALUE, padding_mask=padding_mask, use_causal_mask=True))
    cache = layer.make_cache(B, 0 if grows else S + 3)
    padding = np.pad(padding_mask, [(0, 0), (0, 3)], constant_values=True)
    index = 0
    for size in (4, 1, 1):
        new, length = VALUE[:, index : index + size], index + size if grows else S + 3
        arguments = {
            "padding_mask": padding[:, :length],
            "cache_index": "end" if grows else ops.convert_to_tensor(index),
            "return_attention_scores": True,
        }
        symbols = [keras.KerasTensor(new.shape)] * 2
        promised = layer(*symbols, cache=cache, **arguments)
        output, scores, cache = layer(new, new, cache=cache, **arguments)
        assert tuple(scores.shape) == promised[1].shape == (B, 2, size, length)
        assert all(tuple(cache[name].shape) == x.shape for name, x in promised[2].items())
        np.testing.assert_allclose(array(output), whole[:, index : index + size], atol=1e-5)
        index += size


@pytest.mark.parametrize("index", [np.int64(0), np.int32(0)], ids=["int64", "int32"])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_an_index_is_of_any_integer_type(settings, index):
    layer = MultiHeadAttention(2, 4, **settings)
    expected, _ = layer(VALUE, VALUE, cache=layer.make_cache(B, S), cache_index=0)
    got, _ = layer(VALUE, VALUE, cache=layer.make_cache(B, S), cache_index=index)
    np.testing.assert_array_equal(array(got), array(expected))


@pytest.mark.parametrize("kind", ["attention", "encoder", "decoder"])
def test_a_mask_of_keras_is_not_lost_beside_a_cache(kind):
    """It says nothing of the keys in the cache: what would be taken of it is a guess."""
    tokens = np.array([[0, 0, 3, 4], [1, 2, 3, 4]])
    x = keras.layers.Embedding(9, 8, mask_zero=True)(tokens)
    layer = {
        "attention": lambda: MultiHeadAttention(2, 4),
        "encoder": lambda: TransformerEncoderBlock(2, 8),
        "decoder": lambda: TransformerDecoderBlock(2, 8),
    }[kind]()
    inputs = {"attention": (x, x), "encoder": (x,), "decoder": (x, VALUE)}[kind]
    layer.build(*(tuple(tensor.shape) for tensor in inputs))
    attention = layer if kind == "attention" else layer.attention
    cached = {"cache": attention.make_cache(2), "cache_index": "end"}
    with pytest.raises(ValueError, match=r"implicit Keras mask of shape \(2, 4\).*`padding_mask`"):
        layer(*inputs, **cached)
    whole = layer(*inputs, use_causal_mask=True)
    output, _ = layer(*inputs, padding_mask=tokens != 0, **cached)
    np.testing.assert_allclose(array(output), array(whole), atol=1e-5)


def test_a_memory_is_projected_once():
    layer = MultiHeadAttention(2, 4, num_kv_heads=1)
    expected = array(layer(QUERY, VALUE, padding_mask=PADDING_MASK))
    projected = layer.project(VALUE)
    for t in range(T):
        step = layer.attend(QUERY[:, t : t + 1], projected, padding_mask=PADDING_MASK)
        np.testing.assert_allclose(array(step)[:, 0], expected[:, t], atol=1e-5)


@pytest.mark.tensorflow
def test_a_loop_in_a_graph_decodes_with_a_cache(tmp_path):
    """As an exported search does: the index is a tensor, the cache is carried."""
    import tensorflow as tf

    layer = MultiHeadAttention(2, 4, position="rotary")
    expected = array(layer(VALUE, VALUE, use_causal_mask=True))
    module = tf.Module()
    module.variables_ = [w.value for w in layer.weights]

    @tf.function(input_signature=[tf.TensorSpec([None, S, D])])
    def decode(tokens):
        cache = layer.make_cache(tf.shape(tokens)[0], S)
        outputs = tf.TensorArray("float32", S, element_shape=[None, 1, D])

        def step(i, outputs, key, value):
            new = tf.slice(tokens, [0, i, 0], [-1, 1, -1])
            output, cache = layer(new, new, cache={"key": key, "value": value}, cache_index=i)
            return i + 1, outputs.write(i, output), cache["key"], cache["value"]

        start = (tf.constant(0), outputs, cache["key"], cache["value"])
        _, outputs, *_ = tf.while_loop(lambda i, *_: i < S, step, start)
        return tf.concat(tf.unstack(outputs.stack()), axis=1)

    module.decode = decode
    np.testing.assert_allclose(decode(VALUE), expected, atol=1e-5)
    tf.saved_model.save(module, str(tmp_path / "decoder"))
    loaded = tf.saved_model.load(str(tmp_path / "decoder"))
    np.testing.assert_allclose(loaded.decode(VALUE), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "arguments", "message"),
    [
        ({"num_kv_heads": 3}, {}, "`num_kv_heads` must divide `num_heads`"),
        ({"position": "rotery"}, {}, "Did you mean 'rotary'"),
        ({"position": "rotary", "key_dim": 3}, {}, "needs an even `key_dim`"),
        ({}, {"cache_index": 0}, "go together"),
        ({}, {"cache": 9}, "go together.*A growing cache has cache_index='end'"),
        ({}, {"cache": 9, "cache_index": "last"}, "must be 'end' or not negative.*'last'"),
        ({}, {"cache": 4, "cache_index": 2}, "has 4 positions; 6 more do not fit"),
        ({}, {"cache": 9, "cache_index": -1}, "or not negative.*cache_index=-1"),
        ({}, {"cache": 0, "cache_index": 0}, "has 0 positions; 6 more do not fit"),
        ({}, {"cache": -1, "cache_index": 0}, "`length` must be an integer of at least 1"),
    ],
    ids=str,
)
def test_refuses_what_it_does_not_do(settings, arguments, message):
    with pytest.raises(ValueError, match=message):
        layer = MultiHeadAttention(**{"num_heads": 2, "key_dim": 4, **settings})
        if "cache" in arguments:
            arguments["cache"] = layer.make_cache(B, arguments["cache"])
        layer(VALUE, VALUE, **arguments)
