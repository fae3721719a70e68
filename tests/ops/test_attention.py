"""What attention computes: against the oracle, and the promises of its contract."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn.ops import (
    NORMALIZERS,
    STREAMING_NORMALIZERS,
    attend,
    attention,
    padding_mask,
)
from tests.ops import oracles
from tests.ops.oracles import B, N, S, T

every_normalizer = pytest.mark.parametrize("normalizer", list(NORMALIZERS))

MASKS = [(B, 1, 1, S), (1, 1, T, S), (B, 1, T, S), (B, N, T, S), (1, N, 1, S), (1, 1, 1, 1)]
BANDS = [
    {"is_causal": True},
    {"is_causal": True, "q_offset": 2},
    {"is_causal": True, "q_offset": -1},
    {"is_causal": True, "window": 2, "q_offset": 2},
    {"window": 2},
    {"window": 1, "q_offset": 1},
]


# Blocks of two queries and two keys: several of each, the last ones padded.
BLOCKS = {"implementation": "chunked", "chunk_size": 2}
every_path = pytest.mark.parametrize("path", [{}, BLOCKS], ids=["full", "chunked"])


BOTH = pytest.param(
    "mask bias scale",
    marks=pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras takes one there"),
)


def paths(normalizer):
    # Blocks compile for seconds on JAX: there one normalizer stands for all.
    if keras.backend.backend() == "jax" and normalizer != "softmax":
        return [{}]
    return [{}, BLOCKS] if normalizer in STREAMING_NORMALIZERS else [{}]


every_normalizer_and_path = pytest.mark.parametrize(
    ("normalizer", "path"),
    [(name, path) for name in NORMALIZERS for path in paths(name)],
    ids=lambda x: x if isinstance(x, str) else x.get("implementation", "full"),
)


def assert_equals_oracle(query, key, value, **arguments):
    """Output and weights of the full path, and the output of every path."""
    expected = oracles.attention(query, key, value, **arguments)
    close = {"rtol": 2e-5, "atol": 2e-6}
    swapped = [np.swapaxes(x, 1, 2) for x in (key, value)]
    for keys, layout in [((key, value), {}), (swapped, {"heads_first": True})]:
        output, weights = attention(query, *keys, return_weights=True, **layout, **arguments)
        np.testing.assert_allclose(oracles.numpy(weights), expected[1], **close)
        np.testing.assert_allclose(oracles.numpy(output), expected[0], **close)
        for path in paths(arguments.get("normalizer", "softmax")):
            alone = attention(query, *keys, **path, **layout, **arguments)
            np.testing.assert_allclose(oracles.numpy(alone), expected[0], **close)


@pytest.mark.parametrize("masked", [False, True], ids=["unmasked", "masked"])
@every_normalizer
def test_every_normalizer_equals_the_oracle(normalizer, masked):
    mask = oracles.random_mask(B, N, T, S) if masked else None
    assert_equals_oracle(*oracles.inputs(), mask=mask, normalizer=normalizer, scale=0.8)


@pytest.mark.parametrize("shape", MASKS, ids=str)
def test_every_shape_of_mask_equals_the_oracle(shape):
    assert_equals_oracle(*oracles.inputs(), mask=oracles.random_mask(*shape))


@pytest.mark.parametrize("dtype", ["int32", "uint8", "float32"])
def test_a_mask_of_numbers_means_nonzero(dtype):
    mask = oracles.random_mask(B, 1, T, S)
    assert_equals_oracle(*oracles.inputs(), mask=mask.astype(dtype) * 3)


@pytest.mark.parametrize("arguments", BANDS, ids=str)
def test_causal_and_windowed_equal_the_oracle(arguments):
    assert_equals_oracle(*oracles.inputs(), **arguments)


def test_mask_and_band_both_hold():
    mask = oracles.random_mask(B, 1, 1, S)
    assert_equals_oracle(*oracles.inputs(), mask=mask, is_causal=True, window=2, q_offset=1)


@pytest.mark.parametrize("key_heads", [1, 2, 4])
def test_query_heads_share_key_heads_in_order(key_heads):
    mask = oracles.random_mask(B, N, T, S)
    bias = np.random.default_rng(5).normal(size=(1, N, T, S)).astype("float32")
    assert_equals_oracle(*oracles.inputs(key_heads), mask=mask, bias=bias)


@pytest.mark.parametrize("scale", [None, 1.0, 0.1, 0.0])
def test_scale_multiplies_the_scores(scale):
    assert_equals_oracle(*oracles.inputs(), scale=scale)


@pytest.mark.parametrize("shape", [(B, N, T, S), (1, N, T, S), (B, 1, 1, S), (1, 1, T, 1)], ids=str)
def test_bias_is_added_to_the_scaled_scores(shape):
    bias = np.random.default_rng(5).normal(size=shape).astype("float32")
    assert_equals_oracle(*oracles.inputs(), bias=bias, scale=0.3, normalizer="softmax1")


@every_normalizer
def test_a_lone_query_and_a_lone_key(normalizer):
    assert_equals_oracle(*oracles.inputs(keys=1, queries=1), normalizer=normalizer)


@every_normalizer_and_path
def test_a_row_that_may_attend_to_nothing_is_exactly_zero(normalizer, path):
    mask = oracles.random_mask(B, 1, T, S)
    dead = ~mask[:, 0].any(axis=-1)
    output, weights = attention(
        *oracles.inputs(), mask=mask, normalizer=normalizer, return_weights=True
    )
    assert dead.any()
    alone = attention(*oracles.inputs(), mask=mask, normalizer=normalizer, **path)
    assert not oracles.numpy(output)[dead].any()
    assert not oracles.numpy(alone)[dead].any()
    assert not oracles.numpy(weights).swapaxes(1, 2)[dead].any()
    assert oracles.numpy(output)[~dead].all()


@pytest.mark.parametrize("mask_shape", [(B, 1, T, S), None], ids=["some dead", "all dead"])
@pytest.mark.parametrize("argument", ["query", "key", "value"])
@every_normalizer_and_path
def test_gradients_are_finite_where_rows_attend_to_nothing(normalizer, path, argument, mask_shape):
    mask = oracles.random_mask(*mask_shape) if mask_shape else np.zeros((1, 1, 1, S), bool)
    tensors = dict(zip(("query", "key", "value"), oracles.inputs(), strict=True))

    def loss(x):
        output = attention(**{**tensors, argument: x}, mask=mask, normalizer=normalizer, **path)
        return ops.sum(ops.square(output))

    gradient = oracles.gradient(loss, tensors[argument])
    assert np.isfinite(gradient).all()
    assert gradient.any() == mask.any()


@pytest.mark.parametrize("argument", ["query", "key", "value", "bias"])
@every_normalizer_and_path
def test_gradients_equal_finite_differences(normalizer, path, argument):
    """Along a random direction, grouped and masked; away from the sparse normalizers' kinks."""
    names, rng = ("query", "key", "value"), np.random.default_rng(7)
    tensors = dict(zip(names, oracles.inputs(2), strict=True))
    tensors["bias"] = rng.normal(size=(1, N, T, S)).astype("float32")
    fixed = {"mask": oracles.random_mask(B, 1, T, S), "normalizer": normalizer, "is_causal": True}
    fixed["q_offset"] = 2
    cotangent = rng.normal(size=(B, T, N, oracles.V)).astype("float32")
    direction, step = rng.normal(size=tensors[argument].shape), 1e-4

    def loss(x):
        output = attention(**{**tensors, argument: x}, **fixed, **path)
        return ops.sum(ops.multiply(output, cotangent))

    def exact(x):
        return np.sum(oracles.attention(**{**tensors, argument: x}, **fixed)[0] * cotangent)

    x = tensors[argument]
    expected = (exact(x + step * direction) - exact(x - step * direction)) / (2.0 * step)
    got = np.sum(oracles.gradient(loss, x) * direction)
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


@every_normalizer_and_path
def test_padding_changes_no_real_position(normalizer, path):
    query, key, value = oracles.inputs()
    garbage = [1e3 * x for x in oracles.inputs(keys=4, seed=9)[1:]]
    padded = [np.concatenate(pair, axis=1) for pair in zip((key, value), garbage, strict=True)]
    mask = padding_mask(np.repeat(np.arange(S + 4)[None] < S, B, axis=0))
    whole = attention(query, key, value, normalizer=normalizer)
    masked = attention(query, *padded, mask=mask, normalizer=normalizer, **path)
    unmasked = attention(query, *padded, normalizer=normalizer)
    np.testing.assert_allclose(oracles.numpy(masked), oracles.numpy(whole), atol=1e-6)
    assert np.abs(oracles.numpy(unmasked) - oracles.numpy(whole)).max() > 0.1


@every_normalizer_and_path
def test_the_future_changes_no_past(normalizer, path):
    query, key, value = oracles.inputs(queries=S)
    seen = 3
    late_key, late_value = key.copy(), value.copy()
    late_key[:, seen:] *= -50.0
    late_value[:, seen:] += 100.0

    def output(*key_value, is_causal):
        return oracles.numpy(
            attention(query, *key_value, is_causal=is_causal, normalizer=normalizer, **path)
        )

    before, after = (output(*kv, is_causal=True) for kv in ((key, value), (late_key, late_value)))
    np.testing.assert_allclose(after[:, :seen], before[:, :seen], atol=1e-6)
    assert np.abs(after[:, seen:] - before[:, seen:]).max() > 1.0
    free = output(late_key, late_value, is_causal=False)
    assert np.abs(free[:, :seen] - before[:, :seen]).max() > 1.0


@pytest.mark.parametrize("window", [None, 2])
@every_normalizer_and_path
def test_steps_over_a_cache_equal_the_whole(normalizer, path, window):
    """The cache is of fixed size: its end holds garbage until it is written."""
    query, key, value = oracles.inputs(2, queries=S)
    arguments = {"is_causal": True, "window": window, "normalizer": normalizer}
    whole = oracles.numpy(attention(query, key, value, **arguments))
    for start, stop in [(0, 2), (2, 3), (3, 4), (4, 5)]:
        written = (np.arange(S) < stop)[None, :, None, None]
        cache = [np.where(written, x, np.float32(77.0)) for x in (key, value)]
        offset = ops.convert_to_tensor(start)
        step = attention(query[:, start:stop], *cache, q_offset=offset, **arguments, **path)
        np.testing.assert_allclose(oracles.numpy(step), whole[:, start:stop], atol=1e-6)


@every_path
@pytest.mark.parametrize("names", ["", "mask", "bias", "scale", BOTH])
def test_agrees_with_keras(names, path):
    """Keras is right where every row may attend to something and heads are not grouped."""
    query, key, value = oracles.inputs()
    value = value[..., : oracles.H]  # which must be of the size of a query for JAX
    rng = np.random.default_rng(4)
    mask = oracles.random_mask(B, 1, T, S) | (np.arange(S) == 1)
    bias = rng.normal(size=(B, N, T, S)).astype("float32")
    available = {"mask": mask, "bias": bias, "scale": 0.7}
    arguments = {name: available[name] for name in names.split()}
    ours = attention(query, key, value, **arguments, **path)
    theirs = ops.dot_product_attention(query, key, value, **arguments)
    np.testing.assert_allclose(oracles.numpy(ours), oracles.numpy(theirs), atol=2e-6)


@every_normalizer
def test_attend_takes_scores_of_any_origin(normalizer):
    """Additive scores: `w . tanh(query + key)`."""
    query, key, value = oracles.inputs(2)
    key = np.repeat(key, 2, axis=2)
    summed = np.tanh(query[:, :, None] + key[:, None])
    scores = summed.sum(axis=-1).transpose(0, 3, 1, 2)
    mask = oracles.random_mask(B, 1, 1, S)
    output, weights = attend(scores, value, mask, normalizer=normalizer, return_weights=True)
    expected = oracles.normalize(normalizer, scores, mask)
    np.testing.assert_allclose(oracles.numpy(weights), expected, rtol=1e-5, atol=1e-6)
    mixed = np.einsum("bnts,bsnv->btnv", expected, np.repeat(value, 2, axis=2))
    np.testing.assert_allclose(oracles.numpy(output), mixed, rtol=1e-5, atol=1e-6)


def test_a_list_or_a_keras_tensor_will_do():
    query, key, value = oracles.inputs()
    expected = oracles.numpy(attention(query, key, value))
    got = attention(query.tolist(), keras.ops.convert_to_tensor(key), value)
    np.testing.assert_array_equal(oracles.numpy(got), expected)
