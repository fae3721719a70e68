"""User-provided sounds: reading folders, and adapting a recipe to the size of the data."""

import pathlib
from typing import Any

from keras_attn import datasets
from keras_attn._wording import counted
from keras_attn.datasets.files._account import tally
from keras_attn.datasets.files._label_folders import SOUNDS, list_files
from keras_attn.recipes import Recipe, change_recipe
from keras_attn.tasks._own_labels import label_indices

STEPS_PER_EPOCH = 4  # if the recipe's batches are larger than the training split
MAX_SECONDS = 10.0  # of a sound; longer ones are skipped

# For a trained backbone with a new head, in place of a recipe for training from scratch.
FINE_TUNING = {
    "optimizer": {"name": "adamw", "learning_rate": 1e-3},
    "schedule": {"decay": "linear"},
    "training.epochs": 20,
}


class WaveformFolderReader:
    """Reader of folders of WAV files, see `keras_attn.datasets.read_waveforms`."""

    options = ()

    def read_options(self, source: Any) -> dict[str, Any]:
        """Return the length of the longest sound that a model takes."""
        return {"max_seconds": getattr(source, "max_seconds", MAX_SECONDS)}

    def read(self, path: pathlib.Path, **options: Any) -> datasets.WaveformTable:
        """Read a folder."""
        return datasets.read_waveforms(path, **options)

    def list_files(self, folder: pathlib.Path) -> tuple[list[str], list[str]]:
        """Return the paths of all WAV files in a folder and below it, and notes on other files.

        Raises:
            ValueError: There are no WAV files.
        """
        files, others = list_files(folder, SOUNDS)
        notes = [
            f"{folder}: {counted(skipped.count, 'file')} left out: {reason}, such as "
            f"{skipped.lines[0]}."
            for reason, skipped in tally(others).items()
        ]
        if not files:
            raise ValueError(
                f"The folder {str(folder)!r} holds no sound: no file, here or in a folder below, "
                f"that ends in {', '.join(SOUNDS.suffixes)}."
            )
        return list(map(str, files)), notes

    def split(self, table: datasets.WaveformTable, **options: Any) -> datasets.Dataset[Any]:
        """Split a table, see `keras_attn.datasets.split_waveforms`."""
        return datasets.split_waveforms(table, **options)

    def examples(self, table: datasets.WaveformTable, model: Any) -> datasets.WaveformSplit:
        """Return all sounds, with labels as indices into the model's label names.

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
        return datasets.WaveformSplit(table.waveforms, label_indices(table, model.label_names))


def fit_to_waveforms(recipe: Recipe, train: datasets.WaveformSplit) -> tuple[Recipe, list[str]]:
    """Lower the batch size of a recipe for fewer sounds.

    Args:
        recipe: The recipe of an entry for the classification of sounds.
        train: The training split.

    Returns:
        The adapted recipe, and a note on each change.
    """
    examples, before = len(train), recipe.training.batch_size
    batch_size = max(1, examples // STEPS_PER_EPOCH)
    if batch_size >= before:
        return recipe, []
    return change_recipe(recipe, {"training.batch_size": batch_size}), [
        f"For {counted(examples, 'training sound')}, batches of {before} make few steps; they are "
        f"lowered to {batch_size}."
    ]
