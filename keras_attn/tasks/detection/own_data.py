"""User-provided images with boxes: reading them, and adapting a recipe to their number."""

import pathlib
from typing import Any

from keras_attn import datasets
from keras_attn._names import unknown
from keras_attn.datasets.files._label_folders import IMAGES
from keras_attn.datasets.files.detection import rename_labels
from keras_attn.recipes import Recipe
from keras_attn.tasks._folder_data import limit_recipe_batch, list_inputs

MARGIN = 2  # images are shrunk to so many times the size of the network's input


class DetectionReader:
    """Reader of images with boxes, see `keras_attn.datasets.read_detection`."""

    options = ("image_folder",)

    def list_files(self, folder: pathlib.Path) -> tuple[list[str], list[str]]:
        """Return the paths of all images in a folder and below it, and notes on other files."""
        return list_inputs(folder, IMAGES)

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
    """Lower the batch size of a recipe for fewer images, see `limit_recipe_batch`."""
    return limit_recipe_batch(recipe, train, "image")
