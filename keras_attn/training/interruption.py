"""Stop a run on a signal. Imports no Keras, so that commands can be stopped while they load it.

SIGTERM stops every run. Ctrl-C (SIGINT) is handled for the command `train` alone: in other
programs, such as notebooks, it raises KeyboardInterrupt as usual.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

TERMINATED = 75  # exit status of a run that was stopped by SIGTERM: EX_TEMPFAIL, "try again"
INTERRUPTED = 130  # exit status after Ctrl-C: 128 and the number of SIGINT, as for other programs
BEFORE_TRAINING = (
    " before the first step was completed; nothing was saved. Run the same command again."
)
STOPPING = "Stopping after this step or validation. Press Ctrl-C again to stop at once."


class InterruptedTrainingError(RuntimeError):
    """Training was stopped by a signal; the message says what was saved, and how to continue.

    Attributes:
        status: Exit status for commands.
    """

    status = TERMINATED


class _Stop(KeyboardInterrupt):
    """Raised by the handler of a signal, wherever the program is.

    It is no `Exception`, since Keras and TensorFlow wrap those in others of their own.
    """


class StopRequest:
    """Record of a signal, and whether it may stop the run at once.

    While `deferred` is false, a signal stops the program wherever it is. While it is true, the
    signal is only recorded in `received`: there is progress to save first. A second Ctrl-C ends the
    process at once, without any cleanup, as SIGKILL does: an exception might be lost in the
    libraries that are running.

    Attributes:
        received: Whether a signal was received.
        deferred: Whether the run must not be stopped at once.
        message: What was saved and how to continue: what follows "Stopped by SIGTERM" or "Stopped
            by Ctrl-C" in the message of the error.
        notice: What is printed when Ctrl-C is received and deferred.
    """

    def __init__(self, message: str = BEFORE_TRAINING) -> None:
        self.received = False
        self.deferred = False
        self.message = message
        self.notice = STOPPING
        self._number: int | None = None  # of the first signal

    def check(self) -> None:
        """Raise InterruptedTrainingError if a signal was received and is not deferred."""
        if self.received and not self.deferred:
            raise self.error()

    def error(self) -> InterruptedTrainingError:
        """Return the error that reports the signal."""
        by_key = self._number == signal.SIGINT
        error = InterruptedTrainingError(
            f"Stopped by {'Ctrl-C' if by_key else 'SIGTERM'}{self.message}"
        )
        error.status = INTERRUPTED if by_key else TERMINATED
        return error

    def handle(self, number: int, frame: Any) -> None:
        """Handle the signal; the arguments are those of every signal handler."""
        if not self.received:
            self.received, self._number = True, number
            if not self.deferred:
                raise _Stop
            if number == signal.SIGINT:
                notify(self.notice)
        elif number == signal.SIGINT:
            notify("Interrupted.")
            os._exit(INTERRUPTED)
        # A second SIGTERM must not disturb the cleanup after the first signal.


@contextlib.contextmanager
def handling_signals(*, interrupts: bool = False) -> Iterator[StopRequest]:
    """Handle signals inside a `with` block or a decorated function, see `StopRequest`.

    Python delivers signals to the main thread alone; in other threads nothing is handled.

    Args:
        interrupts: Whether to handle Ctrl-C too. A block inside another one that handles it does
            so in any case. Where SIGINT is ignored, as in a job in the background, it stays so.

    Raises:
        InterruptedTrainingError: A signal was received.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    numbers = [signal.SIGTERM]
    outer = signal.getsignal(signal.SIGINT)
    if isinstance(getattr(outer, "__self__", None), StopRequest) or (
        interrupts and outer is not signal.SIG_IGN
    ):
        numbers.append(signal.SIGINT)
    before: dict[signal.Signals, Any] = {}
    try:
        for number in numbers:
            before[number] = signal.signal(number, request.handle)
        yield request
    except BaseException:
        # Code that the exception of the handler passed through may have replaced it by another.
        if request.received and not request.deferred:
            raise request.error() from None
        raise
    finally:
        for number, handler in before.items():
            if handler is not None:  # None: a handler that was not installed from Python
                signal.signal(number, handler)


def notify(text: str) -> None:
    """Write a line to standard error from the handler of a signal.

    `print` would fail if the signal came while the program was printing.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):  # without standard error
        os.write(sys.stderr.fileno(), f"\n{text}\n".encode())  # after ^C and a progress bar
