"""Data sets: real ones through TensorFlow Datasets, and `shapes`, drawn on the spot."""

import os
import pathlib
from collections.abc import Callable

from keras_attn._names import unknown
from keras_attn.data.batches import training_batches
from keras_attn.data.cifar import (
    CIFAR10_LABELS,
    CIFAR100_LABELS,
    DatasetNotFoundError,
    cifar10,
    cifar100,
    write_arrays,
)
from keras_attn.data.images import decode_image
from keras_attn.data.shapes import COLORS, shapes
from keras_attn.data.splits import ImageData, Split, cut_validation

LABELS: dict[str, tuple[str, ...]] = {
    "cifar10": CIFAR10_LABELS,
    "cifar100": CIFAR100_LABELS,
    "shapes": tuple(COLORS),
}

_LOADERS: dict[str, Callable[[str | os.PathLike[str] | None], ImageData]] = {
    "cifar10": cifar10,
    "cifar100": cifar100,
    "shapes": lambda data_dir: shapes(),
}


def load(name: str, data_dir: str | os.PathLike[str] | None = None) -> ImageData:
    """Open a data set; its splits are read when they are asked for. Never downloads.

    Args:
        name: `"cifar10"`, `"cifar100"` or `"shapes"`.
        data_dir: folder of TensorFlow Datasets, or a `.npz` file made by `save_arrays`.
            None is the environment's `TFDS_DATA_DIR`, or `~/tensorflow_datasets`.
            `shapes` is drawn, and needs none.

    Returns:
        A mapping of `"train"`, `"validation"` and `"test"` to `Split`. For CIFAR the
        validation split is 5,000 images cut from the 50,000 training images, always the
        same ones.

    Raises:
        ValueError: no data set has that name.
        DatasetNotFoundError: on reading a split, if the data set is not on disk.

    Example:

    >>> load("shapes")["validation"].images.shape
    (1000, 32, 32, 3)
    """
    if name not in _LOADERS:
        raise ValueError(unknown("data set", name, _LOADERS))
    return _LOADERS[name](data_dir)


def save_arrays(
    name: str,
    path: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
) -> None:
    """Write CIFAR-10 or CIFAR-100 as one `.npz` file, for machines without TFDS.

    Raises:
        ValueError: `path` does not end in `.npz`, or the data set is drawn, or unknown.
    """
    path = pathlib.Path(path)
    if name == "shapes":
        raise ValueError("'shapes' is drawn wherever it is loaded, and needs no array file.")
    if path.suffix != ".npz":
        raise ValueError(f"`path` must end in .npz. Received: {str(path)!r}.")
    write_arrays(name, load(name, data_dir), path)


__all__ = [
    "LABELS",
    "DatasetNotFoundError",
    "ImageData",
    "Split",
    "cut_validation",
    "decode_image",
    "load",
    "save_arrays",
    "shapes",
    "training_batches",
]
