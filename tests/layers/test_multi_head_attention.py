"""Multi-head attention against Keras's own, and its masks."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn.layers import MultiHeadAttention

B, T, S, D = 2, 4, 6, 8
RANDOM = np.random.default_rng(0)
QUERY = RANDOM.normal(size=(B, T, D)).astype("float32")
VALUE = RANDOM.normal(size=(B, S, D)).astype("float32")
REAL = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]], bool)


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
    expected = theirs(QUERY, VALUE, attention_mask=REAL[:, None], return_attention_scores=True)
    received = ours(QUERY, VALUE, padding_mask=REAL, return_attention_scores=True)
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


def test_window_equals_keras_where_it_has_one():
    if "sliding_window" not in keras.layers.MultiHeadAttention.__init__.__annotations__ and (
        "sliding_window" not in keras.layers.MultiHeadAttention(1, 1).get_config()
    ):
        pytest.skip("this Keras has no sliding_window")
    theirs, ours = pair(sliding_window=2)
    np.testing.assert_allclose(
        ops.convert_to_numpy(ours(VALUE, VALUE)),
        ops.convert_to_numpy(theirs(VALUE, VALUE)),
        atol=1e-5,
    )


def test_from_keras_refuses_what_has_no_equal():
    with pytest.raises(ValueError, match="kernel_regularizer"):
        MultiHeadAttention.from_keras(
            keras.layers.MultiHeadAttention(2, 3, kernel_regularizer="l2")
        )


def test_two_blocks_do_not_see_padded_positions():
    first, second = MultiHeadAttention(2, 4), MultiHeadAttention(2, 4)

    def stack(x, mask):
        x = ops.add(x, first(x, x, padding_mask=mask))
        return ops.convert_to_numpy(x + second(x, x, padding_mask=mask))

    changed = np.where(REAL[..., None], VALUE, 100.0)
    np.testing.assert_allclose(stack(changed, REAL)[REAL], stack(VALUE, REAL)[REAL], atol=1e-5)
    assert not np.allclose(stack(changed, None)[REAL], stack(VALUE, None)[REAL], atol=1e-2)


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
        MultiHeadAttention(2, 4)(VALUE, VALUE, attention_mask=REAL)


def test_masks_are_checked_and_taken_by_position_in_functional_models():
    inputs, real = keras.Input((S, D)), keras.Input((S,), dtype="bool")
    layer = MultiHeadAttention(2, 4)
    model = keras.Model([inputs, real], layer(inputs, inputs, inputs, real))
    np.testing.assert_allclose(
        ops.convert_to_numpy(model([VALUE, REAL])),
        ops.convert_to_numpy(layer(VALUE, VALUE, padding_mask=REAL)),
        atol=1e-6,
    )
    with pytest.raises(ValueError, match="is a `padding_mask`"):
        layer(inputs, inputs, attention_mask=real)


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

    dropped, kept = outputs(1)
    assert not np.allclose(dropped, kept)
    np.testing.assert_array_equal(outputs(1)[0], dropped)
    assert not np.allclose(outputs(2)[0], dropped)
