"""Encoded texts and their batches: what is in them, in what order, and how much is padding."""

import itertools

import keras
import numpy as np
import pytest

from keras_attn.batching import (
    EncodedTexts,
    EvaluationBatches,
    TextBatches,
    epoch_order,
    prepare_batches,
)
from keras_attn.batching.texts import LENGTH_MULTIPLE


def make(lengths, orders=2):
    """Texts whose words all have the number of the text, from 1, as their id."""
    lengths = np.asarray(lengths, int)
    numbers = np.repeat(np.arange(1, len(lengths) + 1), lengths)
    ids = (numbers[:, None] * np.ones(orders, int)).astype("int32")
    row_splits = np.concatenate([[0], lengths]).cumsum()
    return EncodedTexts(ids, row_splits, (np.arange(len(lengths)) % 5).astype("int32"))


def rows_of(labels_and_ids):
    ids, labels = labels_and_ids
    rows = ids[:, 0, 0] - 1
    np.testing.assert_array_equal(labels, rows % 5)
    return rows.tolist()


@pytest.fixture(scope="module")
def texts():
    return make(np.random.default_rng(0).integers(1, 400, 203))


@pytest.fixture(scope="module")
def many():
    return make(np.random.default_rng(1).integers(1, 900, 1100), orders=1)


def test_a_text_is_its_part_of_the_ids():
    texts = make([3, 0, 2])
    assert len(texts) == 3
    assert texts.lengths.tolist() == [3, 0, 2]
    assert texts[0].tolist() == [[1, 1]] * 3
    assert texts[1].shape == (0, 2)
    assert texts[2].tolist() == [[3, 3]] * 2


def test_a_batch_is_padded_on_the_right_to_a_multiple():
    texts = make([3, 0, 2, 7])
    ids, labels = texts.batch(np.array([2, 0]), multiple=1)
    assert ids[:, :, 0].tolist() == [[3, 3, 0], [1, 1, 1]]
    assert (ids.dtype, labels.dtype, labels.tolist()) == ("int32", "int32", [2, 0])
    assert texts.batch(np.array([0, 2]), multiple=4)[0].shape == (2, 4, 2)
    assert texts.batch(np.array([3]), multiple=7)[0].shape == (1, 7, 2)
    assert texts.batch(np.array([3]))[0].shape == (1, LENGTH_MULTIPLE, 2)
    nothing, _ = texts.batch(np.array([1]), multiple=1)
    assert nothing.tolist() == [[[0, 0]]]
    assert texts.batch(np.array([], int), multiple=1)[0].shape == (0, 1, 2)


def test_an_epoch_has_every_text_at_most_once_in_full_batches(texts):
    batches = TextBatches(texts, 20, seed=3, epochs=2)
    assert len(batches) == 2 * 10
    for epoch in range(2):
        rows = [rows_of(batches[index]) for index in range(epoch * 10, epoch * 10 + 10)]
        assert [len(batch) for batch in rows] == [20] * 10
        flat = list(itertools.chain(*rows))
        assert len(set(flat)) == 200
        assert set(flat) == set(epoch_order(203, 3, epoch)[:200].tolist())
    ids, _ = batches[0]
    lengths = (ids[:, :, 0] != 0).sum(axis=1)
    np.testing.assert_array_equal(lengths, texts.lengths[rows_of(batches[0])])
    assert 0 <= ids.shape[1] - lengths.max() < LENGTH_MULTIPLE


def test_the_order_is_a_function_of_seed_and_epoch(texts):
    def order(seed, indices=range(10)):
        batches = TextBatches(texts, 20, seed=seed, epochs=3)
        return {index: rows_of(batches[index]) for index in indices}

    assert order(3) == order(3)
    assert order(3) != order(4)
    later = order(3, indices=range(10, 30))
    assert order(3) != {index - 10: later[index] for index in range(10, 20)}
    backwards = order(3, indices=range(29, -1, -1))
    assert all(backwards[index] == rows for index, rows in {**order(3), **later}.items())


def test_batches_are_of_like_length_and_come_in_no_order_of_length(many):
    batches = TextBatches(many, 10, seed=0, epochs=1)  # two pools, of 50 and 60 batches
    order = epoch_order(1100, 0, 0)

    def padded(batch):
        return batch[0].shape[0] * batch[0].shape[1]

    pooled = sum(padded(batches[index]) for index in range(110))
    shuffled = sum(padded(many.batch(order[at : at + 10])) for at in range(0, 1100, 10))
    words = many.lengths.sum()
    assert pooled - words < 0.25 * (shuffled - words)
    widths = [batches[index][0].shape[1] for index in range(110)]
    assert abs(np.corrcoef(widths, np.arange(110))[0, 1]) < 0.3
    assert len(set(widths)) > 5


def test_a_pool_is_not_the_whole_set(many):
    """Which texts share a batch is left to chance beyond a pool."""
    rows = [set(rows_of(batch)) for batch in TextBatches(many, 10, seed=0, epochs=1)]
    by_length = many.lengths.argsort(kind="stable")
    assert [set(by_length[:10].tolist())] != [batch for batch in rows if by_length[0] in batch]


@pytest.mark.parametrize("batch_size", [0, -1, 4])
def test_texts_that_fill_no_batch_are_refused(batch_size):
    texts = make([1, 2, 3])
    with pytest.raises(ValueError, match=f"between 1 and the 3 training .* Received: {batch_size}"):
        TextBatches(texts, batch_size, seed=0, epochs=1)
    assert len(TextBatches(texts, 3, seed=0, epochs=1)) == 1


def test_evaluation_reads_every_text_once_the_shortest_first(texts):
    batches = EvaluationBatches(texts, 50)
    assert len(batches) == 5
    rows = [rows_of(batches[index]) for index in range(5)]
    assert [len(batch) for batch in rows] == [50, 50, 50, 50, 3]
    flat = list(itertools.chain(*rows))
    assert sorted(flat) == list(range(203))
    assert (np.diff(texts.lengths[flat]) >= 0).all()
    ties = EvaluationBatches(make([2, 1, 2, 1]), 4)
    assert rows_of(ties[0]) == [1, 3, 0, 2]
    assert len(EvaluationBatches(make([]), 4)) == 0


@pytest.mark.tensorflow
def test_on_tensorflow_they_are_datasets_of_the_same_batches(texts):
    training = TextBatches(texts, 20, seed=3, epochs=2)
    for dataset, expected, start in (
        (prepare_batches(training), training, 0),
        (prepare_batches(training, start=13), training, 13),
        (prepare_batches(EvaluationBatches(texts, 50)), EvaluationBatches(texts, 50), 0),
    ):
        assert int(dataset.cardinality()) == len(expected) - start
        ids, labels = dataset.element_spec
        assert (ids.shape.as_list(), ids.dtype, labels.dtype) == ([None, None, 2], "int32", "int32")
        for _ in range(2):  # as often as it is asked for
            batches = list(dataset)
            for received, index in zip(batches, range(start, len(expected)), strict=True):
                for a, b in zip(received, expected[index], strict=True):
                    np.testing.assert_array_equal(a, b)


def test_fit_takes_texts_of_any_length(texts):
    ids = keras.Input((None, 2), dtype="int32")
    x = keras.layers.Lambda(lambda ids: keras.ops.mean(keras.ops.cast(ids, "float32"), axis=1))(ids)
    model = keras.Model(ids, keras.layers.Dense(5, kernel_initializer="zeros")(x))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(
        prepare_batches(TextBatches(texts, 20, seed=0, epochs=2)),
        epochs=2,
        steps_per_epoch=10,
        shuffle=False,
        validation_data=prepare_batches(EvaluationBatches(texts, 50)),
        verbose=0,
    )
    assert len(history.history["val_loss"]) == 2
    assert np.isfinite(history.history["loss"]).all()
