"""Our forms of Keras's layers: the same output and gradients, from the same variables."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_attn.layers._lean import HeadsDense, RowsDense, RowsNormalization

RANDOM = np.random.default_rng(0)


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
    "dense": (
        lambda **x: RowsDense(4, activation="gelu", **x),
        lambda **x: layers.Dense(4, activation="gelu", **x),
        (2, 5, 6),
    ),
    "normalization": (
        lambda **x: RowsNormalization(epsilon=1e-3, **x),
        lambda **x: layers.LayerNormalization(epsilon=1e-3, **x),
        (2, 5, 6),
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_it_is_keras_own_layer(case, dtype):
    ours, theirs, shape = CASES[case]
    ours, theirs = ours(dtype=dtype), theirs(dtype=dtype)
    x = RANDOM.normal(size=shape).astype("float32")
    for layer in (ours, theirs):
        layer.build(shape)
    assert [w.shape for w in ours.weights] == [w.shape for w in theirs.weights]
    values = [RANDOM.normal(size=w.shape) for w in ours.weights]
    ours.set_weights(values), theirs.set_weights(values)
    found, expected = ours(x), theirs(x)
    assert tuple(found.shape) == tuple(expected.shape)
    assert ours.compute_output_shape(shape) == theirs.compute_output_shape(shape)
    assert found.dtype == expected.dtype
    tolerance = 1e-5 if dtype == "float32" else 1e-2
    found, expected = (keras.ops.convert_to_numpy(y).astype("float32") for y in (found, expected))
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


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
