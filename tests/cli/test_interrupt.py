"""Ctrl-C in the command `train`: what is done is saved, and the message says how to resume."""

import os
import signal
import subprocess
import sys

import pytest

from keras_attn.training.interruption import BEFORE_TRAINING, STOPPING
from tests.conftest import ROOT
from tests.training.runs import checkpoints_in

RECIPE = """
task = "image_classification"
description = "tiny"
dataset = "shapes"
architecture = "small_attention_cnn"
[model]
filters = [2, 4]
key_channels = 2
[optimizer]
name = "adamw"
learning_rate = 0.01
[training]
epochs = 2
batch_size = 500
"""
# The command, which is sent Ctrl-C where a function is called for the nth time.
SCRIPT = """
import importlib, os, signal, sys
from unittest import mock
module, kind, method, call, times = sys.argv[1:6]
del sys.argv[1:6]
from keras_attn import cli
from keras_attn.cli import framework
framework.start()  # before TensorFlow is imported
owner = getattr(importlib.import_module(module), kind)
original, calls = getattr(owner, method), []
def interrupted(self, *args, **kwargs):
    calls.append(args)
    if len(calls) == int(call):
        for _ in range(int(times)):
            os.kill(os.getpid(), signal.SIGINT)
    return original(self, *args, **kwargs)
with mock.patch.object(owner, method, interrupted):
    cli.main()
"""
STEP = ("keras_attn.training.callbacks", "SaveCheckpoints", "on_train_batch_begin")

pytestmark = [pytest.mark.exhaustive, pytest.mark.tensorflow]


@pytest.fixture
def train(tmp_path):
    """Run `train`, with Ctrl-C at a call of a function, and return the finished process."""
    (tmp_path / "zoo" / "shapes_tiny").mkdir(parents=True)
    (tmp_path / "zoo" / "shapes_tiny" / "recipe.toml").write_text(RECIPE)
    arguments = ["--catalogue", str(tmp_path / "zoo"), "train", "shapes_tiny"]
    arguments += ["--out", str(tmp_path / "run")]

    def run(*options, at=(), call=1, times=1, start=subprocess.run, **settings):
        command = [sys.executable, "-m", "keras_attn"]
        if at:
            command = [sys.executable, "-c", SCRIPT, *at, str(call), str(times)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return start(
            [*command, *arguments, *options], cwd=tmp_path, env=environment, text=True, **settings
        )

    def finished(*options, **settings):
        return run(*options, capture_output=True, check=False, **settings)

    finished.start = lambda: run(
        start=subprocess.Popen, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    return finished


def test_the_first_stops_after_the_step_with_a_checkpoint(train, tmp_path):
    done = train(at=STEP, call=3)
    assert done.returncode == 130, done.stderr[-3000:]
    assert done.stderr.splitlines() == [
        "",
        STOPPING,
        "error: Stopped by Ctrl-C after epoch 0, step 3, and a checkpoint. Run the same command "
        "with --resume to continue.",
    ]
    assert checkpoints_in(tmp_path / "run") == ["00000-0000003"]
    done = train("--resume")
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "run" / "record.json").exists()


def test_the_second_stops_at_once(train, tmp_path):
    done = train(at=STEP, call=3, times=2)
    assert done.returncode == 130, done.stderr[-3000:]
    assert done.stderr.splitlines() == ["", STOPPING, "", "Interrupted."]
    assert checkpoints_in(tmp_path / "run") == []
    done = train()  # as after SIGKILL, nothing is in the way of a new run
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize(
    "at",
    [
        ("keras_attn.training.request", "Request", "new_model"),
        ("keras_attn.training.learner", "Learner", "call"),  # while the first step is traced
        STEP,
    ],
    ids=lambda at: at[-1],
)
def test_before_the_first_step_nothing_is_saved_and_it_is_said(train, tmp_path, at):
    done = train(at=at)
    assert done.returncode == 130, done.stderr[-3000:]
    assert done.stderr == f"error: Stopped by Ctrl-C{BEFORE_TRAINING}\n"
    assert not (tmp_path / "run").exists()


def test_a_signal_from_elsewhere_stops_the_command(train, tmp_path):
    process = train.start()
    for line in process.stdout:
        if "Epoch 2" in line:
            process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors[-3000:]
    *_, last = checkpoints_in(tmp_path / "run")
    epoch, step = map(int, last.split("-"))
    assert f"Stopped by Ctrl-C after epoch {epoch}, step {step}, and a checkpoint." in errors
    assert epoch == 1
