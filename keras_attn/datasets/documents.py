"""Splits of documents, on which language models are trained."""

import dataclasses
import functools
import hashlib
import lzma
import os
import pathlib
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from keras_attn._wording import counted
from keras_attn.datasets._tfds import DatasetNotFoundError, tfds_folder
from keras_attn.datasets.splits import check_text_array, check_texts, frame_text


@dataclasses.dataclass(frozen=True)
class DocumentSplit:
    r"""Documents: texts that a language model learns to continue.

    Attributes:
        documents: Object array `(N,)` of `str`.

    Raises:
        ValueError: The array has another shape or dtype, an element is not a `str`, or it contains
            half a surrogate pair.

    Example:

    >>> split = DocumentSplit(np.array(["To be,\n", "or not."], dtype=object))
    >>> len(split), split.characters
    (2, 14)
    """

    documents: np.ndarray

    def __post_init__(self) -> None:
        check_text_array(self.documents, "A split's `documents`")
        check_texts(self.documents, "A split's `documents`")

    @property
    def inputs(self) -> np.ndarray:
        """The documents."""
        return self.documents

    @property
    def targets(self) -> np.ndarray:
        """The documents, which are their own targets."""
        return self.documents

    @property
    def characters(self) -> int:
        """The number of characters of all documents."""
        return sum(map(len, self.documents))

    def __len__(self) -> int:
        return len(self.documents)

    def __repr__(self) -> str:
        documents = counted(len(self), "document")
        return f"DocumentSplit({documents}, {counted(self.characters, 'character')})"

    def take(self, indices: Any) -> Self:
        """Return a split of the documents at `indices` (an index array, a mask or a slice)."""
        return type(self)(self.documents[indices])

    @functools.cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of the lengths and UTF-8 bytes of the documents, in order."""
        digest = hashlib.sha256()
        for document in self.documents:
            digest.update(frame_text(document))
        return digest.hexdigest()

    def batches(self, batch_size: int, *, shuffle: bool = False, seed: int = 0) -> Any:
        """Return the documents as a `tf.data.Dataset` of batches of strings."""
        import tensorflow as tf

        dataset = tf.data.Dataset.from_tensor_slices(tf.constant(self.documents.tolist()))
        if shuffle:
            dataset = dataset.shuffle(len(self), seed=seed)
        return dataset.batch(batch_size).prefetch(tf.data.AUTOTUNE)


def document_split(documents: Sequence[str]) -> DocumentSplit:
    """Return a `DocumentSplit` of a list of strings."""
    array = np.empty(len(documents), dtype=object)
    array[:] = documents
    return DocumentSplit(array)


def find_file(
    title: str,
    folder: str,
    names: Sequence[str],
    url: str,
    data_dir: str | os.PathLike[str] | None,
) -> pathlib.Path:
    """Return the first of several files that is on disk.

    Args:
        title: What the file holds, for the message.
        folder: Name of its folder, in `data_dir` or the folder of TensorFlow Datasets.
        names: Names of the file.
        url: Address where it is published.
        data_dir: Folder of the file, or of its folder; None is that of TensorFlow Datasets.

    Raises:
        DatasetNotFoundError: None of the files is on disk.
    """
    root = tfds_folder(data_dir)
    candidates = [root / folder] if data_dir is None else [root, root / folder]
    for candidate in candidates:
        for name in names:
            if (candidate / name).is_file():
                return candidate / name
    raise DatasetNotFoundError(
        f"{title} is not on disk. Looked for {', '.join(names)} in "
        f"{' and '.join(map(str, candidates))}. Fetch the file from\n\n    {url}\n\ninto "
        f"{root / folder}, or give the folder that holds it as `data_dir`, or in TFDS_DATA_DIR."
    )


def read_file(path: pathlib.Path, url: str) -> str:
    """Return the text of a file in UTF-8, which may be compressed by xz.

    Raises:
        ValueError: The file is damaged.
    """
    try:
        content = path.read_bytes()
        return (lzma.decompress(content) if path.suffix == ".xz" else content).decode("utf-8")
    except (lzma.LZMAError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged: {error}. Fetch it again from {url}") from error
