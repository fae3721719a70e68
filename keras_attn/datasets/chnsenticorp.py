"""ChnSentiCorp: Chinese reviews of hotels, books and notebooks (Tan and Zhang, 2008)."""

import functools
import os
import pathlib
import zipfile
import zlib
from collections.abc import Callable

import numpy as np

from keras_attn.datasets._tfds import DatasetNotFoundError, tfds_folder
from keras_attn.datasets.registry import register_dataset
from keras_attn.datasets.splits import Dataset, TextSplit

LABELS = ("negative", "positive")
FOLDER, ARCHIVE = "chnsenticorp", "chnsenticorp.zip"
FILES = {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"}
HEADER = "label\ttext_a"

_DAMAGE = (zipfile.BadZipFile, zlib.error, KeyError, UnicodeDecodeError)


@register_dataset("chnsenticorp", task="text_classification", label_names=LABELS)
def load_chnsenticorp(data_dir: str | os.PathLike[str] | None = None) -> Dataset[TextSplit]:
    """Open ChnSentiCorp: Chinese reviews of hotels, books and notebooks, negative or positive.

    The splits are those that were published with ERNIE, so that figures are comparable, although
    331 of the 1,200 test reviews also stand word for word in the training split. The split
    `"test_unseen"` holds the other 869.

    Args:
        data_dir: Folder of `chnsenticorp.zip`, or of `train.tsv`, `dev.tsv` and `test.tsv`; or a
            folder with these in `chnsenticorp/`. None means the environment's `TFDS_DATA_DIR`, or
            `~/tensorflow_datasets`.

    Returns:
        The splits `"train"` (9,600), `"validation"` (1,200), `"test"` (1,200) and
        `"test_unseen"` (869).

    Raises:
        DatasetNotFoundError: On access to a split, if the files are not on disk.
        ValueError: On access to a split, if its file is damaged.

    Example:

    >>> load_chnsenticorp().label_names
    ('negative', 'positive')
    """

    @functools.cache
    def read(split: str) -> TextSplit:
        return _read(_find(data_dir), FILES[split])

    def unseen() -> TextSplit:
        known, test = set(read("train").texts), read("test")
        return test.take(np.array([text not in known for text in test.texts], bool))

    readers: dict[str, Callable[[], TextSplit]] = {
        split: functools.partial(read, split) for split in FILES
    }
    return Dataset("chnsenticorp", LABELS, {**readers, "test_unseen": functools.cache(unseen)})


def _find(data_dir: str | os.PathLike[str] | None) -> pathlib.Path:
    """Return the archive, or the folder of the three files."""
    folder = tfds_folder(data_dir)
    candidates = [folder / FOLDER] if data_dir is None else [folder, folder / FOLDER]
    for candidate in candidates:
        if (candidate / ARCHIVE).is_file():
            return candidate / ARCHIVE
        if all((candidate / name).is_file() for name in FILES.values()):
            return candidate
    raise DatasetNotFoundError(
        f"ChnSentiCorp is not on disk. Looked for {ARCHIVE}, or {', '.join(FILES.values())}, in "
        f"{' and '.join(map(str, candidates))}. Put the published files there, or give the folder "
        "that holds them as `data_dir`, or in TFDS_DATA_DIR."
    )


def _read(path: pathlib.Path, name: str) -> TextSplit:
    """Read a split from the archive or the folder: after the header, label, tab and text."""
    try:
        content = _read_member(path, name).decode("utf-8-sig")
    except _DAMAGE as error:
        raise ValueError(
            f"{path} is damaged, or does not hold the {name} of ChnSentiCorp: {error}."
        ) from error
    header, *lines = content.removesuffix("\n").split("\n")
    labels, texts = [], []
    for number, line in enumerate([header, *lines], start=1):
        label, tab, text = line.removesuffix("\r").partition("\t")
        if number == 1 and line.removesuffix("\r") == HEADER:
            continue
        if number == 1 or label not in ("0", "1") or not tab:
            expected = f"the header {HEADER!r}" if number == 1 else "0 or 1, a tab and a review"
            raise ValueError(
                f"{path}: line {number} of {name} is not {expected}. Received: {line[:80]!r}."
            )
        labels.append(int(label))
        texts.append(text)
    return TextSplit(np.array(texts, dtype=object), np.array(labels, "int32"))


def _read_member(path: pathlib.Path, name: str) -> bytes:
    if path.is_dir():
        return (path / name).read_bytes()
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.namelist() if member.split("/")[-1] == name]
        if len(members) != 1:
            raise KeyError(f"{len(members)} files are called {name!r}")
        return archive.read(members[0])
