"""User-provided images with boxes: reading them, and adapting a recipe to their number."""

import pathlib
from typing import Any

from keras_attn import datasets
from keras_attn._names import unknown
from keras_attn._wording import counted
from keras_attn.datasets.files.detection import rename_labels
from keras_attn.recipes import Recipe, parse_recipe
from keras_attn.tasks._image_files import ListsImages

STEPS_PER_EPOCH = 4  # if the recipe's batches are larger than the training split
MARGIN = 2  # images are shrunk to so many times the size of the network's input


class DetectionReader(ListsImages):
    """Reader of images with boxes, see `keras_attn.datasets.read_detection`."""

    options = ("image_folder",)

    def read_options(self, source: Any) -> dict[str, Any]:
        """Return the size into which images are shrunk, to save memory."""
        if isinstance(source, Recipe):
            from keras_attn import models

            size = models.configure(source.architecture, **source.settings()).image_size
        else:
            size = source.image_size
        return {"image_size": (MARGIN * size[0], MARGIN * size[1])}

    def read(self, path: pathlib.Path, **options: Any) -> datasets.DetectionTable:
        """Read a folder of Pascal VOC or a file of COCO."""
        return datasets.read_detection(path, **options)

    def split(self, table: datasets.DetectionTable, **options: Any) -> datasets.Dataset[Any]:
        """Split a table, see `keras_attn.datasets.split_detection`."""
        return datasets.split_detection(table, **options)

    def examples(self, table: datasets.DetectionTable, model: Any) -> datasets.DetectionSplit:
        """Return all images, with labels as indices into the model's label names.

        Raises:
            ValueError: There is a label that the model does not have.
        """
        for name in table.label_names:
            if name not in model.label_names:
                raise ValueError(unknown(f"label in {table.account.path}", name, model.label_names))
        return rename_labels(table, model.label_names)


def fit_to_images(recipe: Recipe, train: datasets.DetectionSplit) -> tuple[Recipe, list[str]]:
    """Lower the batch size of a recipe for fewer images.

    Args:
        recipe: The recipe of an entry for object detection.
        train: The training split.

    Returns:
        The adapted recipe, and a note on each change.
    """
    before = recipe.training.batch_size
    batch_size = max(1, len(train) // STEPS_PER_EPOCH)
    if batch_size >= before:
        return recipe, []
    values = recipe.model_dump()
    values["training"]["batch_size"] = batch_size
    return parse_recipe(values), [
        f"For {counted(len(train), 'training image')}, batches of {before} make few steps; they "
        f"are lowered to {batch_size}."
    ]
