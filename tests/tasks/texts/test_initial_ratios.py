"""The values of n-grams that training starts from."""

import math

import numpy as np
import pytest

from keras_attn import models, tasks, training, zoo
from keras_attn.datasets import TextSplit
from keras_attn.tasks.texts.naive_bayes import log_count_ratios, weighted_pmi

pytestmark = pytest.mark.tensorflow

NAMES = ("sport", "food", "news")
TEXTS = ["a goal", "the late goal", "a soup", "a fine soup", "the late news", "fine news"] * 2
LABELS = [0, 0, 1, 1, 2, 2] * 2


def make(**preprocessing):
    model = tasks.from_architecture(
        "ngram_attention", NAMES, vocabulary_sizes=(20, 20), preprocessing=preprocessing
    )
    model.adapt(TEXTS, LABELS)
    return model


def word_values(model, word):
    """Return the initial values `(C,)` of a word."""
    layer = models.ngram_embedding(model.network)
    (index,) = np.flatnonzero(np.array(model.encoder.vocabularies[0].terms) == word)
    ids = np.zeros((1, 1, 2), "int32")
    ids[0, 0, 0] = index + 2  # after padding and unknown
    return np.asarray(layer(ids))[0, 0, : len(NAMES)]


def test_pmi_is_that_of_an_independent_computation():
    model = make(initial_ratios="pmi")
    grams = [
        [{tuple(words[i : i + order]) for i in range(len(words) - order + 1)} for order in (1, 2)]
        for words in (text.split() for text in TEXTS)
    ]
    occurrences = [(gram, row) for row, both in enumerate(grams) for some in both for gram in some]
    texts = {gram: [row for other, row in occurrences if other == gram] for gram, _ in occurrences}
    idf = {gram: math.log((1 + len(TEXTS)) / (1 + len(rows))) + 1 for gram, rows in texts.items()}
    mean = sum(idf[gram] for gram, _ in occurrences) / len(occurrences)
    for word in ("goal", "late", "fine"):
        rows = texts[word,]
        for label in range(3):
            number = sum(LABELS[row] == label for row in rows)
            share = sum(LABELS[row] == label for _, row in occurrences) / len(occurrences)
            value = math.log((number + 10 / 3) / (len(rows) * share + 10 / 3)) * idf[word,] / mean
            assert word_values(model, word)[label] == pytest.approx(value, abs=1e-5)


def test_pmi_does_not_favor_large_classes_for_rare_ngrams():
    counts = [np.array([[0, 0, 1, 99, 5_000], [0, 0, 0, 1, 50]])]
    rare = weighted_pmi(counts, num_texts=5_050)[0][2]
    assert abs(rare[0]) < 0.05
    assert log_count_ratios(counts)[0][2, 0] < -1.0  # the n-gram occurs in a text of the class


def test_more_than_two_labels_start_from_pmi():
    np.testing.assert_array_equal(
        word_values(make(), "goal"), word_values(make(initial_ratios="pmi"), "goal")
    )
    other = word_values(make(initial_ratios="log_count"), "goal")
    assert not np.allclose(word_values(make(), "goal"), other, atol=0.1)


@pytest.mark.parametrize(
    ("architecture", "kind"), [("ngram_attention", "idf"), ("text_transformer", "pmi")]
)
def test_values_that_an_architecture_does_not_have_are_refused(architecture, kind):
    with pytest.raises(ValueError, match=rf"`initial_ratios` must be None.*{architecture}.*{kind}"):
        tasks.from_architecture(architecture, NAMES, preprocessing={"initial_ratios": kind})


def test_a_recipe_for_many_classes_has_slow_embeddings():
    recipe = zoo.describe("imdb_ngram_attention").recipe
    texts, labels = np.array(TEXTS * 10, dtype=object), np.array(LABELS * 10, "int32")
    fitted, _ = training.fit_recipe(recipe, {"train": TextSplit(texts, labels)})
    assert fitted.text.initial_ratios == "pmi"
    assert fitted.model["embedding_gain"] == 1.0
    tuned = recipe.model_copy(update={"initial_entry": "imdb_ngram_attention"})
    tuned, _ = training.fit_recipe(tuned, {"train": TextSplit(texts, labels)})
    assert tuned.model["embedding_gain"] == 100.0  # that of the backbone


@pytest.mark.parametrize(("count", "gain", "rate"), [(1_999, 10.0, 3e-3), (2_000, 100.0, 3e-4)])
def test_a_recipe_for_few_texts_of_two_classes_has_a_higher_rate(count, gain, rate):
    recipe = zoo.describe("imdb_ngram_attention").recipe
    texts, labels = np.array(["a text"] * count, object), np.arange(count, dtype="int32") % 2
    fitted, _ = training.fit_recipe(recipe, {"train": TextSplit(texts, labels)})
    assert fitted.model["embedding_gain"] == gain
    assert fitted.optimizer.learning_rate == rate
