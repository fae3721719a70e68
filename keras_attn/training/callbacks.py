"""Callbacks of a run: its checkpoints and log, its best weights, its random state."""

import contextlib
import csv
import io
import math
import pathlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_attn.training.checkpoint import (
    Checkpoints,
    State,
    metric_variables,
    save_weights,
    write_text,
)

INTERRUPTED = 75  # the exit status of a run that stopped on a signal: EX_TEMPFAIL, try again


class InterruptedTrainingError(RuntimeError):
    """Training stopped on SIGTERM, after a checkpoint; the message says how to go on."""


class SaveCheckpoints(keras.callbacks.Callback):
    """Writes checkpoints and `log.csv`, and stops after a checkpoint on SIGTERM.

    At the end of each epoch, after every `every` steps if asked to, and on SIGTERM, between two
    steps. It stands last among the callbacks: an epoch whose checkpoint is there is done in
    every respect.

    Args:
        checkpoints: where they are written, the log beside them; None keeps nothing, and only
            counts.
        state: where the run stands at the beginning.
        trained_weights: A context in which the model holds the weights as they are trained.
        every: steps between checkpoints within an epoch, or None.
        metrics: whether to keep what metrics have counted of an epoch under way. With several
            workers it lies on all of them.
    """

    def __init__(
        self,
        checkpoints: Checkpoints | None,
        state: State,
        trained_weights: Callable[[], contextlib.AbstractContextManager[Any]],
        every: int | None = None,
        metrics: bool = True,
    ) -> None:
        super().__init__()
        self.checkpoints, self.every = checkpoints, every
        self.trained_weights = trained_weights
        self.keeps_metrics = metrics
        self.epoch, self.step = state.epoch, state.step
        self.history, self.segments = list(state.history), state.segments
        self.started = time.monotonic() - state.seconds
        self._signalled = False
        self._handler: Any = None

    @property
    def seconds(self) -> float:
        """Wall time of the run so far, earlier segments included."""
        return time.monotonic() - self.started

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Listen to SIGTERM."""
        main = threading.current_thread() is threading.main_thread()
        if main and self._handler is None:  # an epoch under way is fitted by itself
            self._handler = signal.signal(signal.SIGTERM, self._signal)

    def stop_listening(self) -> None:
        """Leave SIGTERM to who had it before; also after an error."""
        if self._handler is not None:
            signal.signal(signal.SIGTERM, self._handler)
            self._handler = None

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Write a checkpoint if it is time for one."""
        self.step += 1
        if batch + 1 >= self.params["steps"]:
            return  # the epoch is over, but for what is told of it
        if self._signalled or (self.every and self.step % self.every == 0):
            self._save(within_epoch=True)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the checkpoint of an epoch."""
        self.epoch, self.step = epoch + 1, 0
        self.history.append({name: float(value) for name, value in (logs or {}).items()})
        if self.checkpoints is not None:
            write_log(self.checkpoints.folder.with_name("log.csv"), self.history)
        with self.trained_weights():
            self._save(within_epoch=False)

    def _save(self, *, within_epoch: bool) -> None:
        if self.checkpoints is not None:
            _sync(self.model)
            counted = metric_variables(self.model) if within_epoch and self.keeps_metrics else []
            state = State(
                epoch=self.epoch,
                step=self.step,
                seconds=self.seconds,
                metrics=[np.array(v).tolist() for v in counted],
                history=self.history,
                segments=self.segments,
            )
            self.checkpoints.save(self.model, state)
        # A worker that is not the chief waits for it to end the job: the step at which it would
        # stop by itself might be another.
        if self._signalled and self.checkpoints is not None:
            raise InterruptedTrainingError(
                f"Stopped by SIGTERM after epoch {self.epoch}, step {self.step}, and a checkpoint. "
                "The same command with --resume goes on."
            )

    def _signal(self, number: int, frame: Any) -> None:
        self._signalled = True


class Restore(keras.callbacks.Callback):
    """Gives every random generator its state at the beginning of an epoch.

    It is a function of the run's seed and the epoch. In an epoch that was under way they go
    on from the checkpoint, and so do the metrics.

    Args:
        seed: the run's seed.
        state: where the run stands.
    """

    def __init__(self, seed: int, state: State) -> None:
        super().__init__()
        self.seed, self.state = seed, state
        self._counted: list[Any] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the states."""
        if self.state.step and epoch == self.state.epoch:
            self._counted = self.state.metrics
            return
        states = [v for v in self.model.variables if v.path.endswith("seed_generator_state")]
        for index, variable in enumerate(states):
            drawn = np.random.SeedSequence([self.seed, epoch, index]).generate_state(1)[0]
            variable.assign(np.array([drawn >> 1, 0]))  # fits the signed type of some backends

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Add what the metrics had counted, once there are metrics."""
        if self._counted:
            _sync(self.model)
            metrics = metric_variables(self.model)
            for variable, value in zip(metrics, self._counted, strict=True):
                variable.assign(np.array(value, variable.dtype) + np.array(variable))
            self._counted = []


class BestWeights(keras.callbacks.Callback):
    """Saves the weights of the epoch with the best value of a validation metric.

    Args:
        path: The `.weights.h5` file to write.
        task: The model whose weights to save.
        copy: Function that returns a copy of the model without optimizer, to write them from.
        monitor: Key of the metric in the logs; nothing is saved if the logs lack it.
        greater_is_better: Whether the greatest value of the metric is the best.
        history: The logs of the epochs of earlier segments of this run.
    """

    def __init__(
        self,
        path: pathlib.Path,
        task: keras.Model,
        copy: Callable[[], keras.Model],
        monitor: str,
        greater_is_better: bool = True,
        history: Sequence[dict[str, float]] = (),
    ) -> None:
        super().__init__()
        self.path, self.task, self.copy, self.monitor = path, task, copy, monitor
        self.sign = 1 if greater_is_better else -1
        self.best = max(map(self._rank, history), default=-math.inf)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the weights if this epoch was the best."""
        rank = self._rank(logs or {})
        if rank > self.best:
            self.best = rank
            copy = self.copy()
            copy.set_weights(self.task.get_weights())
            save_weights(copy, self.path)

    def _rank(self, logs: dict[str, float]) -> float:
        return self.sign * logs[self.monitor] if self.monitor in logs else -math.inf


def write_log(path: pathlib.Path, history: list[dict[str, float]]) -> None:
    """Write the logs of all epochs as a table, in one step."""
    text = io.StringIO()
    columns = ["epoch", *sorted(dict.fromkeys(key for row in history for key in row))]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({"epoch": number, **row} for number, row in enumerate(history))
    write_text(path, text.getvalue())


def _sync(model: keras.Model) -> None:
    """Bring a model's variables up to date: on JAX they lag behind within an epoch."""
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()


@contextlib.contextmanager
def handling_sigterm(checkpointing: SaveCheckpoints) -> Iterator[None]:
    """Restore the handler of SIGTERM after training, also after an error."""
    try:
        yield
    finally:
        checkpointing.stop_listening()
