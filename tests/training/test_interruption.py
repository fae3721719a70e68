"""SIGTERM at every stage of a run: it ends with status 75, and what was done is not lost."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading

import keras
import numpy as np
import pytest

from keras_attn import datasets, training
from keras_attn.training.interruption import BEFORE_TRAINING, STOPPING, handling_signals
from tests.conftest import ROOT
from tests.training.runs import checkpoints_in, weights_of


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


class Terminate(keras.callbacks.Callback):
    """SIGTERM at one of the calls of a callback."""

    def __init__(self, where):
        super().__init__()
        setattr(self, where, lambda *_, **__: terminate())


def reading(shapes, split, times):
    """A data set that sends SIGTERM when a split is read for the nth time."""
    reads = []

    def read():
        reads.append(split)
        if len(reads) == times:
            terminate()
        return shapes[split]

    readers = {name: (lambda name=name: shapes[name]) for name in shapes}
    return datasets.Dataset(shapes.name, shapes.label_names, {**readers, split: read})


@pytest.fixture
def interrupted(small_recipe, shapes, tmp_path):
    """Run until SIGTERM; the message."""
    before = signal.getsignal(signal.SIGTERM)

    def run(dataset=shapes, **options):
        with pytest.raises(training.InterruptedTrainingError) as raised:
            training.train(small_recipe, tmp_path / "run", dataset=dataset, verbose=0, **options)
        assert signal.getsignal(signal.SIGTERM) == before
        return str(raised.value)

    return run


def test_sigterm_while_data_are_read_leaves_nothing(interrupted, shapes, tmp_path):
    message = interrupted(reading(shapes, "train", times=1))
    assert message == f"Stopped by SIGTERM{BEFORE_TRAINING}"
    assert not (tmp_path / "run").exists()


def test_sigterm_before_the_first_step_leaves_nothing(interrupted, tmp_path):
    assert "Run the same command again" in interrupted(callbacks=[Terminate("on_train_begin")])
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("where", ["on_test_begin", "on_epoch_end"])
def test_sigterm_in_validation_waits_for_the_checkpoint(interrupted, tmp_path, where):
    message = interrupted(callbacks=[Terminate(where)])
    assert "after epoch 1, step 0, and a checkpoint. Run the same command with --resume" in message
    assert checkpoints_in(tmp_path / "run") == ["00001-0000000"]


@pytest.mark.slow
def test_sigterm_in_the_final_evaluation_is_resumed(
    interrupted, finished, small_recipe, shapes, tmp_path
):
    # First read for its fingerprint.
    message = interrupted(reading(shapes, "test", times=2))
    assert "after epoch 3, step 0, and a checkpoint" in message
    assert not (tmp_path / "run" / "record.json").exists()
    run = training.train(small_recipe, tmp_path / "run", dataset=shapes, resume=True, verbose=0)
    for a, b in zip(weights_of(finished), weights_of(run), strict=True):
        np.testing.assert_array_equal(a, b)
    assert run.record["weights_sha256"] == finished.record["weights_sha256"]


def test_sigterm_while_a_run_is_resumed_says_how_to_continue(
    interrupted, finished, shapes, tmp_path
):
    shutil.copytree(finished.folder, tmp_path / "run")
    (tmp_path / "run" / "record.json").unlink()
    message = interrupted(reading(shapes, "validation", times=2), resume=True)
    assert message == "Stopped by SIGTERM. Run the same command with --resume to continue."


def test_an_error_that_replaces_the_interruption_is_reported_as_one():
    with pytest.raises(training.InterruptedTrainingError), handling_signals():
        try:
            terminate()
        except KeyboardInterrupt as error:
            raise ValueError("a library met an error") from error


def test_an_interruption_that_was_swallowed_is_raised_at_the_next_check():
    with pytest.raises(training.InterruptedTrainingError), handling_signals() as stop:
        with contextlib.suppress(KeyboardInterrupt):
            terminate()
        terminate()  # a second signal does not disturb the cleanup
        stop.check()


def test_an_interruption_that_was_swallowed_is_raised_when_training_begins(
    interrupted, shapes, tmp_path
):
    def read():
        with contextlib.suppress(KeyboardInterrupt):
            terminate()
        return shapes["validation"]

    readers = {name: (lambda name=name: shapes[name]) for name in shapes}
    dataset = datasets.Dataset(shapes.name, shapes.label_names, {**readers, "validation": read})
    assert "before the first step was completed" in interrupted(dataset)
    assert not (tmp_path / "run").exists()


def test_keras_does_not_wrap_an_interruption():
    """Its message would have many lines, with the arguments of the layer that was called."""

    class Interrupted(keras.layers.Layer):
        def call(self, inputs):
            terminate()
            return inputs

    with pytest.raises(training.InterruptedTrainingError) as raised, handling_signals():
        Interrupted()(np.ones((1, 2), "float32"))
    assert str(raised.value) == f"Stopped by SIGTERM{BEFORE_TRAINING}"


def test_ctrl_c_is_handled_for_commands_alone():
    for handles in (handling_signals(), handling_signals(interrupts=True)):
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        with pytest.raises(KeyboardInterrupt), handles:
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), handling_signals():
        os.kill(os.getpid(), signal.SIGINT)
    with (
        pytest.raises(
            training.InterruptedTrainingError, match=r"^Stopped by Ctrl-C\. Resume"
        ) as got,
        handling_signals(interrupts=True),
        handling_signals() as stop,
    ):
        stop.message = ". Resume."
        os.kill(os.getpid(), signal.SIGINT)
    assert got.value.status == 130


def test_ctrl_c_stays_ignored_where_it_is():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with handling_signals(interrupts=True) as stop:
            os.kill(os.getpid(), signal.SIGINT)
        assert not stop.received
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_is_deferred_with_a_notice_and_the_second_one_ends_the_process():
    script = (
        "import os, signal\n"
        "from keras_attn.training.interruption import handling_signals\n"
        "with handling_signals(interrupts=True) as stop:\n"
        "    stop.deferred = True\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('step', flush=True)\n"
        "    try: os.kill(os.getpid(), signal.SIGINT)\n"
        "    finally: print('not reached', flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 130
    assert done.stdout == "step\n"
    assert done.stderr.split("\n") == ["", STOPPING, "", "Interrupted.", ""]


def test_other_threads_handle_no_signal():
    received = []

    def run():
        with handling_signals() as stop:
            received.append(stop.received)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert received == [False]


@pytest.mark.parametrize(
    "place",
    [
        "keras_attn.zoo.describe",
        pytest.param("keras_attn.cli.training.read_table", marks=pytest.mark.slow),
    ],
)
def test_the_command_ends_with_status_75_before_any_framework_is_loaded(tmp_path, place):
    script = (
        "import os, signal, sys\n"
        "from unittest import mock\n"
        "from keras_attn import cli, zoo\n"
        f"{place.split('.')[-1]} = lambda *_: os.kill(os.getpid(), signal.SIGTERM)\n"
        f"sys.argv = ['keras-attn', 'train', 'imdb_ngram_attention', '--data', {__file__!r}]\n"
        f"with mock.patch({place!r}, {place.split('.')[-1]}):\n"
        "    cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 75, done.stderr
    assert done.stderr == f"error: Stopped by SIGTERM{BEFORE_TRAINING}\n"
    assert not list(tmp_path.iterdir())
