"""Checkpoints that are whole or not there, and training that goes on from them.

A checkpoint is two files: weights (with those of the optimizer, its averages and the
random generators), and `state.json`, which names them with their SHA-256. The second is
replaced only when the first is complete, so that a kill at any moment leaves a pair that
fits.
"""

import dataclasses
import hashlib
import json
import pathlib
import time
from collections.abc import Callable
from typing import Any

import keras

WEIGHTS_FILE = "model.weights.h5"
VOCABULARY_FILE = "vocabulary.txt"


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be used; the message says why, and what to do."""


@dataclasses.dataclass(frozen=True)
class State:
    """Where a run stands.

    Attributes:
        epoch: epochs that are done.
        weights: name of the file of weights.
        sha256: its digest.
        digest: that of the recipe, see `Recipe.digest`.
        variant: the recipe's variant, or "".
        seed: the run's seed.
        seconds: wall time of training so far.
        data: fingerprint of the training split.
    """

    epoch: int
    weights: str
    sha256: str
    digest: str
    variant: str
    seed: int
    seconds: float
    data: str


class Checkpoint(keras.callbacks.Callback):
    """Writes a checkpoint at the end of each epoch, and removes the one before.

    Args:
        folder: where checkpoints lie.
        digest: the recipe's digest.
        variant: the recipe's variant, or "".
        seed: the run's seed.
        data: fingerprint of the training split.
        seconds: wall time of earlier pieces of this run.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        digest: str,
        variant: str,
        seed: int,
        data: str,
        seconds: float = 0.0,
    ) -> None:
        super().__init__()
        self.folder = folder
        self.digest, self.variant, self.seed, self.data = digest, variant, seed, data
        self.started = time.monotonic() - seconds

    @property
    def seconds(self) -> float:
        """Wall time of the run so far, earlier pieces included."""
        return time.monotonic() - self.started

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the state after `epoch`."""
        name = f"epoch-{epoch + 1:04d}.weights.h5"
        path = self.folder / name
        save_weights(self.model, path)
        state = State(
            epoch=epoch + 1,
            weights=name,
            sha256=sha256(path),
            digest=self.digest,
            variant=self.variant,
            seed=self.seed,
            data=self.data,
            seconds=self.seconds,
        )
        write_text(self.folder / "state.json", json.dumps(dataclasses.asdict(state), indent=2))
        for old in self.folder.glob("epoch-*.weights.h5"):
            if old.name != name:
                old.unlink()


class BestWeights(keras.callbacks.Callback):
    """Keeps the weights of the epoch that was best on validation data.

    Args:
        path: the `.weights.h5` file to write.
        classifier: the model whose weights to keep.
        copy: gives a model of the same weights without optimizer, to write them from.
        best: the best validation accuracy of earlier pieces of this run.
    """

    def __init__(
        self,
        path: pathlib.Path,
        classifier: keras.Model,
        copy: Callable[[], keras.Model],
        best: float = -1.0,
    ) -> None:
        super().__init__()
        self.path, self.classifier, self.copy, self.best = path, classifier, copy, best

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the weights if this epoch was the best."""
        accuracy = (logs or {})["val_accuracy"]
        if accuracy > self.best:
            self.best = accuracy
            copy = self.copy()
            copy.set_weights(self.classifier.get_weights())
            save_weights(copy, self.path)


def read_state(folder: pathlib.Path, digest: str, variant: str, seed: int, data: str) -> State:
    """Where the run in `folder` stands, its weights being whole.

    Raises:
        CheckpointError: there is no checkpoint, it is damaged, or it is of another run.
    """
    again = "Start afresh without --resume, in a new folder or after removing this one."
    try:
        state = State(**json.loads((folder / "state.json").read_text()))
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder} holds no checkpoint to resume. {again}") from error
    except (ValueError, TypeError) as error:
        raise CheckpointError(
            f"{folder / 'state.json'} cannot be read: {error}. {again}"
        ) from error
    here = {"digest": digest, "variant": variant, "seed": seed, "data": data}
    differing = [name for name, value in here.items() if getattr(state, name) != value]
    if differing:
        raise CheckpointError(
            f"The checkpoint in {folder} is of another run: its {', '.join(differing)} differ(s) "
            f"from what was asked for (a recipe's digest changes with any of its numbers). {again}"
        )
    path = folder / state.weights
    if not path.is_file() or sha256(path) != state.sha256:
        raise CheckpointError(f"{path} is missing or damaged: not the file written. {again}")
    return state


def save_weights(model: keras.Model, path: pathlib.Path) -> None:
    """Write a `.weights.h5` file that appears under its name only when it is whole."""
    partial = path.with_name(f"partial-{path.name}")
    try:
        model.save_weights(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: pathlib.Path, text: str) -> None:
    """Replace a text file at once: a reader sees the old one or the new one."""
    partial = path.with_name(f"partial-{path.name}")
    partial.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
    partial.replace(path)


def sha256(path: pathlib.Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
