"""User-provided folders of images or sounds: reading them, and adapting a recipe to their size."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_attn._wording import counted
from keras_attn.datasets import Dataset
from keras_attn.datasets.files._account import tally
from keras_attn.datasets.files._label_folders import FileKind, list_files
from keras_attn.recipes import Recipe, change_recipe
from keras_attn.tasks._own_labels import label_indices

STEPS_PER_EPOCH = 4  # if the recipe's batches are larger than the training split

# For a trained backbone with a new head, in place of a recipe for training from scratch.
FINE_TUNING = {
    "optimizer": {"name": "adamw", "learning_rate": 1e-3},
    "schedule": {"decay": "linear"},
    "training.epochs": 20,
}


@dataclasses.dataclass(frozen=True)
class FolderReader:
    """Reader of folders that hold a folder of files for each label, see `TableReader`.

    Attributes:
        kind: The files.
        read: Function of a folder and further options that returns a table.
        split: Function of a table and further options that returns a data set.
        make_split: Function of a table and label indices `(N,)` that returns all of it as a split.
        read_options: Function of a recipe or a model that returns the options of `read`.
    """

    kind: FileKind
    read: Callable[..., Any]
    split: Callable[..., Dataset[Any]]
    make_split: Callable[[Any, np.ndarray], Any]
    read_options: Callable[[Any], dict[str, Any]]
    options: tuple[str, ...] = ()

    def list_files(self, folder: pathlib.Path) -> tuple[list[str], list[str]]:
        """Return the paths of all files of the kind in a folder and below it, and notes on others.

        Raises:
            ValueError: There are no such files.
        """
        return list_inputs(folder, self.kind)

    def examples(self, table: Any, model: Any) -> Any:
        """Return all examples, with labels as indices into the model's label names.

        Raises:
            ValueError: The folder has a label that the model does not have, or it has folders of
                splits, of which one must be chosen.
        """
        if set(table.parts) != {""}:
            parts = ", ".join(sorted(set(table.parts)))
            raise ValueError(
                f"{table.account.path} has folders of splits: {parts}. Choose the folder of one, "
                f"such as {pathlib.Path(table.account.path, 'test')}."
            )
        return self.make_split(table, label_indices(table, model.label_names))


def list_inputs(folder: pathlib.Path, kind: FileKind) -> tuple[list[str], list[str]]:
    """Return the paths of all files of a kind in a folder and below it, and notes on others.

    Raises:
        ValueError: There are no such files.
    """
    files, others = list_files(folder, kind)
    notes = [
        f"{folder}: {counted(skipped.count, 'file')} left out: {reason}, such as "
        f"{skipped.lines[0]}."
        for reason, skipped in tally(others).items()
    ]
    if not files:
        raise ValueError(
            f"The folder {str(folder)!r} holds no {kind.example}: no file, here or in a folder "
            f"below, that ends in {', '.join(kind.suffixes)}."
        )
    return list(map(str, files)), notes


def limit_recipe_batch(recipe: Recipe, train: Any, example: str) -> tuple[Recipe, list[str]]:
    """Lower the batch size of a recipe for fewer examples.

    Args:
        recipe: The recipe of an entry.
        train: The training split.
        example: Noun for an example.

    Returns:
        The adapted recipe, and a note on each change.
    """
    examples, before = len(train), recipe.training.batch_size
    batch_size = max(1, examples // STEPS_PER_EPOCH)
    if batch_size >= before:
        return recipe, []
    return change_recipe(recipe, {"training.batch_size": batch_size}), [
        f"For {counted(examples, f'training {example}')}, batches of {before} make few steps; they "
        f"are lowered to {batch_size}."
    ]
