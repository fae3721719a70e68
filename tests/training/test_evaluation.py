"""Recipes that are fitted to a user's data."""

import pytest

from keras_attn import datasets, recipes, training, zoo


def test_values_that_the_user_sets_are_not_adapted_and_decide_the_patience():
    recipe = zoo.describe("imdb_ngram_attention").recipe
    texts = datasets.remarks.draw_remarks(sizes={"train": 90, "validation": 9, "test": 9})
    changes = {"training.epochs": 12, "optimizer.learning_rate": 0.5, "training.batch_size": 7}
    fitted, notes = training.fit_recipe(recipe, texts, changes=changes)
    assert (fitted.training.epochs, fitted.training.patience) == (12, 4)
    assert (fitted.optimizer.learning_rate, fitted.training.batch_size) == (0.5, 7)
    assert notes[-1].startswith("Set as requested: training.epochs = 12, optimizer.")
    assert training.fit_recipe(recipe, texts, 12)[0].training.patience == 4
    last = {"training.keep": "last"}
    fitted, notes = training.fit_recipe(recipe, texts, changes=last)
    assert fitted.training.keep == "last"
    assert not any("best on the validation split" in note for note in notes)
    with pytest.raises(recipes.RecipeError, match="epochs"):
        training.fit_recipe(recipe, texts, changes={"training.epochs": 0})


def test_a_warmup_is_not_longer_than_the_training():
    recipe = zoo.describe("multi30k_en_de_transformer").recipe
    assert recipe.schedule.warmup_epochs > 1
    assert recipes.shorten_warmup(recipe, {"training.epochs": 1})["schedule.warmup_epochs"] == 0.1
    for changes in (
        {},
        {"training.epochs": 3},
        {"training.epochs": 1, "schedule.warmup_epochs": 1},
    ):
        assert recipes.shorten_warmup(recipe, changes) == changes
