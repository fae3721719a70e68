"""The command line on a folder of one's own images."""

import numpy as np
import pytest

from keras_attn import datasets, training, zoo
from keras_attn.recipes import load_recipe
from keras_attn.recipes.recipe import Optimizer, Schedule
from tests.cli import command_line
from tests.cli.command_line import figures, read_record, registered

pytest.importorskip("PIL")
from PIL import Image

pytestmark = pytest.mark.tensorflow

run = command_line.run
NAME, QUICK = "shapes_tiny", "cifar10_attention_net_quick"
RECIPE = """
task = "image_classification"
description = "tiny"
dataset = "shapes"
architecture = "small_attention_cnn"

[model]
image_size = 8
filters = [4, 8]

[optimizer]
name = "adamw"
learning_rate = 0.01

[schedule]
warmup_epochs = 0.5

[training]
epochs = 2
batch_size = 64
"""


@pytest.fixture(scope="module", autouse=True)
def catalogue(tmp_path_factory):
    with registered(tmp_path_factory.mktemp("catalogue"), NAME, RECIPE) as folder:
        yield folder


def draw(folder, count, start=0):
    """Write bright and dark images of noise, into a folder for each."""
    for label, low in (("bright", 160), ("dark", 0)):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for index in range(start, start + count):
            random = np.random.default_rng([index, low])
            values = random.integers(low, low + 96, (10, 12, 3), "uint8")
            Image.fromarray(values).save(folder / label / f"{index}.png")


@pytest.mark.slow
def test_a_folder_is_trained_on_resumed_and_evaluated(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "light", 20)
    (tmp_path / "light" / "dark" / "bad.png").write_text("no image")
    draw(tmp_path / "later", 5, start=50)
    command = ("train", NAME, "--data", "light", "--epochs", "1", "--test-data", "later")
    printed = run(*command)
    assert "light: 41 files read, 40 kept, 1 skipped." in printed
    assert "1 unreadable as an image (dark/bad.png)" in printed
    assert "later: 10 files read, 10 kept" in printed
    assert "Split: 36 train, 4 validation, 10 test." in printed
    assert "lowered to 9" in printed
    folder = tmp_path / "runs" / f"light-{NAME}-seed0"
    assert f"keras-attn predict runs/{folder.name}/model.keras image.png" in printed
    assert read_record(folder)["data"]["name"] == "light"
    assert "bright" in run("predict", folder / "model.keras", "later/bright/50.png")

    printed = run("evaluate", folder / "model.keras", "--data", "later")
    assert figures(printed)["data"] == "later"
    assert figures(printed)["examples"] == "10"
    # A finished run is returned as it is, unless the images are others.
    finished = read_record(folder)
    run(*command, "--resume")
    assert read_record(folder) == finished
    (tmp_path / "light" / "dark" / "0.png").unlink()
    assert "belongs to another run" in run(*command, "--resume", code=1)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (("--data", "none"), "no file or folder 'none'"),
        (("--data", "light"), "must hold a folder of images for each label"),
        (("--data", "light", "--text-column", "x"), "--text-column: not for"),
        (("--data", "light", "--encoding", "latin-1"), "--encoding: not for"),
        (("--data", "light", "--test-data", "later", "--test", "0.2"), "one or the other"),
        (("--data", "light", "--test-target", "x"), "--test-target: not for"),
    ],
)
def test_what_cannot_be_trained_on(run, tmp_path, monkeypatch, options, match):
    monkeypatch.chdir(tmp_path)
    for name in ("light", "later"):
        (tmp_path / name).mkdir()
    (tmp_path / "x").touch()
    assert match in run("train", NAME, *options, code=1)


def test_a_trained_backbone_is_fine_tuned_by_adamw_unless_the_user_changes_it():
    recipe, start = zoo.describe(QUICK).recipe, {"initial_entry": QUICK}
    images = datasets.ImageSplit(np.zeros((240, 32, 32, 3), "uint8"), np.zeros(240, "int32"))
    fitted, notes = training.fit_recipe(recipe, {"train": images}, changes=start)
    assert fitted.initial_entry == QUICK
    assert fitted.optimizer == Optimizer(name="adamw", learning_rate=1e-3)
    assert fitted.schedule == Schedule(decay="linear")
    assert (fitted.training.epochs, fitted.training.batch_size) == (20, 60)
    assert notes[0].startswith("Fine-tunes trained weights: optimizer = {'name': 'adamw', 'lea")
    changes = {"optimizer.learning_rate": 3e-4, "training.epochs": 5, "schedule.decay": "cosine"}
    fitted, _ = training.fit_recipe(recipe, {"train": images}, changes={**start, **changes})
    assert fitted.optimizer == Optimizer(name="adamw", learning_rate=3e-4)
    assert (fitted.training.epochs, fitted.schedule.decay) == (5, "cosine")
    # A recipe that is written for fine-tuning keeps its values.
    for own in (recipe, recipe.model_copy(update=start)):
        fitted, _ = training.fit_recipe(own, {"train": images})
        assert (fitted.optimizer, fitted.schedule) == (recipe.optimizer, recipe.schedule)
        assert fitted.training.epochs == recipe.training.epochs


@pytest.mark.slow
def test_a_folder_is_trained_on_from_trained_weights(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "light", 20)
    entry = "shapes_small_attention_cnn"
    printed = run("train", entry, "--data", "light", "--from", entry, "--epochs", "1")
    assert f"Starts from the trained weights of '{entry}', with a new head." in printed
    assert "Note: Fine-tunes trained weights: optimizer" in printed
    folder = tmp_path / "runs" / f"light-{entry}-seed0"
    assert read_record(folder)["initial"]["entry"] == entry
    assert load_recipe(folder / "recipe.toml").optimizer.name == "adamw"
    assert "bright" in run("predict", f"runs/{folder.name}", "light/bright/0.png")
    printed = run("train", entry, "--data", "light", "--epochs", "1", "--out", "scratch")
    assert "Trains from scratch; --from ENTRY starts from trained weights." in printed


@pytest.mark.slow
def test_a_folder_of_splits_is_evaluated_one_by_one(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, part in enumerate(("train", "test")):
        draw(tmp_path / "light" / part, 6, start=10 * number)
    printed = run("train", NAME, "--data", "light", "--epochs", "1", "--out", "run")
    assert "Split: 10 train, 2 validation, 12 test." in printed
    message = run("evaluate", "run/model.keras", "--data", "light", code=1)
    assert "has folders of splits: test, train. Choose the folder of one, such as light/test" in (
        message
    )
    assert figures(run("evaluate", "run/model.keras", "--data", "light/test"))["examples"] == "12"
