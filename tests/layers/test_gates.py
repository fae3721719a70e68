"""Gates over channels and positions, against the formulas of their papers."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn.layers import CBAM, EfficientChannelAttention, SqueezeExcite

RANDOM = np.random.default_rng(0)
MAP = RANDOM.normal(size=(2, 5, 7, 12)).astype("float32")
GATES = [SqueezeExcite, EfficientChannelAttention, CBAM]


def numpy(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def randomized(layer, x=MAP):
    """The layer built, all of its weights drawn, and these in float64."""
    layer(x)
    layer.set_weights([RANDOM.normal(0.0, 0.7, w.shape).astype("float32") for w in layer.weights])
    return [weight.astype("float64") for weight in layer.get_weights()]


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def test_squeeze_excite_is_its_formula():
    layer = SqueezeExcite(ratio=4)
    squeeze, excite = randomized(layer)
    assert (squeeze.shape, excite.shape) == ((12, 3), (3, 12))
    gate = sigmoid(np.maximum(MAP.mean((1, 2)) @ squeeze, 0.0) @ excite)
    np.testing.assert_allclose(numpy(layer(MAP)), MAP * gate[:, None, None], atol=1e-5)


def test_squeeze_excite_with_biases_and_other_activations():
    layer = SqueezeExcite(ratio=5, activation="tanh", gate_activation="relu", use_bias=True)
    squeeze, squeeze_bias, excite, excite_bias = randomized(layer)
    hidden = np.tanh(MAP.mean((1, 2)) @ squeeze + squeeze_bias)
    assert hidden.shape == (2, 2)
    gate = np.maximum(hidden @ excite + excite_bias, 0.0)
    np.testing.assert_allclose(numpy(layer(MAP)), MAP * gate[:, None, None], atol=1e-5)


@pytest.mark.parametrize("gate", [SqueezeExcite, CBAM])
def test_the_papers_bottleneck_is_a_sixteenth_and_at_least_one(gate):
    for channels, units in ((64, 4), (24, 1), (5, 1)):
        layer = gate()
        layer.build((None, None, None, channels))
        assert layer.squeeze_dense.units == units


@pytest.mark.parametrize("size", [1, 3, 5])
def test_efficient_channel_attention_is_its_formula(size):
    layer = EfficientChannelAttention(kernel_size=size)
    (kernel,) = randomized(layer)
    assert kernel.shape == (size, 1, 1)
    means, reach = MAP.mean((1, 2)), size // 2
    gate = np.zeros((2, 12))
    for channel in range(12):
        for tap in range(size):
            neighbour = channel + tap - reach
            if 0 <= neighbour < 12:
                gate[:, channel] += kernel[tap, 0, 0] * means[:, neighbour]
    expected = MAP * sigmoid(gate)[:, None, None]
    np.testing.assert_allclose(numpy(layer(MAP)), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("channels", "settings", "size"),
    [
        (1, {}, 1),  # 0.5
        (64, {}, 3),  # 3.5
        (128, {}, 5),  # 4, between 3 and 5
        (256, {}, 5),  # 4.5
        (512, {}, 5),  # 5
        (2048, {}, 7),  # 6, between 5 and 7
        (64, {"gamma": 1}, 7),
        (64, {"beta": 5}, 5),  # 5.5
        (64, {"kernel_size": 9}, 9),
    ],
)
def test_the_kernel_grows_with_the_logarithm_of_the_channels(channels, settings, size):
    layer = EfficientChannelAttention(**settings)
    layer.build((None, None, None, channels))
    assert layer.convolution.kernel_size == (size,)


@pytest.mark.parametrize("bias", [False, True])
def test_cbam_is_its_formula(bias):
    layer = CBAM(ratio=4, kernel_size=3, use_bias=bias)
    weights = randomized(layer)
    squeeze, squeeze_bias, excite, excite_bias, kernel, spatial_bias = (
        weights if bias else [weights[0], 0.0, weights[1], 0.0, weights[2], 0.0]
    )

    def perceptron(x):
        return np.maximum(x @ squeeze + squeeze_bias, 0.0) @ excite + excite_bias

    channel_gate = sigmoid(perceptron(MAP.mean((1, 2))) + perceptron(MAP.max((1, 2))))
    x = MAP * channel_gate[:, None, None]
    statistics = np.stack([x.mean(-1), x.max(-1)], axis=-1)
    padded = np.pad(statistics, [(0, 0), (1, 1), (1, 1), (0, 0)])
    spatial = np.full((2, 5, 7), spatial_bias)
    for row in range(3):
        for column in range(3):
            window = padded[:, row : row + 5, column : column + 7]
            spatial = spatial + window @ kernel[row, column, :, 0]
    expected = x * sigmoid(spatial)[..., None]
    np.testing.assert_allclose(numpy(layer(MAP)), expected, atol=1e-5)


def test_cbam_has_the_papers_kernel_and_no_bias():
    layer = CBAM()
    layer.build((None, None, None, 32))
    assert [w.shape for w in layer.weights] == [(32, 2), (2, 32), (7, 7, 2, 1)]


@pytest.mark.parametrize("gate", GATES)
def test_sides_may_be_unknown_and_change(gate):
    inputs = keras.Input((None, None, 12))
    model = keras.Model(inputs, gate()(inputs))
    assert model.output_shape == (None, None, None, 12)
    assert numpy(model(MAP)).shape == MAP.shape
    assert numpy(model(MAP[:, :3, :2])).shape == (2, 3, 2, 12)


@pytest.mark.parametrize("gate", GATES)
def test_means_do_not_overflow_in_half_precision(gate):
    x = np.full((1, 40, 40, 96), 60.0, "float32")  # channels alone add up to 5760, sides to 96000
    layer = gate(dtype="mixed_float16")
    weights = randomized(layer, x)
    exact = gate()
    exact(x)
    for each in (layer, exact):
        each.set_weights([weight * 0.01 for weight in weights])
    output = numpy(layer(x))
    assert np.isfinite(output).all()
    np.testing.assert_allclose(output, numpy(exact(x)), rtol=0.02)


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("shape", [(2, 5, 12), (2, 5, 5, 5, 12)])
def test_inputs_that_are_not_feature_maps_are_refused(gate, shape):
    with pytest.raises(ValueError, match=rf"{gate.__name__}: .*\(batch, height, width, channels\)"):
        gate()(np.ones(shape, "float32"))


@pytest.mark.parametrize("gate", GATES)
def test_unknown_channels_are_refused(gate):
    with pytest.raises(ValueError, match="channels of `inputs` must be known"):
        gate().build((None, 5, 5, None))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SqueezeExcite(ratio=0), "SqueezeExcite: `ratio` must be an integer of at least 1"),
        (lambda: CBAM(ratio=0.5), "CBAM: `ratio` must be an integer of at least 1"),
        (lambda: CBAM(kernel_size=4), "CBAM: `kernel_size` must be odd. Received: 4"),
        (lambda: EfficientChannelAttention(2), "`kernel_size` must be odd. Received: 2"),
        (lambda: EfficientChannelAttention(0), "`kernel_size` must be an integer of at least 1"),
        (lambda: EfficientChannelAttention(gamma=0), "`gamma` must be positive. Received: 0"),
    ],
)
def test_arguments_that_make_no_gate_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("gate", [SqueezeExcite, CBAM])
def test_kernels_of_one_shape_do_not_start_equal(gate):
    layer = gate(ratio=1, kernel_initializer=keras.initializers.GlorotUniform(seed=None))
    layer(MAP)
    first, second = numpy(layer.weights[0]), numpy(layer.weights[1])
    assert first.shape == second.shape
    assert not np.allclose(first, second)
