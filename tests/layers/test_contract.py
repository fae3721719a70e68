"""The contract that every exported layer keeps. A new layer needs a case here."""

import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import layers
from tests.conftest import ROOT

# name -> (settings, shapes of the inputs), with all dimensions distinct.
CASES = {
    "Attention": (
        {"score": "additive", "units": 7, "temperature": 0.5, "dropout": 0.1},
        [(2, 4, 5), (2, 6, 9)],
    ),
    "AttentionDecoder": (
        {"units": 7, "order": "luong", "cell": "lstm", "dropout": 0.1},
        [(2, 4, 5), (2, 6, 9)],
    ),
    "AttentionPooling": (
        {"num_queries": 3, "num_heads": 4, "key_dim": 5, "value_dim": 7, "normalizer": "sigmoid"},
        [(2, 6, 9)],
    ),
    "BranchMean": ({"seed": 3}, [(2, 3, 5)]),
    "CBAM": ({"ratio": 3, "kernel_size": 3, "use_bias": True}, [(2, 8, 6, 11)]),
    "ConvBlock": ({"filters": 7, "pool": "max", "activation": "gelu"}, [(2, 8, 6, 5)]),
    "CutMix": ({"alpha": 0.5, "seed": 3}, [(2, 8, 6, 5)]),
    "Cutout": ({"size": 3, "seed": 3}, [(2, 8, 6, 5)]),
    "EfficientChannelAttention": ({"gamma": 1}, [(2, 8, 6, 5)]),
    "ImageNormalization": ({}, [(2, 8, 6, 3)]),
    "LogMelSpectrogram": ({"num_mel_bins": 7, "mean_subtraction": 0.5}, [(2, 900)]),
    "Mixup": ({"alpha": 0.5, "seed": 3}, [(2, 8, 6, 5)]),
    "MultiHeadAttention": (
        {"num_heads": 2, "key_dim": 3, "value_dim": 5, "output_shape": 11, "dropout": 0.1},
        [(2, 4, 7), (2, 6, 9)],
    ),
    "NGramEmbedding": (
        {"vocabulary_sizes": (8, 11), "dims": (3, 2), "gain": 4.0, "num_ratios": 1},
        [(2, 6, 2)],
    ),
    "PatchWhitening": ({"kernel_size": 2}, [(2, 8, 6, 3)]),
    "PositionEmbedding": ({"max_length": 9}, [(2, 6, 5)]),
    "RandomTimeShift": ({"samples": 4, "seed": 3}, [(2, 90)]),
    "RandomColor": ({"contrast": 0.2, "balance": 0.1, "seed": 3}, [(2, 8, 6, 5)]),
    "RandomFlip": ({"seed": 3}, [(2, 8, 6, 5)]),
    "RandomNoise": ({"lowest_snr_db": 5.0, "seed": 3}, [(2, 90)]),
    "RandomPlacement": ({"zoom": 1.5, "shift": 0.2, "seed": 3}, [(2, 8, 6, 5)]),
    "RandomShift": ({"pixels": 2, "seed": 3}, [(2, 8, 6, 5)]),
    "RandomSpeedPerturbation": ({"change": 0.2, "seed": 3}, [(2, 90)]),
    "RandomSpectralTilt": ({"strength": 0.5, "seed": 3}, [(2, 90)]),
    "RandomTrim": ({"fraction": 0.3, "seed": 3}, [(2, 90)]),
    "RelativePositionBias": (
        {"num_heads": 3, "num_buckets": 6, "max_distance": 5},
        [(2, 9, 7), (2, 8, 5)],
    ),
    "ResidualBlock": (
        {"filters": 7, "downsample": "average", "activation": "silu"},
        [(2, 8, 6, 5)],
    ),
    "SelfAttention2D": (
        {"num_heads": 3, "normalizer": "entmax15", "gamma_initializer": "ones", "use_bias": True},
        [(2, 4, 6, 16)],
    ),
    "SinusoidalPositionEncoding": ({"max_wavelength": 100.0}, [(2, 5, 6)]),
    "SpecAugment": ({"frequency_width": 2, "time_fraction": 0.3, "seed": 3}, [(2, 6, 9)]),
    "SqueezeExcite": ({"ratio": 3, "activation": "gelu", "use_bias": True}, [(2, 8, 6, 11)]),
    "TransformerDecoderBlock": (
        {"num_heads": 2, "intermediate_dim": 10, "key_dim": 4, "num_kv_heads": 1, "window": 3},
        [(2, 4, 7), (2, 6, 9)],
    ),
    "TransformerEncoderBlock": (
        {"num_heads": 3, "intermediate_dim": 10, "position": "relative", "normalizer": "sigmoid"},
        [(2, 4, 9)],
    ),
}
INTEGER_INPUTS = {"NGramEmbedding"}  # ids: there is no gradient to them
NOT_DIFFERENTIATED = {"ImageNormalization", "LogMelSpectrogram"}  # without trained weights
LENGTHS_ALONE = {"RelativePositionBias"}  # float32, batch of 1, whatever the inputs hold
# On a CPU TensorFlow's convolution (oneDNN) returns a wrong shape for an empty batch, its Fourier
# transform fails, and Keras's recurrent
# cells take the sum of two empty matrices for that of a matrix and a bias.
FAULTS_OF_EMPTY_BATCHES = {
    *("AttentionDecoder", "CBAM", "ConvBlock", "EfficientChannelAttention", "PatchWhitening"),
    *("LogMelSpectrogram", "ResidualBlock", "SelfAttention2D"),
}
every_layer = pytest.mark.parametrize("name", layers.__all__)


def make(name, /, **more):
    settings, _ = CASES[name]
    return getattr(layers, name)(**settings, **more)


def input_dtype(name):
    return "int32" if name in INTEGER_INPUTS else "float32"


def inputs_of(name):
    random = np.random.default_rng(0)

    def drawn(shape):
        if name in INTEGER_INPUTS:  # 0 is no id, and has no gradient
            return random.integers(1, min(CASES[name][0]["vocabulary_sizes"]), shape)
        return random.normal(size=shape)

    return [ops.cast(drawn(shape), input_dtype(name)) for shape in CASES[name][1]]


def randomized(layer, inputs):
    """The layer built, with every trained weight drawn, so that nothing is zero."""
    layer(*inputs)
    random = np.random.default_rng(1)
    for weight in layer.trainable_weights:
        weight.assign(random.normal(0.0, 0.5, weight.shape))
    return layer


def functional(name):
    inputs = [keras.Input(shape[1:], dtype=input_dtype(name)) for shape in CASES[name][1]]
    return keras.Model(inputs, make(name, name="layer")(*inputs))


def array(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def test_every_layer_has_a_case():
    assert set(CASES) == set(layers.__all__)


# Layers without weights for the last axis.
ANY_SIZE = {"BranchMean", "CutMix", "Cutout", "EfficientChannelAttention", "Mixup", "RandomFlip"}
ANY_SIZE |= {
    "RandomColor",
    "RandomPlacement",
    "RandomShift",
    "RelativePositionBias",
    "SinusoidalPositionEncoding",
}
WAVEFORMS = {"RandomNoise", "RandomSpectralTilt", "RandomSpeedPerturbation"}
WAVEFORMS |= {"RandomTimeShift", "RandomTrim"}
ANY_SIZE |= WAVEFORMS | {"LogMelSpectrogram", "SpecAugment"}


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("name", sorted(set(CASES) - ANY_SIZE))
def test_inputs_of_another_size_than_the_weights_are_refused_by_both_sizes(name, symbolic):
    layer, inputs = make(name, name="mine"), inputs_of(name)
    layer(*inputs)
    for index, x in enumerate(inputs):
        for size in (1, 2 * x.shape[-1]):  # one would broadcast, a multiple be convolved in groups
            wrong = list(inputs)
            wrong[index] = ops.ones((*x.shape[:-1], size), x.dtype)
            if symbolic:
                wrong = [
                    keras.KerasTensor(y.shape, keras.backend.standardize_dtype(y.dtype))
                    for y in wrong
                ]
            with pytest.raises(ValueError, match=r"mine.*(must have|expected axis -1)") as raised:
                layer(*wrong)
            message = str(raised.value).partition("Arguments received by")[0]
            assert f"{(*x.shape[:-1], size)}" in message
            assert re.search(rf"\b{x.shape[-1]}\b", message)


@pytest.mark.parametrize("name", sorted(set(CASES) - {"AttentionPooling", "RelativePositionBias"}))
def test_inputs_of_another_rank_are_refused_after_the_first_call_too(name):
    layer, inputs = make(name, name="mine"), inputs_of(name)
    layer(*inputs)
    for index, x in enumerate(inputs):
        for wrong in (x[0], x[None]):
            received = [*inputs[:index], wrong, *inputs[index + 1 :]]
            with pytest.raises(ValueError, match=r"must have shape|expected ndim"):
                layer(*received)


@every_layer
def test_config_round_trip(name):
    layer = make(name, name="mine", dtype="mixed_bfloat16")
    config = layer.get_config()
    again = type(layer).from_config(config)
    assert again.get_config() == config
    for argument, value in CASES[name][0].items():
        assert config[argument] == value or not isinstance(config[argument], int | float | str)


@every_layer
def test_no_constructor_argument_is_missing_from_the_config(name):
    import inspect

    signature = inspect.signature(getattr(layers, name).__init__)
    arguments = set(signature.parameters) - {"self", "kwargs"}
    assert arguments <= set(make(name).get_config())


@every_layer
def test_symbolic_shape_is_the_eager_shape(name):
    layer, inputs = make(name), inputs_of(name)
    symbolic = layer(*[keras.KerasTensor(x.shape, input_dtype(name)) for x in inputs])
    eager = make(name)(*inputs)
    assert tuple(symbolic.shape) == tuple(eager.shape)
    unknown = [keras.KerasTensor((None, *x.shape[1:]), input_dtype(name)) for x in inputs]
    unknown_batch = make(name)(*unknown)
    batch = 1 if name in LENGTHS_ALONE else None
    assert tuple(unknown_batch.shape) == (batch, *eager.shape[1:])


@every_layer
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_every_precision_is_finite_and_keeps_its_dtype(name, policy):
    layer = randomized(make(name, dtype=policy), inputs_of(name))
    output = layer(*inputs_of(name))
    dtype = "float32" if name in LENGTHS_ALONE else layer.compute_dtype
    assert keras.backend.standardize_dtype(output.dtype) == dtype
    assert np.isfinite(array(output)).all()
    exact = make(name)
    exact(*inputs_of(name))
    exact.set_weights(layer.get_weights())
    expected = array(exact(*inputs_of(name)))
    np.testing.assert_allclose(array(output), expected, atol=0.04 * np.abs(expected).max())


@every_layer
@pytest.mark.tensorflow
def test_eager_equals_graph_equals_xla(name):
    import tensorflow as tf

    inputs = inputs_of(name)
    layer = randomized(make(name), inputs)
    eager = array(layer(*inputs))
    unknown = [tf.TensorSpec((None, *x.shape[1:]), x.dtype) for x in inputs]
    graph = tf.function(layer.__call__, input_signature=unknown)
    compiled = tf.function(layer.__call__, jit_compile=True)
    np.testing.assert_allclose(array(graph(*inputs)), eager, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(array(compiled(*inputs)), eager, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(layers.__all__) - FAULTS_OF_EMPTY_BATCHES))
@pytest.mark.tensorflow
def test_an_empty_batch_gives_an_empty_output_in_eager_graph_and_xla(name):
    import tensorflow as tf

    inputs = inputs_of(name)
    layer = randomized(make(name), inputs)
    expected = array(layer(*inputs)).shape
    expected = expected if name in LENGTHS_ALONE else (0, *expected[1:])
    empty = [x[:0] for x in inputs]
    unknown = [tf.TensorSpec((None, *x.shape[1:]), x.dtype) for x in inputs]
    graph = tf.function(layer.__call__, input_signature=unknown)
    compiled = tf.function(layer.__call__, jit_compile=True)
    for function in (layer, graph, compiled):
        with tf.GradientTape() as tape:
            output = function(*empty)
            loss = ops.sum(output)
        assert tuple(output.shape) == expected
        for gradient in tape.gradient(loss, layer.trainable_weights):
            assert gradient is None or np.isfinite(array(tf.convert_to_tensor(gradient))).all()


@pytest.mark.parametrize("name", sorted(set(layers.__all__) - NOT_DIFFERENTIATED))
@pytest.mark.tensorflow
def test_gradients_reach_every_weight_and_input(name):
    import tensorflow as tf

    inputs = inputs_of(name)
    layer = randomized(make(name), inputs)
    with tf.GradientTape() as tape:
        watched = [] if name in LENGTHS_ALONE | INTEGER_INPUTS else inputs
        tape.watch(watched)
        loss = ops.sum(ops.square(layer(*inputs, training=True) - 0.3) ** 2)
    targets = [*layer.trainable_weights, *watched]
    for target, gradient in zip(targets, tape.gradient(loss, targets), strict=True):
        assert gradient is not None, target
        values = array(tf.convert_to_tensor(gradient))
        assert np.isfinite(values).all()
        assert np.abs(values).max() > 1e-7, target


@pytest.mark.parametrize("name", ["MultiHeadAttention", "ResidualBlock", "SelfAttention2D"])
def test_sublayers_of_one_shape_do_not_start_equal(name):
    square = {
        "MultiHeadAttention": ({"num_heads": 2, "key_dim": 3}, [(2, 4, 8), (2, 4, 8)]),
        "ResidualBlock": ({"filters": 8}, [(2, 6, 6, 8)]),
        "SelfAttention2D": ({"key_channels": 8, "value_channels": 8}, [(2, 4, 4, 8)]),
    }
    settings, shapes = square[name]
    initializer = keras.initializers.GlorotUniform()  # one object draws the same at each call
    layer = getattr(layers, name)(**settings, kernel_initializer=initializer)
    layer(*[np.ones(shape, "float32") for shape in shapes])
    kernels = [array(weight) for weight in layer.weights if weight.name == "kernel"]
    pairs = [(a, b) for i, a in enumerate(kernels) for b in kernels[:i] if a.shape == b.shape]
    assert pairs
    assert all(not np.allclose(a, b) for a, b in pairs)


@pytest.mark.slow
@pytest.mark.tensorflow
def test_layers_load_in_a_fresh_process(tmp_path):
    expected = {}
    for name in layers.__all__:
        model = functional(name)
        randomized(model, [inputs_list(name)])
        model.save(tmp_path / f"{name}.keras")
        expected[name] = array(model(inputs_list(name)))
    np.savez(tmp_path / "expected.npz", **expected)
    done = subprocess.run(
        [sys.executable, "-m", "tests.layers.load_layers", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == sorted(layers.__all__)


def inputs_list(name):
    inputs = inputs_of(name)
    return inputs if len(inputs) > 1 else inputs[0]
