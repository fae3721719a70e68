"""Splits of documents, on which language models are trained."""

import dataclasses
import functools
import hashlib
import lzma
import pathlib
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from keras_attn._wording import counted
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
