"""Training runs on texts: what they leave, and that they go on where they stopped."""

import json

import keras
import numpy as np
import pytest

from keras_attn import datasets, recipes, training
from keras_attn._files import sha256
from keras_attn.tasks import from_architecture
from keras_attn.tasks.texts import metrics as text_metrics
from keras_attn.training.weights_files import values_sha256
from tests.training.runs import weights_of

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def finished(tmp_path_factory, small_text_recipe, small_remarks):
    """One uninterrupted run, which several tests look at."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    return training.train(small_text_recipe, folder, dataset=small_remarks, verbose=0)


def test_a_run_leaves_its_vocabulary_and_a_record(finished, small_remarks):
    names = {path.name for path in finished.folder.iterdir()}
    assert {"model.weights.h5", "best.weights.h5", "vocabulary.txt", "record.json"} <= names
    record = json.loads((finished.folder / "record.json").read_text())
    assert record == finished.record
    assert record["vocabulary_sha256"] == sha256(finished.folder / "vocabulary.txt")
    assert record["weights_sha256"] == values_sha256(finished.folder / "model.weights.h5")
    assert record["data"]["train_sha256"] == small_remarks["train"].fingerprint
    assert record["temperature"] == pytest.approx(float(finished.model.temperature))
    assert 0.02 <= record["temperature"] <= 50
    assert record["temperature"] != 1.0
    for split in ("validation", "test"):
        metrics = record["metrics"][split]
        assert 0 <= metrics["calibration_error"] <= 1
        assert sum(part["examples"] for part in metrics["by_length"]) == metrics["examples"] == 60
        right = sum(part["accuracy"] * part["examples"] for part in metrics["by_length"])
        assert right == pytest.approx(metrics["accuracy"] * 60)
        assert metrics["by_length"][0]["up_to"] == 100
    # 9 steps of 16 texts an epoch, of 150.
    assert record["train_flops"] == 3 * record["forward_flops"] * 9 * 16 * 3
    assert record["parameters"] == finished.model.network.count_params()
    assert len((finished.folder / "log.csv").read_text().splitlines()) == 4


def test_it_learned_something_of_the_training_texts_and_its_settings_hold(finished, small_remarks):
    encoder = finished.model.encoder
    assert (encoder.max_length, encoder.head, encoder.once) == (40, 10, True)
    split = small_remarks["train"]
    metrics = training.evaluate(finished.model, split)
    assert metrics["accuracy"] > 0.85
    logits = finished.model.predict(split.texts, verbose=0)
    assert metrics["accuracy"] == pytest.approx(np.mean(logits.argmax(-1) == split.labels))
    loss = np.logaddexp(*logits.T) - logits[np.arange(len(split)), split.labels]
    assert metrics["loss"] == pytest.approx(loss.mean(), abs=1e-4)


def test_weights_and_vocabulary_make_the_model_again(finished, small_text_recipe, small_remarks):
    fresh = from_architecture(
        "ngram_attention",
        small_remarks.label_names,
        preprocessing=small_text_recipe.preprocessing,
        **small_text_recipe.settings(),
    )
    fresh.read_assets(finished.folder)
    fresh.load_weights(finished.folder / "model.weights.h5")
    # In this order: a graph that is traced for other shapes first may round differently.
    metrics = training.evaluate(fresh, small_remarks["test"])
    assert metrics == finished.record["metrics"]["test"]
    texts = small_remarks["test"].texts
    np.testing.assert_allclose(
        fresh.predict(texts, verbose=0), finished.model.predict(texts, verbose=0), atol=1e-6
    )


def test_accuracy_by_length_is_that_of_texts_of_the_length(finished, small_remarks, monkeypatch):
    monkeypatch.setattr(text_metrics, "LENGTH_BOUNDS", (15, 25))
    texts = small_remarks["test"].texts
    lengths = finished.model.encode(texts).lengths
    answers = finished.model.predict(texts, verbose=0).argmax(-1).astype("int32")
    # Of the shortest all are right, of the others half, of the longest none.
    middle = (
        (lengths > 15) & (lengths <= 25) & (np.cumsum((lengths > 15) & (lengths <= 25)) % 2 > 0)
    )
    labels = np.where((lengths <= 15) | middle, answers, 1 - answers)
    metrics = training.evaluate(finished.model, datasets.TextSplit(texts, labels))
    counts = [int(((lengths > a) & (lengths <= b)).sum()) for a, b in ((0, 15), (15, 25), (25, 40))]
    assert min(counts) > 0
    shares = [1.0, pytest.approx(middle.sum() / counts[1]), 0.0]
    assert metrics["by_length"] == [
        {"up_to": bound, "accuracy": share, "examples": count}
        for bound, share, count in zip((15, 25, None), shares, counts, strict=True)
    ]
    assert metrics["accuracy"] == pytest.approx((counts[0] + middle.sum()) / 60)


@pytest.mark.slow
def test_a_run_that_was_interrupted_ends_as_one_that_was_not(
    finished, small_text_recipe, small_remarks, tmp_path
):
    class Interrupt(Exception):
        pass

    class Stop(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if int(self.model.optimizer.iterations) == 14:  # in the second epoch
                raise Interrupt

    settings = {"dataset": small_remarks, "verbose": 0}
    with pytest.raises(Interrupt):
        training.train(small_text_recipe, tmp_path / "run", callbacks=[Stop()], **settings)
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["00001-0000000"]
    assert not (tmp_path / "run" / "vocabulary.txt").exists()
    resumed = training.train(small_text_recipe, tmp_path / "run", resume=True, **settings)
    for a, b in zip(weights_of(finished), weights_of(resumed), strict=True):
        np.testing.assert_array_equal(a, b)
    for key in ("metrics", "temperature", "vocabulary_sha256", "forward_flops"):
        assert resumed.record[key] == finished.record[key]
    assert len((tmp_path / "run" / "log.csv").read_text().splitlines()) == 4


@pytest.mark.exhaustive
def test_another_seed_or_variant_is_another_run(
    finished, small_text_recipe, small_remarks, tmp_path
):
    epochs = small_text_recipe.training.model_copy(update={"epochs": 1})
    recipe = small_text_recipe.model_copy(update={"training": epochs})
    one, other = (
        training.train(
            recipe, tmp_path / f"run-{seed}", dataset=small_remarks, seed=seed, verbose=0
        )
        for seed in (0, 1)
    )
    assert other.record["seed"] == 1
    assert not np.array_equal(weights_of(one)[0], weights_of(other)[0])
    other = training.train(
        recipe, tmp_path / "run", dataset=small_remarks, seed=1, variant="no_attention", verbose=0
    )
    assert (other.record["seed"], other.record["variant"]) == (1, "no_attention")
    assert other.record["vocabulary_sha256"] == finished.record["vocabulary_sha256"]
    assert other.record["parameters"] < finished.record["parameters"]


IMAGES = """
task = "image_classification"
description = "one line"
dataset = "shapes"
architecture = "small_attention_cnn"
[optimizer]
name = "sgd"
learning_rate = 0.1
[training]
epochs = 1
batch_size = 8
"""
TEXTS = IMAGES.replace("image_", "text_").replace("shapes", "remarks")


@pytest.mark.parametrize(
    ("recipe", "match"),
    [
        (IMAGES + "[text]\nonce = true\n", r"text: unknown key\. Accepted here: .*augmentation"),
        (
            TEXTS + "[augmentation]\nflip = true\n",
            r"augmentation: unknown key\. Accepted here: .*text",
        ),
        (TEXTS + "[text]\nonce = 1\n", r"text\.once: must be true or false"),
        (TEXTS + "[text]\nmax_length = 0\n", r"text\.max_length: must be at least 1"),
        (TEXTS + "[text]\nlength = 9\n", r"text\.length: unknown key.*max_length, head, once"),
    ],
)
def test_a_section_that_is_not_for_the_task_is_refused(tmp_path, recipe, match):
    path = tmp_path / "recipe.toml"
    path.write_text(recipe)
    with pytest.raises(recipes.RecipeError, match=rf"(?s)recipe\.toml.*{match}"):
        recipes.load_recipe(path)


def test_recipes_of_both_tasks_load_without_those_sections(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(IMAGES)
    assert recipes.load_recipe(path).preprocessing == {}
    path.write_text(TEXTS + "[text]\nmin_count = 2\n")
    assert recipes.load_recipe(path).preprocessing == {
        **{"max_length": 512, "head": None, "once": False, "min_count": 2, "lowercase": True},
        "initial_ratios": "log_count",
    }
