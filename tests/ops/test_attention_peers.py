"""Attention against PyTorch's own, which runs in a process of its own."""

import importlib.util

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn.ops import attention
from tests.ops import oracles, torch_peers
from tests.ops.oracles import B, N, V

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is not installed"
)

T, S = 7, 10  # several blocks of each, the last ones padded
PATHS = {"full": {"implementation": "full"}, "chunked": {"implementation": "chunked"}}
PATHS["chunked"]["chunk_size"] = 3
RANDOM = np.random.default_rng(11)
COTANGENT = RANDOM.normal(size=(B, T, N, V)).astype("float32")
BIAS = RANDOM.normal(size=(B, N, T, S)).astype("float32")
MASK = oracles.random_mask(B, N, T, S) | (np.arange(S) == 1)
PADDING = (np.arange(S) < np.array([[S], [4]]))[:, None, None]
ADDED = np.where(MASK, BIAS, np.float32(-np.inf))  # PyTorch takes a mask or a bias

# Inputs; arguments of ours; arguments of PyTorch's, whose is_causal aligns the first query with
# the first key, as q_offset=0 does.
CASES = {
    "plain": ({}, {}, {}),
    "mask": ({}, {"mask": MASK}, {"attn_mask": MASK}),
    "padding": ({}, {"mask": PADDING}, {"attn_mask": PADDING}),
    "bias": ({}, {"bias": BIAS}, {"attn_mask": BIAS}),
    "mask_and_bias": ({}, {"mask": MASK, "bias": BIAS}, {"attn_mask": ADDED}),
    "causal": ({"keys": T}, {"is_causal": True}, {"is_causal": True}),
    "causal_longer_keys": ({}, {"is_causal": True}, {"is_causal": True}),
    "causal_shorter_keys": ({"keys": 4}, {"is_causal": True}, {"is_causal": True}),
    "scale": ({}, {"scale": 0.7}, {"scale": 0.7}),
    "grouped": ({"key_heads": 2}, {}, {"enable_gqa": True}),
    "one_key_head": ({"key_heads": 1}, {}, {"enable_gqa": True}),
    "grouped_bias": (
        {"key_heads": 2},
        {"bias": BIAS, "scale": 0.4},
        {"attn_mask": BIAS, "scale": 0.4, "enable_gqa": True},
    ),
    "grouped_causal": (
        {"key_heads": 2},
        {"is_causal": True},
        {"is_causal": True, "enable_gqa": True},
    ),
}
NAMES = "query", "key", "value"


def tensors(case):
    arrays = oracles.inputs(**{"queries": T, "keys": S, **CASES[case][0]})
    return dict(zip(NAMES, arrays, strict=True))


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    cases = {
        name: {**tensors(name), "cotangent": COTANGENT, **theirs}
        for name, (_, _, theirs) in CASES.items()
    }
    return torch_peers.ask(tmp_path_factory.mktemp("torch"), "attention", cases)


# Blocks compile for seconds on JAX; test_chunked.py compares them with the full path there.
every_path = pytest.mark.parametrize(
    "path", list(PATHS)[: 1 if keras.backend.backend() == "jax" else None]
)


@every_path
@pytest.mark.parametrize("case", list(CASES))
def test_the_output_equals_pytorch(answers, case, path):
    output = attention(**tensors(case), **CASES[case][1], **PATHS[path])
    np.testing.assert_allclose(oracles.numpy(output), answers[case]["output"], rtol=2e-5, atol=2e-6)


@every_path
@pytest.mark.parametrize("case", list(CASES))
def test_the_gradients_equal_pytorch(answers, case, path):
    ours = CASES[case][1]
    leaves = {**tensors(case), **{name: x for name, x in ours.items() if name == "bias"}}

    def loss(leaves):
        output = attention(**{**ours, **leaves, **PATHS[path]})
        return ops.sum(ops.multiply(output, COTANGENT))

    for name, gradient in torch_peers.gradients(loss, leaves).items():
        expected = answers[case][f"by_{name}"]
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5, err_msg=name)
