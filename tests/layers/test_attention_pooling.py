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
PADDING_MASK = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 0, 1, 0, 0]], bool)
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
@pytest.mark.parametrize("mask", [None, PADDING_MASK])
def test_queries_over_a_sequence(settings, mask):
    layer = make(num_queries=Q, **settings)
    received = layer(SEQUENCE, padding_mask=mask, return_attention_scores=True)
    check(received, closed_form(layer, True if mask is None else mask))
    without_scores = layer(SEQUENCE, padding_mask=mask)
    np.testing.assert_allclose(oracles.numpy(without_scores), oracles.numpy(received[0]), atol=1e-5)


def test_queries_over_a_map_with_padding():
    layer = make(num_queries=Q)
    padding_mask = PADDING_MASK.reshape(B, HEIGHT, WIDTH)
    output, weights = closed_form(layer, PADDING_MASK)
    received = layer(MAP, padding_mask=padding_mask, return_attention_scores=True)
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
    x, padding_mask = SEQUENCE.reshape(*shape, D), PADDING_MASK.reshape(shape)
    changed = np.where(padding_mask[..., None], x, 50.0).astype("float32")
    masked = oracles.numpy(layer(x, padding_mask=padding_mask))
    np.testing.assert_allclose(
        oracles.numpy(layer(changed, padding_mask=padding_mask)), masked, atol=1e-5
    )
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


# Other scores, and values that are the inputs themselves.

UNPROJECTED = {"num_heads": 1, "value_dim": None, "output_size": None, "project_values": False}
every_score = pytest.mark.parametrize("score", ["scaled_dot", "additive", "uniform"])


def scores_by_hand(layer):
    """The scores `(B, Q, S)` of a layer of one head, one query and position at a time."""
    count = layer.num_queries or 1
    scores = np.zeros((B, count, S))
    if layer.score == "uniform":
        return scores
    query, kernel = oracles.numpy(layer.query), oracles.numpy(layer.key_dense.kernel)
    bias = oracles.numpy(layer.key_dense.bias)[0] if layer.use_bias else 0.0
    for b, q, s in np.ndindex(scores.shape):
        key = SEQUENCE[b, s].astype("float64") @ kernel[:, 0] + bias
        if layer.score == "additive":  # Yang et al.: the context vector times tanh(W h + b)
            scores[b, q, s] = query[q, 0] @ np.tanh(key)
        else:
            scores[b, q, s] = query[q, 0] @ key / np.sqrt(H)
    return scores


def pooled_by_hand(layer, mask):
    """The output `(B, Q, D)` and the weights `(B, 1, Q, S)`: nothing but keys is projected."""
    scores = scores_by_hand(layer)
    weights = np.zeros_like(scores)
    for b, q in np.ndindex(scores.shape[:2]):
        weights[b, q] = oracles.normalize(layer.normalizer, scores[b, q], mask[b])
    return weights @ SEQUENCE, weights[:, None]


@pytest.mark.parametrize("settings", [{}, {"use_bias": False}, {"normalizer": "sigmoid"}])
@pytest.mark.parametrize("mask", [None, PADDING_MASK])
@every_score
def test_scores_over_values_that_are_the_inputs(score, settings, mask):
    layer = make(num_queries=Q, score=score, **UNPROJECTED, **settings)
    expected = pooled_by_hand(layer, np.ones((B, S), bool) if mask is None else mask)
    check(layer(SEQUENCE, padding_mask=mask, return_attention_scores=True), expected)
    check([layer(SEQUENCE, padding_mask=mask)], expected[:1])


@every_score
def test_scores_over_a_map_without_an_axis_for_the_query(score):
    layer = make(score=score, **UNPROJECTED)
    output, weights = pooled_by_hand(layer, PADDING_MASK)
    received = layer(
        MAP, padding_mask=PADDING_MASK.reshape(B, HEIGHT, WIDTH), return_attention_scores=True
    )
    check(received, (output[:, 0], weights[:, :, 0].reshape(B, 1, HEIGHT, WIDTH)))


def test_uniform_is_the_mean_of_what_is_real_and_has_no_query():
    bare = make(score="uniform", **UNPROJECTED)
    assert not bare.weights
    mean = np.stack(
        [
            x[padding_mask].mean(axis=0)
            for x, padding_mask in zip(SEQUENCE, PADDING_MASK, strict=True)
        ]
    )
    np.testing.assert_allclose(
        oracles.numpy(bare(SEQUENCE, padding_mask=PADDING_MASK)), mean, atol=1e-5
    )
    projected = make(score="uniform")
    paths = {weight.path.split("/", 1)[1] for weight in projected.weights}
    assert paths == {
        f"{name}/{kind}" for name in ("value", "attention_output") for kind in ("kernel", "bias")
    }
    value = np.einsum("bd,dnh->bnh", mean, oracles.numpy(projected.value_dense.kernel))
    value = value + oracles.numpy(projected.value_dense.bias)
    output = np.einsum("bnh,nhd->bd", value, oracles.numpy(projected.output_dense.kernel))
    output = output + oracles.numpy(projected.output_dense.bias)
    received = projected(SEQUENCE, padding_mask=PADDING_MASK)
    np.testing.assert_allclose(oracles.numpy(received), output, atol=2e-5)


def test_additive_scores_of_several_heads_under_projections():
    layer = make(score="additive")
    keys = np.einsum("bsd,dnh->bsnh", SEQUENCE, oracles.numpy(layer.key_dense.kernel))
    keys = np.tanh(keys + oracles.numpy(layer.key_dense.bias))
    scores = np.einsum("bsnh,nh->bns", keys, oracles.numpy(layer.query)[0])
    weights = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    received = layer(SEQUENCE, return_attention_scores=True)[1]
    np.testing.assert_allclose(oracles.numpy(received), weights, atol=1e-5)


@pytest.mark.parametrize("project_values", [True, False])
@every_score
def test_padding_changes_nothing_for_every_score(score, project_values):
    layer = make(score=score, **({} if project_values else UNPROJECTED))
    changed = np.where(PADDING_MASK[..., None], SEQUENCE, 50.0).astype("float32")
    masked = oracles.numpy(layer(SEQUENCE, padding_mask=PADDING_MASK))
    np.testing.assert_allclose(
        oracles.numpy(layer(changed, padding_mask=PADDING_MASK)), masked, atol=1e-5
    )
    assert not np.allclose(oracles.numpy(layer(SEQUENCE))[1], masked[1], atol=1e-3)


@every_score
def test_padding_alone_pools_to_zero_without_projections(score):
    layer = make(score=score, **UNPROJECTED)
    nothing = np.stack([np.zeros(S, bool), np.ones(S, bool)])
    output, weights = layer(SEQUENCE, padding_mask=nothing, return_attention_scores=True)
    for received in (output, weights, layer(SEQUENCE, padding_mask=nothing)):
        np.testing.assert_array_equal(oracles.numpy(received)[0], 0.0)
        assert np.abs(oracles.numpy(received)[1]).max() > 1e-3
    slope = oracles.gradient(lambda x: ops.sum(layer(x, padding_mask=nothing) ** 2), SEQUENCE)
    assert np.isfinite(slope).all()
    np.testing.assert_array_equal(slope[0], 0.0)


@every_score
def test_scores_in_functional_models_and_configs(score):
    layer = make(score=score, **UNPROJECTED)
    again = AttentionPooling.from_config(layer.get_config())
    assert (again.score, again.project_values) == (score, False)
    x, padding_mask = keras.Input((None, D)), keras.Input((None,), dtype="bool")
    model = keras.Model([x, padding_mask], layer(x, padding_mask=padding_mask))
    assert model.output.shape == (None, D)
    expected = oracles.numpy(layer(SEQUENCE, padding_mask=PADDING_MASK))
    np.testing.assert_allclose(oracles.numpy(model([SEQUENCE, PADDING_MASK])), expected, atol=1e-6)
    assert np.abs(expected).max() > 1e-2


@pytest.mark.parametrize("settings", [{"num_heads": 2}, {"value_dim": 3}, {"output_size": 4}])
def test_sizes_of_projections_that_are_not_there_are_refused(settings):
    (name,) = settings
    with pytest.raises(ValueError, match=rf"`project_values=False` .*{name}={settings[name]}"):
        AttentionPooling(project_values=False, **settings)


@pytest.mark.parametrize("num_queries", [None, Q])
@pytest.mark.parametrize("spatial", [(None,), (None, None)])
def test_functional_models_of_unknown_lengths(num_queries, spatial):
    x, padding_mask = keras.Input((*spatial, D)), keras.Input(spatial, dtype="bool")
    layer = make(num_queries=num_queries)
    output, weights = layer(x, padding_mask=padding_mask, return_attention_scores=True)
    axis = () if num_queries is None else (Q,)
    assert output.shape == (None, *axis, OUT)
    assert weights.shape == (None, N, *axis, *spatial)
    model = keras.Model([x, padding_mask], [output, weights])
    inputs = (
        [SEQUENCE, PADDING_MASK]
        if len(spatial) == 1
        else [MAP, PADDING_MASK.reshape(B, HEIGHT, WIDTH)]
    )
    expected = layer(inputs[0], padding_mask=inputs[1], return_attention_scores=True)
    check(model(inputs), [oracles.numpy(a) for a in expected])


def test_dropout_acts_in_training_alone_and_repeats_by_seed():
    def outputs(seed):
        layer = make(dropout=0.5, seed=seed)
        return [oracles.numpy(layer(SEQUENCE, training=mode)) for mode in (True, False)]

    dropped, plain = outputs(1)
    assert not np.allclose(dropped, plain)
    np.testing.assert_allclose(plain, oracles.numpy(make()(SEQUENCE)), atol=1e-5)
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
        *({"output_size": 0}, {"dropout": 1.0}, {"normalizer": "sofmax"}, {"score": "dot"}),
    ],
)
def test_impossible_arguments_are_refused_by_name(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        AttentionPooling(**settings)


def test_impossible_inputs_are_refused():
    with pytest.raises(ValueError, match=r"`inputs` must have shape .*Received: shape \(2, 9\)"):
        AttentionPooling()(SEQUENCE[:, 0])
    with pytest.raises(ValueError, match=r"`padding_mask` must have the shape of `inputs` without"):
        AttentionPooling()(MAP, padding_mask=PADDING_MASK)
    with pytest.raises(ValueError, match="without the last axis"):
        AttentionPooling()(MAP, padding_mask=PADDING_MASK.reshape(B, WIDTH, HEIGHT))
    with pytest.raises(ValueError, match=r"`padding_mask` must have the shape of `inputs` without"):
        AttentionPooling()(keras.Input((S, D)), padding_mask=keras.Input((S, 1), dtype="bool"))
