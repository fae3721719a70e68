"""Stop a run on SIGTERM. Imports no Keras, so that commands can be stopped while they load it."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

INTERRUPTED = 75  # exit status of a run that a signal stopped: EX_TEMPFAIL, "try again"
BEFORE_TRAINING = "Stopped by SIGTERM before training began. Run the same command again."


class InterruptedTrainingError(RuntimeError):
    """Training stopped on SIGTERM; the message says what was saved, and how to continue."""


class StopRequest:
    """Record of SIGTERM, and whether it may stop the run at once.

    While `deferred` is false, the signal raises InterruptedTrainingError wherever the program is.
    While it is true, the signal is only recorded in `received`: there is progress to save first.

    Attributes:
        received: Whether SIGTERM was received.
        deferred: Whether the run must not be stopped at once.
        message: Message of the error.
    """

    def __init__(self, message: str = BEFORE_TRAINING) -> None:
        self.received = False
        self.deferred = False
        self.message = message

    def check(self) -> None:
        """Raise InterruptedTrainingError if SIGTERM was received and is not deferred."""
        if self.received and not self.deferred:
            raise InterruptedTrainingError(self.message)

    def handle(self, number: int, frame: Any) -> None:
        """Handle the signal; the arguments are those of every signal handler."""
        first, self.received = not self.received, True
        if first:  # a second signal must not disturb the cleanup after the first
            self.check()


@contextlib.contextmanager
def handling_sigterm() -> Iterator[StopRequest]:
    """Handle SIGTERM inside a `with` block or a decorated function, see `StopRequest`.

    Python delivers signals to the main thread alone; in other threads nothing is handled.

    Raises:
        InterruptedTrainingError: SIGTERM was received.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = signal.signal(signal.SIGTERM, request.handle)
    try:
        yield request
    except InterruptedTrainingError:
        raise
    except Exception:
        # Code that the error passed through may have replaced it by another.
        request.check()
        raise
    finally:
        if before is not None:  # None: a handler that was not installed from Python
            signal.signal(signal.SIGTERM, before)
