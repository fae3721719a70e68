"""SIGKILL at random moments, through the command line: the result is that of an undisturbed run."""

import collections
import json
import os
import subprocess
import sys
import time

import pytest

from keras_attn.training.weights_files import values_sha256
from tests.conftest import ROOT
from tests.training.runs import checkpoints_in, random_generator

KILLS = int(os.environ.get("KERAS_ATTN_KILLS", "3"))
OPTIONS = ("--checkpoint-steps", "7")
RECIPE = """
task = "image_classification"
description = "tiny"
dataset = "shapes"
architecture = "small_attention_cnn"
[model]
filters = [2, 4]
key_channels = 2
[augmentation]
flip = true
mixup = 0.2
[optimizer]
name = "adamw"
learning_rate = 0.01
[training]
epochs = 4
batch_size = 100
ema = 0.9
"""


def start(folder, *options):
    command = [sys.executable, "-m", "keras_attn", "--catalogue", str(folder.parent / "zoo")]
    return subprocess.Popen(
        [*command, "train", "shapes_tiny", "--out", str(folder), *options],
        cwd=folder.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(folder, *options):
    process = start(folder, *options)
    _, errors = process.communicate()
    assert process.returncode == 0, errors[-3000:]


def stage(folder, before):
    """The stage that a killed run had reached."""
    if not (folder / ".lock").exists():
        return "before it owned its folder"
    if list(folder.glob("checkpoints/partial-*")):
        return "while a checkpoint was written"
    if (folder / "model.weights.h5").exists():
        return "while the model was recorded"
    return "in training" if checkpoints_in(folder) != before else "before its first checkpoint"


def disturb(folder, kills, duration, random, stages):
    """Start a run and kill it, again and again, until it is done or was killed `kills` times."""
    while kills:
        before = checkpoints_in(folder)
        process = start(folder, *OPTIONS, "--auto-resume")
        deadline = time.monotonic() + random.uniform(0, duration)
        if kills % 2:  # else most kills come while TensorFlow is imported
            latest = time.monotonic() + 120
            while checkpoints_in(folder) == before and process.poll() is None:
                if time.monotonic() > latest:
                    process.kill()
                    pytest.fail("no checkpoint within 120 s")
                time.sleep(0.005)
            deadline = time.monotonic() + random.uniform(0, 0.5)
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.005)
        process.kill()
        _, errors = process.communicate()
        assert process.returncode in (-9, 0), errors[-3000:]
        if process.returncode == 0:
            return
        kills -= 1
        stages[stage(folder, before)] += 1


def check_equal(folder, whole):
    for name in ("model.weights.h5", "best.weights.h5"):
        assert values_sha256(folder / name) == values_sha256(whole / name), name
    assert (folder / "log.csv").read_text() == (whole / "log.csv").read_text()
    record, expected = (json.loads((f / "record.json").read_text()) for f in (folder, whole))
    for key in ("metrics", "weights_sha256", "data", "parameters"):
        assert record[key] == expected[key], key
    names = {path.name for path in folder.iterdir()}
    assert names == {path.name for path in whole.iterdir()}, "something was left behind"


@pytest.mark.exhaustive
def test_runs_that_are_killed_at_random_moments_end_as_one_that_was_not(tmp_path):
    (tmp_path / "zoo" / "shapes_tiny").mkdir(parents=True)
    (tmp_path / "zoo" / "shapes_tiny" / "recipe.toml").write_text(RECIPE)
    started = time.monotonic()
    finish(tmp_path / "whole", *OPTIONS)
    duration = time.monotonic() - started
    print(f"undisturbed: {duration:.0f} s")
    random, stages, runs = random_generator(), collections.Counter(), 0
    while stages.total() < KILLS:
        runs += 1
        folder = tmp_path / f"Lauf {runs}, getötet"
        disturb(folder, KILLS - stages.total(), duration, random, stages)
        finish(folder, *OPTIONS, "--auto-resume")
        check_equal(folder, tmp_path / "whole")
    print(f"{stages.total()} kills of {runs} runs: {dict(stages)}")
