"""BCCD: blood cells in microscope images, with boxes (Shenggan, MIT licence)."""

import functools
import lzma
import os
import pathlib
import tarfile
from collections.abc import Iterator

import numpy as np

from keras_attn.datasets._tfds import find_file
from keras_attn.datasets.detection import DetectionSplit
from keras_attn.datasets.files._annotations import Annotation, parse_voc
from keras_attn.datasets.files.detection import account_for, label_indices
from keras_attn.datasets.registry import register_dataset
from keras_attn.datasets.splits import Dataset

LABELS = ("Platelets", "RBC", "WBC")
FOLDER, ARCHIVE, CONTENT = "bccd", "BCCD.tar.xz", "BCCD"
LISTS = {"train": "train.txt", "validation": "val.txt", "test": "test.txt"}

_DAMAGE = (tarfile.TarError, lzma.LZMAError, EOFError)


@register_dataset("bccd", task="object_detection", label_names=LABELS)
def load_bccd(data_dir: str | os.PathLike[str] | None = None) -> Dataset[DetectionSplit]:
    """Open BCCD: 364 images of blood smears, with boxes of red and white cells and platelets.

    The splits are those of the authors, 205, 87 and 72 images of 640 x 480 pixels. Two objects have
    no area, and are dropped; the `account` of a split names them. The boxes are not complete: many
    red cells at the border of an image, or under others, have none.

    Args:
        data_dir: Folder of `BCCD.tar.xz`, or of the folder `BCCD`; or a folder with one of them in
            `bccd/`. None means the environment's `TFDS_DATA_DIR`, or `~/tensorflow_datasets`.

    Returns:
        The splits `"train"`, `"validation"` and `"test"`.

    Raises:
        DatasetNotFoundError: On access to a split, if the files are not on disk.
        ValueError: On access to a split, if a file is missing or damaged.

    Example:

    >>> load_bccd().label_names
    ('Platelets', 'RBC', 'WBC')
    """

    @functools.cache
    def read(split: str) -> DetectionSplit:
        path = find_file("BCCD", FOLDER, (CONTENT, ARCHIVE), data_dir)
        return _read(path, split)

    return Dataset("bccd", LABELS, {split: functools.partial(read, split) for split in LISTS})


def _read(path: pathlib.Path, split: str) -> DetectionSplit:
    """Return the images that the list of a split names."""
    import tensorflow as tf

    try:
        files = dict(_files(path))
        names = files[f"ImageSets/Main/{LISTS[split]}"].decode().split()
        annotations: dict[str, Annotation] = {}
        images = []
        for name in names:
            image = tf.io.decode_jpeg(files[f"JPEGImages/{name}.jpg"], channels=3).numpy()
            annotations[name] = parse_voc(files[f"Annotations/{name}.xml"])
            annotations[name].fit(image.shape[1], image.shape[0])
            images.append(image)
    except (*_DAMAGE, KeyError, ValueError, tf.errors.InvalidArgumentError) as error:
        raise ValueError(f"{path} is incomplete or damaged: {error}.") from error
    _, account = account_for(f"{path} ({split})", annotations, {}, LABELS)
    return DetectionSplit(
        tuple(images),
        tuple(np.array(each.boxes, "float32").reshape(-1, 4) for each in annotations.values()),
        tuple(label_indices(each, LABELS) for each in annotations.values()),
        account,
    )


def _files(path: pathlib.Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name, below the folder `BCCD`, and the content of each file."""
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file():
                yield file.relative_to(path).as_posix(), file.read_bytes()
        return
    with tarfile.open(path, "r:xz") as archive:
        for member in archive:
            stream = archive.extractfile(member)
            if stream is not None:
                yield member.name.removeprefix(f"{CONTENT}/"), stream.read()
