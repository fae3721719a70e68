"""A run owns its folder, until its process ends."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from keras_attn import training
from keras_attn.training import folder_lock
from keras_attn.training.folder_lock import LOCK_FILE, FolderInUseError, owning
from tests.conftest import ROOT

OWN = """
import pathlib, sys, time
from keras_attn.training.folder_lock import owning
with owning(pathlib.Path(sys.argv[1])):
    print("owned", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def owner(tmp_path):
    """Another process, which owns the folder `run`."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWN, str(tmp_path / "run")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "owned\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("resume", [False, "auto"])
def test_a_folder_in_use_is_refused_until_its_owner_is_dead(
    owner, small_recipe, shapes, tmp_path, resume
):
    folder = tmp_path / "run"
    with pytest.raises(
        training.FolderInUseError,
        match=rf"run in progress: process {owner.pid} on {socket.gethostname()}, since 20\d\d-",
    ):
        training.train(small_recipe, folder, dataset=shapes, resume=resume)
    assert [path.name for path in folder.iterdir()] == [LOCK_FILE]
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    with owning(folder):
        assert json.loads((folder / LOCK_FILE).read_text())["pid"] == os.getpid()
    assert list(folder.iterdir()) == []


def test_a_folder_has_one_owner_under_all_its_names(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "Läufe und mehr", target_is_directory=True)
    with owning(tmp_path / "Läufe und mehr"), pytest.raises(FolderInUseError, match="link"):
        owning(tmp_path / "link").__enter__()


def test_only_what_was_created_is_removed(tmp_path):
    with owning(tmp_path / "a" / "b"):
        pass
    assert not (tmp_path / "a").exists()
    with pytest.raises(KeyError), owning(tmp_path / "a" / "b"):
        (tmp_path / "a" / "log.csv").write_text("")
        raise KeyError
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["log.csv"]


def test_a_forked_process_does_not_keep_the_lock(tmp_path):
    script = (
        "import os, pathlib, sys, time\n"
        "from keras_attn.training.folder_lock import owning\n"
        "with owning(pathlib.Path(sys.argv[1])):\n"
        "    child = os.fork()\n"
        "    if not child: time.sleep(600)\n"
        "    print(child, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "run")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        child = int(process.stdout.readline())
        process.stdout.close()
    try:
        time.sleep(0.2)
        with owning(tmp_path / "run"):
            pass
    finally:
        os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b"", "its process is not named"),
        (b"[" * 5000, "its process is not named"),
        (b'{"pid": 1, "host": "\\u001b[31m", "since": "now"}', r"process 1 on \\x1b\[31m"),
    ],
)
def test_the_owner_of_a_folder_is_shown_safely(tmp_path, content, shown):
    with owning(tmp_path / "run"):
        (tmp_path / "run" / LOCK_FILE).write_bytes(content)
        with pytest.raises(FolderInUseError, match=shown):
            owning(tmp_path / "run").__enter__()


def test_a_file_system_without_locks_is_warned_of(tmp_path, monkeypatch):
    def refuse(descriptor):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(folder_lock, "_lock", refuse)
    with pytest.warns(UserWarning, match="cannot be locked .No locks available"):
        owning(tmp_path / "run").__enter__()


def test_folders_that_cannot_be_written_are_named(tmp_path, small_recipe, shapes):
    def train(folder):
        training.train(small_recipe, folder, dataset=shapes, verbose=0)

    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file"):
        train(tmp_path / "file")
    with pytest.raises(OSError, match=r"run's folder .*file/run' cannot be written: Not a dir"):
        train(tmp_path / "file" / "run")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="link to nothing"):
        train(tmp_path / "dangling")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / LOCK_FILE).symlink_to(tmp_path / "file")
    with pytest.raises(OSError, match=r"run's folder .*run' cannot be written"):
        train(tmp_path / "run")
    assert (tmp_path / "file").read_text() == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_named(tmp_path, small_recipe, shapes):
    (tmp_path / "run").mkdir(mode=0o500)
    with pytest.raises(PermissionError, match="cannot be written: Permission denied"):
        training.train(small_recipe, tmp_path / "run", dataset=shapes, verbose=0)


WRITE = """
import pathlib, sys
import keras, numpy as np
from keras_attn.training.checkpoint import Checkpoints, State
from keras_attn.training.identity import Identity
folder, number, stop = pathlib.Path(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3])
checkpoints = Checkpoints(folder, Identity("digest", "", 0, "data", {}, [], ""))
model = keras.Sequential([keras.Input((200,)), keras.layers.Dense(300), keras.layers.Dense(200)])
model.compile("sgd")
for weight in model.weights:
    weight.assign(np.full(weight.shape, number))
written = failed = epoch = 0
print("started", flush=True)
while not stop.exists():
    epoch += 1
    try:
        checkpoints.save(model, State(epoch=epoch % 7, seconds=float(number)))
        written += 1
    except OSError:
        failed += 1
print(written, failed)
"""


@pytest.mark.slow
def test_two_writers_without_a_lock_leave_no_checkpoint_of_both(tmp_path):
    """As on a file system without locks: one may fail, and no checkpoint is a mixture."""
    stop = tmp_path / "stop"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITE, str(tmp_path), number, str(stop)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in ("1", "2")
    ]
    try:
        assert all(writer.stdout.readline() == "started\n" for writer in writers)
        checked, begun = 0, time.monotonic()
        while checked < 50 or time.monotonic() < begun + 2:  # both write meanwhile
            assert time.monotonic() < begun + 120, f"{checked} checkpoints checked in 120 s"
            for path in (tmp_path / "checkpoints").glob("0*"):
                checked += _check_one_writer(path)
    finally:
        stop.touch()
        counts = [tuple(map(int, writer.communicate()[0].split())) for writer in writers]
    print(f"written and failed, by writer: {counts}; {checked} whole checkpoints checked")
    assert all(written + failed for written, failed in counts)


def _check_one_writer(path):
    """Check that an intact checkpoint is of one writer; whether it was intact."""
    from keras_attn._files import sha256
    from keras_attn.training.checkpoint import STATE_FILE, VALUES_FILE

    try:
        state = json.loads((path / STATE_FILE).read_bytes())
        content = (path / VALUES_FILE).read_bytes()
        if state["sha256"] != sha256(path / VALUES_FILE):
            return False
        values = []
        with (path / VALUES_FILE).open("rb") as file:
            while len(values) < 4:
                values.append(np.load(file))
        if content != (path / VALUES_FILE).read_bytes():
            return False  # replaced meanwhile
    except (OSError, ValueError):
        return False  # removed meanwhile
    assert {float(x) for value in values for x in np.unique(value)} == {state["seconds"]}
    return True


COMPETE = """
import os, pathlib, random, sys, time
from keras_attn.training.folder_lock import FolderInUseError, owning
folder, marker = pathlib.Path(sys.argv[1]), str(os.getpid())
while True:
    try:
        with owning(folder):
            (folder / "owner").write_text(marker)
            time.sleep(random.uniform(0, 0.003))
            assert (folder / "owner").read_text() == marker
            (folder / "turns").open("a").write("x")
    except FolderInUseError:
        time.sleep(0.0005)
"""


@pytest.mark.slow
def test_processes_that_compete_and_are_killed_never_own_a_folder_together(tmp_path):
    random = np.random.default_rng(0)
    command = [sys.executable, "-c", COMPETE, str(tmp_path)]

    def start():
        return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)

    def turns():
        path = tmp_path / "turns"
        return len(path.read_text()) if path.exists() else 0

    def run_until(count):
        """Wait for a number of turns in all, while no process fails."""
        deadline = time.monotonic() + 120
        while turns() < count:
            check_running()
            assert time.monotonic() < deadline, f"{turns()} turns, {count} expected"
            time.sleep(0.01)

    def check_running():
        failed = [process for process in processes if process.poll() is not None]
        assert not failed, failed[0].stderr.read()

    processes = [start() for _ in range(3)]
    try:
        run_until(1)
        for _ in range(30):
            time.sleep(random.uniform(0, 0.3))
            check_running()
            index = random.integers(3)
            processes[index].kill()
            processes[index].communicate()
            processes[index] = start()
        run_until(max(200, turns() + 20))  # the lock of the last killed is free
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    print(f"{turns()} turns, 30 kills")
