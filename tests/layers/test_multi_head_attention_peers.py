"""Multi-head attention against PyTorch's own with the same weights, in a process of its own."""

import importlib.util

import numpy as np
import pytest
from keras import ops

from keras_attn.layers import MultiHeadAttention
from tests.ops import oracles, torch_peers

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is not installed"
)

B, T, S, D, KEY_FEATURES, VALUE_FEATURES, HEADS = 2, 5, 7, 12, 6, 9, 3
ROLES = "query", "key", "value", "output"
RANDOM = np.random.default_rng(3)
QUERY, KEY, VALUE, COTANGENT = (
    RANDOM.normal(size=shape).astype("float32")
    for shape in ((B, T, D), (B, S, KEY_FEATURES), (B, S, VALUE_FEATURES), (B, T, D))
)
PADDING_MASK = np.arange(S) < np.array([[S], [3]])
PAIRS = RANDOM.random((T, T)) < 0.5
PAIRS |= np.eye(T, dtype=bool)
FUTURE = np.triu(np.ones((T, T), bool), 1)

SELF, CROSS = {"query": QUERY}, {"query": QUERY, "key": KEY, "value": VALUE}
# Inputs; call arguments of ours; those of PyTorch, to whom True means: leave this key out.
CASES = {
    "self": (SELF, {}, {}),
    "self_padding": (
        SELF,
        {"padding_mask": PADDING_MASK[:, :T]},
        {"key_padding_mask": ~PADDING_MASK[:, :T]},
    ),
    "self_pairs": (SELF, {"attention_mask": PAIRS[None]}, {"attn_mask": ~PAIRS}),
    "causal": (SELF, {"use_causal_mask": True}, {"attn_mask": FUTURE, "is_causal": True}),
    "causal_padding": (
        SELF,
        {"use_causal_mask": True, "padding_mask": PADDING_MASK[:, :T]},
        {"attn_mask": FUTURE, "key_padding_mask": ~PADDING_MASK[:, :T]},
    ),
    "cross": (CROSS, {}, {}),
    "cross_padding": (CROSS, {"padding_mask": PADDING_MASK}, {"key_padding_mask": ~PADDING_MASK}),
}
BIASES = {"biases": True, "no_biases": False}
every_case = pytest.mark.parametrize(
    "case", [f"{case}-{bias}" for case in CASES for bias in BIASES]
)


def parts(case):
    name, _, bias = case.partition("-")
    return (*CASES[name], BIASES[bias])


def drawn_weights(case):
    """In PyTorch's shapes: kernels `(output, input)`, all heads in one axis."""
    inputs, _, _, use_bias = parts(case)
    rng = np.random.default_rng(8)
    sizes = [inputs.get(role, QUERY).shape[-1] for role in ROLES[:3]] + [D]
    weights = {}
    for role, size in zip(ROLES, sizes, strict=True):
        weights[f"{role}_kernel"] = rng.normal(size=(D, size), scale=0.4).astype("float32")
        if use_bias:
            weights[f"{role}_bias"] = rng.normal(size=D).astype("float32")
    return weights


def to_ours(name, weight):
    """A kernel is `(input, heads, size)`, of the output `(heads, size, output)`."""
    heads = (HEADS, D // HEADS)
    if name.startswith("output"):
        return weight.T.reshape(*heads, D) if name.endswith("kernel") else weight
    return weight.T.reshape(-1, *heads) if name.endswith("kernel") else weight.reshape(heads)


class Peer:
    """Our layer with the weights of a case."""

    def __init__(self, case):
        self.inputs, self.arguments, _, use_bias = parts(case)
        self.weights = {name: to_ours(name, w) for name, w in drawn_weights(case).items()}
        self.layer = MultiHeadAttention(HEADS, D // HEADS, use_bias=use_bias)
        self.layer.build(QUERY.shape, *(self.inputs.get(n, QUERY).shape for n in ("value", "key")))
        self.layer.set_weights(list(self.weights.values()))

    def output(self, values):
        """The output at these inputs and weights."""
        query = values["query"]
        output, _ = self.layer.stateless_call(
            [values[name] for name in self.weights],
            [],
            query,
            values.get("value", query),
            values.get("key", query),
            **self.arguments,
        )
        return output


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    cases = {}
    for case in (f"{case}-{bias}" for case in CASES for bias in BIASES):
        inputs, _, arguments, _ = parts(case)
        cases[case] = {**inputs, **drawn_weights(case), **arguments}
        cases[case] |= {"num_heads": HEADS, "cotangent": COTANGENT}
    return torch_peers.ask(tmp_path_factory.mktemp("torch"), "multi_head", cases)


@every_case
def test_the_output_equals_pytorch(answers, case):
    peer = Peer(case)
    expected = answers[case]["output"]
    inputs = [peer.inputs.get(name, QUERY) for name in ("query", "value", "key")]
    output = peer.layer(*inputs, **peer.arguments)
    np.testing.assert_allclose(oracles.numpy(output), expected, rtol=1e-4, atol=1e-5)


@every_case
def test_the_gradients_by_inputs_and_weights_equal_pytorch(answers, case):
    peer = Peer(case)

    def loss(leaves):
        return ops.sum(ops.multiply(peer.output(leaves), COTANGENT))

    received = torch_peers.gradients(loss, {**peer.inputs, **peer.weights})
    for name, gradient in received.items():
        expected = answers[case][f"by_{name}"]
        expected = to_ours(name, expected) if name in peer.weights else expected
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-4, err_msg=name)
