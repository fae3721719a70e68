"""Several workers on this machine, for trial and for tests of what runs on many."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from typing import Any

GRACE = 60.0  # seconds that the other workers have when one has ended


def launch(command: Sequence[str], workers: int, logs: pathlib.Path) -> int:
    """Run a command as so many workers of one job, each with its `TF_CONFIG`.

    The first worker, the chief, writes to this terminal; the others to files. SIGTERM and
    SIGINT go to the chief, which checkpoints. Where one ends with an error the others are ended.

    Args:
        command: what each worker runs, such as `[sys.executable, "-m", "keras_attn", ...]`.
        workers: how many, at least 2.
        logs: folder for `worker-1.log` and so on.

    Returns:
        The exit status of the chief; or of the first worker that failed, where the chief did
        not fail first.

    Raises:
        ValueError: fewer than 2 workers.
    """
    if workers < 2:
        raise ValueError(f"There must be at least 2 workers. Received: {workers}.")
    logs.mkdir(parents=True, exist_ok=True)
    hosts = [f"localhost:{port}" for port in _free_ports(workers)]
    threads = max(1, (os.cpu_count() or 1) // workers)
    processes: list[subprocess.Popen] = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(_ending(processes))
        stack.enter_context(_passing_on(processes))
        for index in range(workers):
            task = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
            output: Any = None
            if index:
                output = stack.enter_context((logs / f"worker-{index}.log").open("w"))
            processes.append(
                subprocess.Popen(
                    command,
                    env={
                        "TF_NUM_INTRAOP_THREADS": str(threads),  # they share the cores
                        **os.environ,
                        "TF_CONFIG": json.dumps(task),
                    },
                    stdout=output,
                    stderr=subprocess.STDOUT if index else None,
                    start_new_session=True,  # Ctrl-C is for us, who pass it on
                )
            )
        return _watch(processes, logs)


def _watch(processes: list[subprocess.Popen], logs: pathlib.Path) -> int:
    """The status of the job, once all have ended or one has failed."""
    while True:
        statuses = [process.poll() for process in processes]
        failed = [index for index, status in enumerate(statuses) if status]
        if failed:
            first = failed[0]
            if first:
                log = logs / f"worker-{first}.log"
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
                print(f"Worker {first} ended with {statuses[first]}; see {log}:\n{tail}")
            # The chief may be about to find out, and to say so.
            with contextlib.suppress(subprocess.TimeoutExpired):
                return processes[0].wait(GRACE if first else 0) or statuses[first] or 1
            return statuses[first] or 1
        if all(status == 0 for status in statuses):
            return 0
        time.sleep(0.2)


@contextlib.contextmanager
def _ending(processes: list[subprocess.Popen]) -> Iterator[None]:
    """Leave no worker behind."""
    try:
        yield
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
        for process in processes:
            process.wait()


@contextlib.contextmanager
def _passing_on(processes: list[subprocess.Popen]) -> Iterator[None]:
    """Pass SIGTERM and SIGINT on to the chief, as SIGTERM: it checkpoints and ends."""

    def pass_on(number: int, frame: Any) -> None:
        if not processes:
            raise KeyboardInterrupt
        processes[0].send_signal(signal.SIGTERM)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _free_ports(number: int) -> list[int]:
    """Ports that nobody listens to now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("localhost", 0))
        return [one.getsockname()[1] for one in sockets]
