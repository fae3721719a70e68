"""Tiny Shakespeare: 1.1 million characters of the plays (Karpathy, 2015). Public domain."""

import functools
import os
from collections.abc import Callable

from keras_attn.datasets._tfds import find_file
from keras_attn.datasets.documents import (
    DocumentSplit,
    document_split,
    read_file,
)
from keras_attn.datasets.registry import register_dataset
from keras_attn.datasets.splits import Dataset

URL = "https://github.com/karpathy/char-rnn/tree/master/data/tinyshakespeare"
FOLDER, NAMES = "tinyshakespeare", ("input.txt", "input.txt.xz")
TEST, VALIDATION = 0.1, 0.05  # fractions of the file, at its end and before that


@register_dataset("shakespeare", task="text_generation")
def load_shakespeare(data_dir: str | os.PathLike[str] | None = None) -> Dataset[DocumentSplit]:
    """Open Tiny Shakespeare: 40,000 lines of the plays, with the names of the speakers.

    Each split is one document. The last 10 % of the file, which others call the validation split,
    are the test split here; the validation split is the 5 % before.

    Args:
        data_dir: Folder of `input.txt` or `input.txt.xz`, or a folder with the file in
            `tinyshakespeare/`. None means the environment's `TFDS_DATA_DIR`, or
            `~/tensorflow_datasets`.

    Returns:
        The splits `"train"`, `"validation"` and `"test"`.

    Raises:
        DatasetNotFoundError: On access to a split, if the file is not on disk.
        ValueError: On access to a split, if the file is damaged.

    Example:

    >>> list(load_shakespeare())
    ['train', 'validation', 'test']
    """

    @functools.cache
    def parts() -> dict[str, str]:
        path = find_file("Tiny Shakespeare", FOLDER, NAMES, data_dir, URL)
        text = read_file(path, URL)
        first_test = int((1.0 - TEST) * len(text))  # as nanoGPT cuts the file
        first_validation = int((1.0 - TEST - VALIDATION) * len(text))
        return {
            "train": text[:first_validation],
            "validation": text[first_validation:first_test],
            "test": text[first_test:],
        }

    readers: dict[str, Callable[[], DocumentSplit]] = {
        name: functools.cache(functools.partial(lambda key: document_split([parts()[key]]), name))
        for name in ("train", "validation", "test")
    }
    return Dataset("shakespeare", (), readers, "en")
