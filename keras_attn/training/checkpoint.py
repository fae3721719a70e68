"""Atomic checkpoints, of which the last two are kept.

A checkpoint is a folder of two files: the values of all variables, including moving averages,
optimizer and random generators; and `state.json`, which holds the state of the run, the SHA-256
of the values, and a checksum of itself. A checkpoint is written under a temporary name and renamed
once it is complete and on disk. If the process is killed or the disk is full, the previous
checkpoint remains valid. The SHA-256 is that of the bytes as they were written, and no two writers
share a temporary name: a checkpoint that passes its checks is whole and of one run.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shutil
import warnings
from typing import Annotated, Any, BinaryIO

import keras
import numpy as np
import pydantic
from annotated_types import Ge

from keras_attn._files import fsync, read_json_object, sha256, write_text
from keras_attn._wording import MAX_LISTED, SHOWN, counted, listed
from keras_attn.recipes import (
    Recipe,
    RecipeError,
    differing_settings,
    load_recipe,
    recipe_to_toml,
)
from keras_attn.training.identity import Identity

VALUES_FILE, STATE_FILE = "variables.npy", "state.json"
FOLDER, PARTIAL = "checkpoints", "partial"
RECIPE_FILE = "recipe.toml"  # in the folder of the run
MAX_TO_KEEP = 2  # checkpoints
_AFRESH = "Start afresh without --resume, in a new folder or after removing this one."


class CheckpointError(RuntimeError):
    """A checkpoint cannot be used; the message says why, and what to do."""


@dataclasses.dataclass(frozen=True)
class State:
    """Progress of a run.

    Attributes:
        epoch: Number of completed epochs.
        step: Number of completed steps of the epoch in progress.
        seconds: Wall time of training so far.
        metrics: Values of the metrics' variables, if an epoch is in progress.
        history: Logs of each completed epoch.
        segments: Code and machine of each segment of the run, see `provenance`, its `precision`,
            and the `epoch` in which it began. A run that was never interrupted has one segment.
    """

    epoch: Annotated[int, Ge(0)] = 0
    step: Annotated[int, Ge(0)] = 0
    seconds: float = 0.0
    metrics: list[Any] = dataclasses.field(default_factory=list)
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    segments: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    @property
    def precision(self) -> str:
        """The dtype policy of the last segment; empty for a new run, or one of version 0.1."""
        return self.segments[-1].get("precision", "") if self.segments else ""

    def continued(self, origin: dict[str, Any]) -> "State":
        """Return the state with a further segment, if code or machine have changed.

        Args:
            origin: The current code and machine, see `provenance`, and the `precision`.
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
        recipe: The recipe of the run, which is written beside the checkpoints, so that an error
            can name the settings in which another run differs.
    """

    def __init__(
        self, folder: pathlib.Path, identity: Identity, recipe: Recipe | None = None
    ) -> None:
        self.folder, self.identity, self.recipe = folder / FOLDER, identity, recipe

    def save(self, model: keras.Model, state: State) -> None:
        """Write a checkpoint, and remove all but the last two.

        Raises:
            OSError: The checkpoint could not be written. Earlier ones are not changed.
        """
        target = self.folder / f"{state.epoch:05d}-{state.step:07d}"
        partial = self.folder / f"{PARTIAL}-{os.getpid()}-{os.urandom(4).hex()}"
        try:
            self._remove_partial()
            partial.mkdir(parents=True)
            with (partial / VALUES_FILE).open("wb") as file:
                writer = _HashingWriter(file)
                for variable in _variables(model):
                    np.save(writer, np.array(variable))
            content = {
                **dataclasses.asdict(self.identity),
                **dataclasses.asdict(state),
                "sha256": writer.digest.hexdigest(),
            }
            content["checksum"] = _checksum(content)
            (partial / STATE_FILE).write_text(json.dumps(content, indent=1) + "\n")
            for path in (partial / VALUES_FILE, partial / STATE_FILE, partial):
                fsync(path)
            shutil.rmtree(target, ignore_errors=True)
            partial.rename(target)
            fsync(self.folder)
            # After the checkpoint: a folder with a recipe alone could be neither resumed nor begun.
            recipe_file = self.folder.with_name(RECIPE_FILE)
            if self.recipe is not None and not recipe_file.exists():
                write_text(recipe_file, recipe_to_toml(self.recipe))
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            names = _names(self.folder)
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
        for name in _names(self.folder)[:-MAX_TO_KEEP]:
            shutil.rmtree(self.folder / name, ignore_errors=True)

    @property
    def exist(self) -> bool:
        """Return whether there is any checkpoint, intact or damaged."""
        return bool(_names(self.folder))

    def latest(self) -> tuple[State, pathlib.Path]:
        """Return the state and the values file of the last intact checkpoint.

        A damaged checkpoint is skipped with a warning.

        Raises:
            CheckpointError: There is no checkpoint, all are damaged, or the last one belongs to
                another run.
        """
        check_exists(self.folder.parent)
        names = _names(self.folder)
        errors = []
        for name in reversed(names):
            try:
                return self._read(self.folder / name)
            except _DamagedError as error:
                errors.append(str(error))
                if len(errors) < len(names):
                    warnings.warn(f"{error} The checkpoint before it is used.", stacklevel=2)
        raise CheckpointError(f"{' '.join(errors)} {_AFRESH}")

    def _read(self, folder: pathlib.Path) -> tuple[State, pathlib.Path]:
        try:
            identity, state, digest = _parse(read_json_object(folder / STATE_FILE))
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise _DamagedError(f"{folder / STATE_FILE} is damaged: {reason}.") from error
        self._check_identity(identity, folder)
        values = folder / VALUES_FILE
        if not values.is_file() or sha256(values) != digest:
            raise _DamagedError(f"{values} is missing or damaged: its SHA-256 does not match.")
        if identity.unrecorded:
            warnings.warn(
                f"The checkpoint in {folder} was written by an earlier version, and does not say "
                f"which {', '.join(identity.unrecorded)} its run has. They are taken to be the "
                "same.",
                stacklevel=2,
            )
        return state, values

    def _check_identity(self, identity: Identity, folder: pathlib.Path) -> None:
        """Raise CheckpointError if a checkpoint belongs to another run."""
        differences = identity.differences(self.identity)
        if not differences:
            return
        shown = "".join(
            _compare(name, getattr(identity, name), getattr(self.identity, name))
            for name in ("seed", "variant")
        )
        if identity.digest != self.identity.digest:
            shown += self._describe_settings(identity)
        if "label names" in differences:
            theirs, ours = identity.label_names or [], self.identity.label_names or []
            shown += f" {_describe_labels(theirs, ours)}"
        raise CheckpointError(
            f"The checkpoint in {folder} belongs to another run. These differ from the requested "
            f"run: {', '.join(differences)}.{shown} Pass what the run was started with; or start "
            "a new run in another folder (--out)."
        )

    def _describe_settings(self, identity: Identity) -> str:
        """Return sentences with the settings in which the recipe of a checkpoint differs."""
        path = self.folder.with_name(RECIPE_FILE)
        try:
            recipe = load_recipe(path)
        except OSError:
            return f" Its settings are not recorded: there is no {path}."
        except RecipeError as error:
            return f" Its settings cannot be read from {path}: {error}"
        if self.recipe is None or recipe.digest != identity.digest:
            return f" Its settings are not recorded: {path} is that of another run."
        differing = differing_settings(recipe, self.recipe)
        shown = [_compare(key, *values) for key, values in differing.items()]
        if len(shown) > MAX_LISTED:
            shown[SHOWN:] = [f" {counted(len(shown) - SHOWN, 'further setting')} of it differ."]
        return "".join(shown)

    def _remove_partial(self) -> None:
        """Remove what writers have left that were killed."""
        for path in self.folder.glob(f"{PARTIAL}*"):
            shutil.rmtree(path, ignore_errors=True)


def _compare(name: str, theirs: Any, ours: Any) -> str:
    """Return a sentence on a setting that differs in a checkpoint and a run, or ""."""
    if theirs == ours:
        return ""
    values = ["not set" if value in (None, "") else repr(value) for value in (theirs, ours)]
    return f" `{name}` is {values[0]} in the checkpoint, and {values[1]} here."


def _describe_labels(theirs: list[str], ours: list[str]) -> str:
    """Return a sentence on how the label names of a checkpoint and of a run differ."""
    parts = {
        "Only in the checkpoint": [name for name in theirs if name not in ours],
        "only here": [name for name in ours if name not in theirs],
    }
    shown = [f"{where}: {listed(names, 'labels')}" for where, names in parts.items() if names]
    if shown:
        return f"{'; '.join(shown)}."
    first = next(index for index, name in enumerate(theirs) if name != ours[index])
    return (
        f"The label names are in another order: number {first} is {theirs[first]!r} in the "
        f"checkpoint, and {ours[first]!r} here."
    )


def check_exists(folder: pathlib.Path) -> None:
    """Raise CheckpointError if the folder of a run holds no checkpoint."""
    if not _names(folder / FOLDER):
        raise CheckpointError(
            f"{folder} holds no checkpoint to resume. Start the run without --resume, or with "
            "--auto-resume, which starts a new run where there is no checkpoint."
        )


def _names(folder: pathlib.Path) -> list[str]:
    """Return the names of the checkpoints in a folder, oldest first. Other files are ignored."""
    if not folder.is_dir():
        return []
    pattern = re.compile(r"\d{5,}-\d{7,}")  # epoch and step
    names = [path.name for path in folder.iterdir() if path.is_dir()]
    checkpoints = [name for name in names if pattern.fullmatch(name)]
    return sorted(checkpoints, key=lambda name: [int(number) for number in name.split("-")])


class _DamagedError(Exception):
    """A checkpoint is missing files, or its checksums do not match."""


class _HashingWriter:
    """A file to write whose `digest` is the SHA-256 of what was written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def write(self, content: bytes) -> int:
        self.digest.update(content)
        return self._file.write(content)


def _parse(content: dict[str, Any]) -> tuple[Identity, State, str]:
    """Return the identity, the state and the digest of the values that `state.json` holds."""
    checksum = content.pop("checksum")
    if checksum != _checksum(content):
        raise ValueError("its checksum does not match")
    digest = content.pop("sha256")
    identity = Identity.take_from(content)
    return identity, pydantic.TypeAdapter(State).validate_python(content), digest


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
            except ValueError as error:
                raise CheckpointError(f"{path} is damaged: {error} {_AFRESH}") from error
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
    """Return the variables of a model and its optimizer that training changes.

    Those of metrics are left out, and those that are set after training.
    """
    task = getattr(model, "task", None)
    set_later = () if task is None else task.variables_set_after_training
    left_out = {id(variable) for variable in (*metric_variables(model), *set_later)}
    others = [variable for variable in model.variables if id(variable) not in left_out]
    return [*others, *model.optimizer.variables]


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
