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
    number = 1 if dtype == "float32" else 3
    assert_equals_oracle(*oracles.inputs(), mask=mask.astype(dtype) * number)


@every_path
@pytest.mark.parametrize("normalizer", list(STREAMING_NORMALIZERS))
@pytest.mark.parametrize("shape", [(B, N, T, S), (B, 1, 1, S), (1, 1, T, S)], ids=str)
def test_a_bias_of_minus_infinity_excludes_keys_as_a_mask_does(normalizer, path, shape):
    tensors, mask = oracles.inputs(), oracles.random_mask(*shape)
    bias = np.where(mask, np.float32(0.3), -np.inf)
    masked = {"mask": mask, "bias": np.full(shape, 0.3, "float32")}

    def output(query, **arguments):
        return attention(query, *tensors[1:], normalizer=normalizer, **path, **arguments)

    def gradient(**arguments):
        return oracles.gradient(lambda q: ops.sum(output(q, **arguments) ** 2), tensors[0])

    expected = oracles.attention(*tensors, normalizer=normalizer, **masked)[0]
    np.testing.assert_allclose(oracles.numpy(output(tensors[0], bias=bias)), expected, atol=1e-5)
    np.testing.assert_allclose(gradient(bias=bias), gradient(**masked), atol=1e-5)


@every_path
def test_a_function_that_excludes_keys_by_its_bias_does_as_a_mask(path):
    def bias(queries, keys):
        return ops.where(keys[None, None, None] % 2 == 0, 0.0, -np.inf)

    zeros, value = np.zeros((1, 1, 1, 2), "float32"), np.ones((1, 4, 1, 1), "float32")
    keys = np.zeros((1, 4, 1, 2), "float32")
    output = attention(zeros, keys, value, bias=bias, normalizer="sigmoid", **path)
    # Two keys: sigmoid(0 - log 2) is a third for each.
    np.testing.assert_allclose(oracles.numpy(output), 2 / 3, rtol=1e-6)


@pytest.mark.parametrize(
    ("mask", "received"),
    [
        (np.array([0.0, -1e9], "float32"), "float32 values from -1e\\+09 to 0"),
        (np.array([0.0, -np.inf], "float32"), "float32 values from -inf to 0"),
        (np.array([0, -10000], "int32"), "int32 values from -10000 to 0"),
    ],
    ids=str,
)
def test_masks_of_values_to_add_are_refused(mask, received):
    query, key, value = (np.zeros((1, 2, 1, 3), "float32") for _ in range(3))
    message = f"`mask` must be boolean.*Received: {received}.*pass values to add.*`bias=`"
    with pytest.raises(ValueError, match=message):
        attention(query, key, value, mask=mask[None, None, None])
    with pytest.raises(ValueError, match=message):
        attend(np.zeros((1, 1, 2, 2), "float32"), value, mask[None, None, None])
    for check in (padding_mask, lambda x: NORMALIZERS["softmax"](np.zeros((1, 2), "float32"), x)):
        with pytest.raises(ValueError, match=f"Received: {received}"):
            check(mask[None])


@pytest.mark.parametrize("sizes", [(0, T, S), (B, 0, S), (B, T, 0), (0, 0, 0)], ids=str)
@pytest.mark.parametrize(
    "arguments", [{}, {"mask": True}, {"bias": True}, {"is_causal": True, "window": 2}], ids=str
)
@every_path
@every_normalizer
def test_empty_inputs_give_empty_or_zero_outputs_and_gradients(normalizer, path, arguments, sizes):
    if path and normalizer not in STREAMING_NORMALIZERS:
        pytest.skip("it does not stream")
    batch, queries, keys = sizes
    tensors = oracles.inputs(2, keys, queries, batch)
    shape = (batch, 1, 1, keys)
    values = {"mask": np.ones(shape, bool), "bias": np.zeros(shape, "float32")}
    settings = {name: values.get(name, value) for name, value in arguments.items()}

    def output(query):
        return attention(query, *tensors[1:], normalizer=normalizer, **path, **settings)

    result = oracles.numpy(output(tensors[0]))
    assert result.shape == (batch, queries, N, tensors[2].shape[-1])
    assert not result.any()
    gradient = oracles.gradient(lambda query: ops.sum(output(query)), tensors[0])
    assert gradient.shape == tensors[0].shape
    assert not gradient.any()


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("normalizer", ["softmax", "softmax1", "sparsemax"])
def test_a_graph_of_unknown_sizes_takes_empty_inputs(normalizer, jit_compile):
    import tensorflow as tf

    specs = [tf.TensorSpec([None, None, heads, size]) for heads, size in ((N, 6), (2, 6), (2, 7))]
    graph = tf.function(
        lambda *inputs: attention(*inputs, normalizer=normalizer, is_causal=True),
        input_signature=specs,
        jit_compile=jit_compile,
    )
    for batch, queries, keys in ((0, T, S), (B, 0, S), (B, T, 0)):
        output = oracles.numpy(graph(*oracles.inputs(2, keys, queries, batch)))
        assert output.shape == (batch, queries, N, 7)
        assert not output.any()


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("causal", "is_causal"),
        ("use_causal_mask", "is_causal"),
        ("attention_mask", "mask"),
        ("padding_mask", "mask"),
        ("need_weights", "return_weights"),
        ("sliding_window", "window"),
    ],
)
def test_names_of_other_libraries_are_refused_with_ours(name, ours):
    with pytest.raises(TypeError, match=f"unknown argument `{name}`. Pass `{ours}`"):
        attention(*oracles.inputs(), **{name: None})


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
