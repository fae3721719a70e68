"""Data sets of images and texts: real ones, your own tables, and ones drawn on the spot."""

import os
import pathlib
from collections.abc import Callable
from typing import Any

from keras_attn._names import unknown
from keras_attn.data._tfds import DatasetNotFoundError
from keras_attn.data.batches import training_batches
from keras_attn.data.cifar import (
    CIFAR10_LABELS,
    CIFAR100_LABELS,
    cifar10,
    cifar100,
    write_arrays,
)
from keras_attn.data.encoded import (
    EncodedTexts,
    EvaluationBatches,
    TextBatches,
    evaluation_batches,
    text_batches,
)
from keras_attn.data.images import decode_image
from keras_attn.data.imdb import IMDB_LABELS, imdb_reviews
from keras_attn.data.remarks import REMARKS_LABELS, remarks
from keras_attn.data.shapes import COLORS, shapes
from keras_attn.data.splits import Dataset, Split, TextSplit, cut_validation
from keras_attn.data.tables import TableAccount, TextTable, read_texts, split_table

LABELS: dict[str, tuple[str, ...]] = {
    "cifar10": CIFAR10_LABELS,
    "cifar100": CIFAR100_LABELS,
    "imdb": IMDB_LABELS,
    "remarks": REMARKS_LABELS,
    "shapes": tuple(COLORS),
}

_LOADERS: dict[str, Callable[[str | os.PathLike[str] | None], Dataset[Any]]] = {
    "cifar10": cifar10,
    "cifar100": cifar100,
    "imdb": imdb_reviews,
    "remarks": lambda data_dir: remarks(),
    "shapes": lambda data_dir: shapes(),
}


def load(name: str, data_dir: str | os.PathLike[str] | None = None) -> Dataset[Any]:
    """Open a data set; its splits are read when they are asked for. Never downloads.

    Args:
        name: of images `"cifar10"`, `"cifar100"` or `"shapes"`; of texts `"imdb"` or
            `"remarks"`.
        data_dir: folder of TensorFlow Datasets, or, for CIFAR, a `.npz` file made by
            `save_arrays`. None is the environment's `TFDS_DATA_DIR`, or
            `~/tensorflow_datasets`. `shapes` and `remarks` are drawn, and need none.

    Returns:
        A mapping of `"train"`, `"validation"` and `"test"` to `Split` or, for texts, to
        `TextSplit`. `imdb` has `"unlabelled"` too. The validation split of CIFAR is
        5,000 of the 50,000 training images, and that of IMDB 2,000 of the 25,000 training
        reviews: always the same ones.

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
        ValueError: `path` does not end in `.npz`, or the data set is drawn, of texts, or
            unknown.
    """
    path = pathlib.Path(path)
    if name in ("shapes", "remarks"):
        raise ValueError(f"{name!r} is drawn wherever it is loaded, and needs no array file.")
    if name == "imdb":
        raise ValueError(
            "Array files hold images: 'cifar10' or 'cifar100'. Received: 'imdb', of "
            "texts. Copy its folder in ~/tensorflow_datasets to the other machine instead."
        )
    if path.suffix != ".npz":
        raise ValueError(f"`path` must end in .npz. Received: {str(path)!r}.")
    write_arrays(name, load(name, data_dir), path)


__all__ = [
    "LABELS",
    "Dataset",
    "DatasetNotFoundError",
    "EncodedTexts",
    "Split",
    "TableAccount",
    "TextBatches",
    "TextSplit",
    "TextTable",
    "cut_validation",
    "decode_image",
    "evaluation_batches",
    "imdb_reviews",
    "load",
    "read_texts",
    "remarks",
    "save_arrays",
    "shapes",
    "split_table",
    "text_batches",
    "training_batches",
]
