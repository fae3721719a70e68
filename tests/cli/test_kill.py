"""SIGKILL at random moments, through the command line: the result is that of an undisturbed run."""

import collections
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from keras_attn.training.weights_files import values_sha256
from tests.conftest import ROOT
from tests.training.runs import checkpoints_in

KILLS = int(os.environ.get("KERAS_ATTN_KILLS", "4"))  # the counts in the docs are of more
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


@pytest.mark.slow
def test_a_run_that_is_killed_at_random_moments_ends_as_one_that_was_not(tmp_path):
    (tmp_path / "zoo" / "shapes_tiny").mkdir(parents=True)
    (tmp_path / "zoo" / "shapes_tiny" / "recipe.toml").write_text(RECIPE)
    whole, folder = tmp_path / "whole", tmp_path / "Lauf, getötet"
    started = time.monotonic()
    finish(whole, "--checkpoint-steps", "7")
    duration = time.monotonic() - started
    seed = np.random.SeedSequence().entropy
    print(f"seed {seed}; undisturbed: {duration:.0f} s")
    random, stages = np.random.default_rng(seed), collections.Counter()
    options = ("--checkpoint-steps", "7", "--auto-resume")
    for kill in range(KILLS):
        before = checkpoints_in(folder)
        process = start(folder, *options)
        deadline = time.monotonic() + random.uniform(0, duration)
        if kill % 2:  # else most kills come while TensorFlow is imported
            while checkpoints_in(folder) == before and process.poll() is None:
                time.sleep(0.005)
            deadline = time.monotonic() + random.uniform(0, 0.5)
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.005)
        process.kill()
        _, errors = process.communicate()
        assert process.returncode in (-9, 0), errors[-3000:]
        if process.returncode == 0:
            stages["after its end"] += 1
            break
        stages[stage(folder, before)] += 1
    print(f"{stages.total()} kills: {dict(stages)}")
    finish(folder, *options)
    for name in ("model.weights.h5", "best.weights.h5"):
        assert values_sha256(folder / name) == values_sha256(whole / name), name
    assert (folder / "log.csv").read_text() == (whole / "log.csv").read_text()
    record, expected = (json.loads((f / "record.json").read_text()) for f in (folder, whole))
    for key in ("metrics", "weights_sha256", "data", "parameters"):
        assert record[key] == expected[key], key
    names = {path.name for path in folder.iterdir()}
    assert names == {path.name for path in whole.iterdir()}, "something was left behind"
