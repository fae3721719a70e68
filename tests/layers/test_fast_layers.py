"""Our forms of Keras's layers: the same output and gradients, from the same variables."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_attn.layers import TransformerEncoderBlock
from keras_attn.layers._fast_layers import HeadsDense, SequenceDense, SequenceLayerNormalization

RANDOM = np.random.default_rng(0)
DTYPES = ["float32", "mixed_float16"]
if keras.backend.backend() == "tensorflow":  # JAX has it as an option
    DTYPES.append("float64")


def heads(**settings):
    return lambda **common: HeadsDense(3, 4, use_bias=True, **settings, **common)


CASES = {
    "to heads": (
        heads(),
        lambda **x: layers.EinsumDense("btd,dnh->btnh", (None, 3, 4), bias_axes="nh", **x),
        (2, 5, 6),
    ),
    "from heads": (
        heads(features=6),
        lambda **x: layers.EinsumDense("btnh,nhd->btd", (None, 6), bias_axes="d", **x),
        (2, 5, 3, 4),
    ),
    "without bias": (
        lambda **x: HeadsDense(3, 4, use_bias=False, **x),
        lambda **x: layers.EinsumDense("btd,dnh->btnh", (None, 3, 4), **x),
        (2, 5, 6),
    ),
    "dense": (
        lambda **x: SequenceDense(4, activation="gelu", **x),
        lambda **x: layers.Dense(4, activation="gelu", **x),
        (2, 5, 6),
    ),
    "normalization": (
        lambda **x: SequenceLayerNormalization(epsilon=1e-3, **x),
        lambda **x: layers.LayerNormalization(epsilon=1e-3, **x),
        (2, 5, 6),
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_it_is_keras_own_layer(case, dtype):
    ours, theirs, shape = CASES[case]
    ours, theirs = ours(dtype=dtype), theirs(dtype=dtype)
    x = RANDOM.normal(size=shape).astype("float64" if dtype == "float64" else "float32")
    for layer in (ours, theirs):
        layer.build(shape)
    assert [w.shape for w in ours.weights] == [w.shape for w in theirs.weights]
    values = [RANDOM.normal(size=w.shape) for w in ours.weights]
    ours.set_weights(values), theirs.set_weights(values)
    received, expected = ours(x), theirs(x)
    assert tuple(received.shape) == tuple(expected.shape)
    assert ours.compute_output_shape(shape) == theirs.compute_output_shape(shape)
    assert received.dtype == expected.dtype
    tolerance = {"float32": 1e-5, "float64": 1e-12, "mixed_float16": 1e-2}[dtype]
    received, expected = (
        keras.ops.convert_to_numpy(y).astype("float64") for y in (received, expected)
    )
    np.testing.assert_allclose(received, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.tensorflow
@pytest.mark.parametrize("case", CASES)
def test_its_gradients_are_those_of_keras_own(case):
    import tensorflow as tf

    ours, theirs, shape = CASES[case]
    ours, theirs = ours(), theirs()
    x = tf.constant(RANDOM.normal(size=shape), tf.float32)
    for layer in (ours, theirs):
        layer.build(shape)
    values = [RANDOM.normal(size=w.shape) for w in ours.weights]
    gradients = []
    for layer in (ours, theirs):
        layer.set_weights(values)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(layer(x) ** 2)
        gradients.append(tape.gradient(y, [x, *(w.value for w in layer.weights)]))
    for a, b in zip(*gradients, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method:UserWarning")
def test_a_block_can_be_quantized():
    block = TransformerEncoderBlock(num_heads=2, intermediate_dim=32)
    model = keras.Sequential([keras.Input((5, 16)), block])
    x = RANDOM.normal(size=(2, 5, 16)).astype("float32")
    before = model.predict(x, verbose=0)
    model.quantize("int8")
    kinds = (block.attention.query_dense, block.attention.output_dense, block.feed_forward_in)
    assert {layer.dtype_policy.quantization_mode for layer in kinds} == {"int8"}
    after = model.predict(x, verbose=0)
    assert 0 < np.abs(after - before).max() < 0.1
