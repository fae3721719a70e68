"""The registry of entries, one folder each. Reads TOML and JSON files only.

The folder of an entry holds `recipe.toml` and, once the entry is trained, `results.json`, the
weights and a generated card, `README.md`.
"""

import dataclasses
import fnmatch
import functools
import importlib.resources
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

from keras_attn import loading
from keras_attn._names import unknown
from keras_attn.recipes import Recipe, describe_task, find_task, load_recipe
from keras_attn.zoo.results import read_results

NAME = re.compile(r"[a-z0-9]+(_[a-z0-9]+)+")

_registered: dict[str, pathlib.Path] = {}


@dataclasses.dataclass(frozen=True)
class Entry:
    """An entry of the zoo.

    Attributes:
        name: Name of the form `dataset_architecture`.
        folder: Folder of the entry.
    """

    name: str
    folder: pathlib.Path

    @functools.cached_property
    def recipe(self) -> Recipe:
        """The recipe: model, data and training."""
        return load_recipe(self.folder / "recipe.toml")

    @functools.cached_property
    def results(self) -> dict[str, Any]:
        """The content of `results.json`: `weights`, `runs`, ...; empty if there is no such file.

        Raises:
            ValueError: The file is damaged, or names files outside of its folder.
        """
        path = self.folder / "results.json"
        if not path.is_file():
            return {}
        return read_results(path, describe_task(self.recipe.task).primary_metric)

    @property
    def pretrained(self) -> bool:
        """Return whether the entry has trained weights."""
        return "weights" in self.results

    @property
    def weights(self) -> pathlib.Path:
        """The path of the weights file.

        Raises:
            ValueError: The entry has no trained weights.
        """
        if not self.pretrained:
            raise ValueError(
                f"The entry {self.name!r} has no trained weights. Pass weights=None for a fresh "
                f"model, or train it: keras-attn train {self.name}."
            )
        return self.folder / self.results["weights"]["file"]

    def runs(self, variant: str = "") -> list[dict[str, Any]]:
        """Return the recorded runs of a variant, or of the entry itself, sorted by seed."""
        runs = [run for run in self.results.get("runs", []) if run["variant"] == variant]
        return sorted(runs, key=lambda run: run["seed"])


def list_models(
    pattern: str = "*", task: str | None = None, pretrained: bool | None = None
) -> list[str]:
    """Return the names of entries, sorted.

    Args:
        pattern: Shell pattern that names must match, such as `"cifar10_*"`.
        task: Return only entries for this task, such as `"image_classification"`; also by a word
            for its examples, such as `"images"`, see `keras_attn.recipes.find_task`.
        pretrained: Return only entries with (True) or without (False) trained weights.

    Raises:
        ValueError: No task is known by that name or word.

    Example:

    >>> from keras_attn import zoo
    >>> zoo.list("imdb_t*", pretrained=True)
    ['imdb_transformer']
    """
    task = None if task is None else find_task(task)
    return [
        entry.name
        for entry in entries()
        if fnmatch.fnmatchcase(entry.name, pattern)
        and task in (None, entry.recipe.task)
        and pretrained in (None, entry.pretrained)
    ]


def describe(name: str) -> Entry:
    """Return the entry with this name: its recipe, its results and its runs.

    Raises:
        ValueError: No entry has that name; the message suggests similar names.

    Example:

    >>> describe("cifar10_attention_net").recipe.dataset
    'cifar10'
    """
    folders = _folders()
    if name not in folders:
        raise ValueError(unknown("entry", name, sorted(folders)))
    return Entry(name, folders[name])


def is_saved(name: str | os.PathLike[str]) -> bool:
    """Return whether a name is that of no entry, but of a model that `keras_attn.load` reads."""
    return name not in _folders() and loading.is_saved(name)


def register(path: str | os.PathLike[str]) -> list[str]:
    """Register your own entries.

    Args:
        path: Folder of an entry, or a folder that holds folders of entries.

    Returns:
        The names of the entries, sorted.

    Raises:
        FileNotFoundError: There is no `recipe.toml` in the folder or one level below.
        ValueError: A name is taken, or is not of the form `dataset_architecture`.
    """
    path = pathlib.Path(path).expanduser().resolve()
    folders = _entries_in(path)
    if (path / "recipe.toml").is_file():
        folders = {path.name: path}
    if not folders:
        raise FileNotFoundError(
            f"{path} is no catalogue: neither it nor a folder in it holds a recipe.toml."
        )
    known = _folders()
    for name, folder in folders.items():
        if not NAME.fullmatch(name):
            raise ValueError(
                f"{folder}: the name of the folder is that of the entry, and must have the form "
                f"dataset_architecture, in lower case with underscores. Received: {name!r}."
            )
        if known.get(name, folder) != folder:
            raise ValueError(f"The name {name!r} of {folder} is taken by {known[name]}.")
        load_recipe(folder / "recipe.toml")
    _registered.update(folders)
    return sorted(folders)


def entries() -> Iterator[Entry]:
    """Yield all entries, sorted by name."""
    for name, folder in sorted(_folders().items()):
        yield Entry(name, folder)


def catalogue() -> pathlib.Path:
    """Return the folder of the entries that the package includes."""
    package = pathlib.Path(str(importlib.resources.files("keras_attn")))
    installed = package / "zoo" / "entries"
    return installed if installed.is_dir() else package.parent / "zoo"


def _folders() -> dict[str, pathlib.Path]:
    return {**_entries_in(catalogue()), **_registered}


def _entries_in(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    return {path.parent.name: path.parent for path in folder.glob("*/recipe.toml")}
