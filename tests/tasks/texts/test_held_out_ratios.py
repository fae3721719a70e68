"""Log-count ratios: where a classifier starts, and what it is trained on."""

from contextlib import nullcontext

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_attn.batching import EncodedTexts
from keras_attn.tasks.texts.classifier import NUM_FOLDS
from keras_attn.tasks.texts.naive_bayes import log_count_ratios, ngram_counts
from tests.tasks.small_classifiers import (
    LABELS,
    NAMES,
    NEW,
    SMALL,
    TEXTS,
    make,
    mean_ratio,
    naive_bayes,
    vote,
)

pytestmark = pytest.mark.tensorflow


@pytest.mark.parametrize("attention", ["none", "softmax"])
def test_a_new_bag_of_ngrams_is_a_naive_bayes_classifier(attention):
    model = make(attention=attention)
    model.adapt(TEXTS, LABELS)
    if attention != "none":
        query = model.network.get_layer("attention").query
        query.assign(np.zeros(query.shape))
    texts = [*TEXTS, *NEW, "no such word", "", "a fine film " * 40]
    logits = model.predict(texts, verbose=0)
    # The ratio of a class to the rest, and of the rest to the class, times the logit gain.
    expected = 5.0 * np.array([[-vote(text), vote(text)] for text in texts])
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    clear = np.abs(expected[:, 1]) > 0.02
    assert clear.sum() > 10
    assert (logits.argmax(-1) == (expected[:, 1] > 0))[clear].all()


def test_attention_starts_near_it():
    model = make()
    model.adapt(TEXTS, LABELS)
    for text in TEXTS + NEW:
        if abs(mean_ratio(text)) > 0.1:
            assert model.classify(text).label == NAMES[mean_ratio(text) > 0]


@pytest.mark.parametrize("architecture", sorted(SMALL))
def test_adapt_sets_the_ratios_of_every_architecture(architecture):
    model = make(architecture)
    assert model.adapt(TEXTS, LABELS) is None
    encoded = model.encode(TEXTS, LABELS, training=True)
    assert encoded.lengths.tolist() == [len(text.split()) for text in TEXTS]
    assert encoded.labels.tolist() == LABELS
    features = model.network.get_layer("ngrams")(model.encoder(["love it"])).numpy()[0]
    width = features.shape[-1] // 2
    expected = naive_bayes()
    np.testing.assert_allclose(features[0, 1], expected["love"], atol=1e-5)
    np.testing.assert_allclose(features[0, 0], -expected["love"], atol=1e-5)
    np.testing.assert_allclose(features[0, width + 1], expected["love it"], atol=1e-5)


def test_a_bag_of_ngrams_trains_on_what_it_answers():
    model = make()
    model.adapt(TEXTS, LABELS)
    encoded, again = model.encode(TEXTS, LABELS, training=True), model.encode(TEXTS, LABELS)
    np.testing.assert_array_equal(encoded.ids, again.ids)
    np.testing.assert_array_equal(encoded[3], model.encoder(["love it"]).numpy()[0])


@pytest.mark.parametrize("architecture", ["recurrent_attention", "text_transformer"])
def test_in_training_a_text_is_given_the_ratios_of_the_others(architecture):
    model = make(architecture)
    texts, labels = np.array(TEXTS * 4), np.array(LABELS * 4)
    texts = np.array([f"{text} {number}" for number, text in enumerate(texts)])
    model.adapt(texts, labels)
    encoded = model.encode(texts, labels, training=True)
    folds = model.encoder.folds(texts, NUM_FOLDS).numpy()
    assert len(set(folds)) == NUM_FOLDS
    layer = model.network.get_layer("ngrams")
    for index in (0, 7, 20):
        others = folds != folds[index]
        own = model.encode(texts)[index]
        kept = model.encode(texts[others], labels[others])
        known = sum(len(vocabulary.terms) for vocabulary in model.encoder.vocabularies)
        counts = [count[0] for count in ngram_counts(kept, layer.vocabulary_sizes, len(NAMES))]
        ratios, _ = log_count_ratios(counts, known)
        given = np.array(layer(encoded[index][None], training=True))[0, :, :2]
        np.testing.assert_allclose(given, ratios[own[:, 0]], atol=1e-5)
        whole = np.array(layer(own[None], training=True))[0, :, :2]
        np.testing.assert_allclose(np.array(layer(encoded[index][None]))[0, :, :2], whole)
        assert np.abs(given - whole).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["ngram_attention", "recurrent_attention"])
def test_every_way_to_train_on_strings_asks_for_held_out_ratios(architecture, monkeypatch):
    model, seen = make(architecture), []
    model.adapt(TEXTS, LABELS)
    encoded = model.encode(TEXTS, LABELS, training=True)
    expected, labels = encoded.batch(np.arange(len(TEXTS)), multiple=1)
    plain, _ = model.encode(TEXTS).batch(np.arange(len(TEXTS)), multiple=1)
    assert np.array_equal(expected, plain) == (architecture == "ngram_attention")

    def batches(x):
        return np.concatenate([np.asarray(part[0]) for part in x])

    monkeypatch.setattr(keras.Model, "fit", lambda self, x, *_, **__: seen.append(x))
    model.fit(TEXTS, labels, shuffle=False)
    texts = tf.data.Dataset.from_tensor_slices((TEXTS, LABELS)).batch(len(TEXTS))
    model.fit(texts)
    ids, _ = seen[0][0]
    np.testing.assert_array_equal(ids[:, : expected.shape[1]], expected)
    np.testing.assert_array_equal(batches(seen[1]), expected)
    monkeypatch.setattr(
        type(model.network), "call", lambda self, x, **_: seen.append(x) or tf.zeros((7, 2))
    )
    for inputs in (np.array(TEXTS), TEXTS, tf.constant(TEXTS)):
        model(inputs, training=True)
        model(inputs)
        np.testing.assert_array_equal(seen[-2], expected)
        np.testing.assert_array_equal(seen[-1], plain)


@pytest.mark.slow
def test_what_was_traced_forgets_the_ratios_of_before():
    model = make("text_transformer")  # which draws nothing in training
    model.compile(keras.optimizers.SGD(0.0), model.loss)
    losses = []
    for index, labels in enumerate((LABELS, 1 - np.array(LABELS))):
        with pytest.warns(UserWarning, match="adapt") if index else nullcontext():
            model.adapt(TEXTS, labels)
        history = model.fit(TEXTS, np.array(LABELS), verbose=0, shuffle=False)
        losses.append(history.history["loss"][0])
    assert abs(losses[0] - losses[1]) > 1e-3


def test_log_count_ratios_of_three_classes_by_hand():
    ids = np.array([[2], [2], [3], [2], [3], [1], [4], [0]], "int32")
    texts = EncodedTexts(ids, np.array([0, 3, 4, 6, 8]), np.array([0, 0, 1, 2]))
    (counts,) = ngram_counts(texts, (5,), 3)
    np.testing.assert_array_equal(counts[0, :, 2:], [[2, 1, 0], [0, 1, 0], [0, 0, 1]])
    (ratios,) = log_count_ratios([counts[0]])
    assert (ratios.shape, ratios.dtype) == ((5, 3), "float32")
    # Texts with 2, 3, 4: two, one, none of the first class; none, one, none; none, none, one.
    expected = [
        [3 / 6 / (1 / 5), 1 / 4 / (3 / 7), 1 / 4 / (3 / 7)],
        [2 / 6 / (2 / 5), 2 / 4 / (2 / 7), 1 / 4 / (3 / 7)],
        [1 / 6 / (2 / 5), 1 / 4 / (2 / 7), 2 / 4 / (1 / 7)],
    ]
    np.testing.assert_allclose(ratios[2:], np.log(expected), atol=1e-6)
    np.testing.assert_array_equal(ratios[:2], 0.0)
    (unseen,) = log_count_ratios([np.pad(counts[0], ((0, 0), (0, 1)))])
    np.testing.assert_array_equal(unseen[5], 0.0)


def test_counts_are_of_texts_by_fold_and_class():
    ids = np.array([[2, 3], [2, 4], [2, 0], [2, 3], [5, 4], [2, 0]], "int32")
    texts = EncodedTexts(ids, np.array([0, 3, 6, 6]), np.array([1, 0, 1]))
    words, pairs = ngram_counts(texts, (6, 5), 2, np.array([2, 0, 1]), 3)
    expected = np.zeros((3, 2, 6))
    expected[2, 1, 2] = expected[0, 0, 2] = expected[0, 0, 5] = 1
    np.testing.assert_array_equal(words, expected)
    np.testing.assert_array_equal(pairs[2, 1, 3:], [1, 1])
    np.testing.assert_array_equal(pairs[1], 0.0)
