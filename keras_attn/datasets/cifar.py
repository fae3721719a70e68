"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009), from TensorFlow Datasets or an array file."""

import functools
import os
import pathlib
import zipfile
from collections.abc import Callable, Mapping

import numpy as np

from keras_attn.datasets._tfds import DatasetNotFoundError, read_tfds
from keras_attn.datasets.registry import describe_dataset, register_dataset
from keras_attn.datasets.splits import Dataset, ImageSplit, cut_validation

CIFAR10_LABELS = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
_CIFAR100 = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
    butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach
    couch crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster
    house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
    motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear
    pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket
    rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
    sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip
    turtle wardrobe whale willow_tree wolf woman worm
"""
CIFAR100_LABELS = tuple(_CIFAR100.split())
VALIDATION_SIZE = 5_000
_ALTERNATIVE = "or a .npz file made by `keras_attn.datasets.save_arrays`"


@register_dataset("cifar10", task="image_classification", label_names=CIFAR10_LABELS)
def load_cifar10(data_dir: str | os.PathLike[str] | None = None) -> Dataset[ImageSplit]:
    """Open CIFAR-10: 45,000 + 5,000 + 10,000 images `(32, 32, 3)` of 10 classes.

    Args:
        data_dir: Folder of TensorFlow Datasets, or an `.npz` file that `save_arrays` wrote;
            None means the environment's `TFDS_DATA_DIR`, or `~/tensorflow_datasets`.

    Raises:
        DatasetNotFoundError: On access to a split, if the data set is not on disk.
        ValueError: On access to a split, if the file is damaged or of another data set.
    """
    return _open("cifar10", CIFAR10_LABELS, data_dir)


@register_dataset("cifar100", task="image_classification", label_names=CIFAR100_LABELS)
def load_cifar100(data_dir: str | os.PathLike[str] | None = None) -> Dataset[ImageSplit]:
    """Open CIFAR-100: 100 classes, otherwise as `load_cifar10`."""
    return _open("cifar100", CIFAR100_LABELS, data_dir)


_ARRAY_LOADERS = {"cifar10": load_cifar10, "cifar100": load_cifar100}


def _open(
    name: str, label_names: tuple[str, ...], data_dir: str | os.PathLike[str] | None
) -> Dataset[ImageSplit]:
    if data_dir is not None and pathlib.Path(data_dir).suffix == ".npz":
        read = functools.partial(_read_arrays, name, pathlib.Path(data_dir))
    else:
        read = functools.partial(_read_tfds, name, data_dir)

    @functools.cache
    def cut_training() -> tuple[ImageSplit, ImageSplit]:
        return cut_validation(read("train"), VALIDATION_SIZE)

    readers: dict[str, Callable[[], ImageSplit]] = {
        "train": lambda: cut_training()[0],
        "validation": lambda: cut_training()[1],
        "test": functools.cache(lambda: read("test")),
    }
    return Dataset(name, label_names, readers)


def _read_tfds(name: str, data_dir: str | os.PathLike[str] | None, split: str) -> ImageSplit:
    arrays = read_tfds(name, data_dir, split, alternative=_ALTERNATIVE)
    return ImageSplit(arrays["image"], arrays["label"].astype("int32"))


def _read_arrays(name: str, path: pathlib.Path, split: str) -> ImageSplit:
    if not path.is_file():
        raise DatasetNotFoundError(
            f"The array file {path} of {name!r} does not exist. Make it, on a machine that has "
            f"the data set, with `keras_attn.datasets.save_arrays({name!r}, {str(path)!r})`."
        )
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            stored_name = str(arrays["name"])
            stored_split = ImageSplit(arrays[f"{split}_images"], arrays[f"{split}_labels"])
    except (zipfile.BadZipFile, OSError, ValueError, KeyError, EOFError) as error:
        raise ValueError(
            f"{path} is damaged, or was not made by `keras_attn.datasets.save_arrays`: {error}."
        ) from error
    if stored_name != name:
        raise ValueError(
            f"{path} holds the data set {stored_name!r}, and {name!r} was requested. Give the "
            f"file of {name!r}, or load {stored_name!r}."
        )
    return stored_split


def save_arrays(
    name: str,
    path: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
) -> None:
    """Write CIFAR-10 or CIFAR-100 as one `.npz` file, for machines without TFDS.

    Args:
        name: `"cifar10"` or `"cifar100"`.
        path: File to write, ending in `.npz`. `load` accepts it as `data_dir`.
        data_dir: Where the data set is read from, see `load`.

    Raises:
        DatasetNotFoundError: The data set is not on disk.
        ValueError: `path` does not end in `.npz`, or the data set is not one of the two.
    """
    path = pathlib.Path(path)
    if name not in _ARRAY_LOADERS:
        describe_dataset(name)  # raises ValueError for an unknown name
        raise ValueError(
            f"Array files hold {' or '.join(map(repr, _ARRAY_LOADERS))}. Received: {name!r}. "
            "Copy its folder in ~/tensorflow_datasets to the other machine, if it has one; data "
            "sets that are generated need none."
        )
    if path.suffix != ".npz":
        raise ValueError(f"`path` must end in .npz. Received: {str(path)!r}.")
    write_arrays(name, _ARRAY_LOADERS[name](data_dir), path)


def write_arrays(name: str, splits: Mapping[str, ImageSplit], path: pathlib.Path) -> None:
    """Write the splits of a data set as the array file that `load` reads."""
    train, validation = splits["train"], splits["validation"]
    # Undo the cut, so that the file holds the published training split.
    held_out = _held_out(len(train) + len(validation))
    images = np.empty((len(held_out), *train.images.shape[1:]), "uint8")
    labels = np.empty(len(held_out), "int32")
    images[~held_out], images[held_out] = train.images, validation.images
    labels[~held_out], labels[held_out] = train.labels, validation.labels
    test = splits["test"]
    np.savez(
        path,
        name=name,
        train_images=images,
        train_labels=labels,
        test_images=test.images,
        test_labels=test.labels,
    )


def _held_out(size: int) -> np.ndarray:
    """Return the mask `(size,)` of the rows that `cut_validation` holds out."""
    indices = ImageSplit(np.zeros((size, 1, 1, 1), "uint8"), np.arange(size, dtype="int32"))
    held_out = np.zeros(size, bool)
    held_out[cut_validation(indices, VALIDATION_SIZE)[1].labels] = True
    return held_out
