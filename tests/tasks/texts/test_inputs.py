"""What `fit`, `evaluate`, `predict` and the answers of a text classifier take."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.tasks.small_classifiers import LABELS, NAMES, NEW, TEXTS, make

pytestmark = pytest.mark.tensorflow
NAMED = [NAMES[label] for label in LABELS]


@pytest.fixture(scope="module")
def model():
    model = make()
    model.adapt(TEXTS, NAMED)
    return model


class Batches(keras.utils.PyDataset):
    """Batches of three texts and their labels."""

    def __init__(self, labels, **kwargs):
        super().__init__(**kwargs)
        self.labels = labels

    def __len__(self):
        return 3

    def __getitem__(self, index):
        rows = slice(3 * index, 3 * index + 3)
        return np.array(TEXTS[rows], object), self.labels[rows]


@pytest.mark.slow
def test_labels_are_indices_or_names_everywhere(model):
    by_index = make()
    by_index.adapt(TEXTS, LABELS)
    np.testing.assert_array_equal(by_index.logits(NEW), model.logits(NEW))
    np.testing.assert_array_equal(model.encode(TEXTS, NAMED).labels, LABELS)
    assert model.calibrate(NEW, ["good", "bad", "good", "bad", "good", "bad"]) > 0
    model.temperature.assign(1.0)
    expected = model.evaluate(TEXTS, np.array(LABELS), verbose=0)
    strings = tf.data.Dataset.from_tensor_slices((TEXTS, NAMED)).batch(3)
    indices = tf.data.Dataset.from_tensor_slices((TEXTS, LABELS)).batch(3)
    for arguments in (
        (TEXTS, NAMED),
        (TEXTS, tuple(NAMED)),
        (np.array(TEXTS), np.array(NAMED)),
        (TEXTS, [name.encode() for name in NAMED]),
        (strings,),
        (indices,),
        (Batches(NAMED),),
        (Batches(LABELS),),
    ):
        assert model.evaluate(*arguments, verbose=0) == pytest.approx(expected, abs=1e-4)
    for arguments, held_out in (
        ((TEXTS, NAMED), (TEXTS, NAMED)),
        ((strings,), strings),
        ((Batches(NAMED),), Batches(NAMED)),
    ):
        history = by_index.fit(*arguments, validation_data=held_out, epochs=2, verbose=0).history
        assert history["val_loss"][1] < history["val_loss"][0]


@pytest.mark.slow
def test_columns_of_pandas_are_read(model):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"text": TEXTS, "label": NAMED}).iloc[::-1]
    expected = model.logits(TEXTS)[::-1]
    np.testing.assert_allclose(model.logits(table["text"]), expected, atol=1e-5)
    np.testing.assert_allclose(model.predict(table["text"], verbose=0), expected, atol=1e-5)
    answers = model.classify(table["text"])
    assert [answer.label for answer in answers] == [NAMES[i] for i in expected.argmax(-1)]
    again = make()
    again.adapt(table["text"], table["label"])
    np.testing.assert_allclose(again.logits(NEW), model.logits(NEW), atol=1e-5)
    loss = model.evaluate(TEXTS, NAMED, verbose=0)
    for labels in (table["label"], table["label"].astype("category"), pandas.Series(LABELS[::-1])):
        assert model.evaluate(table["text"], labels, verbose=0) == pytest.approx(loss, abs=1e-4)
    history = again.fit(
        table["text"], table["label"], validation_data=(table["text"], table["label"]), verbose=0
    ).history
    assert "val_loss" in history


def test_names_and_indices_that_are_not_known_are_refused(model):
    for labels, match in (
        ([*NAMED[:-1], "god"], r"names in \('bad', 'good'\).*Received: 'god'\."),
        ([*LABELS[:-1], 2], r"integers from 0 to 1.*Received: 2\."),
    ):
        for use in (model.fit, model.evaluate, model.encode, model.calibrate):
            with pytest.raises(ValueError, match=match):
                use(TEXTS, labels)
    wrong = tf.data.Dataset.from_tensor_slices((TEXTS, [*NAMED[:-1], "god"])).batch(3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Labels must be names in"):
        model.evaluate(wrong, verbose=0)


def test_logits_probabilities_and_features_are_in_the_order_of_the_texts(model):
    texts = ["a fine film with a fine cast " * 5, "dull", "", "fine acting", "not bad " * 9]
    logits = model.logits(texts, batch_size=2)
    assert logits.dtype == "float32"
    for row, text in zip(logits, texts, strict=True):
        np.testing.assert_allclose(row, model.predict([text], verbose=0)[0], atol=1e-5)
    shares = model.probabilities(texts)
    np.testing.assert_allclose(
        shares, [list(a.probabilities.values()) for a in model.classify(texts)], atol=1e-5
    )
    features = model.features(texts, batch_size=2)
    for row, text in zip(features, texts, strict=True):
        np.testing.assert_allclose(row, model.features([text])[0], atol=1e-5)
    assert model.logits([]).shape == (0, 2)
    assert model.features([]).shape == (0, features.shape[1])


@pytest.mark.slow
def test_batch_size_and_epochs_may_be_positional_and_weights_a_list(model):
    one = make()
    one.adapt(TEXTS, NAMED)
    history = one.fit(TEXTS, NAMED, 3, 2, sample_weight=[1.0] * len(TEXTS), verbose=0).history
    assert len(history["loss"]) == 2
    assert one.predict(NEW, 1, verbose=0).shape == (len(NEW), len(NAMES))
    plain = model.evaluate(TEXTS, NAMED, 2, verbose=0)[0]
    for weight in (1.0, 0.0):
        weighted = model.evaluate(TEXTS, NAMED, 2, sample_weight=[weight] * len(TEXTS), verbose=0)
        assert weighted[0] == pytest.approx(weight * plain, rel=1e-5)


def test_texts_that_are_not_batched_are_refused(model):
    with pytest.raises(ValueError, match=r"elements of shape \(\).*dataset\.batch"):
        model.evaluate(tf.data.Dataset.from_tensor_slices((TEXTS, LABELS)), verbose=0)


def test_a_text_that_is_cut_is_noted_by_its_number():
    model = make(preprocessing={"max_length": 7})
    model.adapt(TEXTS, LABELS)
    model.classify(["fine " * 7, "fine"])  # as long as may be
    with pytest.warns(UserWarning, match=r"^7 words.*1 text has.*number 2 with 9"):
        model.classify(["fine " * 7, "fine " * 9])


def test_arrays_of_arrow_are_read():
    arrow = pytest.importorskip("pyarrow")
    model = make()
    model.adapt(TEXTS, LABELS)
    expected = model.evaluate(TEXTS, LABELS, verbose=0)
    for make_column in (arrow.array, lambda values: arrow.chunked_array([values])):
        texts, labels = make_column(TEXTS), make_column([NAMES[label] for label in LABELS])
        assert model.evaluate(texts, labels, verbose=0) == pytest.approx(expected)
