"""User-provided images: reading folders, and adapting a recipe to the size of the data."""

import pathlib
from typing import Any

from keras_attn import datasets
from keras_attn._wording import counted
from keras_attn.recipes import Recipe, parse_recipe
from keras_attn.tasks._image_files import ListsImages
from keras_attn.tasks._own_labels import label_indices

STEPS_PER_EPOCH = 4  # if the recipe's batches are larger than the training split

# For a trained backbone with a new head, in place of a recipe for training from scratch.
FINE_TUNING = {
    "optimizer": {"name": "adamw", "learning_rate": 1e-3},
    "schedule": {"decay": "linear"},
    "training.epochs": 20,
}


class ImageFolderReader(ListsImages):
    """Reader of folders of images, see `keras_attn.datasets.read_images`."""

    options = ()

    def read_options(self, source: Any) -> dict[str, Any]:
        """Return the size of images: that of the input of a recipe's architecture, or a model."""
        if not isinstance(source, Recipe):
            return {"image_size": tuple(source.image_shape[:2])}
        from keras_attn import models

        side = models.configure(source.architecture, **source.settings()).image_size
        return {"image_size": (side, side)}

    def read(self, path: pathlib.Path, **options: Any) -> datasets.ImageTable:
        """Read a folder."""
        return datasets.read_images(path, **options)

    def split(self, table: datasets.ImageTable, **options: Any) -> datasets.Dataset[Any]:
        """Split a table, see `keras_attn.datasets.split_images`."""
        return datasets.split_images(table, **options)

    def examples(self, table: datasets.ImageTable, model: Any) -> datasets.ImageSplit:
        """Return all images, with labels as indices into the model's label names.

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
        return datasets.ImageSplit(table.images, label_indices(table, model.label_names))


def fit_to_images(recipe: Recipe, train: datasets.ImageSplit) -> tuple[Recipe, list[str]]:
    """Lower the batch size of a recipe for fewer images.

    Args:
        recipe: The recipe of an entry for image classification.
        train: The training split.

    Returns:
        The adapted recipe, and a note on each change.
    """
    examples, before = len(train), recipe.training.batch_size
    batch_size = max(1, examples // STEPS_PER_EPOCH)
    if batch_size >= before:
        return recipe, []
    values = recipe.model_dump()
    values["training"]["batch_size"] = batch_size
    return parse_recipe(values), [
        f"For {counted(examples, 'training image')}, batches of {before} make few steps; they are "
        f"lowered to {batch_size}."
    ]
