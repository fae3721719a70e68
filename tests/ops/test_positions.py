import numpy as np
import pytest
from keras import ops

from keras_attn import ops as attn_ops
from tests.ops import oracles

POSITIONS = [np.arange(5), np.array([7, 0, 200, 3]), np.array([[0, 1, 2], [5, 6, 7]])]


@pytest.mark.parametrize("dim", [2, 6])
@pytest.mark.parametrize("positions", POSITIONS, ids=["range", "scattered", "batched"])
def test_sinusoidal_equals_the_paper(positions, dim):
    encoding = attn_ops.sinusoidal(positions, dim)
    assert tuple(encoding.shape) == (*positions.shape, dim)
    np.testing.assert_allclose(
        oracles.numpy(encoding), oracles.sinusoidal(positions, dim), atol=3e-5
    )


def test_sinusoidal_slowest_wave_follows_max_wavelength():
    encoding = oracles.numpy(attn_ops.sinusoidal(np.array([3]), 4, max_wavelength=100.0))
    expected = [[np.sin(3.0), np.cos(3.0), np.sin(0.3), np.cos(0.3)]]
    np.testing.assert_allclose(encoding, expected, atol=1e-6)


@pytest.mark.parametrize("dim", [5, 0, -2])
def test_sinusoidal_refuses_an_odd_or_empty_size(dim):
    with pytest.raises(ValueError, match=f"size must be even. Received: {dim}"):
        attn_ops.sinusoidal(np.arange(3), dim)


@pytest.mark.parametrize("positions", [np.arange(3), np.array([[0, 4, 9], [2, 3, 50]])])
def test_rotary_turns_complex_numbers(positions):
    query = oracles.inputs()[0]
    rotated = oracles.numpy(attn_ops.rotary(query, positions))
    np.testing.assert_allclose(rotated, oracles.rotary(query, positions), atol=2e-5)


def test_rotary_at_position_zero_is_the_identity():
    query = oracles.inputs()[0]
    np.testing.assert_array_equal(oracles.numpy(attn_ops.rotary(query, np.zeros(3, int))), query)


def test_rotary_keeps_lengths():
    query = oracles.inputs()[0]
    rotated = oracles.numpy(attn_ops.rotary(query, np.array([1, 20, 300])))
    norms = [np.linalg.norm(x, axis=-1) for x in (rotated, query)]
    np.testing.assert_allclose(*norms, rtol=1e-5)


def test_rotary_scores_depend_on_the_difference_of_positions_alone():
    query, key, _ = oracles.inputs(keys=3)

    def scores(shift):
        turned = [attn_ops.rotary(x, np.arange(3) + shift) for x in (query, key)]
        return np.einsum("btnh,bsnh->bnts", *(oracles.numpy(x) for x in turned))

    np.testing.assert_allclose(scores(0), scores(11), atol=1e-4)
    assert np.abs(scores(0) - np.einsum("btnh,bsnh->bnts", query, key)).max() > 0.1


def test_rotary_fastest_turn_is_one_radian_and_slowest_follows_max_wavelength():
    x = np.array([1.0, 1.0, 0.0, 0.0], "float32").reshape(1, 1, 1, 4)
    rotated = oracles.numpy(attn_ops.rotary(x, np.array([1]), max_wavelength=100.0))
    expected = [np.cos(1.0), np.cos(0.1), np.sin(1.0), np.sin(0.1)]
    np.testing.assert_allclose(rotated.ravel(), expected, atol=1e-6)


def test_rotary_keeps_the_dtype_and_computes_angles_in_float32():
    query = oracles.inputs()[0].astype("float16")
    positions = np.array([0, 1001, 4099])
    rotated = attn_ops.rotary(query, positions)
    assert ops.convert_to_numpy(rotated).dtype == "float16"
    expected = oracles.rotary(query, positions)
    np.testing.assert_allclose(oracles.numpy(rotated), expected, rtol=1e-3, atol=2e-3)


def test_rotary_refuses_an_odd_size():
    with pytest.raises(ValueError, match=r"size must be even\. Received: 7"):
        attn_ops.rotary(np.ones((1, 2, 1, 7), "float32"), np.arange(2))


@pytest.mark.parametrize("heads", [1, 2, 3, 4, 6, 8, 12, 16, 20])
def test_alibi_slopes_equal_the_authors(heads):
    np.testing.assert_allclose(attn_ops.alibi_slopes(heads), oracles.alibi_slopes(heads))


def test_alibi_slopes_of_eight_heads_are_the_paper_s():
    assert attn_ops.alibi_slopes(8) == [2.0**-i for i in range(1, 9)]


def test_alibi_slopes_refuse_no_heads():
    with pytest.raises(
        ValueError, match=r"`num_heads` must be an integer of at least 1\. Received: 0"
    ):
        attn_ops.alibi_slopes(0)


@pytest.mark.parametrize("q_offset", [0, 2])
def test_alibi_bias_falls_linearly_with_distance(q_offset):
    bias = oracles.numpy(attn_ops.alibi_bias(3, 4, 5, q_offset=q_offset))
    assert bias.shape == (1, 3, 4, 5)
    slopes = oracles.alibi_slopes(3)
    for n, t, s in np.ndindex(3, 4, 5):
        assert bias[0, n, t, s] == pytest.approx(-slopes[n] * abs(t + q_offset - s))


def test_alibi_bias_of_one_step_is_a_row_of_the_whole():
    whole = oracles.numpy(attn_ops.alibi_bias(4, 5, 5))
    for step in range(5):
        row = attn_ops.alibi_bias(4, 1, 5, q_offset=ops.convert_to_tensor(step))
        np.testing.assert_array_equal(oracles.numpy(row)[:, :, 0], whole[:, :, step])


@pytest.mark.tensorflow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_positions_of_a_length_known_only_in_the_graph(jit_compile):
    import tensorflow as tf

    @tf.function(
        jit_compile=jit_compile, input_signature=[tf.TensorSpec([None, None, oracles.N, oracles.H])]
    )
    def positioned(x):
        length = tf.shape(x)[1]
        positions = tf.range(length)
        return (
            attn_ops.rotary(x, positions),
            attn_ops.sinusoidal(positions, 6),
            attn_ops.alibi_bias(3, length, length),
        )

    query = oracles.inputs()[0]
    rotated, encoding, bias = positioned(query)
    np.testing.assert_allclose(rotated, attn_ops.rotary(query, np.arange(3)), atol=1e-5)
    np.testing.assert_allclose(encoding, attn_ops.sinusoidal(np.arange(3), 6), atol=1e-5)
    np.testing.assert_allclose(bias, attn_ops.alibi_bias(3, 3, 3), atol=1e-6)
