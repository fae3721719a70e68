"""The `implementation` of every layer whose attention can stream: all paths give one output."""

import inspect

import numpy as np
import pytest
from keras import ops

from keras_attn import layers

B, T, D = 2, 600, 8  # long enough for several blocks
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(B, T, D)).astype("float32")
MAP = X.reshape(B, 20, 30, D)
MASK = np.arange(T) < np.array([[T], [T - 123]])

# name -> (constructor arguments, inputs, call arguments)
CASES = {
    "Attention": ({}, (X, X), {"padding_mask": MASK, "use_causal_mask": True}),
    "AttentionPooling": ({"num_queries": 3, "num_heads": 2}, (X,), {"padding_mask": MASK}),
    "MultiHeadAttention": (
        {"num_heads": 2, "key_dim": 4, "position": "alibi"},
        (X, X),
        {"padding_mask": MASK, "use_causal_mask": True},
    ),
    "SelfAttention2D": ({"num_heads": 2, "gamma_initializer": "ones"}, (MAP,), {}),
    "TransformerDecoderBlock": (
        {"num_heads": 2, "intermediate_dim": 12},
        (X, X[:, ::-1].copy()),
        {"padding_mask": MASK, "memory_padding_mask": MASK},
    ),
    "TransformerEncoderBlock": (
        {"num_heads": 2, "intermediate_dim": 12, "window": 9},
        (X,),
        {"padding_mask": MASK},
    ),
}
every_case = pytest.mark.parametrize("name", CASES)


def array(x):
    return ops.convert_to_numpy(x)


def paths(name):
    """The layer by the full and by the chunked path, with the same weights."""
    settings, inputs, _ = CASES[name]
    pair = [
        getattr(layers, name)(**settings, implementation=implementation)
        for implementation in ("full", "chunked")
    ]
    for layer in pair:
        layer(*inputs)
    pair[1].set_weights(pair[0].get_weights())
    return pair


def test_every_layer_that_takes_an_implementation_has_a_case():
    takes = {
        name
        for name in layers.__all__
        if "implementation" in inspect.signature(getattr(layers, name).__init__).parameters
    }
    assert takes == set(CASES)


@every_case
def test_the_chunked_path_gives_the_output_of_the_full_one(name):
    _, inputs, arguments = CASES[name]
    full, chunked = paths(name)
    expected = array(full(*inputs, **arguments))
    np.testing.assert_allclose(array(chunked(*inputs, **arguments)), expected, atol=1e-5)
    with pytest.raises(ValueError, match="chunked"):  # a path that holds no weights
        chunked(*inputs, return_attention_scores=True, **arguments)


@pytest.mark.tensorflow
@every_case
def test_the_chunked_path_gives_the_gradients_of_the_full_one(name):
    import tensorflow as tf

    _, inputs, arguments = CASES[name]
    gradients = []
    for layer in paths(name):
        with tf.GradientTape() as tape:
            loss = ops.sum(layer(*inputs, **arguments) ** 2)
        gradients.append(tape.gradient(loss, layer.trainable_weights))
    for expected, received in zip(*gradients, strict=True):
        np.testing.assert_allclose(
            array(received), array(expected), atol=1e-4 * np.abs(expected).max() + 5e-4
        )


@every_case
def test_it_is_in_the_config_and_reaches_the_attention(name):
    settings, _, _ = CASES[name]
    kind = getattr(layers, name)
    assert kind(**settings).get_config()["implementation"] == "auto"
    layer = kind.from_config(paths(name)[1].get_config())
    assert layer.implementation == "chunked"
    layer(*CASES[name][1])
    attentions = [x for x in layer._flatten_layers() if isinstance(x, layers.MultiHeadAttention)]
    assert all(x.implementation == "chunked" for x in attentions)


@every_case
def test_configs_without_it_still_load(name):
    """As models saved by earlier versions have them."""
    config = getattr(layers, name)(**CASES[name][0]).get_config()
    del config["implementation"]
    assert getattr(layers, name).from_config(config).implementation == "auto"


@every_case
def test_unknown_implementations_are_refused(name):
    with pytest.raises(ValueError, match="Did you mean 'chunked'"):
        getattr(layers, name)(**CASES[name][0], implementation="chunk")


def test_an_additive_score_has_the_full_path_alone():
    layers.Attention("additive", units=3, implementation="full")
    for implementation in ("chunked", "native"):
        with pytest.raises(ValueError, match='score="additive" is computed by the full path'):
            layers.Attention("additive", units=3, implementation=implementation)


@pytest.mark.parametrize("score", ["dot", "bilinear", "cosine"])
def test_other_scores_stream(score):
    full, chunked = (
        layers.Attention(score, implementation=x, kernel_initializer="ones")
        for x in ("full", "chunked")
    )
    np.testing.assert_allclose(array(chunked(X, X)), array(full(X, X)), atol=1e-5)
