"""Runs that are stopped, killed, denied the disk or given damaged checkpoints, and go on."""

import json
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from keras_attn import training
from tests.conftest import ROOT
from tests.training.runs import checkpoints_in, random_generator, weights_of


def small_run(folder, *options):
    """`train_small`, in a process of its own."""
    command = [sys.executable, "-m", "tests.training.train_small", str(folder), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def contents(path):
    """What a file says: of weights their values, for HDF5 keeps the time as well."""
    if path.suffix != ".h5":
        return path.read_text()
    import h5py

    values = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: (
                values.update({name: item[()].tobytes()})
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    return values


@pytest.fixture(scope="module")
def small_whole(tmp_path_factory):
    """`train_small` that nobody disturbed."""
    folder = tmp_path_factory.mktemp("small") / "whole"
    done = small_run(folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def check_as_whole(folder, small_whole):
    for name in ("model.weights.h5", "best.weights.h5", "log.csv"):
        assert contents(folder / name) == contents(small_whole / name), name
    record, whole = (json.loads((f / "record.json").read_text()) for f in (folder, small_whole))
    assert record["metrics"] == whole["metrics"]
    assert record["weights_sha256"] == whole["weights_sha256"]


@pytest.mark.exhaustive
def test_a_run_that_was_killed_again_and_again_ends_as_one_that_was_not(tmp_path, small_whole):
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "tests.training.train_small", str(folder), "--every", "2"]
    random = random_generator()
    for attempt in range(3):
        before = checkpoints_in(folder)
        process = subprocess.Popen(
            [*command, *(["--resume"] if attempt else [])], cwd=ROOT, stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 120
        while checkpoints_in(folder) == before and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(random.uniform(0.0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (folder / "record.json").exists()
    assert small_run(folder, "--resume").returncode == 0
    check_as_whole(folder, small_whole)


DAMAGES = {
    "truncate": lambda content: content[: len(content) // 2],
    "flip": lambda content: content[:300] + bytes([content[300] ^ 1]) + content[301:],
    "empty": lambda content: b"",
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", ["variables.npy", "state.json"])
def test_a_damaged_checkpoint_is_reported_and_the_previous_one_restored(
    finished, small_recipe, shapes, tmp_path, damage, file
):
    folder = tmp_path / "run"
    shutil.copytree(finished.folder, folder)
    (folder / "record.json").unlink()
    assert checkpoints_in(folder) == ["00002-0000000", "00003-0000000"]
    path = folder / "checkpoints" / "00003-0000000" / file
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.warns(UserWarning, match=rf"00003-0000000.{file}.*The checkpoint before it"):
        again = training.train(small_recipe, folder, dataset=shapes, resume=True, verbose=0)
    for a, b in zip(weights_of(finished), weights_of(again), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_run_all_of_whose_checkpoints_are_damaged_is_refused(
    finished, small_recipe, shapes, tmp_path
):
    folder = tmp_path / "run"
    shutil.copytree(finished.folder, folder)
    (folder / "record.json").unlink()
    for path in (folder / "checkpoints").glob("*/variables.npy"):
        path.unlink()
    with (
        pytest.warns(UserWarning, match="before it is used"),
        pytest.raises(training.CheckpointError, match=r"(?s)missing or damaged.*Start afresh"),
    ):
        training.train(small_recipe, folder, dataset=shapes, resume=True, verbose=0)


def test_a_checkpoint_of_another_model_is_refused(finished, tmp_path):
    from keras_attn.training import checkpoint

    values = finished.folder / "checkpoints" / "00003-0000000" / "variables.npy"
    learner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    learner.compile("sgd")
    with pytest.raises(training.CheckpointError, match="written by other code"):
        checkpoint.restore(learner, values)  # of other shapes
    with (tmp_path / "one.npy").open("wb") as file:
        np.save(file, np.zeros((3, 2), "float32"))
    with pytest.raises(training.CheckpointError, match="fewer than"):
        checkpoint.restore(learner, tmp_path / "one.npy")


def test_what_else_lies_among_the_checkpoints_is_let_be(tmp_path):
    from keras_attn.training.checkpoint import Checkpoints, Identity, State

    checkpoints = Checkpoints(tmp_path, Identity("digest", "", 0, "data", {}, [], ""))
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd")
    checkpoints.save(model, State(epoch=1))
    shutil.copytree(tmp_path / "checkpoints" / "00001-0000000", tmp_path / "checkpoints" / "backup")
    for epoch in (2, 99_999, 100_000):
        checkpoints.save(model, State(epoch=epoch))
    state, _ = checkpoints.latest()
    assert state.epoch == 100_000
    assert checkpoints_in(tmp_path) == ["100000-0000000", "99999-0000000", "backup"]


@pytest.mark.slow
def test_auto_resume_starts_again_where_the_first_checkpoint_was_not_whole(
    finished, small_recipe, shapes, tmp_path
):
    folder = tmp_path / "run"
    (folder / "checkpoints" / "partial").mkdir(parents=True)
    (folder / "log.csv").write_text("epoch\n")
    run = training.train(small_recipe, folder, dataset=shapes, resume="auto", verbose=0)
    for a, b in zip(weights_of(finished), weights_of(run), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.exhaustive
def test_a_full_disk_leaves_the_checkpoint_before_it_whole(tmp_path, small_whole):
    folder = tmp_path / "run"
    done = small_run(folder, "--full-after", "2")
    assert done.returncode == 1, done.stderr[-3000:]
    assert "could not be written" in done.stderr
    assert "00002-0000000 was written before" in done.stderr
    assert checkpoints_in(folder) == ["00001-0000000", "00002-0000000"]
    assert small_run(folder, "--resume").returncode == 0
    check_as_whole(folder, small_whole)


@pytest.mark.exhaustive
def test_a_stopped_run_writes_a_checkpoint_within_the_epoch(tmp_path, small_whole):
    folder = tmp_path / "run"
    done = small_run(folder, "--stop-at", "15")  # six steps an epoch
    assert done.returncode == 75, done.stderr[-3000:]
    assert "after epoch 2, step 3, and a checkpoint" in done.stderr
    assert checkpoints_in(folder) == ["00002-0000000", "00002-0000003"]
    assert small_run(folder, "--resume").returncode == 0
    check_as_whole(folder, small_whole)


@pytest.mark.slow
def test_auto_resume_starts_afresh_where_there_is_nothing(finished, small_recipe, shapes, tmp_path):
    settings = {"dataset": shapes, "resume": "auto", "verbose": 0}
    for _ in range(2):  # the second goes on, and has nothing left to do
        run = training.train(small_recipe, tmp_path / "run", **settings)
        for a, b in zip(weights_of(finished), weights_of(run), strict=True):
            np.testing.assert_array_equal(a, b)
