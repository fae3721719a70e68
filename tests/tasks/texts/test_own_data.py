"""Recipes fitted to a user's texts."""

import numpy as np
import pytest

from keras_attn import training, zoo
from keras_attn.datasets import TextSplit

pytestmark = pytest.mark.tensorflow


def split(texts):
    labels = np.arange(len(texts), dtype="int32") % 2
    return {"train": TextSplit(np.array(texts, dtype=object), labels)}


@pytest.mark.parametrize(
    "text", ["这本书很好推荐给大家看", "a good book which i liked and read twice ."]
)
def test_words_are_counted_as_the_model_splits_them(text):
    recipe = zoo.describe("imdb_ngram_attention").recipe
    fitted, notes = training.fit_recipe(recipe, split([text] * 60))
    assert fitted.model["shrinkage_ngrams"] == 3 * (11 if text[0] > "z" else 10) // 2
    assert any("fewer than" in note for note in notes)


def test_long_texts_that_are_truncated_are_reported():
    recipe = zoo.describe("imdb_ngram_attention").recipe
    fitted, notes = training.fit_recipe(recipe, split(["so good " * 300] * 3 + ["fine " * 1500]))
    assert "shrinkage_ngrams" not in fitted.model
    (note,) = [note for note in notes if "more than 1,000 words" in note]
    assert note.startswith("25.0 % of the texts")
    assert "up to 1,500" in note


@pytest.mark.parametrize(
    ("examples", "batch_size", "epochs"), [(20, 1, 15), (200, 8, 12), (9_600, 32, 4)]
)
def test_length_and_batches_follow_the_number_of_texts(examples, batch_size, epochs):
    recipe = zoo.describe("imdb_ngram_attention").recipe
    fitted, notes = training.fit_recipe(recipe, split(["so good"] * examples))
    assert (fitted.training.batch_size, fitted.training.epochs) == (batch_size, epochs)
    assert fitted.training.keep == "best"
    assert fitted.training.patience == max(2, round(epochs / 3))
    assert fitted.optimizer.name == "adamw"
    assert "best on the validation split" in notes[-1]
    shorter, _ = training.fit_recipe(recipe, split(["so good"] * examples), epochs=3)
    assert shorter.training.epochs == 3


def test_other_architectures_keep_their_optimizer():
    recipe = zoo.describe("imdb_transformer").recipe
    fitted, _ = training.fit_recipe(recipe, split(["so good"] * 40))
    assert fitted.optimizer == recipe.optimizer
    assert fitted.training.batch_size == 10
    assert fitted.training.keep == "best"


def test_scripts_without_spaces_get_longer_ngrams():
    recipe = zoo.describe("imdb_ngram_attention").recipe
    fitted, _ = training.fit_recipe(recipe, split(["这本书很好推荐给大家看"] * 5_000))
    assert fitted.model["vocabulary_sizes"] == (25_000, 120_000, 110_000, 55_000)
    assert fitted.model["shrinkage_ngrams"] == 4 * 11 // 2
    fitted, _ = training.fit_recipe(recipe, split(["a good book"] * 5_000))
    assert len(fitted.model["vocabulary_sizes"]) == 3
