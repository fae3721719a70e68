"""Time in turns, peak memory, and a fresh process for each: what benchmarks share."""

import ctypes
import gc
import multiprocessing
import os
import pathlib
import resource
import signal
import statistics
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, Self

Call = Callable[[], None]  # returns when the work is done

OUT_OF_MEMORY = "out of memory"


class DiedError(RuntimeError):
    """A measuring process ended without an answer."""


def in_fresh_process(method: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what `function` returns in a new process.

    Args:
        method: `"forkserver"`, a copy of a process that has done nothing but import (see
            `preload`); or `"spawn"`, from nothing.
        function: importable, as are the classes of its arguments.
        arguments: of the function.
    """
    context = multiprocessing.get_context(method)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, function, arguments))
    process.start()
    sender.close()
    try:
        failure, answer = receiver.recv()
    except EOFError:
        process.join()
        raise DiedError(f"the process ended with {process.exitcode}") from None
    process.join()
    if failure:
        raise RuntimeError(f"In a process of its own:\n{failure}")
    return answer


class Served:
    """An object in a process of its own, whose methods are called from here, one at a time.

    Between calls the process is stopped: threads that wait in a loop for work would take the
    cores from another's.

    Args:
        factory: gives the object; importable, as are the classes of its arguments.
        arguments: of the factory.
    """

    def __init__(self, factory: Callable[..., Any], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, factory, arguments), daemon=True
        )
        self._process.start()
        theirs.close()

    def call(self, method: str, *arguments: Any) -> Any:
        """Return what the object's method returns there."""
        try:
            self._signal(signal.SIGCONT)
            self._connection.send((method, arguments))
            failure, answer = self._connection.recv()
        except (EOFError, BrokenPipeError):
            self._process.join()
            raise DiedError(f"the process ended with {self._process.exitcode}") from None
        if failure:
            raise RuntimeError(f"In a process of its own:\n{failure}")
        self._signal(signal.SIGSTOP)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the process, stopped or not."""
        self._connection.close()
        self._process.kill()
        self._process.join()

    def _signal(self, number: int) -> None:
        if self._process.pid is not None and self._process.is_alive():
            os.kill(self._process.pid, number)


def _serve(connection: Any, factory: Callable[..., Any], arguments: tuple) -> None:
    served, failure = None, None
    try:
        served = factory(*arguments)
    except Exception:
        failure = traceback.format_exc()
    while True:
        try:
            method, values = connection.recv()
        except EOFError:
            return
        if failure is None:
            _answer(connection, getattr(served, method), values)
        else:
            connection.send((failure, None))


def preload(*modules: str) -> None:
    """Have the fork server import these, once, before the first process is copied."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(list(modules))


def _answer(sender: Any, function: Callable[..., Any], arguments: tuple) -> None:
    try:
        sender.send((None, function(*arguments)))
    except Exception:
        sender.send((traceback.format_exc(), None))


# Time.


def take_turns(
    calls: dict[str, Call], seconds: float, fewest: int = 2, most: int = 100
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Seconds of each call in every round, and why a call has none.

    Every call is made once or more to warm up. Then all are made in turn, a round starting
    with another one each time, for as many rounds as `seconds` allows.
    """
    failures = {}
    for name, call in calls.items():
        try:
            started = time.perf_counter()
            for _ in range(3):
                call()
                if time.perf_counter() - started > 0.2:
                    break
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            failures[name] = OUT_OF_MEMORY
    names = [name for name in calls if name not in failures]
    times: dict[str, list[float]] = {name: [] for name in names}
    started = time.perf_counter()
    for number in range(most if names else 0):
        spent = time.perf_counter() - started
        if number >= fewest and spent * (number + 1) / number > seconds:
            break
        first = number % len(names)
        for name in names[first:] + names[:first]:
            times[name].append(timed(calls[name]))
    return times, failures


def timed(call: Call) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def median_ratio(times: list[float], others: list[float]) -> float:
    """Return the median of the rounds' ratios. A slow round slows both candidates."""
    return statistics.median(a / b for a, b in zip(times, others, strict=True))


# Memory.


class ProcessMemory:
    """The peak of this process's resident memory over its size at the start, in bytes."""

    def start(self) -> None:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        self.before = _status("VmRSS")
        self.sampled, self.done, self.sampler = 0, threading.Event(), None
        try:
            pathlib.Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
        except OSError:
            self.sampler = threading.Thread(target=self._sample, daemon=True)
            self.sampler.start()

    def peak(self) -> int:
        if self.sampler is None:
            return max(_status("VmHWM") - self.before, 0)
        self.done.set()
        self.sampler.join()
        return max(self.sampled - self.before, 0)

    def _sample(self) -> None:
        page = resource.getpagesize()
        while not self.done.wait(0.002):
            pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
            self.sampled = max(self.sampled, pages * page)


def limit_memory(fraction: float = 0.9) -> None:
    """Let allocations fail, rather than the machine, beyond a fraction of what is available."""
    available = int(_fields("/proc/meminfo")["MemAvailable"].split()[0]) * 1024
    limit = _status("VmData") + int(fraction * available)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    pathlib.Path("/proc/self/oom_score_adj").write_text("1000")  # and else this process goes


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of Python, TensorFlow or PyTorch reports a lack of memory."""
    names = "MemoryError", "ResourceExhaustedError", "OutOfMemoryError"
    return type(error).__name__ in names or "can't allocate memory" in str(error)


def cores() -> int:
    return len(os.sched_getaffinity(0))


def _status(field: str) -> int:
    return int(_fields("/proc/self/status")[field].split()[0]) * 1024


def _fields(path: str) -> dict[str, str]:
    def pairs() -> Iterator[tuple[str, str]]:
        for line in pathlib.Path(path).read_text().splitlines():
            name, _, value = line.partition(":")
            yield name, value

    return dict(pairs())
