"""The registry of data sets. Each module of this package registers those that it reads."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any

from keras_attn._names import unknown
from keras_attn.datasets.splits import Dataset

Loader = Callable[[str | os.PathLike[str] | None], Dataset[Any]]


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """A registered data set.

    Attributes:
        name: The name that recipes and `load` use.
        task: The name of its task, such as `"image_classification"`.
        load: Function from `data_dir` to a `Dataset`.
        label_names: The name of each label; empty if targets are not labels.
        language: Code of the language of target texts, such as `"de"`, or None.
        split_titles: Descriptions of splits whose names are not self-explanatory.
    """

    name: str
    task: str
    load: Loader
    label_names: tuple[str, ...] = ()
    language: str | None = None
    split_titles: dict[str, str] = dataclasses.field(default_factory=dict)


_registered: dict[str, DatasetInfo] = {}


def register_dataset(
    name: str,
    *,
    task: str,
    label_names: Sequence[str] = (),
    language: str | None = None,
    split_titles: dict[str, str] | None = None,
) -> Callable[[Loader], Loader]:
    """Register a function as the loader of a data set.

    Args:
        name: The name that recipes and `keras_attn.datasets.load` use.
        task: The name of the task of the data set, such as `"image_classification"`.
        label_names: The name of each label; empty if targets are not labels.
        language: Code of the language of target texts, such as `"de"`, or None.
        split_titles: Descriptions of splits whose names are not self-explanatory.

    Returns:
        A decorator for a function that takes `data_dir` (a path or None) and returns a
        `Dataset`. It must not read a file: the splits of a `Dataset` are read on access.

    Raises:
        ValueError: The name is taken by another function.

    Example:

    >>> from keras_attn import datasets
    >>> @datasets.register_dataset("two_shapes", task="image_classification")
    ... def load_two_shapes(data_dir=None):
    ...     return datasets.load("shapes")
    >>> len(datasets.load("two_shapes")["test"])
    2000
    >>> datasets.unregister_dataset("two_shapes")
    """

    def decorate(loader: Loader) -> Loader:
        if name in _registered and _registered[name].load is not loader:
            raise ValueError(f"A data set is registered as {name!r} already. Choose another name.")
        _registered[name] = DatasetInfo(
            name, task, loader, tuple(label_names), language, split_titles or {}
        )
        return loader

    return decorate


def unregister_dataset(name: str) -> None:
    """Remove a data set from the registry.

    Raises:
        ValueError: No data set has that name.
    """
    describe_dataset(name)
    del _registered[name]


def describe_dataset(name: str) -> DatasetInfo:
    """Return the description of a registered data set.

    Raises:
        ValueError: No data set has that name; the message suggests similar ones.

    Example:

    >>> describe_dataset("shapes").label_names
    ('red', 'green', 'blue', 'yellow')
    """
    if name not in _registered:
        raise ValueError(unknown("data set", name, sorted(_registered)))
    return _registered[name]


def list_datasets(task: str | None = None) -> list[str]:
    """Return the names of all registered data sets, sorted.

    Args:
        task: Only data sets for this task.

    Example:

    >>> list_datasets("text_classification")
    ['chnsenticorp', 'imdb', 'remarks']
    """
    return sorted(name for name, info in _registered.items() if task in (None, info.task))


def load(name: str, data_dir: str | os.PathLike[str] | None = None) -> Dataset[Any]:
    """Open a data set by name. Splits are read on access, and nothing is ever downloaded.

    Args:
        name: A registered name, see `list_datasets`. Images: `"cifar10"`, `"cifar100"`,
            `"shapes"`. Texts: `"imdb"`, `"chnsenticorp"`, `"remarks"`. Translation:
            `"multi30k_en_de"` and other pairs of `en` with `de`, `fr` or `cs`; `"tatoeba_en_fr"`,
            `"tatoeba_fr_en"`, `"tatoeba_en_zh"`, `"tatoeba_zh_en"`; `"numerals"`. Text generation:
            `"shakespeare"`, `"tang"`, `"echoes"`. Forecasting: `"etth1"`, `"weather"`,
            `"traffic"`, `"sales"`. Sounds: `"fsdd"`, `"melodies"`. Images with
            boxes: `"bccd"`, `"discs"`.
        data_dir: Folder of TensorFlow Datasets; for CIFAR also a `.npz` file that
            `save_arrays` wrote; for translation, `chnsenticorp` and `fsdd` also the folder of the
            published files. None means the environment's `TFDS_DATA_DIR`, or
            `~/tensorflow_datasets`. `shapes`, `remarks`, `numerals`, `echoes`, `sales`,
            `melodies` and `discs` are generated and read no file.

    Returns:
        A mapping of `"train"`, `"validation"` and `"test"` to an `ImageSplit`, a `TextSplit`,
        a `PairSplit`, a `WaveformSplit` or a `DetectionSplit`. `imdb` also has `"unlabelled"`,
        `chnsenticorp` `"test_unseen"`, and `multi30k`, except for Czech, `"test_2017"` and
        `"test_coco"`. The validation split of CIFAR is 5,000 of the 50,000 training images, and
        that of IMDB 2,000 of the 25,000 training reviews, always the same ones.

    Raises:
        ValueError: No data set has that name.
        DatasetNotFoundError: On access to a split, if the data set is not on disk.

    Example:

    >>> load("shapes")["validation"].images.shape
    (1000, 32, 32, 3)
    """
    return describe_dataset(name).load(data_dir)
