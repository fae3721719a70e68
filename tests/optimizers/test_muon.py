"""Muon against NumPy: what is a matrix, what its steps are, and who is updated otherwise."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import layers, zoo
from keras_attn.optimizers import Muon, ParameterGroup
from keras_attn.optimizers.muon import linear_map, orthogonalized
from keras_attn.training.optimizer import build_optimizer


def newton_schulz(matrix, iterations):
    """Written from Jordan's description, with the smaller side as rows."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / (np.sqrt((x**2).sum()) + 1e-7)
    for _ in range(iterations):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


class ByHand:
    """The optimizer of one variable, in float64."""

    def __init__(self, rule, *, momentum, rate, decay=0.0, beta_2=0.999, sides=None, **more):
        self.rule, self.momentum, self.rate, self.decay = rule, momentum, rate, decay
        self.beta_2, self.sides, self.more = beta_2, sides, more
        self.first = self.second = self.steps = 0

    def step(self, value, gradient):
        self.steps += 1
        if self.rule == "adamw":
            self.first = self.momentum * self.first + (1 - self.momentum) * gradient
            self.second = self.beta_2 * self.second + (1 - self.beta_2) * gradient**2
            mean = self.first / (1 - self.momentum**self.steps)
            squares = self.second / (1 - self.beta_2**self.steps)
            step = mean / (np.sqrt(squares) + 1e-8)
        else:
            self.first = self.momentum * self.first + gradient
            step = gradient + self.momentum * self.first
        decayed = self.decay * value
        if self.rule == "muon":
            flat = newton_schulz(step.reshape(self.sides), self.more["iterations"])
            if self.more.get("update_rms"):
                flat = flat * self.more["update_rms"] * np.sqrt(max(self.sides))
            step = flat.reshape(value.shape)
            if self.more.get("normalize"):
                value = value * np.sqrt(self.sides[1]) / np.sqrt((value**2).sum())
                decayed = self.decay * value
        return value - self.rate * (step + decayed)


def built(layer, *shapes):
    layer.build(*shapes)
    return layer


def kernel_of(layer, name="kernel"):
    return next(v for v in layer.variables if v.path.endswith(name))


@pytest.mark.parametrize(
    ("layer", "shapes", "name", "sides"),
    [
        (keras.layers.Dense(5), [(None, 3)], "kernel", (3, 5)),
        (keras.layers.Conv2D(5, (3, 2)), [(None, 8, 8, 4)], "kernel", (24, 5)),
        (keras.layers.Conv1D(5, 3), [(None, 8, 4)], "kernel", (12, 5)),
        (layers.MultiHeadAttention(2, 3), [(None, 4, 7)] * 2, "query/kernel", (7, 6)),
        (layers.MultiHeadAttention(2, 3), [(None, 4, 7)] * 2, "value/kernel", (7, 6)),
        (layers.MultiHeadAttention(2, 3), [(None, 4, 7)] * 2, "attention_output/kernel", (6, 7)),
        (keras.layers.MultiHeadAttention(2, 3), [(None, 4, 7)] * 2, "key/kernel", (7, 6)),
        (layers.MultiHeadAttention(2, 3), [(None, 4, 7)] * 2, "query/bias", None),
        (keras.layers.DepthwiseConv2D(3), [(None, 8, 8, 4)], "kernel", None),
        (keras.layers.Dense(1), [(None, 3)], "kernel", None),
        (layers.EfficientChannelAttention(), [(None, 8, 8, 16)], "kernel", None),
        (keras.layers.Embedding(9, 4), [(None,)], "embeddings", None),
    ],
)
def test_matrices_are_the_linear_maps_of_kernels(layer, shapes, name, sides):
    assert linear_map(kernel_of(built(layer, *shapes), name)) == sides


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (40, 3)])
def test_steps_are_nearly_orthogonal_and_as_numpy_computes_them(shape):
    matrix = np.random.default_rng(0).normal(size=shape).astype("float32")
    received = ops.convert_to_numpy(orthogonalized(ops.convert_to_tensor(matrix), 5))
    np.testing.assert_allclose(received, newton_schulz(matrix, 5), atol=1e-5)
    values = np.linalg.svd(received, compute_uv=False)
    assert values.min() > 0.6
    assert values.max() < 1.3
    # It is near the nearest orthogonal matrix, U V^T, and not any other.
    u, _, v = np.linalg.svd(matrix, full_matrices=False)
    assert np.sum(received * (u @ v)) / min(shape) > 0.8


def test_a_gradient_of_zeros_is_no_step():
    zeros = ops.convert_to_numpy(orthogonalized(ops.zeros((4, 3))))
    np.testing.assert_array_equal(zeros, np.zeros((4, 3)))


GROUPS = [
    ParameterGroup(match="head/kernel$", rule="sgd", factor=3.0, momentum=0.8, weight_decay=0.1),
    ParameterGroup(match="gamma$", rule="adamw", factor=0.5, momentum=0.7, beta_2=0.9),
    ParameterGroup(match="second/kernel", rule="muon", factor=0.25, momentum=0.6),
    ParameterGroup(rule="adamw", factor=2.0, momentum=0.9, beta_2=0.95, weight_decay=0.01),
]


def small_network():
    inputs = keras.Input((6, 6, 3))
    x = layers.ConvBlock(4, name="first")(inputs)
    x = keras.layers.Conv2D(5, 3, name="second")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(2, name="head")(x))


@pytest.mark.parametrize("update_rms", [None, 0.2])
def test_every_rule_is_that_of_numpy_over_several_steps(update_rms):
    keras.utils.set_random_seed(0)
    model = small_network()
    muon = Muon(
        0.1,
        momentum=0.95,
        weight_decay=0.02,
        update_rms=update_rms,
        normalize="first/convolution/kernel$",
        groups=GROUPS,
    )
    variables = model.trainable_variables
    muon.build(variables)
    common = {"iterations": 5, "update_rms": update_rms}
    rules = {
        "first/convolution/kernel": ByHand(
            "muon", momentum=0.95, rate=0.1, decay=0.02, sides=(27, 4), normalize=True, **common
        ),
        "first/normalization/gamma": ByHand("adamw", momentum=0.7, rate=0.05, beta_2=0.9),
        "first/normalization/beta": ByHand(
            "adamw", momentum=0.9, rate=0.2, beta_2=0.95, decay=0.01
        ),
        "second/kernel": ByHand("muon", momentum=0.6, rate=0.025, sides=(36, 5), **common),
        "second/bias": ByHand("adamw", momentum=0.9, rate=0.2, beta_2=0.95, decay=0.01),
        "head/kernel": ByHand("sgd", momentum=0.8, rate=0.3, decay=0.1),
        "head/bias": ByHand("adamw", momentum=0.9, rate=0.2, beta_2=0.95, decay=0.01),
    }
    assert {v.path for v in variables} == set(rules)
    muon = Muon.from_config(muon.get_config())  # which keeps all of it
    muon.build(variables)
    expected = [np.array(v, "float64") for v in variables]
    random = np.random.default_rng(1)
    for _ in range(4):
        gradients = [random.normal(size=v.shape) for v in variables]
        muon.apply([ops.cast(g, "float32") for g in gradients], variables)
        expected = [
            rules[v.path].step(value, gradient)
            for v, value, gradient in zip(variables, expected, gradients, strict=True)
        ]
    for variable, value in zip(variables, expected, strict=True):
        np.testing.assert_allclose(np.array(variable), value, atol=2e-5, err_msg=variable.path)


def test_a_group_of_muon_takes_matrices_alone():
    groups = [
        ParameterGroup(match="second/", rule="muon", factor=0.5),
        ParameterGroup(match="second/", rule="sgd"),
        ParameterGroup(rule="adamw"),
    ]
    muon = Muon(groups=groups)
    rules = {v.path: muon.rule_of(v) for v in small_network().trainable_variables}
    assert rules["second/kernel"] == "muon"
    assert rules["second/bias"] == "sgd"
    assert rules["head/bias"] == rules["first/normalization/beta"] == "adamw"


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"rule": "lion"}, "'muon', 'sgd', 'adamw'.*'lion'"),
        ({"match": "("}, "regular expression"),
        ({"rule": "muon"}, "no matrix.*another rule"),
        ({"momentum": 1.0}, r"in \[0, 1\).*momentum=1.0"),
        ({"weight_decay": -0.1}, "at least 0.*weight_decay=-0.1"),
        ({"factor": 0.0}, "above 0.*factor=0.0"),
        ({"beta_2": 1.5}, "beta_2=1.5"),
    ],
)
def test_impossible_groups_are_refused(settings, match):
    with pytest.raises(ValueError, match=match):
        ParameterGroup(**settings)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"momentum": -0.1}, "momentum=-0.1"),
        ({"weight_decay": -1.0}, "weight_decay=-1.0"),
        ({"ns_steps": 0}, "at least 1.*ns_steps=0"),
        ({"update_rms": 0.0}, "update_rms=0.0"),
        ({"normalize": "["}, "`normalize` must be a regular expression"),
    ],
)
def test_impossible_arguments_are_refused(settings, match):
    with pytest.raises(ValueError, match=match):
        Muon(**settings)


def test_no_decay_can_be_said_as_keras_says_it():
    assert Muon(weight_decay=None).get_config() == Muon(weight_decay=0.0).get_config()


def test_the_muon_of_a_recipe_is_what_it_says():
    recipe = zoo.describe("cifar10_attention_net").recipe
    muon = build_optimizer(recipe, 90)
    stated = recipe.optimizer
    assert (muon.momentum, muon.ns_steps) == (stated.momentum, stated.iterations)
    assert (muon.matrix_decay, muon.update_rms) == (stated.weight_decay, stated.update_rms)
    assert muon.normalize == stated.normalize
    peak = muon.get_config()["learning_rate"]["config"]["peak"]
    rates = [peak * group.factor for group in muon.groups]
    assert rates == pytest.approx([group.learning_rate for group in stated.groups])
    for ours, theirs in zip(muon.groups, stated.groups, strict=True):
        assert (ours.match, ours.rule) == (theirs.match, theirs.name)
        for key in ("momentum", "beta_2", "weight_decay"):
            assert getattr(ours, key) == getattr(theirs, key)


def test_two_default_groups_are_refused():
    with pytest.raises(ValueError, match="One group may be without `match`"):
        Muon(groups=[ParameterGroup(rule="sgd"), ParameterGroup()])


@pytest.mark.slow
def test_it_fits_saves_and_resumes(tmp_path):
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    images = random.normal(size=(32, 6, 6, 3)).astype("float32")
    labels = (images.mean((1, 2, 3)) > 0).astype("int32")
    model = small_network()
    groups = [ParameterGroup(match="head/kernel$", rule="sgd"), ParameterGroup(factor=0.1)]
    model.compile(
        Muon(0.02, groups=groups), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    first = model.evaluate(images, labels, verbose=0)
    model.fit(images, labels, batch_size=8, epochs=3, shuffle=False, verbose=0)
    assert model.evaluate(images, labels, verbose=0) < first
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for one in (model, again):
        one.fit(images, labels, batch_size=8, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.tensorflow
def test_gradients_of_gathers_are_taken_as_they_are():
    import tensorflow as tf

    layer = built(keras.layers.Embedding(5, 3), (None,))
    muon = Muon(0.1, groups=[ParameterGroup(rule="sgd", momentum=0.0)])
    before = np.array(layer.embeddings)
    sparse = tf.IndexedSlices(tf.ones((2, 3)), tf.constant([1, 1]), tf.constant([5, 3]))
    muon.apply([sparse], [layer.embeddings])
    before[1] -= 0.1 * 2
    np.testing.assert_allclose(np.array(layer.embeddings), before, atol=1e-6)
