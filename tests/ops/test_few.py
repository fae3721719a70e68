"""The faster operations for a decoding step give the same results as the general ones."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn.ops import attention, swap_heads
from keras_attn.ops._matmul import MAX_SMALL_SIZE, matmul_few_rows, softmax_few_rows
from tests.ops.oracles import numpy

# On both sides of what is small, in one row and in several.
SIZES = [(1, 1, 3), (2, 1, 3000), (1, 4, 3000), (3, 4, 20), (3, 4, 3000), (2, 9, 20)]


def random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def in_a_graph(function):
    """Compile the function for unknown sizes, except rows and the last axis."""
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    return tf.function(function, reduce_retracing=True)


@pytest.mark.parametrize(("batch", "rows", "length"), SIZES)
@pytest.mark.parametrize("known", [True, False])
def test_products_of_few_rows(batch, rows, length, known):
    a, b = random(batch, 2, rows, 8), random(batch, 2, length, 8)
    weights = random(batch, 2, rows, length)
    run = in_a_graph(
        lambda a, b, w: (matmul_few_rows(a, b, transpose_b=True), matmul_few_rows(w, b))
    )
    if known or keras.backend.backend() != "tensorflow":
        outputs = run(*map(ops.convert_to_tensor, (a, b, weights)))
    else:
        import tensorflow as tf

        shapes = [(None, 2, rows, 8), (None, 2, None, 8), (None, 2, rows, None)]
        specs = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
        outputs = run.get_concrete_function(*specs)(*map(tf.constant, (a, b, weights)))
    close = {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(numpy(outputs[0]), a @ b.swapaxes(2, 3), **close)
    np.testing.assert_allclose(numpy(outputs[1]), weights @ b, **close)


@pytest.mark.parametrize(
    "shape", [(1, 2, 1, 5), (2, 2, 4, 5), (2, 2, 4, MAX_SMALL_SIZE // 8), (2, 2, 9, 5)]
)
def test_softmax_few_rows_rows(shape):
    x = 30 * random(*shape)
    x[0, 0, 0, :2] = -1e30
    expected = np.exp(x.astype("float64") - x.max(axis=-1, keepdims=True))
    expected /= expected.sum(axis=-1, keepdims=True)
    weights = in_a_graph(softmax_few_rows)(ops.convert_to_tensor(x))
    np.testing.assert_allclose(numpy(weights), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 1, 4, 5), (2, 4, 1, 5), (2, 40, 3, 5)])
def test_swap_heads_exchanges_two_axes(shape):
    x = random(*shape)
    swapped = in_a_graph(swap_heads)(ops.convert_to_tensor(x))
    np.testing.assert_array_equal(numpy(swapped), x.swapaxes(1, 2))


@pytest.mark.parametrize("queries", [1, 5, 9])
def test_attention_of_symbolic_inputs_has_a_shape(queries):
    query, key = keras.Input((queries, 2, 4)), keras.Input((7, 2, 4))
    output, weights = attention(query, key, key, return_weights=True)
    assert output.shape == (None, queries, 2, 4)
    assert weights.shape == (None, 2, queries, 7)


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("rows", "length", "is_small"),
    [(1, 3000, True), (4, 20, True), (4, 3000, False), (9, 20, False)],
)
def test_the_small_product_is_used_where_it_is_faster(rows, length, is_small):
    import tensorflow as tf

    specs = [tf.TensorSpec((3, 2, n, 8)) for n in (rows, length)]
    run = tf.function(lambda a, b: matmul_few_rows(a, b, transpose_b=True))
    kinds = {
        operation.type for operation in run.get_concrete_function(*specs).graph.get_operations()
    }
    assert ("BatchMatMulV3" in kinds) == is_small
    assert ("BatchMatMulV2" in kinds) != is_small


def test_keys_that_are_not_heads_first_are_refused_as_such():
    query, key = random(1, 3, 4, 8), random(1, 5, 4, 8)
    with pytest.raises(ValueError, match=r"heads \(axis 1\).*heads first"):
        attention(query, key, random(1, 6, 4, 8), heads_first=True)
