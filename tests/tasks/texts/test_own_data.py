"""Recipes fitted to a user's texts."""

import numpy as np
import pytest

from keras_attn import datasets, training, zoo
from keras_attn.datasets import TextSplit
from keras_attn.recipes import change_recipe, describe_task

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
    assert "keeps the one whose accuracy is best on the validation split" in notes[-1]
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


def labelled(*labels):
    """A data set whose test and validation splits have these labels."""
    split = datasets.TextSplit(
        np.array([f"text {row}" for row in range(len(labels))], dtype=object),
        np.array(labels, "int32"),
    )
    return datasets.Dataset(
        "mine", ("bad", "good"), {"validation": lambda: split, "test": lambda: split}
    )


def test_the_result_stands_beside_its_uncertainty_and_a_constant_answer():
    task = describe_task("text_classification")
    metrics = {"accuracy": 0.9, "f1_macro": 0.875}
    (note,) = task.result_notes({"test": metrics}, labelled(*[1] * 60, *[0] * 40))
    assert note == (
        "On the 100 test texts: accuracy 90.0 % (95 % interval 82.6 to 94.5 %), macro F1 87.5 %. "
        "Always answering the most frequent label, 'good', gives 60.0 %."
    )
    metrics["accuracy"] = 0.65
    _, doubt = task.result_notes({"test": metrics}, labelled(*[1] * 60, *[0] * 40))
    assert "The accuracy is not significantly above this baseline: the model may" in doubt
    notes = task.result_notes({"validation": {"accuracy": 0.9}}, labelled(*[1] * 60, *[0] * 40))
    assert notes[0].startswith("On the 100 validation texts: accuracy 90.0 % (95 % interval ")
    assert "macro" not in notes[0]
    assert notes[1:] == ["The epoch was selected on this split, so its metrics are optimistic."]


def test_the_result_for_several_labels_is_that_of_exact_matches():
    task = describe_task("multi_label_text_classification")
    rows = [[1, 1]] * 3 + [[0, 0]] * 5 + [[0, 1]] * 2
    (note, _) = task.result_notes({"test": {"exact_match": 0.7, "f1_macro": 0.5}}, labelled(*rows))
    assert note.startswith(
        "On the 10 test texts: exact match 70.0 % (95 % interval 39.7 to 89.2 %)"
    )
    assert note.endswith("the most frequent set of labels, no label, gives 50.0 %.")


def test_the_measure_that_selects_an_epoch_is_named():
    recipe = zoo.describe("imdb_ngram_attention").recipe
    for weights, title in (
        ("balanced", "balanced accuracy"),
        ({"a": 2.0}, "accuracy with the class"),
    ):
        changed = change_recipe(recipe, {"training.class_weights": weights})
        assert describe_task(recipe.task).selection_title(changed).startswith(title)
