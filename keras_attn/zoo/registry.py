"""The registry: one folder an entry, found by its name. Reads TOML and JSON alone.

An entry's folder holds `recipe.toml`, and once it is trained `results.json`, the weights
that it names and a generated card, `README.md`.
"""

import dataclasses
import fnmatch
import functools
import importlib.resources
import json
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

from keras_attn._names import unknown
from keras_attn.recipes import Recipe, list_tasks, load_recipe

NAME = re.compile(r"[a-z0-9]+(_[a-z0-9]+)+")

_registered: dict[str, pathlib.Path] = {}


@dataclasses.dataclass(frozen=True)
class Entry:
    """An entry of the zoo.

    Attributes:
        name: `dataset_architecture`.
        folder: where it lies.
    """

    name: str
    folder: pathlib.Path

    @functools.cached_property
    def recipe(self) -> Recipe:
        """What it is made of and how it is trained."""
        return load_recipe(self.folder / "recipe.toml")

    @functools.cached_property
    def results(self) -> dict[str, Any]:
        """`weights` and `runs` of `results.json`; empty where it was not trained yet."""
        path = self.folder / "results.json"
        if not path.is_file():
            return {}
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is not valid JSON: {error}.") from error

    @property
    def pretrained(self) -> bool:
        """Whether trained weights come with it."""
        return "weights" in self.results

    @property
    def weights(self) -> pathlib.Path:
        """The file of its weights.

        Raises:
            ValueError: the entry has none.
        """
        if not self.pretrained:
            raise ValueError(
                f"The entry {self.name!r} has no trained weights. Pass weights=None for a fresh "
                f"model, or train it: keras-attn train {self.name}."
            )
        return self.folder / self.results["weights"]["file"]

    def runs(self, variant: str = "") -> list[dict[str, Any]]:
        """The recorded runs of a variant, or of the entry itself, by seed."""
        runs = [run for run in self.results.get("runs", []) if run["variant"] == variant]
        return sorted(runs, key=lambda run: run["seed"])


def list_models(
    pattern: str = "*", task: str | None = None, pretrained: bool | None = None
) -> list[str]:
    """The names of entries, sorted.

    Args:
        pattern: shell pattern that the name must match, such as `"cifar10_*"`.
        task: only entries of this task, such as `"image_classification"`.
        pretrained: only entries with (True) or without (False) trained weights.

    Raises:
        ValueError: no entry has that task.

    Example:

    >>> from keras_attn import zoo
    >>> zoo.list("imdb_t*", pretrained=True)
    ['imdb_transformer']
    """
    found = list(entries())
    tasks = list_tasks()
    if task is not None and task not in tasks:
        raise ValueError(unknown("task", task, tasks))
    return [
        entry.name
        for entry in found
        if fnmatch.fnmatchcase(entry.name, pattern)
        and task in (None, entry.recipe.task)
        and pretrained in (None, entry.pretrained)
    ]


def describe(name: str) -> Entry:
    """The entry of a name: its recipe, its results and its runs.

    Raises:
        ValueError: no entry has that name; the message suggests near ones.

    Example:

    >>> describe("cifar10_attention_net").recipe.dataset
    'cifar10'
    """
    folders = _folders()
    if name not in folders:
        raise ValueError(unknown("entry", name, sorted(folders)))
    return Entry(name, folders[name])


def register(path: str | os.PathLike[str]) -> list[str]:
    """Add a catalogue of your own: a folder of entries, or the folder of one.

    Returns:
        The names that were added.

    Raises:
        FileNotFoundError: there is no `recipe.toml` in the folder or one level below.
        ValueError: a name is taken, or is not of the form `dataset_architecture`.
    """
    path = pathlib.Path(path).expanduser().resolve()
    found = _entries_in(path)
    if (path / "recipe.toml").is_file():
        found = {path.name: path}
    if not found:
        raise FileNotFoundError(
            f"{path} is no catalogue: neither it nor a folder in it holds a recipe.toml."
        )
    taken = _folders()
    for name, folder in found.items():
        if not NAME.fullmatch(name):
            raise ValueError(
                f"{folder}: an entry's name is its folder's, in lower case with underscores, "
                f"dataset_architecture. Received: {name!r}."
            )
        if taken.get(name, folder) != folder:
            raise ValueError(f"The name {name!r} of {folder} is taken by {taken[name]}.")
        load_recipe(folder / "recipe.toml")
    _registered.update(found)
    return sorted(found)


def entries() -> Iterator[Entry]:
    """All entries, by name."""
    for name, folder in sorted(_folders().items()):
        yield Entry(name, folder)


def catalogue() -> pathlib.Path:
    """The folder of the entries that come with the package."""
    package = pathlib.Path(str(importlib.resources.files("keras_attn")))
    installed = package / "zoo" / "entries"
    return installed if installed.is_dir() else package.parent / "zoo"


def _folders() -> dict[str, pathlib.Path]:
    return {**_entries_in(catalogue()), **_registered}


def _entries_in(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    return {path.parent.name: path.parent for path in folder.glob("*/recipe.toml")}
