"""User-provided images: reading folders of them."""

from typing import Any

from keras_attn import datasets
from keras_attn.datasets.files._label_folders import IMAGES
from keras_attn.recipes import Recipe
from keras_attn.tasks._folder_data import FolderReader


def _read_options(source: Any) -> dict[str, Any]:
    """Return the size of images: that of the input of a recipe's architecture, or a model."""
    if not isinstance(source, Recipe):
        return {"image_size": tuple(source.image_shape[:2])}
    from keras_attn import models

    side = models.configure(source.architecture, **source.settings()).image_size
    return {"image_size": (side, side)}


READER = FolderReader(
    IMAGES,
    datasets.read_images,
    datasets.split_images,
    lambda table, labels: datasets.ImageSplit(table.images, labels),
    _read_options,
)
