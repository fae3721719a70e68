import numpy as np
import pytest
from keras import ops

from keras_attn import ops as attn_ops
from tests.ops import oracles

BANDS = [
    {"is_causal": True},
    {"is_causal": True, "window": 1},
    {"is_causal": True, "window": 2},
    {"window": 1},
    {"window": 2},
    {"window": 100},
]


def test_padding_mask_has_one_query_and_one_head():
    mask = attn_ops.padding_mask(np.array([[True, False, True], [False, False, True]]))
    assert tuple(mask.shape) == (2, 1, 1, 3)
    assert oracles.numpy(mask)[:, 0, 0].tolist() == [[1, 0, 1], [0, 0, 1]]


@pytest.mark.parametrize("dtype", ["int32", "float32", "uint8"])
def test_padding_mask_casts_numbers(dtype):
    number = 1 if dtype == "float32" else 2
    mask = attn_ops.padding_mask(np.array([[number, 0, 1]], dtype))
    assert ops.convert_to_numpy(mask).dtype == bool
    assert oracles.numpy(mask)[0, 0, 0].tolist() == [1, 0, 1]


@pytest.mark.parametrize("shape", [(3,), (2, 1, 3), (2, 1, 1, 3)])
def test_padding_mask_refuses_other_ranks(shape):
    with pytest.raises(
        ValueError, match=r"`mask` must have shape \(batch, keys\).*Received: shape"
    ):
        attn_ops.padding_mask(np.ones(shape))


def test_length_mask_keeps_the_first_positions():
    mask = oracles.numpy(attn_ops.length_mask(np.array([0, 2, 4]), 4))
    assert mask.tolist() == [[0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]]


@pytest.mark.parametrize("q_offset", [0, 2, -1])
@pytest.mark.parametrize("arguments", BANDS, ids=str)
def test_band_mask_equals_its_definition(arguments, q_offset):
    mask = attn_ops.band_mask(3, 5, q_offset=q_offset, **arguments)
    assert tuple(mask.shape) == (1, 1, 3, 5)
    expected = oracles.band(3, 5, q_offset=q_offset, **arguments)
    np.testing.assert_array_equal(ops.convert_to_numpy(mask)[0, 0], expected)


@pytest.mark.parametrize("dtype", ["int32", "uint8"])
def test_band_mask_takes_its_offset_as_a_tensor(dtype):
    offset = ops.convert_to_tensor(2, dtype)
    mask = attn_ops.band_mask(3, 5, is_causal=True, q_offset=offset)
    expected = oracles.band(3, 5, is_causal=True, q_offset=2)
    np.testing.assert_array_equal(ops.convert_to_numpy(mask)[0, 0], expected)


def test_band_mask_is_none_where_nothing_is_masked():
    assert attn_ops.band_mask(3, 5) is None


@pytest.mark.parametrize("window", [0, -2, 3.0, "wide"])
def test_band_mask_refuses_an_empty_window(window):
    with pytest.raises(ValueError, match=f"`window` must be a positive integer.*{window}"):
        attn_ops.band_mask(3, 5, window=window)


@pytest.mark.tensorflow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_band_mask_of_lengths_known_only_in_the_graph(jit_compile):
    import tensorflow as tf

    @tf.function(
        jit_compile=jit_compile,
        input_signature=[tf.TensorSpec([None, 4]), tf.TensorSpec([None, 4])],
    )
    def band(queries, keys):
        return attn_ops.band_mask(tf.shape(queries)[0], tf.shape(keys)[0], is_causal=True, window=2)

    mask = band(tf.zeros((3, 4)), tf.zeros((5, 4)))
    expected = oracles.band(3, 5, is_causal=True, window=2)
    np.testing.assert_array_equal(mask.numpy()[0, 0], expected)


def test_combine_allows_what_all_allow():
    first, second = oracles.random_mask(2, 1, 1, 5), oracles.random_mask(1, 1, 3, 5, seed=2)
    combined = attn_ops.combine(None, first, None, second)
    np.testing.assert_array_equal(ops.convert_to_numpy(combined), first & second)


def test_combine_leaves_a_lone_mask_alone():
    mask = oracles.random_mask(2, 1, 1, 5)
    assert attn_ops.combine(None, mask) is mask


def test_combine_of_nothing_is_none():
    assert attn_ops.combine() is None
    assert attn_ops.combine(None, None) is None
