"""Our forms of Keras's layers: the same output and gradients, from the same variables."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_attn.layers import TransformerEncoderBlock
from keras_attn.layers._fast_layers import (
    FastActivation,
    FastConv2D,
    FusedBatchNormalization,
    HeadsDense,
    SequenceDense,
    SequenceLayerNormalization,
)

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


TRAINING_CASES = {
    "batch normalization": (
        lambda **x: FusedBatchNormalization(momentum=0.6, epsilon=1e-2, **x),
        lambda **x: layers.BatchNormalization(momentum=0.6, epsilon=1e-2, **x),
        (3, 4, 5, 6),
    ),
    "batch normalization without scale": (
        lambda **x: FusedBatchNormalization(scale=False, **x),
        lambda **x: layers.BatchNormalization(scale=False, **x),
        (2, 3, 2, 4),
    ),
    "batch normalization of one position": (
        FusedBatchNormalization,
        layers.BatchNormalization,
        (1, 1, 1, 4),
    ),
    "convolution": (
        lambda **x: FastConv2D(5, 3, padding="same", **x),
        lambda **x: layers.Conv2D(5, 3, padding="same", use_bias=False, **x),
        (3, 7, 5, 4),
    ),
    "convolution of one row": (
        lambda **x: FastConv2D(5, (1, 5), padding="same", **x),
        lambda **x: layers.Conv2D(5, (1, 5), padding="same", use_bias=False, **x),
        (3, 2, 8, 4),
    ),
    "GELU": (
        lambda **x: FastActivation("gelu", **x),
        lambda **x: layers.Activation("gelu", **x),
        (2, 16, 16, 16),
    ),
}
TOLERANCES = {
    **{"float32": 2e-5, "float64": 1e-12},
    **{"mixed_float16": 1e-2, "mixed_bfloat16": 3e-2, "bfloat16": 6e-2},
}


@pytest.mark.tensorflow
@pytest.mark.parametrize("case", TRAINING_CASES)
@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("graph", [False, True])
def test_it_trains_as_keras_own_layer(case, dtype, graph):
    import tensorflow as tf

    ours, theirs, shape = TRAINING_CASES[case]
    layers = ours(dtype=dtype), theirs(dtype=dtype)
    # Inputs of a layer in half precision are in half precision.
    x = tf.cast(RANDOM.normal(size=shape) * 2.0 + 1.0, layers[0].compute_dtype)
    upstream = tf.cast(RANDOM.normal(size=layers[0].compute_output_shape(shape)), x.dtype)
    for layer in layers:
        layer.build((None, None, None, shape[-1]) if case != "GELU" else shape)
    values = [RANDOM.uniform(0.5, 1.5, size=w.shape) for w in layers[0].weights]
    results = []
    for layer in layers:
        layer.set_weights(values)

        def step(x, upstream, layer=layer):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x, training=True) if hasattr(layer, "momentum") else call(layer, x)
            trained = [w.value for w in layer.trainable_weights]
            return [y, *tape.gradient(y, [x, *trained], upstream)]

        if graph:
            specs = [tf.TensorSpec([None, *t.shape[1:]], t.dtype) for t in (x, upstream)]
            step = tf.function(step, input_signature=specs)
        results.append([*step(x, upstream), *(w.value for w in layer.weights)])
    for pair in zip(*results, strict=True):
        assert pair[0].dtype == pair[1].dtype
        received, expected = (np.asarray(tf.cast(t, "float64")) for t in pair)
        scale = max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(received, expected, atol=TOLERANCES[dtype] * scale, rtol=0)


def call(layer, x):
    """Call a layer in training, with the argument where it has one."""
    is_ours = isinstance(layer, FastConv2D | FastActivation)
    return layer(x, training=True) if is_ours else layer(x)


def operations_of_a_step(layer, shape, dtype, training=True):
    """Return the types of the operations of a gradient, and whether XLA compiles some."""
    import tensorflow as tf

    layer.build(shape)

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=training)
        return tape.gradient(y, [x, *(w.value for w in layer.trainable_weights)])

    graph = step.get_concrete_function(tf.TensorSpec((None, *shape[1:]), dtype)).graph
    types = {operation.type for operation in graph.get_operations()}
    compiled = any(
        function.attr["_XlaMustCompile"].b for function in graph.as_graph_def().library.function
    )
    return types, compiled


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"dtype": "float32"}, True),
        ({"dtype": "mixed_bfloat16"}, True),
        ({"dtype": "mixed_float16"}, True),
        ({"dtype": "float32", "synchronized": True}, False),
        ({"dtype": "bfloat16"}, False),
        ({"dtype": "float64"}, False),
    ],
)
def test_normalization_is_fused_with_float32_statistics_of_one_replica(settings, expected):
    layer = FusedBatchNormalization(**settings)
    types, _ = operations_of_a_step(layer, (2, 3, 3, 4), layer.compute_dtype)
    assert ("FusedBatchNormV3" in types) is expected


@pytest.mark.tensorflow
def test_a_mask_of_normalization_is_heeded():
    inputs = RANDOM.normal(size=(3, 2, 4, 5)).astype("float32")
    mask = RANDOM.random((3, 2, 4)) < 0.5
    ours, theirs = FusedBatchNormalization(), layers.BatchNormalization()
    received = [layer(inputs, training=True, mask=mask) for layer in (ours, theirs)]
    np.testing.assert_allclose(*received, atol=1e-6)
    np.testing.assert_allclose(ours.moving_mean.numpy(), theirs.moving_mean.numpy(), atol=1e-6)


@pytest.mark.tensorflow
def test_the_fast_operations_are_used():
    narrow = FastConv2D(4, 3, padding="same", dtype="mixed_bfloat16")
    types, _ = operations_of_a_step(narrow, (2, 8, 8, 4), "bfloat16")
    assert "Conv2DBackpropFilter" not in types and "MatMul" in types
    wide = FastConv2D(4, 3, padding="same", dtype="mixed_bfloat16")
    types, _ = operations_of_a_step(wide, (2, 8, 9, 4), "bfloat16")
    assert "Conv2DBackpropFilter" in types
    _, compiled = operations_of_a_step(FastActivation("gelu"), (2, 16, 16, 16), "float32")
    assert compiled


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("settings", "training"),
    [({"strides": 2}, True), ({"padding": "valid"}, True), ({"kernel_size": 2}, True), ({}, False)],
)
def test_other_convolutions_keep_the_gradient_of_keras(settings, training):
    settings = {"kernel_size": 3, "padding": "same", **settings}
    layer = FastConv2D(4, dtype="mixed_bfloat16", **settings)
    types, _ = operations_of_a_step(layer, (2, 8, 8, 4), "bfloat16", training)
    assert "Conv2DBackpropFilter" in types


@pytest.mark.tensorflow
@pytest.mark.parametrize("shape", [(2, 16, 16, 16), (2, None, 16, 16), (2, 4, 4, 16)])
def test_nothing_is_compiled_to_predict_or_for_many_shapes_or_small_ones(shape):
    large = shape[1] == 16
    _, compiled = operations_of_a_step(FastActivation("gelu"), shape, "float32", not large)
    assert not compiled


@pytest.mark.tensorflow
def test_nothing_is_compiled_eagerly_beside_accelerators_or_without_xla(monkeypatch):
    import tensorflow as tf

    from keras_attn.ops import _activations, _convolution

    def fail(*_, **__):
        raise tf.errors.UnimplementedError(None, None, "no XLA")

    x = tf.ones((2, 16, 16, 16))
    with monkeypatch.context() as patch:
        patch.setattr(_activations, "_compiled_gelu", fail)
        FastActivation("gelu")(x, training=True)  # eager
    with monkeypatch.context() as patch:
        patch.setattr(tf, "function", fail)
        assert _activations._compiles_for_cpu.__wrapped__() is False
    for module in (_activations, _convolution):
        monkeypatch.setattr(module, "only_cpus", lambda: False)
    assert _activations._compiles_for_cpu.__wrapped__() is False
    assert not _convolution.gradient_is_faster(tf.ones((2, 8, 8, 4), "bfloat16"))


@pytest.mark.tensorflow
def test_gelu_of_extreme_values_and_its_second_derivative_are_those_of_keras():
    import tensorflow as tf

    ends = np.array([-np.inf, -1e4, -6.0, -0.0, 0.0, 6.0, 1e4, np.inf, np.nan], "float32")
    x = tf.constant(np.resize(ends, (1, 16, 16, 16)))
    results = []
    for layer in (FastActivation("gelu"), layers.Activation("gelu")):

        @tf.function
        def derivatives(x, layer=layer):
            with tf.GradientTape() as outer:
                normal = tf.clip_by_value(x, -3.0, 3.0)
                outer.watch(normal)
                with tf.GradientTape() as inner:
                    inner.watch(normal)
                    loss = tf.reduce_sum(call(layer, normal) ** 2)
                slope = inner.gradient(loss, normal)
            return call(layer, x), slope, outer.gradient(slope, normal)

        results.append(derivatives(x))
    for received, expected in zip(*results, strict=True):
        np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.tensorflow
def test_a_frozen_normalization_keeps_its_averages():
    layer = FusedBatchNormalization()
    layer.build((None, 2, 2, 3))
    layer.trainable = False
    x = RANDOM.normal(size=(4, 2, 2, 3)).astype("float32") + 5.0
    y = layer(x, training=True)
    np.testing.assert_allclose(y, x / np.sqrt(1.0 + layer.epsilon), rtol=1e-6)
    np.testing.assert_array_equal(layer.moving_mean.numpy(), 0.0)


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
