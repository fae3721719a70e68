"""Launch several workers on this machine, to try and to test multi-worker training."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from keras_attn._printable import printable
from keras_attn.training.interruption import INTERRUPTED, STOPPING, notify

GRACE_SECONDS = 60.0  # for the chief to end by itself after another worker has failed


def launch(command: Sequence[str], workers: int, logs: pathlib.Path) -> int:
    """Run a command in several workers of one job, each with its own `TF_CONFIG`.

    The first worker, the chief, writes to this terminal, and the others to log files. SIGTERM is
    forwarded to the chief, and so is the first Ctrl-C, as SIGTERM: the chief writes a checkpoint
    and exits. A second Ctrl-C kills the workers. When a worker fails, the others are killed.

    Args:
        command: The command of each worker, such as `[sys.executable, "-m", "keras_attn", ...]`.
        workers: Number of workers, at least 2.
        logs: Folder for `worker-1.log` and so on.

    Returns:
        0 if all workers succeeded; `INTERRUPTED` after Ctrl-C. Otherwise the exit status of the
        chief if it has failed, else that of the first worker that failed.

    Raises:
        ValueError: `workers` is below 2.
        KeyboardInterrupt: Ctrl-C was received twice, or before a worker was started.
    """
    if workers < 2:
        raise ValueError(f"There must be at least 2 workers. Received: {workers}.")
    logs.mkdir(parents=True, exist_ok=True)
    hosts = [f"localhost:{port}" for port in _free_ports(workers)]
    threads = max(1, (os.cpu_count() or 1) // workers)
    processes: list[subprocess.Popen] = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(_kill_at_exit(processes))
        interrupts = stack.enter_context(_forward_signals(processes))
        for index in range(workers):
            task = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
            output: Any = None
            if index:
                output = stack.enter_context((logs / f"worker-{index}.log").open("w"))
            processes.append(
                subprocess.Popen(
                    command,
                    env={
                        "TF_NUM_INTRAOP_THREADS": str(threads),  # the workers share the cores
                        **os.environ,
                        "TF_CONFIG": json.dumps(task),
                    },
                    stdout=output,
                    stderr=subprocess.STDOUT if index else None,
                    start_new_session=True,  # Ctrl-C must reach this process alone
                )
            )
        status = _watch(processes, logs)
        return INTERRUPTED if interrupts and status else status


def _watch(processes: list[subprocess.Popen], logs: pathlib.Path) -> int:
    """Wait until all workers have ended or one has failed, and return the status of the job."""
    while True:
        statuses = [process.poll() for process in processes]
        failed = [index for index, status in enumerate(statuses) if status]
        if failed:
            first = failed[0]
            if first:
                log = logs / f"worker-{first}.log"
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
                report = f"Worker {first} ended with {statuses[first]}; see {log}:\n{tail}"
                print(printable(report, keep="\n\t"), file=sys.stderr)
            # The chief may be about to detect the failure and report it.
            with contextlib.suppress(subprocess.TimeoutExpired):
                return processes[0].wait(GRACE_SECONDS if first else 0) or statuses[first] or 1
            return statuses[first] or 1
        if all(status == 0 for status in statuses):
            return 0
        time.sleep(0.2)


@contextlib.contextmanager
def _kill_at_exit(processes: list[subprocess.Popen]) -> Iterator[None]:
    """Kill the workers that still run at the end of the block."""
    try:
        yield
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
        for process in processes:
            process.wait()


@contextlib.contextmanager
def _forward_signals(processes: list[subprocess.Popen]) -> Iterator[list[int]]:
    """Forward SIGTERM and the first SIGINT to the chief as SIGTERM, inside the block.

    Yields:
        The numbers of the interrupts that were received.
    """
    interrupts: list[int] = []

    def forward(number: int, frame: Any) -> None:
        if not processes or (interrupts and number == signal.SIGINT):
            raise KeyboardInterrupt
        if number == signal.SIGINT:
            interrupts.append(number)
            notify(STOPPING)
        processes[0].send_signal(signal.SIGTERM)

    numbers = [signal.SIGTERM]
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        numbers.append(signal.SIGINT)
    before = {number: signal.signal(number, forward) for number in numbers}
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _free_ports(number: int) -> list[int]:
    """Return ports that are free now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("localhost", 0))
        return [one.getsockname()[1] for one in sockets]
