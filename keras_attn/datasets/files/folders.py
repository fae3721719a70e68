"""Reading and splitting of your own images, in a folder for each label."""

import concurrent.futures
import dataclasses
import functools
import hashlib
import math
import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keras_attn._validation import check_positive_integer
from keras_attn._wording import counted
from keras_attn.datasets.files._account import FolderAccount
from keras_attn.datasets.files._folder_tables import (
    ReadFile,
    Reasons,
    check_given,
    check_table,
    cut_folder,
    read_label_folders,
)
from keras_attn.datasets.files._label_folders import IMAGES
from keras_attn.datasets.files.images import decode_image
from keras_attn.datasets.splits import Dataset, ImageSplit

UNREADABLE = "unreadable as an image"
REASONS = Reasons(
    "duplicate (the same pixels as an earlier image of the label)",
    "contradictory (the same pixels with different labels; all of them)",
)
_THREADS = 8


@dataclasses.dataclass(frozen=True, eq=False)
class ImageTable:
    """Distinct images of one size, each with the name of its label.

    Attributes:
        name: Name of the data set that `split_images` returns.
        images: Uint8 array `(N, H, W, 3)`.
        labels: The name of the label of each image.
        label_names: The names of all labels.
        paths: The file of each image, relative to the folder.
        parts: The split that the folder of each image names: `"train"`, `"validation"`,
            `"test"`, or an empty string for all of them if the folder has no splits.
        account: The files that were kept and skipped.

    Raises:
        ValueError: The lengths differ, or a label is not in `label_names`.
    """

    name: str
    images: np.ndarray
    labels: tuple[str, ...]
    label_names: tuple[str, ...]
    paths: tuple[str, ...]
    parts: tuple[str, ...]
    account: FolderAccount

    def __post_init__(self) -> None:
        check_table(self, len(self.images), "image")

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        size = "x".join(map(str, self.images.shape[1:3]))
        return (
            f"ImageTable({self.name!r}, {counted(len(self), 'image')} of {size}, "
            f"labels: {self.account.describe_labels()})"
        )


def read_images(
    folder: str | os.PathLike[str],
    *,
    image_size: tuple[int, int],
    label_names: Sequence[str] | None = None,
) -> ImageTable:
    """Read a folder of images that holds a folder for each label, and report skipped files.

    The folder may also hold `train`, `validation` (or `val`, `valid`, `dev`) and `test`, with a
    folder for each label in each of them. Images may be in sub-folders of their label's folder.
    Labels are the names of the folders, as `keras_attn.datasets.label_name` writes them.

    A file is skipped, and reported, if

    - it or a folder above it is hidden (its name starts with a dot);
    - it is not a PNG, JPEG, GIF, BMP or WebP file by its suffix, or `decode_image` cannot read it;
    - its pixels, as they are resized, are those of an earlier image of the label: a model cannot
      distinguish the two, and one must not be trained on and the other tested on;
    - its pixels are those of an image of another label: all of them are skipped.

    Args:
        folder: The folder.
        image_size: Height and width to which images are resized, of the model's input.
        label_names: The labels to keep, in the order of their indices; None means all labels of
            the folder, sorted.

    Returns:
        The images that were kept, in the order of their paths, with the account of all files.

    Raises:
        FileNotFoundError: The folder does not exist.
        ValueError: There are no folders of labels, folders of splits are beside others, the name
            of a folder is not UTF-8, or no image can be used.

    Example:

    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> import tensorflow as tf
    >>> root = pathlib.Path(tempfile.mkdtemp(), "pets")
    >>> for label, gray in (("cat", 10), ("dog", 200)):
    ...     (root / label).mkdir(parents=True)
    ...     image = np.full((12, 16, 3), gray, "uint8")
    ...     _ = (root / label / "1.png").write_bytes(tf.io.encode_png(image).numpy())
    >>> table = read_images(root, image_size=(8, 8))
    >>> table.images.shape, table.labels, table.paths
    ((2, 8, 8, 3), ('cat', 'dog'), ('cat/1.png', 'dog/1.png'))
    """
    if not isinstance(image_size, tuple | list) or len(image_size) != 2:
        raise ValueError(f"`image_size` must be (height, width). Received: {image_size!r}.")
    for side in image_size:
        check_positive_integer("image_size", side)
    size = (image_size[0], image_size[1])

    def read(paths: list[pathlib.Path]) -> list[ReadFile[_Image]]:
        return _read_files(paths, size)

    def describe(images: list[_Image]) -> tuple[str, ...]:
        return _describe_sizes([image.shape for image in images], size)

    table = read_label_folders(folder, IMAGES, label_names, read, describe, REASONS)
    return ImageTable(images=np.stack([image.pixels for image in table.contents]), **table.fields)


def split_images(
    table: ImageTable,
    *,
    validation: float | None = None,
    test: float | None = None,
    validation_data: ImageTable | None = None,
    test_data: ImageTable | None = None,
    seed: int = 0,
) -> Dataset[ImageSplit]:
    """Return a table as a data set of training, validation and test splits.

    What is neither a folder of its own in the table nor given as a table is cut from the training
    images, stratified by label: every label has an example in the training split, and a label
    with enough examples has one in each split. The cut depends only on the table, the fractions
    and `seed`.

    Args:
        table: The table, see `read_images`.
        validation: Fraction of the examples of each label in the validation split. [default: 0.1]
        test: Fraction of the examples of each label in the test split; 0 for no test split.
            [default: 0.1]
        validation_data: The validation split, in place of a fraction.
        test_data: The test split, in place of a fraction.
        seed: Integer that determines the cut.

    Returns:
        A data set with the name of the table and the splits `"train"`, `"validation"` and
        `"test"`. If images of a given test split also occur in the other splits, a warning says
        how many, and a split `"test_unseen"` holds the others.

    Raises:
        ValueError: The fractions leave a split empty, a split is given twice, there are too few
            examples or labels, or given data has other labels or another size.

    Example:

    >>> images = np.zeros((20, 8, 8, 3), "uint8")
    >>> paths = tuple(f"{number}.png" for number in range(20))
    >>> account = FolderAccount("pets", 20, 20, {}, {"cat": 10, "dog": 10})
    >>> labels = ("cat", "dog")
    >>> table = ImageTable("pets", images, labels * 10, labels, paths, ("",) * 20, account)
    >>> {name: len(split) for name, split in split_images(table, test=0.2).items()}
    {'train': 14, 'validation': 2, 'test': 4}
    """
    return cut_folder(
        table,
        make_image_split(table, table.label_names),
        lambda name, other: _given_split(name, other, table),
        lambda split: [_digest(image) for image in split.images],
        "images",
        validation=validation,
        test=test,
        validation_data=validation_data,
        test_data=test_data,
        seed=seed,
    )


def make_image_split(table: ImageTable, label_names: Sequence[str]) -> ImageSplit:
    """Return all images of a table, with labels as indices into `label_names`."""
    index = {name: number for number, name in enumerate(label_names)}
    return ImageSplit(table.images, np.array([index[label] for label in table.labels], "int32"))


def _given_split(name: str, other: ImageTable, table: ImageTable) -> ImageSplit:
    check_given(name, other, table)
    if other.images.shape[1:] != table.images.shape[1:]:
        raise ValueError(
            f"`{name}_data` must have images of shape {table.images.shape[1:]}. Received: "
            f"{other.images.shape[1:]}. Read both with the same `image_size`."
        )
    return make_image_split(other, table.label_names)


class _Image(NamedTuple):
    """The resized pixels of an image file, and its height and width."""

    pixels: np.ndarray
    shape: tuple[int, int]


def _read_files(paths: Sequence[pathlib.Path], size: tuple[int, int]) -> list[ReadFile[_Image]]:
    if not paths:
        return []
    import tensorflow  # noqa: F401  # before the threads, which would import it at once

    with concurrent.futures.ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as threads:
        return list(threads.map(functools.partial(_read_file, size=size), paths))


def _read_file(path: pathlib.Path, size: tuple[int, int]) -> ReadFile[_Image]:
    import tensorflow as tf

    try:
        pixels = decode_image(path)
    except (ValueError, OSError) as error:
        return ReadFile(None, problem=UNREADABLE, error=str(error))
    shape = (pixels.shape[0], pixels.shape[1])
    if shape != size:
        resized = tf.image.resize(pixels, size, antialias=True).numpy()
        pixels = np.clip(np.round(resized), 0, 255).astype("uint8")
    return ReadFile(_Image(pixels, shape), _digest(pixels))


def _digest(image: np.ndarray) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(image).data).digest()


def _describe_sizes(
    shapes: Sequence[tuple[int, int]], image_size: tuple[int, int]
) -> tuple[str, ...]:
    height, width = image_size
    others = [shape for shape in shapes if shape != (height, width)]
    if not others:
        return ()
    least, most = min(others, key=math.prod), max(others, key=math.prod)
    sizes = " to ".join(f"{h}x{w}" for h, w in dict.fromkeys((least, most)))
    return (
        f"{counted(len(others), 'image')} {'is' if len(others) == 1 else 'are'} resized to "
        f"{height}x{width} (height x width), from {sizes}.",
    )
