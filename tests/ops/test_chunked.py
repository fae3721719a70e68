"""The streaming path: its blocks, its gradient, its dropout, and where it is taken."""

import re

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn.ops import STREAMING_NORMALIZERS, attention
from keras_attn.ops._score_blocks import ScoreBlocks
from tests.ops import oracles
from tests.ops.oracles import B, N, V

T, S = 7, 11
every_streamed = pytest.mark.parametrize("normalizer", STREAMING_NORMALIZERS)
# A gradient of blocks compiles for seconds on JAX: there one normalizer stands for all.
streamed_gradients = pytest.mark.parametrize(
    "normalizer", list(STREAMING_NORMALIZERS)[: 1 if keras.backend.backend() == "jax" else None]
)


def streamed(*tensors, chunk_size=3, **arguments):
    return attention(*tensors, implementation="chunked", chunk_size=chunk_size, **arguments)


def inputs(key_heads=N, seed=0):
    return oracles.inputs(key_heads, keys=S, queries=T, seed=seed)


@pytest.mark.parametrize("chunk_size", [1, 2, 3, 5, 8, 11, 100, None])
@every_streamed
def test_every_size_of_blocks_equals_the_oracle(normalizer, chunk_size):
    arguments = {
        "mask": oracles.random_mask(B, N, T, S),
        "bias": np.random.default_rng(3).normal(size=(1, N, T, S)).astype("float32"),
        "is_causal": True,
        "window": 5,
        "q_offset": 4,
        "normalizer": normalizer,
    }
    output = oracles.numpy(streamed(*inputs(2), chunk_size=chunk_size, **arguments))
    expected, _ = oracles.attention(*inputs(2), **arguments)
    np.testing.assert_allclose(output, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("shape", [(B, N, T, S), (1, 1, T, 1), (B, 1, 1, S), (1, N, 1, 1)], ids=str)
@pytest.mark.parametrize("argument", ["query", "key", "value", "bias"])
@streamed_gradients
def test_gradients_equal_those_of_the_full_path(normalizer, argument, shape):
    tensors = dict(zip(("query", "key", "value"), inputs(2), strict=True))
    tensors["bias"] = np.random.default_rng(3).normal(size=shape).astype("float32")
    fixed = {"mask": oracles.random_mask(B, 1, T, S), "window": 6, "normalizer": normalizer}
    cotangent = np.random.default_rng(4).normal(size=(B, T, N, V)).astype("float32")

    def loss(x, **path):
        output = attention(**{**tensors, argument: x}, **fixed, **path)
        return ops.sum(ops.multiply(output, cotangent))

    expected = oracles.gradient(lambda x: loss(x, implementation="full"), tensors[argument])
    got = oracles.gradient(lambda x: loss(x, chunk_size=3), tensors[argument])
    constant = argument == "bias" and shape[-1] == 1  # shifts whole rows, which softmax ignores
    assert np.abs(expected).max() > 1e-3 or (normalizer == "softmax" and constant)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("argument", ["query", "key", "value"])
def test_gradients_of_heads_of_one_feature(argument):
    """The columns that carry the residual are two, however few the features are."""
    random = np.random.default_rng(5)
    tensors = {
        name: random.normal(size=(B, length, N, 1)).astype("float32")
        for name, length in (("query", T), ("key", S), ("value", S))
    }
    cotangent = random.normal(size=(B, T, N, 1)).astype("float32")

    def loss(x, **path):
        return ops.sum(ops.multiply(attention(**{**tensors, argument: x}, **path), cotangent))

    expected = oracles.gradient(lambda x: loss(x, implementation="full"), tensors[argument])
    got = oracles.gradient(
        lambda x: loss(x, implementation="chunked", chunk_size=3), tensors[argument]
    )
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("heads", [1, N])
@pytest.mark.parametrize("path", [{"implementation": "full"}, {"chunk_size": 3}], ids=str)
def test_a_bias_may_be_a_function_of_positions(path, heads):
    slopes = np.linspace(0.1, 0.7, heads).astype("float32")[None, :, None, None]

    def bias(queries, keys):
        return ops.multiply(slopes, ops.cast(keys[None] - 2 * queries[:, None], "float32"))

    whole = slopes * (np.arange(S)[None] - 2.0 * (np.arange(T)[:, None] + 4)).astype("float32")
    output = attention(*inputs(2), bias=bias, is_causal=True, q_offset=4, **path)
    expected, _ = oracles.attention(*inputs(2), bias=whole, is_causal=True, q_offset=4)
    np.testing.assert_allclose(oracles.numpy(output), expected, rtol=1e-4, atol=1e-5)

    def loss(x, bias, **path):
        query, _, value = inputs(2)
        return ops.sum(ops.square(attention(query, x, value, bias=bias, q_offset=4, **path)))

    got = oracles.gradient(lambda x: loss(x, bias, **path), inputs(2)[1])
    dense = oracles.gradient(lambda x: loss(x, whole, implementation="full"), inputs(2)[1])
    np.testing.assert_allclose(got, dense, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("path", [{"implementation": "full"}, {"chunk_size": 3}], ids=str)
def test_a_bias_of_minus_infinity_excludes_as_a_mask_does(path):
    allowed = oracles.random_mask(B, N, T, S)
    bias = np.where(allowed, 0.0, -np.inf).astype("float32")
    got = attention(*inputs(), bias=bias, **path)
    expected = oracles.numpy(attention(*inputs(), mask=allowed))
    assert not allowed.any(axis=-1).all()  # some rows are excluded whole, and give 0
    np.testing.assert_allclose(oracles.numpy(got), expected, atol=1e-6)


@pytest.mark.parametrize("normalizer", ["softmax", "softmax1", "normalized_sigmoid"])
@pytest.mark.parametrize(
    "path", [{"implementation": "full"}, {"chunk_size": 3}, {"implementation": "auto"}], ids=str
)
def test_what_a_mask_and_a_bias_exclude_together_gives_nothing(path, normalizer):
    """As of a causal bias beside a padding mask of padding on the left."""
    bias = np.where(np.tril(np.ones((T, S), bool)), 0.0, -np.inf).astype("float32")[None, None]
    mask = np.ones((B, 1, 1, S), bool)
    mask[..., :2] = False
    got = attention(*inputs(), bias=bias, mask=mask, normalizer=normalizer, **path)
    both = attention(*inputs(), mask=mask & (bias == 0.0), normalizer=normalizer)
    assert not oracles.numpy(got)[:, :2].any()
    np.testing.assert_allclose(oracles.numpy(got), oracles.numpy(both), atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "visited"),
    [
        ({}, 16),
        ({"is_causal": True}, 10),
        ({"is_causal": True, "window": 3}, 7),
        ({"is_causal": True, "q_offset": -9}, 1),
        ({"window": 3}, 10),
    ],
    ids=str,
)
def test_blocks_that_the_band_empties_are_not_computed(arguments, visited, monkeypatch):
    blocks = []
    scores = ScoreBlocks.scores

    def count(self, i, j, *rest):
        blocks.append((int(i), int(j)))
        return scores(self, i, j, *rest)

    monkeypatch.setattr(ScoreBlocks, "scores", count)
    streamed(*oracles.inputs(keys=12, queries=12), chunk_size=3, **arguments)
    assert len(blocks) == len(set(blocks)) == visited


# Dropout.


def dropped(normalizer="softmax", seed=5, rate=0.4):
    """The weights that dropout leaves, read off with the identity as value; and all of them."""
    query, key, _ = inputs()
    value = np.broadcast_to(np.eye(S, dtype="float32")[None, :, None], (B, S, N, S))
    output = streamed(query, key, value, dropout=rate, seed=seed, normalizer=normalizer)
    _, weights = attention(query, key, value, normalizer=normalizer, return_weights=True)
    return oracles.numpy(output).swapaxes(1, 2), oracles.numpy(weights)


@every_streamed
def test_dropout_drops_weights_and_scales_those_it_keeps(normalizer):
    left, weights = dropped(normalizer)
    factors = left / weights
    np.testing.assert_allclose(factors, np.where(factors > 0.5, 1 / 0.6, 0.0), atol=1e-4)
    assert 0.5 < (factors > 0.5).mean() < 0.7
    blocks = [factors[:, :, t : t + 3, s : s + 3] for t in (0, 3) for s in (0, 4)]
    assert not any(np.allclose(a, b) for i, a in enumerate(blocks) for b in blocks[:i])


@pytest.mark.parametrize("argument", ["query", "key", "value"])
@streamed_gradients
def test_the_gradient_drops_the_same_weights(normalizer, argument):
    left, weights = dropped(normalizer)
    factors = (left / weights).astype("float32")
    tensors = dict(zip(("query", "key", "value"), inputs(), strict=True))
    cotangent = np.random.default_rng(4).normal(size=(B, T, N, V)).astype("float32")

    def stream(x):
        output = streamed(**{**tensors, argument: x}, dropout=0.4, seed=5, normalizer=normalizer)
        return ops.sum(ops.multiply(output, cotangent))

    def explicit(x):
        query, key, value = {**tensors, argument: x}.values()
        _, weights = attention(query, key, value, normalizer=normalizer, return_weights=True)
        output = ops.einsum("bnts,bsnv->btnv", ops.multiply(weights, factors), value)
        return ops.sum(ops.multiply(output, cotangent))

    x = tensors[argument]
    np.testing.assert_allclose(
        oracles.gradient(stream, x), oracles.gradient(explicit, x), rtol=1e-4, atol=2e-5
    )


def test_dropout_differs_between_calls_of_one_generator_and_repeats_with_a_seed():
    generator = keras.random.SeedGenerator(5)
    first, second = (dropped(seed=generator)[0] for _ in range(2))
    assert (first != second).any()
    np.testing.assert_array_equal(dropped(seed=5)[0], dropped(seed=5)[0])


# Precision.


@pytest.mark.parametrize("names", ["mask", "bias"])
def test_rows_whose_first_keys_weigh_nothing(names):
    """The sum of exponentials is read off the first 64 keys of a block, where it can be."""
    query, key, value = oracles.inputs(keys=150)
    late = (np.arange(150) >= 70)[None, None, None]
    given = {"mask": late} if names == "mask" else {"bias": np.where(late, 0.0, -300.0)}
    given = {name: np.asarray(x, "float32") for name, x in given.items()}
    expected, _ = oracles.attention(query, key, value, **given)
    output = oracles.numpy(streamed(query, key, value, chunk_size=100, **given))
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_accumulates_in_float32(dtype):
    """2999 equal weights in blocks of 100: a running sum in half precision would drift."""
    query, key, value = oracles.inputs(keys=2999, batch=1, queries=1)
    tensors = [ops.cast(x, dtype) for x in (0.0 * query, key, np.abs(value))]
    output = streamed(*tensors, chunk_size=100)
    assert keras.backend.standardize_dtype(output.dtype) == dtype
    expected, _ = oracles.attention(*[oracles.numpy(x) for x in tensors])
    rounding = 1.05 * 2.0 ** (-11 if dtype == "float16" else -8)
    np.testing.assert_allclose(oracles.numpy(output), expected, rtol=rounding)


@pytest.mark.parametrize("offset", [-80.0, 0.0, 80.0])
def test_scores_that_differ_by_hundreds_between_blocks(offset):
    query, key, value = inputs()
    key = key * np.linspace(0.0, 60.0, S, dtype="float32")[None, :, None, None]
    bias = np.full((1, 1, 1, 1), offset, "float32")
    expected, _ = oracles.attention(query, key, value, bias=bias)
    output = oracles.numpy(streamed(query, key, value, bias=bias))
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)


# Refusals.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"implementation": "chunked", "normalizer": "sparsemax"}, "needs whole rows of scores"),
        ({"implementation": "chunked", "return_weights": True}, "never holds the weights"),
        ({"chunk_size": 4, "return_weights": True}, "never holds the weights"),
        ({"chunk_size": 0}, "`chunk_size` must be a positive integer or None. Received: 0"),
        ({"chunk_size": 4, "implementation": "full"}, "belongs to the streaming path"),
        ({"implementation": "native", "normalizer": "sigmoid"}, "no (fused|normalizer)"),
        ({"implementation": "native", "return_weights": True}, "no weights to return"),
        ({"q_offset": 1.5}, "`q_offset` must be an integer or a scalar integer tensor.*1.5"),
        ({"q_offset": "x"}, "`q_offset` must be an integer"),
        ({"bias": lambda q, k: np.zeros((3, 5))}, r"`bias` is a function.*\(3, 5\)"),
        (
            {"bias": lambda q, k: np.zeros((3, 5)), "chunk_size": 3},
            r"`bias` is a function.*\(3, 5\)",
        ),
        ({"implementation": "chunkd"}, "Did you mean 'chunked'"),
    ],
    ids=lambda given: re.sub(" at 0x[0-9a-f]+", "", str(given)),
)
def test_refuses_what_a_path_does_not_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        attention(*inputs(), **arguments)
