"""Quatrains of the Tang dynasty, four lines of five or seven characters each. Public domain."""

import functools
import hashlib
import json
import os
import pathlib
from collections.abc import Callable

from keras_attn.datasets._tfds import find_file
from keras_attn.datasets.documents import (
    DocumentSplit,
    document_split,
    read_file,
)
from keras_attn.datasets.registry import register_dataset
from keras_attn.datasets.splits import Dataset

URL = "https://github.com/chinese-poetry/chinese-poetry"
FOLDER, NAMES = "tang_poems", ("quatrains.jsonl", "quatrains.jsonl.xz")
HELD_OUT = 0.05  # fraction of the poems in each of validation and test


@register_dataset("tang", task="text_generation", language="zh")
def load_tang(data_dir: str | os.PathLike[str] | None = None) -> Dataset[DocumentSplit]:
    """Open 14,508 quatrains of the Tang dynasty, in traditional characters.

    A document is the title, a line break and the poem. In the training split each poem also occurs
    without its title, so that a model can begin with the first line of a poem. The SHA-256 of the
    poem selects its split, so that all copies of a poem are in one split.

    Args:
        data_dir: Folder of `quatrains.jsonl` or `quatrains.jsonl.xz`, which holds lists of author,
            title and poem, one per line; or a folder with the file in `tang_poems/`. None means
            the environment's `TFDS_DATA_DIR`, or `~/tensorflow_datasets`.

    Returns:
        The splits `"train"`, `"validation"` and `"test"`, the last two with about 5 % of the poems
        each.

    Raises:
        DatasetNotFoundError: On access to a split, if the file is not on disk.
        ValueError: On access to a split, if the file is damaged.

    Example:

    >>> load_tang().language
    'zh'
    """

    @functools.cache
    def parts() -> dict[str, list[str]]:
        return split_poems(_read(find_file("Tang quatrains", FOLDER, NAMES, data_dir, URL)))

    readers: dict[str, Callable[[], DocumentSplit]] = {
        name: functools.cache(functools.partial(lambda key: document_split(parts()[key]), name))
        for name in ("train", "validation", "test")
    }
    return Dataset("tang", (), readers, "zh")


def split_poems(poems: list[tuple[str, str]]) -> dict[str, list[str]]:
    r"""Distribute poems over three splits by the SHA-256 of their text.

    Args:
        poems: Pairs of title and text.

    Returns:
        The documents of `"train"`, `"validation"` and `"test"`, in the order of the poems.

    Example:

    >>> split_poems([("春曉", "春眠不覺曉")])["train"]
    ['春曉\n春眠不覺曉', '\n春眠不覺曉']
    """
    documents: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for title, text in dict.fromkeys(poems):
        digest = hashlib.sha256(text.encode("utf-8")).digest()
        position = int.from_bytes(digest[:8], "big") / 2**64  # uniform in [0, 1)
        if position < HELD_OUT:
            documents["test"].append(f"{title}\n{text}")
        elif position < 2 * HELD_OUT:
            documents["validation"].append(f"{title}\n{text}")
        else:
            documents["train"] += [f"{title}\n{text}", f"\n{text}"]
    return documents


def _read(path: pathlib.Path) -> list[tuple[str, str]]:
    poems = []
    for number, line in enumerate(read_file(path, URL).splitlines(), start=1):
        try:
            _, title, text = json.loads(line)
            poems.append((" ".join(str(title).split()), str(text).replace("。。", "。")))
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{path}: line {number} is not a list of author, title and poem. Received: "
                f"{line[:80]!r}. Fetch the file again from {URL}"
            ) from error
    return poems
