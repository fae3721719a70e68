"""Checkpoints that are whole or not there, of which the last two are kept.

A checkpoint is a folder of two files: the values of all variables, those of averages, optimizer
and random generators among them, and `state.json`, which says where the run stands and names the
SHA-256 of the values and of itself. It is written under another name and appears under its own
when it is whole and on disk, so that a kill or a full disk at any moment leaves the one before.
"""

import dataclasses
import errno
import hashlib
import json
import math
import os
import pathlib
import re
import shutil
import warnings
from typing import Any

import keras
import numpy as np

VALUES_FILE, STATE_FILE = "variables.npy", "state.json"
FOLDER, PARTIAL = "checkpoints", "partial"
KEPT = 2


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be used; the message says why, and what to do."""


@dataclasses.dataclass(frozen=True)
class Identity:
    """What run a checkpoint is of.

    Attributes:
        digest: that of the recipe, see `Recipe.digest`.
        variant: the recipe's variant, or "".
        seed: the run's seed.
        data: fingerprint of the training split.
    """

    digest: str
    variant: str
    seed: int
    data: str


@dataclasses.dataclass(frozen=True)
class State:
    """Where a run stands.

    Attributes:
        epoch: epochs that are done.
        step: batches that are done of the next one.
        seconds: wall time of training so far.
        metrics: the values of the variables of the metrics, of an epoch that is under way.
        history: what was told of each epoch that is done.
        segments: what code and machine each piece of the run was made by, see `provenance`, and
            the `epoch` that it began in. A run that nothing stopped is one segment.
    """

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    metrics: list[Any] = dataclasses.field(default_factory=list)
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    segments: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def continued(self, origin: dict[str, Any]) -> "State":
        """The same place, from which code and machine of `origin` go on."""
        last = self.segments[-1] if self.segments else {}
        if origin.items() <= last.items():
            return self
        return dataclasses.replace(self, segments=[*self.segments, {"epoch": self.epoch, **origin}])


class Checkpoints:
    """The checkpoints of a run.

    Args:
        folder: the run's folder.
        identity: what run it is.
    """

    def __init__(self, folder: pathlib.Path, identity: Identity) -> None:
        self.folder, self.identity = folder / FOLDER, identity

    def save(self, model: keras.Model, state: State) -> None:
        """Write a checkpoint, and remove all but the last two.

        Raises:
            OSError: it could not be written. Those before it are whole.
        """
        target = self.folder / f"{state.epoch:05d}-{state.step:07d}"
        partial = self.folder / PARTIAL
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            with (partial / VALUES_FILE).open("wb") as file:
                for variable in _variables(model):
                    np.save(file, np.array(variable))
            content = {
                **dataclasses.asdict(self.identity),
                **dataclasses.asdict(state),
                "sha256": sha256(partial / VALUES_FILE),
            }
            content["checksum"] = _checksum(content)
            (partial / STATE_FILE).write_text(json.dumps(content, indent=1) + "\n")
            for path in (partial / VALUES_FILE, partial / STATE_FILE, partial):
                _to_disk(path)
            shutil.rmtree(target, ignore_errors=True)
            partial.rename(target)
            _to_disk(self.folder)
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            left = self._names()
            whole = f"{self.folder / left[-1]} was written before" if left else "There is none yet"
            raise OSError(
                error.errno,
                f"The checkpoint {target} could not be written: {error}. {whole}. Make room, or "
                "mend what is wrong, and go on with --resume.",
            ) from error
        for name in self._names()[:-KEPT]:
            shutil.rmtree(self.folder / name, ignore_errors=True)

    @property
    def exist(self) -> bool:
        """Whether there is any checkpoint, whole or not."""
        return bool(self._names())

    def latest(self) -> tuple[State, pathlib.Path]:
        """Where the run stands, and the file of its values: the last checkpoint that is whole.

        Warns of one that is damaged, and takes the one before.

        Raises:
            CheckpointError: there is none, all are damaged, or it is of another run.
        """
        again = "Start afresh without --resume, in a new folder or after removing this one."
        names = self._names()
        if not names:
            raise CheckpointError(f"{self.folder.parent} holds no checkpoint to resume. {again}")
        damages = []
        for name in reversed(names):
            try:
                return self._read(self.folder / name, again)
            except _DamagedError as error:
                damages.append(str(error))
                if len(damages) < len(names):
                    warnings.warn(f"{error} The checkpoint before it is used.", stacklevel=2)
        raise CheckpointError(f"{' '.join(damages)} {again}")

    def _read(self, folder: pathlib.Path, again: str) -> tuple[State, pathlib.Path]:
        try:
            content = json.loads((folder / STATE_FILE).read_text())
            checksum = content.pop("checksum")
            if checksum != _checksum(content):
                raise ValueError("its checksum is another")
            digest = content.pop("sha256")
            identity = Identity(**{key: content.pop(key) for key in vars(self.identity)})
            state = State(**content)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise _DamagedError(f"{folder / STATE_FILE} is damaged: {error}.") from error
        differing = [
            name for name, value in vars(self.identity).items() if getattr(identity, name) != value
        ]
        if differing:
            raise CheckpointError(
                f"The checkpoint in {folder} is of another run: its {', '.join(differing)} "
                "differ(s) from what was asked for (a recipe's digest changes with any of its "
                f"numbers). {again}"
            )
        values = folder / VALUES_FILE
        if not values.is_file() or sha256(values) != digest:
            raise _DamagedError(f"{values} is missing or damaged: not the file written.")
        return state, values

    def _names(self) -> list[str]:
        """The folders that `save` wrote, the last one last; what else lies there is let be."""
        if not self.folder.is_dir():
            return []
        own = re.compile(r"\d{5,}-\d{7,}")
        names = [p.name for p in self.folder.iterdir() if p.is_dir() and own.fullmatch(p.name)]
        return sorted(names, key=lambda name: [int(number) for number in name.split("-")])


class _DamagedError(Exception):
    """A checkpoint is not what was written."""


def restore(model: keras.Model, path: pathlib.Path) -> None:
    """Give a built model, and its optimizer, the values of a checkpoint.

    Raises:
        CheckpointError: they do not fit it.
    """
    variables = _variables(model)
    with path.open("rb") as file:
        for variable in variables:
            try:
                value = np.load(file, allow_pickle=False)
            except EOFError as error:
                raise CheckpointError(
                    f"{path} holds fewer than the {len(variables)} variables of this model. It "
                    "was written by other code: start afresh."
                ) from error
            if value.shape != tuple(variable.shape):
                raise CheckpointError(
                    f"{path} does not fit: {variable.path} has shape {tuple(variable.shape)}, and "
                    f"there it is {value.shape}. It was written by other code: start afresh."
                )
            variable.assign(value)
        if file.read(1):
            raise CheckpointError(
                f"{path} holds more than the {len(variables)} variables of this model. It was "
                "written by other code: start afresh."
            )


def metric_variables(model: keras.Model) -> list[keras.Variable]:
    """The variables in which a model's metrics count."""
    return [variable for metric in model.metrics for variable in metric.variables]


def _variables(model: keras.Model) -> list[keras.Variable]:
    """All that a run is made of; what metrics have counted is another thing."""
    counted = {id(variable) for variable in metric_variables(model)}
    own = [variable for variable in model.variables if id(variable) not in counted]
    return [*own, *model.optimizer.variables]


def save_weights(model: keras.Model, path: pathlib.Path) -> None:
    """Write a `.weights.h5` file that appears under its name only when it is whole.

    Raises:
        OSError: there is no room for it. (HDF5 itself does not survive a full disk.)
    """
    partial = path.with_name(f"partial-{path.name}")
    needed = 2**20 + 8 * sum(math.prod(variable.shape) for variable in model.weights)
    if shutil.disk_usage(path.parent).free < needed:
        raise OSError(errno.ENOSPC, f"No room for {path}, which needs up to {needed:,} bytes.")
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


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _to_disk(path: pathlib.Path) -> None:
    """Have what was written survive a machine that stops."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
