"""Runs that keep their best epoch and stop early, also if they are interrupted."""

import warnings

import keras
import numpy as np
import pytest

from keras_attn import training
from keras_attn.tasks.classification import classification_objective
from keras_attn.training.selection import Selection, StopEarly
from tests.training.runs import weights_of

NAN = float("nan")
STEPS = 6  # an epoch


def test_epochs_are_ordered_by_the_metric_and_then_by_the_loss():
    selection = Selection(classification_objective(0.0))
    values = [(0.5, 0.1), (0.9, 0.4), (0.9, 0.3), (0.9, 0.3), (NAN, 0.0), (0.8, NAN)]
    history = [{"val_accuracy": accuracy, "val_loss": loss} for accuracy, loss in values]
    assert selection.best(history) == 2
    assert selection.epochs_since_best(history) == 3
    assert selection.best([{"loss": 1.0}, {"val_accuracy": NAN}]) is None
    assert selection.epochs_since_best([{"loss": 1.0}] * 2) == 0
    assert StopEarly(selection, 3, history).is_due
    assert not StopEarly(selection, 4, history).is_due
    assert not StopEarly(selection, None, history).is_due


def with_selection(recipe, **changes):
    update = {"epochs": 6, "keep": "best", **changes}
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=update)})


class Weights(keras.callbacks.Callback):
    """The weights of the network at the end of each epoch; interrupts a run if asked to."""

    def __init__(self, interrupt_at=None):
        super().__init__()
        self.of_epochs, self.interrupt_at = [], interrupt_at

    def on_train_batch_begin(self, batch, logs=None):
        if self.interrupt_at and int(self.model.optimizer.iterations) == self.interrupt_at:
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch, logs=None):
        self.of_epochs.append(
            [np.array(weight) for weight in self.model.task.network.get_weights()]
        )


def check_equal(run, weights):
    # Of the network: the temperature of the task is set after training.
    for received, expected in zip(run.model.network.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(received, expected)


@pytest.mark.exhaustive
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_resumed_run_keeps_the_best_epoch(small_recipe, shapes, tmp_path, monkeypatch, ema):
    # The epoch with the worst accuracy counts as the best, which is not the last one.
    monkeypatch.setattr(Selection, "rank", lambda self, logs: (-logs["val_accuracy"], 0.0))
    recipe = with_selection(small_recipe, patience=2, ema=ema)
    seen, settings = Weights(), {"dataset": shapes, "verbose": 0}
    run = training.train(recipe, tmp_path / "whole", callbacks=[seen], **settings)
    best, epochs = run.record["best_epoch"], run.record["epochs"]
    assert epochs == best + 3 < 6
    assert len(seen.of_epochs) == epochs
    check_equal(run, seen.of_epochs[best])
    assert run.record["train_flops"] == 3 * run.record["forward_flops"] * 192 * epochs
    assert [path.name for path in run.folder.glob("best*")] == ["best.weights.h5"]
    assert len((run.folder / "log.csv").read_text().splitlines()) == 1 + epochs
    folder = tmp_path / "interrupted"
    with pytest.raises(KeyboardInterrupt):
        training.train(recipe, folder, callbacks=[Weights(STEPS * (best + 1) + 2)], **settings)
    assert [path.name for path in folder.glob("best*")] == [f"best-{best:05d}.weights.h5"]
    resumed = training.train(recipe, folder, resume=True, **settings)
    check_equal(resumed, seen.of_epochs[best])
    assert resumed.record["best_epoch"] == best
    assert resumed.record["metrics"] == run.record["metrics"]


@pytest.mark.slow
def test_a_run_whose_best_weights_are_gone_says_so(small_recipe, shapes, tmp_path, monkeypatch):
    monkeypatch.setattr(Selection, "rank", lambda self, logs: (-logs["val_loss"] * 0, 0.0))
    recipe, folder = with_selection(small_recipe, epochs=2), tmp_path / "run"
    settings = {"dataset": shapes, "verbose": 0}
    with pytest.raises(KeyboardInterrupt):  # the first epoch is the best
        training.train(recipe, folder, callbacks=[Weights(STEPS + 2)], **settings)
    (folder / "best-00000.weights.h5").write_bytes(b"damaged")
    with pytest.raises(training.CheckpointError, match=r"best\.weights\.h5.*missing or damaged"):
        training.train(recipe, folder, resume=True, **settings)


@pytest.mark.slow
def test_weights_of_a_lost_attempt_at_an_epoch_are_discarded(
    small_recipe, shapes, tmp_path, monkeypatch
):
    """A run that is killed before its checkpoint repeats the epoch, on a GPU with other results."""
    recipe = with_selection(small_recipe, epochs=3)
    settings, folder = {"dataset": shapes, "verbose": 0}, tmp_path / "run"
    monkeypatch.setattr(Selection, "rank", lambda self, logs: (0.0, 0.0))  # the first is the best
    seen = Weights()
    training.train(recipe, tmp_path / "whole", callbacks=[seen], **settings)
    with pytest.raises(KeyboardInterrupt):
        training.train(recipe, folder, callbacks=[Weights(STEPS + 2)], **settings)
    (folder / "best-00001.weights.h5").write_bytes(b"of the lost attempt")
    check_equal(training.train(recipe, folder, resume=True, **settings), seen.of_epochs[0])
    assert [path.name for path in folder.glob("best*")] == ["best.weights.h5"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["record.json", "model.weights.h5"])
def test_a_finished_run_with_a_damaged_file_is_finished_again(small_recipe, shapes, tmp_path, name):
    recipe, settings = with_selection(small_recipe, epochs=2), {"dataset": shapes, "verbose": 0}
    run = training.train(recipe, tmp_path / "run", **settings)
    (run.folder / name).write_bytes(b"damaged")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        again = training.train(recipe, run.folder, resume=True, **settings)
    for received, expected in zip(weights_of(again), weights_of(run), strict=True):
        np.testing.assert_array_equal(received, expected)
    assert again.record["metrics"] == run.record["metrics"]


def test_the_new_keys_do_not_change_the_digest_of_recipes(small_recipe):
    assert with_selection(small_recipe, keep="last", patience=None, epochs=3).digest == (
        small_recipe.digest
    )
    assert with_selection(small_recipe, epochs=3).digest != small_recipe.digest
