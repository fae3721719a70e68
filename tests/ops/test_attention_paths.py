"""The same attention in every dtype, graph and mode; dropout; refusals."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn.ops import NORMALIZERS, alibi, attend, attention, padding_mask
from tests.ops import oracles
from tests.ops.oracles import B, H, N, S, T, V

every_normalizer = pytest.mark.parametrize("normalizer", list(NORMALIZERS))

# One rounding of the exact result, and the least bit more for float32 accumulation.
ROUNDING = {"float16": 1.05 * 2**-11, "bfloat16": 1.05 * 2**-8}
every_half = pytest.mark.parametrize("dtype", list(ROUNDING))


def halves(dtype, arrays, factors):
    """Tensors of the dtype, and the values that they hold after rounding to it."""
    pairs = zip(arrays, factors, strict=True)
    tensors = [ops.cast(ops.convert_to_tensor(a * np.float32(f)), dtype) for a, f in pairs]
    return tensors, [oracles.numpy(x) for x in tensors]


def zeros(*shape):
    return np.zeros(shape, "float32")


# Dtypes.


@every_half
@every_normalizer
def test_half_precision_neither_overflows_nor_drifts(normalizer, dtype):
    """Products near 1e6 are far above float16; the scale brings the scores back to a few."""
    tensors, values = halves(dtype, oracles.inputs(2), (300.0, 400.0, 1000.0))
    arguments = {"scale": 5e-6, "normalizer": normalizer, "mask": oracles.random_mask(B, 1, 1, S)}
    output, weights = attention(*tensors, return_weights=True, **arguments)
    expected = oracles.attention(*values, **arguments)
    for got, exact, floor in ((output, expected[0], 1e-2), (weights, expected[1], 1e-6)):
        assert keras.backend.standardize_dtype(got.dtype) == dtype
        np.testing.assert_allclose(oracles.numpy(got), exact, rtol=ROUNDING[dtype], atol=floor)


@every_half
def test_half_precision_does_not_drift_over_many_keys(dtype):
    """2999 equal weights: each would round the same way, and so would a running sum."""
    query, key, value = oracles.inputs(keys=2999, batch=1, queries=1)
    tensors, values = halves(dtype, (query, key, np.abs(value)), (0.0, 1.0, 1.0))
    output = oracles.numpy(attention(*tensors))
    expected = oracles.attention(*values)[0]
    np.testing.assert_allclose(output, expected, rtol=ROUNDING[dtype])


def test_output_has_the_dtype_of_the_value():
    query, key, value = oracles.inputs()
    output, weights = attention(
        query.astype("float16"), key.astype("float16"), value, return_weights=True
    )
    assert keras.backend.standardize_dtype(output.dtype) == "float32"
    assert keras.backend.standardize_dtype(weights.dtype) == "float32"
    output = attention(query.astype("float16"), key.astype("float16"), value)
    assert keras.backend.standardize_dtype(output.dtype) == "float32"


def test_symbolic_inputs_give_a_symbolic_output():
    query, key, value = (keras.Input((None, N, size)) for size in (H, H, V))
    assert attention(query, key, value).shape == (None, None, N, V)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8"])
@pytest.mark.parametrize("path", [{"implementation": "full"}, {"chunk_size": 3}], ids=str)
def test_an_offset_is_of_any_integer_type(dtype, path):
    query, key, value = oracles.inputs()
    settings = {"bias": alibi(N), "is_causal": True, **path}
    expected = attention(query, key, value, q_offset=2, **settings)
    got = attention(query, key, value, q_offset=np.asarray(2, dtype), **settings)
    np.testing.assert_array_equal(oracles.numpy(got), oracles.numpy(expected))


# Graphs.


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
@every_normalizer
def test_eager_equals_graph_with_unknown_batch_and_length(normalizer, jit_compile):
    import tensorflow as tf

    def outputs(query, key, value, real, offset):
        return attention(
            query,
            key,
            value,
            mask=padding_mask(real),
            is_causal=True,
            window=4,
            q_offset=offset,
            normalizer=normalizer,
            return_weights=True,
        )

    specs = [tf.TensorSpec([None, None, heads, size]) for heads, size in ((N, H), (2, H), (2, V))]
    specs += [tf.TensorSpec([None, None], tf.bool), tf.TensorSpec([], tf.int32)]
    compiled = tf.function(outputs, input_signature=specs, jit_compile=jit_compile)
    for batch, queries, keys in ((2, 3, 5), (3, 4, 6)):
        tensors = oracles.inputs(2, keys, queries, batch)
        arguments = (*tensors, oracles.random_mask(batch, keys), tf.constant(2))
        for got, expected in zip(compiled(*arguments), outputs(*arguments), strict=True):
            np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
@every_normalizer
def test_graph_without_a_mask_equals_eager(normalizer, jit_compile):
    import tensorflow as tf

    specs = [tf.TensorSpec([None, None, N, size]) for size in (H, H, V)]
    function = tf.function(
        lambda *qkv: attention(*qkv, normalizer=normalizer),
        input_signature=specs,
        jit_compile=jit_compile,
    )
    expected = attention(*oracles.inputs(), normalizer=normalizer)
    np.testing.assert_allclose(function(*oracles.inputs()), expected, atol=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="jax.jit needs the jax backend")
@every_normalizer
def test_eager_equals_jax_jit(normalizer):
    import jax

    def outputs(query, key, value, mask, offset):
        return attention(
            query, key, value, mask=mask, is_causal=True, q_offset=offset, normalizer=normalizer
        )

    arguments = (*oracles.inputs(2), oracles.random_mask(B, 1, 1, S), 2)
    np.testing.assert_allclose(jax.jit(outputs)(*arguments), outputs(*arguments), atol=1e-6)


def symbolic(masked, **arguments):
    query, key, value = (keras.Input((None, N, size)) for size in (H, H, V))
    real = [keras.Input((None,), dtype="bool")] if masked else []
    mask = padding_mask(*real) if masked else None
    outputs = attention(query, key, value, mask=mask, return_weights=True, **arguments)
    return keras.Model([query, key, value, *real], outputs)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("name", NORMALIZERS)
def test_functional_model_of_unknown_batch_and_length(name, masked):
    model = symbolic(masked, normalizer=name)
    assert [tuple(x.shape) for x in model.outputs] == [(None, None, N, V), (None, N, None, None)]
    tensors, real = oracles.inputs(), oracles.random_mask(B, S)
    mask = padding_mask(real) if masked else None
    expected = attention(*tensors, mask=mask, return_weights=True, normalizer=name)
    inputs = [*tensors, real] if masked else tensors
    for got, exact in zip(model(inputs), expected, strict=True):
        np.testing.assert_allclose(oracles.numpy(got), oracles.numpy(exact), atol=1e-6)


@pytest.mark.parametrize("arguments", [{"is_causal": True}, {"window": 2}], ids=str)
def test_positions_of_symbolic_tensors_of_unknown_length_are_refused(arguments):
    with pytest.raises(ValueError, match="inside a layer"):
        symbolic(False, **arguments)


# Dropout.


def test_dropout_keeps_the_expected_value():
    query, key, value = zeros(4, 50, 3, 2), zeros(4, 60, 3, 2), np.ones((4, 60, 3, 1), "float32")
    output = oracles.numpy(attention(query, key, value, dropout=0.3, seed=1))
    assert output.mean() == pytest.approx(1.0, abs=0.02)
    # The share of 60 weights that are kept, over 0.7.
    assert output.std() == pytest.approx(np.sqrt(0.3 / 0.7 / 60), rel=0.15)


def test_dropout_drops_weights_and_not_outputs():
    query, key, _ = oracles.inputs(batch=1)
    value = np.broadcast_to(np.eye(S, dtype="float32")[None, :, None], (1, S, N, S))
    output, weights = attention(query, key, value, dropout=0.5, seed=2, return_weights=True)
    kept = oracles.numpy(output).swapaxes(1, 2) / oracles.numpy(weights)
    assert set(np.round(kept, 4).ravel()) == {0.0, 2.0}


def test_weights_returned_are_those_before_dropout():
    tensors = oracles.inputs()
    plain, weights = attention(*tensors, return_weights=True)
    dropped, before = attention(*tensors, dropout=0.5, seed=3, return_weights=True)
    np.testing.assert_array_equal(oracles.numpy(before), oracles.numpy(weights))
    assert np.abs(oracles.numpy(dropped) - oracles.numpy(plain)).max() > 0.1


def test_dropout_repeats_with_an_integer_seed_and_moves_on_with_a_generator():
    def output(seed):
        return oracles.numpy(attention(*oracles.inputs(), dropout=0.5, seed=seed))

    generator = keras.random.SeedGenerator(3)
    np.testing.assert_array_equal(output(3), output(3))
    assert (output(3) != output(4)).any()
    assert (output(generator) != output(generator)).any()


def test_a_seed_without_dropout_changes_nothing():
    tensors = oracles.inputs()
    np.testing.assert_array_equal(
        oracles.numpy(attention(*tensors, seed=1)), oracles.numpy(attention(*tensors))
    )


# Refusals.

QUERY, KEY, VALUE = (B, T, N, H), (B, S, N, H), (B, S, N, V)


@pytest.mark.parametrize(
    ("query", "key", "value", "message"),
    [
        ((B, T, H), KEY, VALUE, r"must have shape \(batch, length, heads, size\).*\(2, 3, 6\)"),
        (QUERY, (B, S, H), VALUE, r"must have shape \(batch, length, heads, size\)"),
        (QUERY, KEY, (B, S, N, V, 1), r"must have shape \(batch, length, heads, size\)"),
        (QUERY, (B, S, N, H + 1), VALUE, "heads of one size.*Received: query .*, 6.*, 7"),
        (QUERY, (B, S, 3, H), (B, S, 3, V), "must divide that of `query`.*Received"),
        (QUERY, (B, S, 8, H), (B, S, 8, V), "must divide that of `query`"),
        (QUERY, KEY, (B, S, 2, V), "same number of heads"),
        (QUERY, KEY, (B, S + 1, N, V), r"must have one length \(axis 1\)"),
        (QUERY, (B + 1, S, N, H), (B + 1, S, N, V), "must have one batch size"),
        (QUERY, KEY, (B + 1, S, N, V), "must have one batch size"),
    ],
)
def test_refuses_shapes_that_do_not_fit(query, key, value, message):
    with pytest.raises(ValueError, match=message):
        attention(zeros(*query), zeros(*key), zeros(*value))


@pytest.mark.parametrize("name", ["mask", "bias"])
@pytest.mark.parametrize(
    "shape", [(B, S), (T, S), (B, T, S), (B, N, T, S + 1), (B, T, 1, S)], ids=str
)
def test_refuses_a_mask_or_a_bias_that_does_not_broadcast(name, shape):
    message = rf"`{name}` must have rank 4 and broadcast.*\(2, 4, 3, 5\).*padding_mask"
    with pytest.raises(ValueError, match=message):
        attention(*oracles.inputs(), **{name: zeros(*shape)})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"normalizer": "sparse_max"}, "received 'sparse_max'. Did you mean 'sparsemax'"),
        ({"normalizer": "relu"}, "Unknown `normalizer`: received 'relu'. Accepted: 'softmax'"),
        ({"implementation": "flash"}, "Unknown `implementation`: received 'flash'.*'auto', 'full'"),
        ({"window": 0}, "`window` must be a positive integer or None. Received: 0"),
        ({"dropout": 1.0, "seed": 1}, r"rate in \[0, 1\). Received: 1.0"),
        ({"dropout": -0.1, "seed": 1}, r"rate in \[0, 1\). Received: -0.1"),
        ({"dropout": 0.1}, "`dropout` needs a `seed`.*seed=None"),
    ],
    ids=str,
)
def test_refuses_what_it_does_not_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        attention(*oracles.inputs(), **arguments)


@pytest.mark.parametrize(
    ("scores", "value", "arguments", "message"),
    [
        ((N, T, S), VALUE, {}, r"`scores` must have shape.*Received: \(4, 3, 5\)"),
        ((B, N, T, S), (B, S, V), {}, r"`scores` must have shape.*\(2, 5, 7\)"),
        ((B, N, T, S), VALUE, {"mask": zeros(B, S)}, "`mask` must have rank 4"),
        ((B, N, T, S), VALUE, {"normalizer": "softmx"}, "Did you mean 'softmax'"),
        ((B, N, T, S), VALUE, {"dropout": 2.0}, r"rate in \[0, 1\)"),
        ((B, N, T, S), VALUE, {"dropout": 0.5}, "needs a `seed`"),
    ],
)
def test_attend_refuses_what_it_does_not_do(scores, value, arguments, message):
    with pytest.raises(ValueError, match=message):
        attend(zeros(*scores), zeros(*value), **arguments)


@pytest.mark.parametrize("value", [(B, S, 3, V), (B, S + 1, N, V), (1, S, N, V)], ids=str)
def test_attend_refuses_a_value_that_does_not_fit_the_scores(value):
    with pytest.raises(ValueError, match="`value`"):
        attend(zeros(B, N, T, S), zeros(*value))
