"""Registering a normalizer is all that it takes to use it, on every path."""

import dataclasses
from typing import ClassVar

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn.layers import MultiHeadAttention
from keras_attn.ops import (
    NORMALIZERS,
    STREAMING_NORMALIZERS,
    StreamingRule,
    attention,
    normalizers,
    register_normalizer,
    softmax,
)
from tests.ops import oracles
from tests.ops.oracles import B, N, V

T, S = 7, 11
PATHS = {"full": {"implementation": "full"}, "chunked": {"chunk_size": 3}}
every_path = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)


@dataclasses.dataclass(frozen=True)
class SoftplusRule(StreamingRule):
    """Stream `softplus(s_i) / sum_j softplus(s_j)`; the statistic is the sum."""

    shifts_scores: ClassVar[bool] = False

    def initial_statistic(self, key_count):
        return ops.zeros_like(key_count)

    def update(self, output, statistic, scores, attend):
        unnormalized = ops.softplus(scores)
        total = ops.sum(unnormalized, axis=-1, keepdims=True)
        return output + attend(unnormalized), statistic + total

    def finish(self, output, statistic):
        total = ops.where(statistic > 0.0, statistic, 1.0)
        return output / total, total

    def weights(self, scores, statistic):
        return ops.softplus(scores) / statistic

    def dscores(self, scores, statistic, weights, dweights):
        return dweights * ops.sigmoid(scores) / statistic


@pytest.fixture
def softplus():
    """Register a normalizer that is no softmax, and remove it after the test."""

    @register_normalizer(paper="a test", streaming=SoftplusRule())
    def softplus(scores, mask=None):
        unnormalized = ops.softplus(scores)
        total = ops.sum(unnormalized, axis=-1, keepdims=True)
        return unnormalized / ops.where(total > 0.0, total, 1.0)

    yield softplus
    del NORMALIZERS["softplus"], STREAMING_NORMALIZERS["softplus"]


def exact_softplus(x):
    unnormalized = np.log1p(np.exp(x))
    return unnormalized / unnormalized.sum()


def problem(monkeypatch):
    """Inputs and the oracle's output, with grouped heads, a mask, a bias and a band."""
    monkeypatch.setitem(oracles.NORMALIZERS, "softplus", exact_softplus)
    tensors = oracles.inputs(2, keys=S, queries=T)
    arguments = {
        "mask": oracles.random_mask(B, N, T, S),
        "bias": np.random.default_rng(3).normal(size=(1, N, T, S)).astype("float32"),
        "is_causal": True,
        "q_offset": 4,
        "normalizer": "softplus",
    }
    return tensors, arguments, oracles.attention(*tensors, **arguments)[0]


@every_path
def test_a_registered_normalizer_equals_its_formula(path, softplus, monkeypatch):
    tensors, arguments, expected = problem(monkeypatch)
    output = oracles.numpy(attention(*tensors, **arguments, **path))
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)
    empty = attention(*tensors, mask=np.zeros((1, 1, 1, S), bool), normalizer="softplus", **path)
    assert not oracles.numpy(empty).any()


@every_path
@pytest.mark.parametrize("argument", ["query", "key", "value", "bias"])
def test_its_gradient_equals_finite_differences(argument, path, softplus, monkeypatch):
    tensors, arguments, _ = problem(monkeypatch)
    arguments |= dict(zip(("query", "key", "value"), tensors, strict=True))
    rng = np.random.default_rng(7)
    cotangent = rng.normal(size=(B, T, N, V)).astype("float32")
    x, step = arguments[argument], 1e-4
    direction = rng.normal(size=x.shape)

    def loss(x):
        return ops.sum(ops.multiply(attention(**{**arguments, argument: x}, **path), cotangent))

    def exact(x):
        return np.sum(oracles.attention(**{**arguments, argument: x})[0] * cotangent)

    expected = (exact(x + step * direction) - exact(x - step * direction)) / (2.0 * step)
    result = np.sum(oracles.gradient(loss, x) * direction)
    np.testing.assert_allclose(result, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.tensorflow
@every_path
def test_it_runs_in_a_graph_of_unknown_lengths(path, softplus, monkeypatch):
    import tensorflow as tf

    tensors, arguments, expected = problem(monkeypatch)
    function = tf.function(
        lambda *x: attention(*x, **arguments, **path),
        input_signature=[tf.TensorSpec([None, None, *x.shape[2:]]) for x in tensors],
    )
    np.testing.assert_allclose(function(*tensors), expected, rtol=1e-4, atol=1e-5)


def test_layers_and_masks_know_it(softplus):
    layer = MultiHeadAttention(2, 4, normalizer="softplus")
    x = np.random.default_rng(0).normal(size=(B, S, 8)).astype("float32")
    assert tuple(layer(x, x).shape) == (B, S, 8)
    scores, mask = x[..., 0], oracles.random_mask(B, S)
    weights = oracles.numpy(softplus(ops.convert_to_tensor(scores), mask))
    assert not weights[~mask].any()
    np.testing.assert_allclose(weights.sum(axis=-1), mask.any(axis=-1), rtol=1e-5)


def test_it_is_listed_last_and_named_in_errors(softplus):
    assert list(NORMALIZERS)[-1] == list(STREAMING_NORMALIZERS)[-1] == "softplus"
    assert normalizers.get("softplus").paper == "a test"
    with pytest.raises(ValueError, match=r"Did you mean 'softplus'.*Accepted: .*'softplus'\."):
        attention(*oracles.inputs(), normalizer="soft_plus")


def test_without_a_rule_it_runs_on_the_full_path_alone():
    @register_normalizer(paper="a test")
    def hardmax(scores, mask=None):
        return ops.one_hot(ops.argmax(scores, axis=-1), scores.shape[-1])

    try:
        query, key, value = oracles.inputs()
        output = oracles.numpy(attention(query, key, value, normalizer="hardmax"))
        assert np.isin(output[0, 0, 0], value[0, :, 0].astype("float64")).all()
        assert "hardmax" not in STREAMING_NORMALIZERS
        with pytest.raises(ValueError, match="'hardmax' needs whole rows of scores"):
            attention(query, key, value, normalizer="hardmax", chunk_size=3)
    finally:
        del NORMALIZERS["hardmax"]


def test_a_name_that_is_taken_is_refused():
    with pytest.raises(ValueError, match=r"a name of its own\. Received: 'softmax'.*Rename"):
        register_normalizer(paper="a test")(softmax)
    assert list(NORMALIZERS) == list(oracles.NORMALIZERS)


def test_every_normalizer_names_its_paper():
    assert all(normalizer.paper for normalizer in NORMALIZERS.values())
    assert all(name == normalizer.name for name, normalizer in NORMALIZERS.items())
    streaming = [name for name, normalizer in NORMALIZERS.items() if normalizer.streaming]
    assert streaming == list(STREAMING_NORMALIZERS)


def test_a_normalizer_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        NORMALIZERS["softmax"].paper = ""
    assert keras.ops.shape(NORMALIZERS["softmax"](ops.zeros((2, 3)))) == (2, 3)
