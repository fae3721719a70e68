"""Atomic checkpoints, of which the last two are kept.

A checkpoint is a folder of two files: the values of all variables, including moving averages,
optimizer and random generators; and `state.json`, which holds the state of the run, the SHA-256
of the values, and a checksum of itself. A checkpoint is written under a temporary name and renamed
once it is complete and on disk. If the process is killed or the disk is full, the previous
checkpoint remains valid.
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
MAX_TO_KEEP = 2  # checkpoints


class CheckpointError(RuntimeError):
    """A checkpoint cannot be used; the message says why, and what to do."""


@dataclasses.dataclass(frozen=True)
class Identity:
    """Identity of a run: a run resumes only from checkpoints with the same identity.

    Attributes:
        digest: Digest of the recipe, see `Recipe.digest`.
        variant: Variant of the recipe, or "".
        seed: Seed of the run.
        data: Fingerprint of the training split.
    """

    digest: str
    variant: str
    seed: int
    data: str


@dataclasses.dataclass(frozen=True)
class State:
    """Progress of a run.

    Attributes:
        epoch: Number of completed epochs.
        step: Number of completed steps of the epoch in progress.
        seconds: Wall time of training so far.
        metrics: Values of the metrics' variables, if an epoch is in progress.
        history: Logs of each completed epoch.
        segments: Code and machine of each segment of the run, see `provenance`, and the `epoch`
            in which the segment began. A run that was never interrupted has one segment.
    """

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    metrics: list[Any] = dataclasses.field(default_factory=list)
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    segments: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def continued(self, origin: dict[str, Any]) -> "State":
        """Return the state with a further segment, if code or machine have changed.

        Args:
            origin: The current code and machine, see `provenance`.
        """
        last = self.segments[-1] if self.segments else {}
        if origin.items() <= last.items():
            return self
        return dataclasses.replace(self, segments=[*self.segments, {"epoch": self.epoch, **origin}])


class Checkpoints:
    """The checkpoints of a run.

    Args:
        folder: Folder of the run; checkpoints are written to a folder in it.
        identity: Identity of the run.
    """

    def __init__(self, folder: pathlib.Path, identity: Identity) -> None:
        self.folder, self.identity = folder / FOLDER, identity

    def save(self, model: keras.Model, state: State) -> None:
        """Write a checkpoint, and remove all but the last two.

        Raises:
            OSError: The checkpoint could not be written. Earlier ones are not changed.
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
                _fsync(path)
            shutil.rmtree(target, ignore_errors=True)
            partial.rename(target)
            _fsync(self.folder)
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            names = self._names()
            previous = (
                f"{self.folder / names[-1]} was written before"
                if names
                else "There is no earlier checkpoint"
            )
            raise OSError(
                error.errno,
                f"The checkpoint {target} could not be written: {error}. {previous}. Free disk "
                "space, or correct the cause, and resume with --resume.",
            ) from error
        for name in self._names()[:-MAX_TO_KEEP]:
            shutil.rmtree(self.folder / name, ignore_errors=True)

    @property
    def exist(self) -> bool:
        """Whether there is any checkpoint, intact or damaged."""
        return bool(self._names())

    def latest(self) -> tuple[State, pathlib.Path]:
        """Return the state and the values file of the last intact checkpoint.

        A damaged checkpoint is skipped with a warning.

        Raises:
            CheckpointError: There is no checkpoint, all are damaged, or the last one belongs to
                another run.
        """
        remedy = "Start afresh without --resume, in a new folder or after removing this one."
        names = self._names()
        if not names:
            raise CheckpointError(f"{self.folder.parent} holds no checkpoint to resume. {remedy}")
        errors = []
        for name in reversed(names):
            try:
                return self._read(self.folder / name, remedy)
            except _DamagedError as error:
                errors.append(str(error))
                if len(errors) < len(names):
                    warnings.warn(f"{error} The checkpoint before it is used.", stacklevel=2)
        raise CheckpointError(f"{' '.join(errors)} {remedy}")

    def _read(self, folder: pathlib.Path, remedy: str) -> tuple[State, pathlib.Path]:
        try:
            content = json.loads((folder / STATE_FILE).read_text())
            checksum = content.pop("checksum")
            if checksum != _checksum(content):
                raise ValueError("its checksum does not match")
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
                f"The checkpoint in {folder} belongs to another run: its {', '.join(differing)} "
                "differ(s) from the requested run (the digest of a recipe changes with any of its "
                f"settings). {remedy}"
            )
        values = folder / VALUES_FILE
        if not values.is_file() or sha256(values) != digest:
            raise _DamagedError(f"{values} is missing or damaged: its SHA-256 does not match.")
        return state, values

    def _names(self) -> list[str]:
        """Return the names of the checkpoints, oldest first. Other files are ignored."""
        if not self.folder.is_dir():
            return []
        pattern = re.compile(r"\d{5,}-\d{7,}")  # epoch and step
        names = [p.name for p in self.folder.iterdir() if p.is_dir() and pattern.fullmatch(p.name)]
        return sorted(names, key=lambda name: [int(number) for number in name.split("-")])


class _DamagedError(Exception):
    """A checkpoint is missing files, or its checksums do not match."""


def restore(model: keras.Model, path: pathlib.Path) -> None:
    """Assign the values of a checkpoint to a built model and its optimizer.

    Args:
        model: The model, built and compiled.
        path: The values file of the checkpoint.

    Raises:
        CheckpointError: The values do not fit the variables.
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
                    f"the file holds {value.shape}. It was written by other code: start afresh."
                )
            variable.assign(value)
        if file.read(1):
            raise CheckpointError(
                f"{path} holds more than the {len(variables)} variables of this model. It was "
                "written by other code: start afresh."
            )


def metric_variables(model: keras.Model) -> list[keras.Variable]:
    """Return the variables of all metrics of a model."""
    return [variable for metric in model.metrics for variable in metric.variables]


def _variables(model: keras.Model) -> list[keras.Variable]:
    """Return the variables of a model and its optimizer, without those of its metrics."""
    of_metrics = {id(variable) for variable in metric_variables(model)}
    others = [variable for variable in model.variables if id(variable) not in of_metrics]
    return [*others, *model.optimizer.variables]


def save_weights(model: keras.Model, path: pathlib.Path) -> None:
    """Write a `.weights.h5` file atomically.

    Raises:
        OSError: There is not enough disk space. This is checked first, because HDF5 may crash on
            a full disk.
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
    """Write a text file atomically: a reader sees the old content or the new one."""
    partial = path.with_name(f"partial-{path.name}")
    partial.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
    partial.replace(path)


def sha256(path: pathlib.Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _fsync(path: pathlib.Path) -> None:
    """Flush a file or folder to disk, so that it survives a crash of the machine."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
