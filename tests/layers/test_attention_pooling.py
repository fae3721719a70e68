"""Pooling by attention against a closed form in NumPy, and its masks."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn.layers import AttentionPooling
from tests.ops import oracles

B, S, D, N, Q, H, V, OUT = 2, 6, 9, 2, 3, 4, 5, 7
HEIGHT, WIDTH = 2, 3
RANDOM = np.random.default_rng(0)
SEQUENCE = RANDOM.normal(size=(B, S, D)).astype("float32")
MAP = SEQUENCE.reshape(B, HEIGHT, WIDTH, D)
REAL = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 0, 1, 0, 0]], bool)
SIZES = {"num_heads": N, "key_dim": H, "value_dim": V, "output_size": OUT}


def make(**settings):
    """The layer, built, with all weights drawn: no bias is zero."""
    layer = AttentionPooling(**{**SIZES, **settings})
    layer.build(SEQUENCE.shape)
    random = np.random.default_rng(1)
    for weight in layer.trainable_weights:
        weight.assign(random.normal(size=weight.shape))
    return layer


def closed_form(layer, mask=True):
    """The output `(B, Q, OUT)` and the weights `(B, N, Q, S)`, one query at a time."""
    names = ("query", "key/kernel", "value/kernel", "attention_output/kernel")
    named = {w.path.split("/", 1)[1]: oracles.numpy(w) for w in layer.weights}
    query, key, value, out = (named[name] for name in names)

    def bias(name):
        return named.get(f"{name}/bias", 0.0)

    count = query.shape[0]
    mask = np.broadcast_to(mask, (B, S))
    output, weights = np.zeros((B, count, out.shape[-1])), np.zeros((B, N, count, S))
    for b, q in np.ndindex(B, count):
        for n in range(N):
            keys = SEQUENCE[b].astype("float64") @ key[:, n]
            keys = keys + (bias("key")[n] if layer.use_bias else 0.0)
            values = SEQUENCE[b].astype("float64") @ value[:, n]
            values = values + (bias("value")[n] if layer.use_bias else 0.0)
            scores = keys @ query[q, n] / np.sqrt(query.shape[-1])
            weights[b, n, q] = oracles.normalize(layer.normalizer, scores, mask[b])
            output[b, q] += weights[b, n, q] @ values @ out[n]
    return output + bias("attention_output"), weights


def check(received, expected):
    for a, b in zip(received, expected, strict=True):
        assert tuple(a.shape) == b.shape
        np.testing.assert_allclose(oracles.numpy(a), b, atol=2e-5)


@pytest.mark.parametrize("settings", [{}, {"use_bias": False}, {"normalizer": "sigmoid"}])
@pytest.mark.parametrize("mask", [None, REAL])
def test_queries_over_a_sequence(settings, mask):
    layer = make(num_queries=Q, **settings)
    received = layer(SEQUENCE, padding_mask=mask, return_attention_scores=True)
    check(received, closed_form(layer, True if mask is None else mask))
    unasked = layer(SEQUENCE, padding_mask=mask)
    np.testing.assert_allclose(oracles.numpy(unasked), oracles.numpy(received[0]), atol=1e-5)


def test_queries_over_a_map_with_padding():
    layer = make(num_queries=Q)
    real = REAL.reshape(B, HEIGHT, WIDTH)
    output, weights = closed_form(layer, REAL)
    received = layer(MAP, padding_mask=real, return_attention_scores=True)
    check(received, (output, weights.reshape(B, N, Q, HEIGHT, WIDTH)))


def test_one_query_has_no_axis():
    layer = make()
    output, weights = closed_form(layer)
    received = layer(SEQUENCE, return_attention_scores=True)
    check(received, (output[:, 0], weights[:, :, 0]))
    received = layer(MAP, return_attention_scores=True)
    check(received, (output[:, 0], weights[:, :, 0].reshape(B, N, HEIGHT, WIDTH)))
    single = make(num_queries=1)(SEQUENCE)
    check([single], [output])


def test_default_sizes_follow_the_input():
    layer = AttentionPooling(num_heads=2)
    assert layer(SEQUENCE).shape == (B, D)
    assert tuple(layer.query.shape) == (1, 2, D // 2)
    assert tuple(layer.value_dense.kernel.shape) == (D, 2, D // 2)
    many = AttentionPooling(num_heads=10)
    many(SEQUENCE)
    assert tuple(many.query.shape) == (1, 10, 1)


def test_queries_of_zero_pool_as_global_average_pooling():
    layer = AttentionPooling(key_dim=2, value_dim=D, use_bias=False, query_initializer="zeros")
    layer.build(MAP.shape)
    layer.value_dense.kernel.assign(np.eye(D)[:, None])
    layer.output_dense.kernel.assign(np.eye(D)[None])
    average = keras.layers.GlobalAveragePooling2D(data_format="channels_last")(MAP)
    np.testing.assert_allclose(oracles.numpy(layer(MAP)), oracles.numpy(average), atol=1e-5)


@pytest.mark.parametrize("flat", [True, False])
def test_padding_changes_nothing_real_and_the_mask_matters(flat):
    layer, shape = make(num_queries=Q), (B, S) if flat else (B, HEIGHT, WIDTH)
    x, real = SEQUENCE.reshape(*shape, D), REAL.reshape(shape)
    changed = np.where(real[..., None], x, 50.0).astype("float32")
    masked = oracles.numpy(layer(x, padding_mask=real))
    np.testing.assert_allclose(oracles.numpy(layer(changed, padding_mask=real)), masked, atol=1e-5)
    assert not np.allclose(oracles.numpy(layer(x))[1], masked[1], atol=1e-3)


def test_a_sequence_of_padding_alone_gives_the_bias_of_the_output_projection():
    layer = make(num_queries=Q)
    nothing = np.stack([np.zeros(S, bool), np.ones(S, bool)])
    output, weights = layer(SEQUENCE, padding_mask=nothing, return_attention_scores=True)
    bias = oracles.numpy(layer.output_dense.bias)
    np.testing.assert_array_equal(oracles.numpy(output)[0], np.broadcast_to(bias, (Q, OUT)))
    np.testing.assert_array_equal(oracles.numpy(weights)[0], 0.0)
    assert not np.allclose(oracles.numpy(output)[1], bias)
    slope = oracles.gradient(lambda x: ops.sum(layer(x, padding_mask=nothing) ** 2), SEQUENCE)
    assert np.isfinite(slope).all()
    np.testing.assert_array_equal(slope[0], 0.0)


def test_the_implicit_mask_is_taken_and_ends_here():
    tokens = np.array([[3, 1, 2, 4], [2, 1, 0, 0]])
    embedded = keras.layers.Embedding(5, D, mask_zero=True)(tokens)
    unmasked = ops.convert_to_tensor(ops.convert_to_numpy(embedded))
    layer = make(num_queries=Q)
    output = layer(embedded)
    explicit = layer(unmasked, padding_mask=tokens != 0)
    np.testing.assert_allclose(oracles.numpy(output), oracles.numpy(explicit), atol=1e-5)
    assert not np.allclose(oracles.numpy(output), oracles.numpy(layer(unmasked)), atol=1e-4)
    assert getattr(output, "_keras_mask", None) is None
    np.testing.assert_array_equal(ops.convert_to_numpy(embedded._keras_mask), tokens != 0)
    everything = layer(embedded, padding_mask=np.ones_like(tokens))
    np.testing.assert_allclose(oracles.numpy(everything), oracles.numpy(layer(unmasked)), atol=1e-5)


@pytest.mark.parametrize("num_queries", [None, Q])
@pytest.mark.parametrize("spatial", [(None,), (None, None)])
def test_functional_models_of_unknown_lengths(num_queries, spatial):
    x, real = keras.Input((*spatial, D)), keras.Input(spatial, dtype="bool")
    layer = make(num_queries=num_queries)
    output, weights = layer(x, padding_mask=real, return_attention_scores=True)
    axis = () if num_queries is None else (Q,)
    assert output.shape == (None, *axis, OUT)
    assert weights.shape == (None, N, *axis, *spatial)
    model = keras.Model([x, real], [output, weights])
    inputs = [SEQUENCE, REAL] if len(spatial) == 1 else [MAP, REAL.reshape(B, HEIGHT, WIDTH)]
    expected = layer(inputs[0], padding_mask=inputs[1], return_attention_scores=True)
    check(model(inputs), [oracles.numpy(a) for a in expected])


def test_dropout_acts_in_training_alone_and_repeats_by_seed():
    def outputs(seed):
        layer = make(dropout=0.5, seed=seed)
        return [oracles.numpy(layer(SEQUENCE, training=mode)) for mode in (True, False)]

    dropped, kept = outputs(1)
    assert not np.allclose(dropped, kept)
    np.testing.assert_allclose(kept, oracles.numpy(make()(SEQUENCE)), atol=1e-5)
    np.testing.assert_array_equal(outputs(1)[0], dropped)
    assert not np.allclose(outputs(2)[0], dropped)


def test_projections_and_queries_do_not_start_equal():
    glorot = keras.initializers.GlorotUniform()
    layer = AttentionPooling(num_queries=2, kernel_initializer=glorot)
    layer(SEQUENCE)
    assert not np.allclose(*map(oracles.numpy, (layer.key_dense.kernel, layer.value_dense.kernel)))
    assert not np.allclose(*oracles.numpy(layer.query))


@pytest.mark.parametrize(
    "settings",
    [
        *({"num_queries": 0}, {"num_heads": 0}, {"key_dim": 2.5}, {"value_dim": -1}),
        *({"output_size": 0}, {"dropout": 1.0}, {"normalizer": "sofmax"}),
    ],
)
def test_impossible_arguments_are_refused_by_name(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        AttentionPooling(**settings)


def test_impossible_inputs_are_refused():
    with pytest.raises(ValueError, match=r"`inputs` must have shape .*Received: shape \(2, 9\)"):
        AttentionPooling()(SEQUENCE[:, 0])
    with pytest.raises(ValueError, match=r"`padding_mask` must have the shape of `inputs` without"):
        AttentionPooling()(MAP, padding_mask=REAL)
    with pytest.raises(ValueError, match=r"`padding_mask` must have the shape of `inputs` without"):
        AttentionPooling()(keras.Input((S, D)), padding_mask=keras.Input((S, 1)))
