"""Runs that start from a trained body."""

import keras
import numpy as np
import pytest

from keras_attn import datasets, recipes, training, zoo
from keras_attn.training.artifacts import weights_digest

ENTRY = "shapes_small_attention_cnn"


@pytest.fixture(scope="module")
def initial():
    return zoo.build(ENTRY)


@pytest.fixture(scope="module")
def recipe():
    values = zoo.describe(ENTRY).recipe.model_dump()
    values |= {"initial_entry": ENTRY, "variants": {}}
    values["training"] |= {"epochs": 1, "batch_size": 48, "seeds": [0]}
    return recipes.parse_recipe(values)


@pytest.fixture(scope="module")
def halves(shapes):
    """Shapes with two labels of their own."""

    def relabelled(name):
        split = shapes[name]
        return datasets.ImageSplit(split.images, (split.labels > 1).astype("int32"))

    readers = {name: (lambda name=name: relabelled(name)) for name in shapes}
    return datasets.Dataset("shapes", ("first", "second"), readers)


@pytest.mark.slow
def test_a_run_starts_from_the_body_and_records_it(initial, recipe, halves, tmp_path):
    images, start = halves["test"].images, {}

    class Look(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            start["features"] = self.model.task.features(images)
            start["mean"] = np.array(self.model.task.normalization.mean)

    settings = {"dataset": halves, "initial_model": initial, "verbose": 0}
    run = training.train(recipe, tmp_path / "run", callbacks=[Look()], **settings)
    np.testing.assert_allclose(start["features"], initial.features(images), atol=1e-5)
    np.testing.assert_array_equal(start["mean"], np.array(initial.normalization.mean))
    assert run.model.label_names == ("first", "second")
    assert np.abs(run.model.features(images) - start["features"]).max() > 0
    digest = weights_digest(initial)
    assert run.record["initial"] == {"entry": ENTRY, "weights_sha256": digest}
    assert digest != weights_digest(run.model)
    again = training.train(recipe, tmp_path / "again", **settings)
    for a, b in zip(run.model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    resumed = training.train(recipe, tmp_path / "run", resume=True, **settings)
    assert resumed.record == run.record


def test_the_recipe_says_that_it_needs_one(recipe, halves, tmp_path):
    with pytest.raises(recipes.RecipeError, match=rf"trained backbone of '{ENTRY}'.*initial_model"):
        training.train(recipe, tmp_path / "run", dataset=halves)
    assert not (tmp_path / "run").exists()
    plain = recipe.model_copy(update={"initial_entry": None})
    assert plain.digest != recipe.digest
    assert (
        plain.digest
        == zoo.describe(ENTRY)
        .recipe.model_copy(update={"training": recipe.training, "variants": {}})
        .digest
    )


def test_a_body_of_another_architecture_is_refused(initial, recipe, halves, tmp_path):
    other = recipe.model_copy(update={"model": {**recipe.model, "filters": [4, 8]}})
    with pytest.raises(ValueError, match=r"filters|shape|layer"):
        training.train(other, tmp_path / "run", dataset=halves, initial_model=initial, verbose=0)
