"""Embedded n-grams against a gather in NumPy; ids of none; the gain; what is assigned."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn.layers import NGramEmbedding
from tests.ops import oracles

SIZES, DIMS, GAIN = (8, 11), (3, 2), 4.0
IDS = np.array([[[3, 10], [7, 4], [1, 0]], [[2, 9], [5, 0], [0, 0]]], "int32")


def make(gain=GAIN, **settings):
    layer = NGramEmbedding(SIZES, DIMS, gain, **settings)
    layer.build(IDS.shape)
    random = np.random.default_rng(1)
    for table in layer.tables:  # row 0 as well, which must not be seen
        table.assign(random.normal(size=table.shape))
    return layer


def gathered(layer, ids=IDS):
    columns = []
    for order, table in enumerate(layer.tables):
        rows = layer.gain * oracles.numpy(table)[ids[..., order]]
        columns.append(np.where(ids[..., order, None] == 0, 0.0, rows))
    return np.concatenate(columns, axis=-1)


def trained(optimizer, gain, loss):
    """What the layer gives before and after one step, the tables starting at equal outputs."""
    layer = make(gain)
    for table in layer.tables:
        table.assign(ops.convert_to_numpy(table.value) / gain)
    ids = IDS[:1]
    before = oracles.numpy(layer(ids))
    model = keras.Sequential([keras.Input((None, 2), dtype="int32"), layer])
    model.compile(optimizer, loss=loss)
    targets = np.random.default_rng(2).uniform(1.0, 2.0, before.shape).astype("float32")
    model.train_on_batch(ids, targets)
    return before, oracles.numpy(layer(ids)), targets, layer


def product(targets, outputs):
    """A loss whose gradient with respect to the outputs is the targets."""
    return ops.sum(targets * outputs, axis=(1, 2))


def test_it_is_a_gather_of_each_order_side_by_side():
    layer = make()
    output = layer(IDS)
    assert tuple(output.shape) == (2, 3, 5)
    np.testing.assert_allclose(oracles.numpy(output), gathered(layer), atol=1e-6)
    assert np.abs(gathered(layer)[0, 0]).min() > 1e-3  # both orders are there
    assert [tuple(table.shape) for table in layer.tables] == [(8, 3), (11, 2)]


@pytest.mark.parametrize("gain", [1.0, GAIN])
def test_id_zero_is_exactly_zero(gain):
    layer = make(gain)
    output = oracles.numpy(layer(IDS))
    np.testing.assert_array_equal(output[1, 2], 0.0)
    np.testing.assert_array_equal(output[0, 2, 3:], 0.0)
    np.testing.assert_array_equal(output[1, 1, 3:], 0.0)
    assert np.abs(output[1, 1, :3]).min() > 1e-3


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_id_zero_is_exactly_zero_after_training_and_its_row_is_not_trained(optimizer):
    layer = make()
    rows = [oracles.numpy(table)[0] for table in layer.tables]
    model = keras.Sequential([keras.Input((None, 2), dtype="int32"), layer])
    model.compile(optimizer, loss="mse")
    model.fit(IDS, np.ones((2, 3, 5), "float32"), epochs=3, verbose=0)
    np.testing.assert_array_equal(oracles.numpy(layer(np.zeros((2, 4, 2), "int32"))), 0.0)
    for row, table in zip(rows, layer.tables, strict=True):
        np.testing.assert_array_equal(oracles.numpy(table)[0], row)


@pytest.mark.parametrize("gain", [0.5, 1.0, GAIN])
def test_a_step_of_gradient_descent_moves_outputs_by_the_square_of_the_gain(gain):
    before, after, targets, _ = trained(keras.optimizers.SGD(0.01), gain, product)
    known = np.repeat(IDS[:1] != 0, DIMS, axis=-1)
    np.testing.assert_allclose(after - before, -0.01 * gain**2 * targets * known, atol=1e-5)


@pytest.mark.parametrize("gain", [0.5, 1.0, GAIN])
def test_a_step_of_adam_moves_outputs_by_the_gain(gain):
    before, after, _, layer = trained(keras.optimizers.Adam(0.01), gain, product)
    known = np.repeat(IDS[:1] != 0, DIMS, axis=-1)
    np.testing.assert_allclose(after - before, -0.01 * gain * known, atol=1e-5)
    assert np.abs(gathered(layer)).max() > 0.1


def test_outputs_start_at_the_gain_times_what_the_initializer_draws():
    layer = NGramEmbedding(SIZES, DIMS, 3.0, embeddings_initializer="ones")
    np.testing.assert_array_equal(oracles.numpy(layer(IDS[:1, :1])), 3.0)
    drawn = NGramEmbedding((8, 8), (3, 3), embeddings_initializer=keras.initializers.Constant(0.5))
    np.testing.assert_array_equal(oracles.numpy(drawn(IDS[:1, :1] % 8)), 0.5)
    glorot = NGramEmbedding(
        (8, 8), (3, 3), embeddings_initializer=keras.initializers.GlorotNormal()
    )
    glorot.build((None, None, 2))
    assert not np.allclose(*map(oracles.numpy, glorot.tables))


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_ids_are_not_rounded_even_if_they_come_as_floats(policy):
    layer = NGramEmbedding((2000,), (1,), dtype=policy)
    layer.build((None, None, 1))
    layer.tables[0].assign(np.arange(2000.0)[:, None] % 7)
    ids = np.array([[[1001], [1999], [257]]])
    for dtype in ("int32", "int64", "float32"):
        received = oracles.numpy(ops.cast(layer(ids.astype(dtype)), "float32"))
        np.testing.assert_array_equal(received, ids % 7)


def test_assigned_values_are_what_the_layer_gives_and_the_rest_stays():
    layer = make()
    before = [oracles.numpy(table) for table in layer.tables]
    values = np.random.default_rng(3).normal(size=(8, 2)).astype("float32")
    layer.assign(0, values)
    output = oracles.numpy(layer(IDS))
    np.testing.assert_allclose(output[0, :, :2], values[IDS[0, :, 0]], atol=1e-6)
    np.testing.assert_array_equal(oracles.numpy(layer.tables[0])[:, 2], before[0][:, 2])
    np.testing.assert_array_equal(oracles.numpy(layer.tables[1]), before[1])
    whole = np.random.default_rng(4).normal(size=(11, 2)).astype("float32")
    layer.assign(1, whole)
    output = oracles.numpy(layer(IDS))
    np.testing.assert_allclose(output[0, :2, 3:], whole[IDS[0, :2, 1]], atol=1e-6)
    np.testing.assert_array_equal(output[1, 2], 0.0)


@pytest.mark.parametrize("shape", [(7, 2), (8, 4), (8,), (1, 2), (8, 2, 1)])
def test_values_that_do_not_fit_are_refused_and_nothing_changes(shape):
    layer = make()
    before = oracles.numpy(layer.tables[0])
    with pytest.raises(ValueError, match=r"order 0 takes values of shape \(8, C\).*at most 3.*Rec"):
        layer.assign(0, np.ones(shape))
    np.testing.assert_array_equal(oracles.numpy(layer.tables[0]), before)


def ratios(*shape, seed=3):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def with_ratios():
    """A layer of two ratios an order, which learns two features of words and none of pairs."""
    layer = NGramEmbedding(SIZES, (2, 0), GAIN, num_ratios=2)
    layer.build(IDS.shape)
    layer.assign(0, ratios(8, 2))
    return layer


def in_fold(ids, fold):
    return np.where(ids < 2, ids, ids + (1 + fold) * (np.array(SIZES) - 2)).astype("int32")


def test_ratios_precede_learned_features():
    layer = with_ratios()
    layer.assign(1, ratios(11, 2, seed=4))
    known = IDS[..., None] != 0
    output = oracles.numpy(layer(IDS))
    assert tuple(layer.compute_output_shape(IDS.shape)) == output.shape == (2, 3, 6)
    np.testing.assert_array_equal(output[..., :2], ratios(8, 2)[IDS[..., 0]] * known[:, :, 0])
    learned = GAIN * oracles.numpy(layer.tables[0])[IDS[..., 0]] * known[:, :, 0]
    np.testing.assert_allclose(output[..., 2:4], learned, rtol=1e-6)
    np.testing.assert_array_equal(
        output[..., 4:], ratios(11, 2, seed=4)[IDS[..., 1]] * known[:, :, 1]
    )
    assert np.abs(learned[0]).min() > 0
    assert layer.tables[1] is None


def test_training_leaves_ratios():
    layer = with_ratios()
    model = keras.Sequential([keras.Input((None, 2), dtype="int32"), layer])
    model.compile("sgd", loss="mse")
    before = oracles.numpy(layer.tables[0])
    model.fit(IDS, np.ones((2, 3, 6), "float32"), verbose=0)
    np.testing.assert_array_equal(oracles.numpy(layer.ratios[0]), ratios(8, 2))
    assert np.abs(oracles.numpy(layer.tables[0]) - before)[3].min() > 0


def test_an_id_asks_for_ratios_without_its_fold_in_training_alone():
    layer = with_ratios()
    before = oracles.numpy(layer(IDS))
    whole, without = ratios(11, 2), ratios(4, 11, 2, seed=5)
    layer.assign(1, whole, without)
    known = IDS[..., 1:] != 0
    for fold in range(4):
        ids = in_fold(IDS, np.array([[[fold]], [[0]]]))
        np.testing.assert_array_equal(oracles.numpy(layer.without_folds(ids)), IDS)
        for training, tables in ((True, without[[fold, 0]]), (False, whole[None][[0, 0]])):
            output = oracles.numpy(layer(ids, training=training))
            expected = np.stack(
                [table[row] for table, row in zip(tables, IDS[..., 1], strict=True)]
            )
            np.testing.assert_array_equal(output[..., 4:], expected * known)
            np.testing.assert_array_equal(output[..., :4], before[..., :4])
    for ids in (IDS, in_fold(IDS, 4)):  # of no fold, and of one that there is not
        output = oracles.numpy(layer(ids, training=True))
        np.testing.assert_array_equal(output[..., 4:], whole[IDS[..., 1]] * known)
    layer.assign(1, whole)  # and now of none at all
    output = oracles.numpy(layer(ids, training=True))
    np.testing.assert_array_equal(output[..., 4:], whole[IDS[..., 1]] * known)


def test_without_ratios_there_are_no_folds():
    with pytest.raises(ValueError, match="no ratios of folds"):
        make().assign(0, np.ones((8, 2)), np.ones((3, 8, 2)))


@pytest.mark.parametrize("shape", [(7, 2), (8, 3), (8, 1), (8,), (8, 2, 1)])
def test_ratios_that_do_not_fit_are_refused_and_nothing_changes(shape):
    layer = with_ratios()
    with pytest.raises(ValueError, match=r"ratios of order 0 have shape \(8, 2\).*Received"):
        layer.assign(0, np.ones(shape))
    with pytest.raises(ValueError, match=r"ratios of order 0 have shape \(8, 2\).*without folds"):
        layer.assign(0, np.ones((8, 2)), np.ones((3, *shape)))
    np.testing.assert_array_equal(oracles.numpy(layer.ratios[0]), ratios(8, 2))


def test_functional_models_of_unknown_lengths():
    layer = make()
    ids = keras.Input((None, 2), dtype="int32")
    features = layer(ids)
    assert features.shape == (None, None, 5)
    model = keras.Model(ids, features)
    np.testing.assert_allclose(oracles.numpy(model(IDS)), gathered(layer), atol=1e-6)
    longer = np.pad(IDS, ((0, 0), (0, 4), (0, 0)))
    np.testing.assert_allclose(oracles.numpy(model(longer))[:, :3], gathered(layer), atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"vocabulary_sizes": (), "dims": ()}, "one value an order"),
        ({"vocabulary_sizes": (8, 11, 5)}, r"one value an order.*\(8, 11, 5\) and \(3, 2\)"),
        ({"vocabulary_sizes": (8, 0)}, "`vocabulary_sizes` must be an integer of at least 1.*0"),
        ({"dims": (3, 0)}, "`dims` must be an integer of at least 1.*0"),
        ({"dims": (3, -1), "num_ratios": 2}, "`dims` must be an integer of at least 1.*-1"),
        ({"vocabulary_sizes": (8, 2), "num_ratios": 1}, r"must be 3 or more.*\(8, 2\)"),
        ({"num_ratios": -1}, "`num_ratios` must be an integer of at least 1.*-1"),
        ({"dims": (3, 2.5)}, r"`dims` must be an integer of at least 1.*2\.5"),
        *(({"gain": gain}, "`gain` must be positive") for gain in (0.0, -1.0)),
        *(({"gain": float(gain)}, "`gain` must be positive") for gain in ("nan", "inf")),
    ],
)
def test_impossible_arguments_are_refused_by_name(settings, match):
    with pytest.raises(ValueError, match=match):
        NGramEmbedding(**{"vocabulary_sizes": SIZES, "dims": DIMS, **settings})


def test_impossible_inputs_are_refused():
    with pytest.raises(ValueError, match=r"`inputs` must have shape \(batch, length, orders\)"):
        NGramEmbedding(SIZES, DIMS)(IDS[:, :, 0])
    with pytest.raises(ValueError, match=r"one id for each of 2 orders.*\(2, 3, 1\)"):
        NGramEmbedding(SIZES, DIMS)(IDS[:, :, :1])
