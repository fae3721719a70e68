"""A task that no file of the library names goes the whole way: that is what `Task` promises."""

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_attn
from keras_attn import datasets, models, recipes, tasks, training, zoo
from keras_attn.zoo import publishing, registry
from tests.cli import command_line as commands
from tests.conftest import ROOT
from tests.training.runs import checkpoints_in, weights_of

pytestmark = pytest.mark.tensorflow  # the task reads strings, as TensorFlow does
NAME = "numbers_digit_network"
RECIPE = """
task = "digit_sum"
description = "Sums of digits."
dataset = "numbers"
architecture = "digit_network"
model = {units = 24}
variants.narrow = {units = 4}
optimizer = {name = "adamw", learning_rate = 0.02}
training = {epochs = 5, batch_size = 32, ema = 0.8}
"""
TEXTS = ["2718", "0", "99999999"]
command_line = commands.run  # a fixture


@pytest.fixture(scope="module", autouse=True)
def toy():
    """The module of the toy task, which registers it; until the tests of this file end."""
    yield importlib.import_module("tests.tasks.toy_task")
    recipes.unregister_task("digit_sum")
    models.unregister_architecture("digit_network")
    datasets.unregister_dataset("numbers")


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory, toy):
    """A catalogue of one entry, registered until the tests of this file end."""
    folder = tmp_path_factory.mktemp("catalogue")
    (folder / NAME).mkdir()
    (folder / NAME / "recipe.toml").write_text(RECIPE)
    assert zoo.register(folder) == [NAME]
    yield folder
    del registry._registered[NAME]


@pytest.fixture(scope="module")
def finished(catalogue, tmp_path_factory):
    """The run of the entry's recipe."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    return training.train(zoo.describe(NAME).recipe, folder, verbose=0)


@pytest.fixture(scope="module")
def published(finished):
    """The entry with its weights, its record and its card."""
    return publishing.publish(NAME, [finished.folder])


def sums(model):
    """The sums that a model gives for `TEXTS`."""
    return [answer.value for answer in model.answers(TEXTS)]


def test_no_file_of_the_library_names_it():
    for path in (ROOT / "keras_attn").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not [name for name in ("digit_sum", "digit_network", "DigitSum") if name in text], (
            path
        )


def test_it_is_listed_and_described(catalogue):
    assert "digit_sum" in recipes.list_tasks()
    assert keras_attn.list_models(task="digit_sum") == [NAME]
    entry = zoo.describe(NAME)
    assert entry.recipe.settings("narrow") == {"units": 4}
    assert recipes.describe_task(entry.recipe.task).model_class() is type(zoo.build(NAME, None))


def test_it_learns_and_its_record_holds_what_it_measures(finished):
    record = json.loads((finished.folder / "record.json").read_text())
    assert record == finished.record
    split = datasets.load("numbers")["test"]
    error = np.abs(
        np.array([a.value for a in finished.model.answers(split.inputs)]) - split.targets
    )
    assert record["metrics"]["test"]["error"] == pytest.approx(error.mean(), rel=1e-5)
    assert record["metrics"]["test"]["error"] < 6 < split.targets.std()
    assert set(record["metrics"]) == {"validation", "test"}
    assert record["data"] == {
        "name": "numbers",
        "label_names": [],
        **{f"{name}_sha256": split.fingerprint for name, split in datasets.load("numbers").items()},
    }
    assert record["parameters"] == finished.model.network.count_params()
    assert record["train_flops"] == 3 * record["forward_flops"] * 256 * 5
    assert training.evaluate(finished.model, split) == record["metrics"]["test"]
    log = (finished.folder / "log.csv").read_text().splitlines()
    assert (log[0], len(log)) == ("epoch,error,loss,val_error,val_loss", 6)


def test_the_weights_of_the_epoch_with_the_lowest_error_are_saved(finished):
    rows = [line.split(",") for line in (finished.folder / "log.csv").read_text().splitlines()]
    least = min(float(row[rows[0].index("val_error")]) for row in rows[1:])
    best = tasks.from_architecture("digit_network", units=24)
    best.load_weights(finished.folder / "best.weights.h5")
    metrics = best.evaluate_split(datasets.load("numbers")["validation"])
    assert metrics["error"] == pytest.approx(least, rel=1e-4)


class Terminate(keras.callbacks.Callback):
    """Sends SIGTERM to the process after a number of steps."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    finished, catalogue, tmp_path, command_line
):
    recipe, folder = zoo.describe(NAME).recipe, tmp_path / "run"
    with pytest.raises(training.InterruptedTrainingError):
        training.train(recipe, folder, callbacks=[Terminate(20)], verbose=0)
    assert checkpoints_in(folder) == ["00002-0000000", "00002-0000004"]  # of 8 steps an epoch
    options = ("--catalogue", catalogue, "train", NAME, "--out", folder)
    assert "--resume" in command_line(*options, code=1)
    assert "mean absolute error" in command_line(*options, "--resume")
    record = json.loads((folder / "record.json").read_text())
    assert record["metrics"] == finished.record["metrics"]
    resumed = training.train(recipe, folder, resume=True)  # finished: it is loaded
    for ours, theirs in zip(weights_of(resumed), weights_of(finished), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_it_is_published_with_a_card_and_built_from_the_zoo(published, finished):
    assert published.pretrained
    card = (published.folder / "README.md").read_text()
    error = f"{finished.record['metrics']['test']['error']:.3f}"
    for part in (
        'keras_attn.zoo.build("numbers_digit_network")',
        'model.answers(["2718"])',
        "a SavedModel that takes texts string (B,)",
        "mean absolute error",
        f"{error} (1 seed)",
        "the best on the validation split",
    ):
        assert part in card, card
    np.testing.assert_allclose(sums(zoo.build(NAME)), sums(finished.model), rtol=1e-5)
    with pytest.raises(ValueError, match="is for digit_sum, and has no labels"):
        zoo.build(NAME, num_classes=3)


def test_its_class_builds_its_entries_and_no_others(published, toy):
    assert sums(toy.DigitSum.from_preset(NAME)) == sums(zoo.build(NAME))
    with pytest.raises(ValueError, match="does digit_sum"):
        toy.DigitSum.from_preset("shapes_small_attention_cnn")


def test_fit_evaluate_and_predict_take_raw_input(toy):
    import tensorflow as tf

    model, split = zoo.build(NAME, None), datasets.load("numbers")["train"].take(slice(128))
    before = model.evaluate(split.inputs, split.targets, verbose=0)[0]
    model.fit(list(split.inputs), list(split.targets), verbose=0)
    model.fit(split.batches(32), validation_data=split.batches(32), verbose=0)
    model.fit(toy.SumBatches(split.inputs, split.targets, 32), verbose=0)
    after = model.evaluate(split.batches(32), verbose=0)[0]
    assert after == pytest.approx(model.evaluate(split.inputs, split.targets, verbose=0)[0], 1e-4)
    assert after < before
    strings = tf.data.Dataset.from_tensor_slices(TEXTS).batch(2)
    np.testing.assert_allclose(model.predict(strings, verbose=0)[:, 0], sums(model), rtol=1e-5)


def test_it_saves_and_loads(finished, tmp_path):
    finished.model.save(tmp_path / "model.keras")
    loaded = keras_attn.load(tmp_path / "model.keras")
    assert type(loaded) is type(finished.model)
    np.testing.assert_allclose(sums(loaded), sums(finished.model), rtol=1e-6)


CLIENT = """
import json, sys
sys.modules["keras"] = sys.modules["keras_attn"] = None  # an import of either fails
import tensorflow as tf
serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
print(json.dumps(serve(texts=tf.constant(json.loads(sys.argv[2])))["sum"].numpy().tolist()))
"""


@pytest.mark.slow
def test_an_export_answers_the_same_without_keras(finished, tmp_path):
    path = finished.model.export(tmp_path / "1")
    command = [sys.executable, "-c", CLIENT, str(path), json.dumps(TEXTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    np.testing.assert_allclose(json.loads(done.stdout), sums(finished.model), rtol=1e-5)
    with pytest.raises(TypeError, match=r"takes a path\. Received: views"):
        finished.model.export(tmp_path / "2", views=2)


def test_the_command_line_knows_it(published, command_line, finished, tmp_path):
    run, options = command_line, ("--catalogue", published.folder)
    assert "mean absolute error" in run(*options, "evaluate", NAME)
    figure = f"{finished.record['metrics']['test']['error']:.3f}"
    assert figure in run(*options, "list", "--task", "digit_sum")
    assert figure in run(*options, "show", NAME)
    printed = run(*options, "predict", NAME, "--json", *TEXTS)
    rows = [json.loads(line) for line in printed.splitlines()]
    assert [row["number"] for row in rows] == TEXTS
    assert [row["sum"] for row in rows] == pytest.approx(sums(finished.model), rel=1e-5)
    assert f"{rows[0]['sum']:.2f}" in run(*options, "predict", NAME, TEXTS[0])
    finished.model.save(tmp_path / "model.keras")
    assert f"{rows[0]['sum']:.2f}" in run(*options, "predict", tmp_path / "model.keras", TEXTS[0])
    assert "serving_default: texts string (B,)" in run(*options, "export", NAME, tmp_path / "1")
    error = run(*options, "predict", NAME, "--views", 2, TEXTS[0], code=1)
    assert "--views is not for numbers_digit_network, which does digit_sum" in error
    assert "does not explain its answers" in run(*options, "explain", NAME, TEXTS[0], code=1)
    assert "digit_sum" in run(*options, "evaluate", NAME, "--data", "a.csv", code=1)


def test_the_run_with_the_smallest_error_is_published(published, finished, tmp_path):
    shutil.copytree(finished.folder, tmp_path / "worse")
    record = json.loads((tmp_path / "worse" / "record.json").read_text())
    record["seed"] = finished.record["seed"] + 1
    record["metrics"]["validation"]["error"] += 1.0
    (tmp_path / "worse" / "record.json").write_text(json.dumps(record))
    entry = publishing.publish(NAME, [finished.folder, tmp_path / "worse"])
    assert entry.results["weights"]["seed"] == finished.record["seed"]
    assert len(entry.runs()) == 2
