"""Properties of `attention` over drawn arguments: it equals the closed form in float64."""

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_attn.ops import NORMALIZERS, STREAMING_NORMALIZERS, attention
from tests.ops import oracles

SIZES = st.integers(0, 5)
TOLERANCE = {"float32": 2e-5, "float16": 4e-3, "bfloat16": 3e-2}


@st.composite
def calls(draw):
    """The arrays and the other arguments of a call."""
    batch, queries, keys = draw(SIZES), draw(SIZES), draw(SIZES)
    key_heads, group = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    heads, shape = key_heads * group, (batch, key_heads * group, queries, keys)
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    size, value_size = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    shapes = (queries, heads, size), (keys, key_heads, size), (keys, key_heads, value_size)
    scale = draw(st.sampled_from([1.0, 4.0]))
    arrays = [scale * rng.normal(size=(batch, *one)).astype("float32") for one in shapes]
    arguments = {
        "normalizer": draw(st.sampled_from(list(NORMALIZERS))),
        "is_causal": draw(st.booleans()),
        "window": draw(st.none() | st.integers(1, 4)),
        "q_offset": draw(st.integers(-2, 6)),
        "scale": draw(st.sampled_from([None, 0.5, 0.0])),
    }

    def broadcast(x):
        axes = draw(st.lists(st.sampled_from([0, 1, 2, 3]), unique=True))
        return x[tuple(slice(0, 1) if n in axes and x.shape[n] else slice(None) for n in range(4))]

    if draw(st.booleans()):
        arguments["mask"] = broadcast(rng.random(shape) < draw(st.sampled_from([0.0, 0.5, 0.9])))
    if draw(st.booleans()):
        bias = rng.normal(size=shape).astype("float32")
        bias[rng.random(shape) < draw(st.sampled_from([0.0, 0.5, 1.0]))] = -np.inf
        arguments["bias"] = broadcast(bias)
    return arrays, arguments


PATHS = st.sampled_from(
    [
        {},
        {"implementation": "full"},
        {"implementation": "chunked"},
        {"chunk_size": 1},
        {"chunk_size": 2},
        {"chunk_size": 3},
    ]
)


def streams(path):
    return path.get("implementation") == "chunked" or "chunk_size" in path


def check_output(call, path, dtype):
    arrays, arguments = call
    if streams(path) and arguments["normalizer"] not in STREAMING_NORMALIZERS:
        path = {"implementation": "full"}
    tensors = [keras.ops.cast(x, dtype) for x in arrays]
    expected, weights = oracles.attention(*map(oracles.numpy, tensors), **arguments)
    settings = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    output = attention(*tensors, **arguments, **path)
    assert keras.backend.standardize_dtype(output.dtype) == dtype
    assert tuple(output.shape) == expected.shape
    np.testing.assert_allclose(oracles.numpy(output), expected, **settings)
    excluded = ~weights.any(axis=-1).swapaxes(1, 2)
    if arguments["normalizer"] != "sigmoid":  # whose weights may underflow
        assert not oracles.numpy(output)[excluded].any()
    if not streams(path):
        _, received = attention(*tensors, **arguments, **path, return_weights=True)
        np.testing.assert_allclose(oracles.numpy(received), weights, **settings)


def check_gradient(call, path):
    """The gradient is finite, and along a direction it is the slope of the closed form."""
    arrays, arguments = call
    if arguments["normalizer"] not in STREAMING_NORMALIZERS:  # others are not smooth
        arguments = {**arguments, "normalizer": "softmax"}
    rng = np.random.default_rng(0)
    cotangent = rng.normal(size=(*arrays[0].shape[:3], arrays[2].shape[-1])).astype("float32")
    for index, x in enumerate(arrays):

        def loss(x, index=index, attend=attention, **more):
            inputs = [x if n == index else other for n, other in enumerate(arrays)]
            return attend(*inputs, **arguments, **more)

        def loss_sum(x, loss=loss):
            return keras.ops.sum(loss(x, **path) * cotangent)

        gradient = oracles.gradient(loss_sum, x)
        assert gradient.shape == x.shape
        direction, step = rng.normal(size=x.shape), 1e-5
        ends = [loss(x + sign * step * direction, attend=oracles.attention)[0] for sign in (1, -1)]
        slope = np.sum((ends[0] - ends[1]) * cotangent) / (2 * step)
        size = np.abs(gradient * direction).sum()
        np.testing.assert_allclose(
            np.sum(gradient * direction), slope, rtol=1e-3, atol=1e-4 + 1e-4 * size
        )


def examples(number):
    health = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(
        max_examples=number,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=health,
    )


@examples(120)
@given(calls(), PATHS, st.sampled_from(list(TOLERANCE)))
def test_the_output_is_the_closed_form(call, path, dtype):
    check_output(call, path, dtype)


@examples(25)
@given(calls(), PATHS)
def test_the_gradient_is_the_slope_of_the_closed_form(call, path):
    check_gradient(call, path)


@pytest.mark.slow
@examples(900)
@given(calls(), PATHS, st.sampled_from(list(TOLERANCE)))
def test_the_output_is_the_closed_form_for_many_calls(call, path, dtype):
    check_output(call, path, dtype)


@pytest.mark.slow
@examples(150)
@given(calls(), PATHS)
def test_the_gradient_is_the_slope_for_many_calls(call, path):
    check_gradient(call, path)
