"""Callbacks of a run: checkpoints and log, best weights, and random states."""

import contextlib
import csv
import io
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_attn._files import write_text
from keras_attn.training import artifacts
from keras_attn.training.checkpoint import Checkpoints, State, metric_variables
from keras_attn.training.interruption import StopRequest
from keras_attn.training.selection import Selection
from keras_attn.training.weights_files import save_weights


class SaveCheckpoints(keras.callbacks.Callback):
    """Write checkpoints and `log.csv`, and stop training after a checkpoint on a signal.

    A checkpoint is written at the end of each epoch, after every `every` steps within an epoch,
    and on SIGTERM or Ctrl-C, between two steps, see `interruption`. The signal is deferred from the
    end of a step until that step is in a checkpoint. This callback must be the last one: once the
    checkpoint of an epoch exists, all other callbacks have finished with that epoch.

    Args:
        checkpoints: Where to write checkpoints; the log is written beside them. With None nothing
            is written, and only epochs and steps are counted.
        state: State of the run at the beginning.
        trained_weights: Context manager in which the model holds the weights being trained, not
            their moving averages.
        stop: Whether a signal was received.
        every: Steps between checkpoints within an epoch, or None.
        metrics: Whether checkpoints within an epoch save the state of the metrics. With several
            workers the state is distributed over them, and the chief cannot save it.
    """

    def __init__(
        self,
        checkpoints: Checkpoints | None,
        state: State,
        trained_weights: Callable[[], contextlib.AbstractContextManager[Any]],
        stop: StopRequest,
        every: int | None = None,
        metrics: bool = True,
    ) -> None:
        super().__init__()
        self.checkpoints, self.stop, self.every = checkpoints, stop, every
        self.trained_weights = trained_weights
        self.saves_metrics = metrics
        self.epoch, self.step = state.epoch, state.step
        self.history, self.segments = list(state.history), state.segments
        self.started = time.monotonic() - state.seconds

    @property
    def seconds(self) -> float:
        """Wall time of training so far, in seconds, earlier segments included."""
        return time.monotonic() - self.started

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Defer signals on workers that are not the chief: the chief ends the job."""
        self.stop.deferred = self.checkpoints is None
        if self.stop.deferred:
            self.stop.notice = "Stopping with the chief. Press Ctrl-C again to stop at once."
        self.stop.check()  # a library may have caught what the handler raised

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Write a checkpoint if one is due."""
        self.stop.deferred = True
        self.step += 1
        if batch + 1 >= self.params["steps"]:
            return  # the last step: `on_epoch_end` writes the checkpoint
        if self.stop.received or (self.every and self.step % self.every == 0):
            self._save(within_epoch=True)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the log, and the checkpoint of the epoch."""
        self.epoch, self.step = epoch + 1, 0
        self.history.append({name: float(value) for name, value in (logs or {}).items()})
        if self.checkpoints is not None:
            write_log(self.checkpoints.folder.with_name("log.csv"), self.history)
        with self.trained_weights():
            self._save(within_epoch=False)

    def _save(self, *, within_epoch: bool) -> None:
        if self.checkpoints is not None:
            _sync(self.model)
            saves_metrics = within_epoch and self.saves_metrics
            variables = metric_variables(self.model) if saves_metrics else []
            state = State(
                epoch=self.epoch,
                step=self.step,
                seconds=self.seconds,
                metrics=[np.array(v).tolist() for v in variables],
                history=self.history,
                segments=self.segments,
            )
            self.checkpoints.save(self.model, state)
            self.stop.message = (
                f" after epoch {self.epoch}, step {self.step}, and a checkpoint. "
                "Run the same command with --resume to continue."
            )
            # Only the chief stops by itself and ends the job: another worker may have received the
            # signal at a different step.
            self.stop.deferred = False
            self.stop.check()


class Restore(keras.callbacks.Callback):
    """Set the state of every random generator at the beginning of an epoch.

    The state depends on the seed of the run and the epoch alone. If the run resumes within an
    epoch, the generators and the metrics of that epoch continue from the checkpoint.

    Args:
        seed: Seed of the run.
        state: State of the run at the beginning.
    """

    def __init__(self, seed: int, state: State) -> None:
        super().__init__()
        self.seed, self.state = seed, state
        self._saved_metrics: list[Any] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the states of the random generators."""
        if self.state.step and epoch == self.state.epoch:
            self._saved_metrics = self.state.metrics
            return
        states = [v for v in self.model.variables if v.path.endswith("seed_generator_state")]
        for index, variable in enumerate(states):
            drawn = np.random.SeedSequence([self.seed, epoch, index]).generate_state(1)[0]
            variable.assign(np.array([drawn >> 1, 0]))  # some backends have signed integers alone

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the saved state of the metrics, after the first step has built the metrics."""
        if self._saved_metrics:
            _sync(self.model)
            metrics = metric_variables(self.model)
            for variable, value in zip(metrics, self._saved_metrics, strict=True):
                variable.assign(np.array(value, variable.dtype) + np.array(variable))
            self._saved_metrics = []


class BestWeights(keras.callbacks.Callback):
    """Save the weights of the best epoch so far, in a file that names the epoch.

    The file of an earlier epoch is removed once a checkpoint knows of the better one: a run that
    is killed in between, and whose repeated epoch comes out worse, still has its best weights.

    Args:
        folder: Folder of the run, see `artifacts.best_weights_path`.
        task: The model whose weights to save.
        copy: Function that returns a copy of the model without optimizer, to write them from.
        selection: The order of epochs; nothing is saved if the logs lack its metric.
        history: The logs of the epochs of earlier segments of this run.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        task: keras.Model,
        copy: Callable[[], keras.Model],
        selection: Selection,
        history: Sequence[dict[str, float]] = (),
    ) -> None:
        super().__init__()
        self.folder, self.task, self.copy, self.selection = folder, task, copy, selection
        self.history = list(history)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Remove the weights of epochs that are not the best."""
        artifacts.remove_other_weights(self.folder, self.selection.best(self.history))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the weights if this epoch is the best so far."""
        self.history.append(dict(logs or {}))
        if self.selection.best(self.history) == len(self.history) - 1:
            copy = self.copy()
            copy.set_weights(self.task.get_weights())
            save_weights(copy, artifacts.best_weights_path(self.folder, epoch))


def write_log(path: pathlib.Path, history: list[dict[str, float]]) -> None:
    """Write the logs of all epochs as a CSV table, replacing the file atomically."""
    text = io.StringIO()
    columns = ["epoch", *sorted(dict.fromkeys(key for row in history for key in row))]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({"epoch": number, **row} for number, row in enumerate(history))
    write_text(path, text.getvalue())


def _sync(model: keras.Model) -> None:
    """Update the variables of a model: on JAX they are stale within an epoch."""
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()
