"""Quantized layers: their products are those of integers, computed here in NumPy."""

import numpy as np
import pytest
from keras import ops

from keras_attn.layers import NGramEmbedding
from keras_attn.layers._fast_layers import HeadsDense, SequenceDense
from keras_attn.layers._tied_embedding import TiedEmbedding

RANDOM = np.random.default_rng(0)
DENSE = {
    "to heads": (lambda: HeadsDense(3, 4, use_bias=True), (2, 5, 6)),
    "from heads": (lambda: HeadsDense(3, 4, features=6, use_bias=True), (2, 5, 3, 4)),
    "dense": (lambda: SequenceDense(4), (2, 5, 6)),
}


def to_integers(x, axis):
    """Return int8 values and the scale that they are divided by."""
    scale = 127 / (np.abs(x).max(axis, keepdims=True) + 1e-7)
    return np.clip(np.round(x * scale), -127, 127).astype("int32"), scale


def numpy_of(x):
    return ops.convert_to_numpy(x).astype("float64")


@pytest.mark.parametrize("case", DENSE)
def test_a_projection_is_a_product_of_integers(case):
    make, shape = DENSE[case]
    layer = make()
    layer.build(shape)
    layer.set_weights([RANDOM.normal(size=w.shape) for w in layer.weights])
    kernel, bias = numpy_of(layer.kernel), numpy_of(layer.bias)
    x = RANDOM.normal(size=shape).astype("float32")
    exact = numpy_of(layer(x))
    layer.quantize("int8")
    assert str(layer._kernel.dtype) == "int8"
    rows = x.reshape(10, -1).astype("float64")
    matrix = kernel.reshape(rows.shape[1], -1)
    (a, a_scale), (b, b_scale) = to_integers(rows, 1), to_integers(matrix, 0)
    expected = (a @ b / (a_scale * b_scale)).reshape(exact.shape) + bias
    np.testing.assert_allclose(numpy_of(layer(x)), expected, atol=1e-4)
    assert 1e-4 < np.abs(expected - exact).max() < 0.2


@pytest.fixture
def tied():
    layer = TiedEmbedding(9, 6)
    layer.build((None, None))
    layer.set_weights([RANDOM.normal(size=(9, 6))])
    return layer


STATES = RANDOM.normal(size=(2, 5, 6)).astype("float32")


def test_logits_of_a_tied_embedding_are_a_product_of_integers(tied):
    table = numpy_of(tied.embeddings)
    exact = numpy_of(tied.logits(STATES))
    np.testing.assert_allclose(exact, STATES.astype("float64") @ table.T, rtol=1e-5, atol=1e-5)
    tied.quantize("int8")
    (a, a_scale), (b, b_scale) = to_integers(STATES.astype("float64"), -1), to_integers(table, 1)
    expected = a @ b.T / (a_scale * b_scale[:, 0])
    np.testing.assert_allclose(numpy_of(tied.logits(STATES)), expected, atol=1e-4)
    np.testing.assert_allclose(numpy_of(tied(np.arange(9))), b / b_scale, atol=1e-5)
    assert 1e-4 < np.abs(expected - exact).max() < 0.2


@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_logits_include_the_low_rank_update(tied, mode):
    tied.quantize(mode)
    tied.enable_lora(2, lora_alpha=6)
    before = numpy_of(tied.logits(STATES))
    tied.lora_embeddings_b.assign(RANDOM.normal(size=(2, 6)))
    update = 3 * numpy_of(tied.lora_embeddings_a) @ numpy_of(tied.lora_embeddings_b)
    received = numpy_of(tied.logits(STATES)) - before
    np.testing.assert_allclose(received, STATES @ update.T, rtol=1e-3, atol=1e-3)


@pytest.mark.tensorflow
def test_quantized_logits_have_a_gradient_by_the_states(tied):
    import tensorflow as tf

    tied.quantize("int8")
    x = tf.constant(STATES)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(tied.logits(x))
    expected = numpy_of(tied(np.arange(9))).sum(0)  # of the dequantized table
    np.testing.assert_allclose(tape.gradient(total, x)[0, 0], expected, rtol=1e-4)


def test_learned_features_of_ngrams_are_quantized_and_ratios_are_not():
    layer = NGramEmbedding((9, 7), (5, 5), num_ratios=2)
    ids = np.array([[[2, 3], [8, 6], [0, 0]]])
    exact = numpy_of(layer(ids))
    ratios = [RANDOM.normal(size=(size, 2)).astype("float32") for size in (9, 7)]
    for order, values in enumerate(ratios):
        layer.assign(order, values)
    tables = [numpy_of(table) for table in layer.tables]
    layer.quantize("int8")
    assert [str(w.dtype) for w in layer.tables] == ["int8", "int8"]
    assert not layer.trainable_weights
    received = numpy_of(layer(ids))
    assert received.shape == exact.shape
    columns = []
    for order, table in enumerate(tables):
        values, scale = to_integers(table, 1)
        columns += [ratios[order][ids[0, :2, order]], (values / scale)[ids[0, :2, order]]]
    np.testing.assert_allclose(received[0, :2], np.concatenate(columns, -1), atol=1e-5)
    assert not received[0, 2].any()
    again = NGramEmbedding.from_config(layer.get_config())
    again.build(ids.shape)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(numpy_of(again(ids)), received)
    words = NGramEmbedding((9,), (5,))
    words.build((None, None, 1))
    with pytest.raises(NotImplementedError, match="int8"):
        words.quantize("int4")
    words.quantize("int8")
    with pytest.raises(ValueError, match="is quantized"):
        words.assign(0, np.zeros((9, 2)))


@pytest.mark.parametrize("case", ["dense", "to heads", "from heads"])
def test_low_rank_updates_are_as_defined(case):
    make, shape = DENSE[case]
    layer = make()
    layer.build(shape)
    x = RANDOM.normal(size=shape).astype("float32")
    layer.enable_lora(2, lora_alpha=6)
    layer.lora_kernel_b.assign(RANDOM.normal(size=layer.lora_kernel_b.shape))
    a, b = numpy_of(layer.lora_kernel_a), numpy_of(layer.lora_kernel_b)
    kernel = numpy_of(layer._kernel) + 6 / 2 * (a @ b)
    expected = x.reshape(10, -1) @ kernel.reshape(x.size // 10, -1) + numpy_of(layer.bias).ravel()
    np.testing.assert_allclose(numpy_of(layer(x)).reshape(10, -1), expected, atol=1e-4)
    store = {}
    layer.save_own_variables(store)
    np.testing.assert_allclose(store["0"], kernel, atol=1e-5)  # merged
