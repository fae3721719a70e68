"""Data sets of images, texts and translations: real ones, your own, and ones drawn here."""

import functools
import os
import pathlib
from collections.abc import Callable
from typing import Any

from keras_attn._names import unknown
from keras_attn.data._account import Account
from keras_attn.data._tfds import DatasetNotFoundError
from keras_attn.data.batches import HeldOutImages, ImageBatches
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
)
from keras_attn.data.encoded_pairs import (
    EncodedPairs,
    PairBatches,
    padded,
)
from keras_attn.data.feeding import batches_for_fit, shareable_size
from keras_attn.data.images import decode_image
from keras_attn.data.imdb import IMDB_LABELS, imdb_reviews
from keras_attn.data.multi30k import multi30k
from keras_attn.data.own_pairs import PairTable, read_pairs, split_pairs
from keras_attn.data.pairs import PairSplit
from keras_attn.data.remarks import REMARKS_LABELS, remarks
from keras_attn.data.shapes import COLORS, shapes
from keras_attn.data.splits import Dataset, Split, TextSplit, cut_validation
from keras_attn.data.tables import TableAccount, TextTable, read_texts, split_table
from keras_attn.data.tatoeba import tatoeba

_Loader = Callable[[str | os.PathLike[str] | None], Dataset[Any]]

_TRANSLATIONS: dict[str, _Loader] = {
    **{
        f"multi30k_{source}_{target}": functools.partial(multi30k, source, target)
        for other in ("de", "fr", "cs")
        for source, target in (("en", other), (other, "en"))
    },
    "tatoeba_en_fr": functools.partial(tatoeba, "en", "fr"),
    "tatoeba_fr_en": functools.partial(tatoeba, "fr", "en"),
}

LABELS: dict[str, tuple[str, ...]] = {
    "cifar10": CIFAR10_LABELS,
    "cifar100": CIFAR100_LABELS,
    "imdb": IMDB_LABELS,
    "remarks": REMARKS_LABELS,
    "shapes": tuple(COLORS),
    **dict.fromkeys(_TRANSLATIONS, ()),
}

_LOADERS: dict[str, _Loader] = {
    "cifar10": cifar10,
    "cifar100": cifar100,
    "imdb": imdb_reviews,
    "remarks": lambda data_dir: remarks(),
    "shapes": lambda data_dir: shapes(),
    **_TRANSLATIONS,
}


def load(name: str, data_dir: str | os.PathLike[str] | None = None) -> Dataset[Any]:
    """Open a data set; its splits are read when they are asked for. Never downloads.

    Args:
        name: of images `"cifar10"`, `"cifar100"` or `"shapes"`; of texts `"imdb"` or
            `"remarks"`; of sentences and their translations `"multi30k_en_de"` and the like,
            between English and `de`, `fr` or `cs`, `"tatoeba_en_fr"` or `"tatoeba_fr_en"`.
        data_dir: folder of TensorFlow Datasets, or, for CIFAR, a `.npz` file made by
            `save_arrays`, or, for translations, the folder of the published files. None is
            the environment's `TFDS_DATA_DIR`, or `~/tensorflow_datasets`. `shapes` and
            `remarks` are drawn, and need none.

    Returns:
        A mapping of `"train"`, `"validation"` and `"test"` to `Split`, for texts to
        `TextSplit`, or for translations to `PairSplit`. `imdb` has `"unlabelled"` too, and
        `multi30k`, but for Czech, `"test_2017"` and `"test_coco"`. The validation split of
        CIFAR is 5,000 of the 50,000 training images, and that of IMDB 2,000 of the 25,000
        training reviews: always the same ones.

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
    if name == "imdb" or name in _TRANSLATIONS:
        raise ValueError(
            f"Array files hold images: 'cifar10' or 'cifar100'. Received: {name!r}, of "
            "texts. Copy its folder in ~/tensorflow_datasets to the other machine instead."
        )
    if path.suffix != ".npz":
        raise ValueError(f"`path` must end in .npz. Received: {str(path)!r}.")
    write_arrays(name, load(name, data_dir), path)


__all__ = [
    "LABELS",
    "Account",
    "Dataset",
    "DatasetNotFoundError",
    "EncodedPairs",
    "EncodedTexts",
    "EvaluationBatches",
    "HeldOutImages",
    "ImageBatches",
    "PairBatches",
    "PairSplit",
    "PairTable",
    "Split",
    "TableAccount",
    "TextBatches",
    "TextSplit",
    "TextTable",
    "batches_for_fit",
    "cut_validation",
    "decode_image",
    "evaluation_batches",
    "imdb_reviews",
    "load",
    "multi30k",
    "padded",
    "read_pairs",
    "read_texts",
    "remarks",
    "save_arrays",
    "shapes",
    "shareable_size",
    "split_pairs",
    "split_table",
    "tatoeba",
]
