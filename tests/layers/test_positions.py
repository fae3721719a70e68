"""Positions: encodings and embeddings that are added, and the bias by distance."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn.layers import PositionEmbedding, RelativePositionBias, SinusoidalPositionEncoding
from keras_attn.layers.positions import _bucket
from keras_attn.ops import attention

RANDOM = np.random.default_rng(0)
SEQUENCE = RANDOM.normal(size=(3, 5, 6)).astype("float32")
MAP = RANDOM.normal(size=(2, 3, 5, 8)).astype("float32")
ADDED = [SinusoidalPositionEncoding(), PositionEmbedding(9)]


def numpy(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def fresh(layer):
    return type(layer).from_config(layer.get_config())


def encoded(position, size, longest=10_000.0):
    """The encoding of one position, feature by feature."""
    row = np.zeros(size)
    for feature in range(size):
        angle = position / longest ** ((feature - feature % 2) / size)
        row[feature] = np.cos(angle) if feature % 2 else np.sin(angle)
    return row


@pytest.mark.parametrize("longest", [10_000.0, 50.0])
def test_sinusoidal_encoding_is_its_formula(longest):
    layer = SinusoidalPositionEncoding(max_wavelength=longest)
    expected = SEQUENCE + np.stack([encoded(t, 6, longest) for t in range(5)])
    np.testing.assert_allclose(numpy(layer(SEQUENCE)), expected, atol=1e-5)
    assert layer.weights == []


def test_sinusoidal_encoding_of_a_map_is_rows_then_columns():
    expected = MAP.astype("float64")
    for row in range(3):
        for column in range(5):
            expected[:, row, column, :4] += encoded(row, 4)
            expected[:, row, column, 4:] += encoded(column, 4)
    np.testing.assert_allclose(numpy(SinusoidalPositionEncoding()(MAP)), expected, atol=1e-5)


def test_position_embedding_is_its_table():
    layer = PositionEmbedding(9)
    output = numpy(layer(SEQUENCE))
    (table,) = layer.get_weights()
    assert table.shape == (9, 6)
    assert table.std() > 0.01
    np.testing.assert_allclose(output, SEQUENCE + table[:5], atol=1e-6)


def test_position_embedding_of_a_map_adds_a_row_and_a_column():
    layer = PositionEmbedding((4, 7))
    output = numpy(layer(MAP))
    rows, columns = layer.get_weights()
    assert (rows.shape, columns.shape) == ((4, 8), (7, 8))
    expected = MAP + rows[:3][None, :, None, :] + columns[:5][None, None, :, :]
    np.testing.assert_allclose(output, expected, atol=1e-6)


def test_tables_of_one_shape_do_not_start_equal():
    layer = PositionEmbedding((5, 5), initializer=keras.initializers.RandomNormal())
    layer(MAP)
    rows, columns = layer.get_weights()
    assert not np.allclose(rows, columns)


@pytest.mark.parametrize("layer", ADDED)
@pytest.mark.parametrize("start", [3, np.array(3), np.array(3, "int64")])
def test_steps_from_their_start_are_the_whole(layer, start):
    layer = fresh(layer)
    x = RANDOM.normal(size=(3, 9, 6)).astype("float32")
    whole = numpy(layer(x))
    np.testing.assert_allclose(numpy(layer(x[:, 3:], start=start)), whole[:, 3:], atol=1e-6)
    np.testing.assert_allclose(numpy(layer(x[:, 3:4], start=start)), whole[:, 3:4], atol=1e-6)


@pytest.mark.parametrize("layer", ADDED)
def test_left_padding_moves_each_sequence_by_its_own_start(layer):
    layer = fresh(layer)
    padding = np.array([0, 2, 4])
    output = numpy(layer(SEQUENCE, start=-padding))
    for i, pad in enumerate(padding):
        alone = numpy(layer(SEQUENCE[i : i + 1, pad:]))
        np.testing.assert_allclose(output[i, pad:], alone[0], atol=1e-6)
        if layer.weights:
            first = np.broadcast_to(layer.get_weights()[0][0], (pad, 6))
            np.testing.assert_allclose(output[i, :pad], SEQUENCE[i, :pad] + first, atol=1e-6)


def test_positions_that_only_the_run_knows_to_be_beyond_the_table_are_nan():
    output = numpy(PositionEmbedding(6)(SEQUENCE, start=np.array([0, 1, 3])))
    beyond = np.zeros((3, 5), bool)
    beyond[2, 3:] = True
    np.testing.assert_array_equal(np.isnan(output).all(-1), beyond)
    np.testing.assert_array_equal(np.isnan(output).any(-1), beyond)


@pytest.mark.parametrize("layer", ADDED)
def test_keras_masks_pass_through_unchanged(layer):
    tokens = np.array([[4, 2, 0], [3, 0, 0]])
    inputs = keras.Input((None,), dtype="int32")
    embedded = keras.layers.Embedding(9, 6, mask_zero=True)(inputs)
    added = fresh(layer)(embedded)
    model = keras.Model(inputs, [embedded, added])
    before, after = model(tokens)
    np.testing.assert_array_equal(numpy(after._keras_mask), tokens != 0)
    np.testing.assert_array_equal(numpy(before._keras_mask), tokens != 0)
    stepped = fresh(layer)(before, start=np.array([0, 1]))
    np.testing.assert_array_equal(numpy(stepped._keras_mask), tokens != 0)


@pytest.mark.parametrize("layer", ADDED)
def test_start_may_be_an_input_of_a_model(layer):
    inputs, start = keras.Input((None, 6)), keras.Input((), dtype="int32")
    layer = fresh(layer)
    model = keras.Model([inputs, start], layer(inputs, start=start))
    assert model.output_shape == (None, None, 6)
    starts = np.array([0, 1, 2])
    expected = numpy(layer(SEQUENCE, start=starts))
    np.testing.assert_allclose(numpy(model([SEQUENCE, starts])), expected, atol=1e-6)


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (SinusoidalPositionEncoding(), SEQUENCE),
        (SinusoidalPositionEncoding(), MAP),
        (PositionEmbedding(9), SEQUENCE),
        (PositionEmbedding((4, 7)), MAP),
    ],
)
def test_lengths_may_be_unknown_in_a_graph(layer, x):
    import tensorflow as tf

    layer = fresh(layer)
    expected = numpy(layer(x))
    unknown = tf.TensorSpec([None] * (x.ndim - 1) + [x.shape[-1]])
    graph = tf.function(layer.__call__, input_signature=[unknown])
    np.testing.assert_allclose(numpy(graph(x)), expected, atol=1e-6)
    shorter = x[:, :2]
    np.testing.assert_allclose(numpy(graph(shorter)), expected[:, :2], atol=1e-6)
    if x.ndim == 3:
        traced = tf.function(layer.__call__, jit_compile=True)(x[:, 2:], start=tf.constant(2))
        np.testing.assert_allclose(numpy(traced), expected[:, 2:], atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_far_positions_keep_their_encoding_in_mixed_precision(policy):
    x = np.zeros((1, 3, 6), "float32")
    layer = SinusoidalPositionEncoding(dtype=policy)
    output = layer(x, start=4001)  # no bfloat16, and in float16 alone a step is 2
    assert keras.backend.standardize_dtype(output.dtype) == layer.compute_dtype
    expected = np.stack([encoded(t, 6) for t in (4001, 4002, 4003)])
    np.testing.assert_allclose(numpy(output)[0], expected, atol=5e-3)


@pytest.mark.parametrize("shape", [(2, 6), (2, 5, 7), (2, 3, 5, 6), (1, 2, 3, 4, 8)])
def test_shapes_that_cannot_be_encoded_are_refused(shape):
    with pytest.raises(
        ValueError, match=rf"channels a multiple of 4. Received: shape \({shape[0]}"
    ):
        SinusoidalPositionEncoding()(np.ones(shape, "float32"))


@pytest.mark.parametrize(
    ("length", "x", "layout"),
    [(9, MAP, "length, features"), ((4, 7), SEQUENCE, "height, width, channels")],
)
def test_tables_of_the_other_rank_are_refused(length, x, layout):
    with pytest.raises(ValueError, match=rf"PositionEmbedding: `inputs` .* \(batch, {layout}\)"):
        PositionEmbedding(length)(x)


@pytest.mark.parametrize("max_length", [0, (3, 0), 2.5, (3, 4, 5), (3,)])
def test_lengths_that_make_no_table_are_refused(max_length):
    with pytest.raises(ValueError, match="`max_length` must be"):
        PositionEmbedding(max_length)


def test_lengths_known_to_be_beyond_the_table_are_refused():
    layer = PositionEmbedding(6)
    layer(SEQUENCE)
    with pytest.raises(ValueError, match=r"\(3, 5, 6\) from position 2 go beyond max_length=6"):
        layer(SEQUENCE, start=2)
    with pytest.raises(ValueError, match="from position 0 go beyond max_length=6"):
        layer(keras.Input((7, 6)))
    with pytest.raises(ValueError, match=r"go beyond max_length=\(3, 4\)"):
        PositionEmbedding((3, 4))(MAP)


@pytest.mark.parametrize("layer", [SinusoidalPositionEncoding(), PositionEmbedding((4, 7))])
def test_feature_maps_have_no_start(layer):
    with pytest.raises(ValueError, match="`start` is for sequences"):
        fresh(layer)(MAP, start=1)


@pytest.mark.parametrize("layer", ADDED)
@pytest.mark.parametrize("start", [0.5, np.zeros((3, 5), "int32"), np.zeros(3, "float32")])
def test_starts_that_are_not_positions_are_refused(layer, start):
    with pytest.raises(ValueError, match=r"`start` must be an integer.*\(batch,\). Received: "):
        fresh(layer)(SEQUENCE, start=start)


def bucket_of(relative, num_buckets, max_distance, bidirectional):
    """One distance's bucket, counted border by border with logarithms in float64."""
    if bidirectional:
        num_buckets //= 2
        if relative > 0:
            return num_buckets + bucket_of(-relative, num_buckets, max_distance, False)
    distance = max(-relative, 0)
    exact = num_buckets // 2
    if distance < exact:
        return distance
    if distance >= max_distance:
        return num_buckets - 1
    share = np.log(distance / exact) / np.log(max_distance / exact)
    return exact + int(share * (num_buckets - exact) + 1e-9)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("num_buckets", "max_distance"), [(32, 128), (4, 7), (10, 33), (16, 9)])
def test_buckets_are_half_exact_and_half_logarithmic(num_buckets, max_distance, bidirectional):
    relative = np.arange(-200, 201).astype("int32")
    settings = (num_buckets, max_distance, bidirectional)
    expected = [bucket_of(int(distance), *settings) for distance in relative]
    np.testing.assert_array_equal(numpy(_bucket(relative, *settings)), expected)


def test_buckets_on_the_borders_of_t5():
    relative = -np.array([0, 7, 8, 11, 12, 15, 16, 22, 23, 31, 32, 63, 64, 90, 91, 127, 128, 999])
    buckets = numpy(_bucket(relative.astype("int32"), 32, 128, True))
    expected = [0, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 13, 14, 14, 15, 15, 15, 15]
    np.testing.assert_array_equal(buckets, expected)


@pytest.mark.parametrize("offset", [0, 4, np.array(4)])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_relative_bias_is_its_table_at_the_buckets(offset, bidirectional):
    settings = {"num_buckets": 8, "max_distance": 6, "bidirectional": bidirectional}
    layer = RelativePositionBias(3, **settings)
    bias = numpy(layer(np.ones((2, 4, 5)), np.ones((2, 9)), q_offset=offset))
    (table,) = layer.get_weights()
    assert table.shape == (8, 3)
    expected = np.zeros((1, 3, 4, 9), "float32")
    for query in range(4):
        for key in range(9):
            bucket = bucket_of(key - query - int(offset), *settings.values())
            expected[0, :, query, key] = table[bucket]
    np.testing.assert_array_equal(bias, expected)


def test_a_query_of_the_cache_has_its_row_of_the_whole_bias():
    layer = RelativePositionBias(3, bidirectional=False)
    x = np.ones((2, 7, 5), "float32")
    whole = numpy(layer(x, x))
    np.testing.assert_array_equal(numpy(layer(x[:, 5:6], x, q_offset=5)), whole[:, :, 5:6])


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16", "bfloat16"])
def test_relative_bias_is_float32_and_fits_attention(policy):
    layer = RelativePositionBias(2, dtype=policy)
    query, key = (RANDOM.normal(size=(3, n, 2, 4)).astype("float32") for n in (4, 6))
    bias = layer(query, key)
    assert keras.backend.standardize_dtype(bias.dtype) == "float32"
    table = numpy(layer.weights[0])
    assert np.isin(numpy(bias), table).all()  # not rounded on the way
    output = attention(query, key, key, bias=bias)
    scores = np.einsum("btnh,bsnh->bnts", query, key) / 2.0 + numpy(bias)
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    expected = np.einsum("bnts,bsnh->btnh", weights, key)
    np.testing.assert_allclose(numpy(output), expected, atol=1e-5)


def test_relative_bias_takes_no_mask_from_the_query():
    embedded = keras.layers.Embedding(9, 6, mask_zero=True)(np.array([[4, 2, 0]]))
    bias = RelativePositionBias(2)(embedded, embedded)
    assert getattr(bias, "_keras_mask", None) is None
    assert embedded._keras_mask is not None


@pytest.mark.tensorflow
def test_relative_bias_of_unknown_lengths_in_a_graph():
    import tensorflow as tf

    layer = RelativePositionBias(2, num_buckets=8, max_distance=6)
    x, y = np.ones((2, 4, 5), "float32"), np.ones((2, 9, 5), "float32")
    expected = numpy(layer(x, y, q_offset=3))
    unknown = tf.TensorSpec((None, None, 5))
    graph = tf.function(
        layer.__call__, input_signature=[unknown, unknown, tf.TensorSpec((), tf.int32)]
    )
    np.testing.assert_array_equal(numpy(graph(x, y, tf.constant(3))), expected)
    compiled = tf.function(layer.__call__, jit_compile=True)
    np.testing.assert_array_equal(numpy(compiled(x, y, tf.constant(3))), expected)


def test_relative_bias_has_a_symbolic_shape():
    bias = RelativePositionBias(2)(keras.Input((None, 5)), keras.Input((9, 5)))
    assert (tuple(bias.shape), bias.dtype) == ((1, 2, None, 9), "float32")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_heads": 0}, "`num_heads` must be an integer of at least 1"),
        ({"num_buckets": 7}, "num_buckets=7, max_distance=128, bidirectional=True"),
        ({"num_buckets": 2}, "`num_buckets` must be even and at least 4"),
        ({"num_buckets": 1, "bidirectional": False}, "else at least 2"),
        ({"max_distance": 8}, "`max_distance` above"),
        ({"max_distance": 16, "bidirectional": False}, "`max_distance` above"),
    ],
)
def test_settings_that_make_no_buckets_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        RelativePositionBias(**{"num_heads": 2, **settings})


@pytest.mark.parametrize("offset", [1.5, np.array([1, 2])])
def test_offsets_that_are_not_one_position_are_refused(offset):
    with pytest.raises(ValueError, match="`q_offset` must be an integer or a scalar"):
        RelativePositionBias(2)(SEQUENCE, SEQUENCE, q_offset=offset)


def test_numbers_without_lengths_are_refused():
    with pytest.raises(ValueError, match=r"`key` must have shape \(batch, length, ...\)"):
        RelativePositionBias(2)(SEQUENCE, np.ones(3, "float32"))


def test_a_wavelength_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="`max_wavelength` must be positive"):
        SinusoidalPositionEncoding(max_wavelength=-1)
