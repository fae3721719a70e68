"""Data sets as named splits of images, texts or pairs, in NumPy arrays."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np

from keras_attn._wording import counted, listed


@dataclasses.dataclass(frozen=True)
class ImageSplit:
    """Images and their labels.

    Attributes:
        images: uint8 array `(N, H, W, C)`.
        labels: int32 array `(N,)`, indices into the data set's label names.

    Raises:
        ValueError: An array has another shape or dtype.

    Example:

    >>> split = ImageSplit(np.zeros((2, 8, 8, 3), "uint8"), np.array([1, 0], "int32"))
    >>> len(split), split.take([1]).labels.tolist()
    (2, [0])
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.dtype != np.uint8:
            raise ValueError(
                "A split's `images` must be uint8 of shape (N, H, W, C). Received: "
                f"{self.images.dtype} of shape {self.images.shape}."
            )
        if self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                "A split needs one label per image. Received: "
                f"{counted(len(self.images), 'image')}, labels of shape {self.labels.shape}."
            )

    @property
    def inputs(self) -> np.ndarray:
        """The images."""
        return self.images

    @property
    def targets(self) -> np.ndarray:
        """The labels."""
        return self.labels

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        size = "x".join(map(str, self.images.shape[1:]))
        labels = counted(len(np.unique(self.labels)), "label")
        return f"ImageSplit({counted(len(self), 'image')} of {size}, {labels})"

    def take(self, indices: Any) -> Self:
        """Return a split of the examples at `indices` (an index array, a mask or a slice)."""
        return type(self)(self.images[indices], self.labels[indices])

    def batch(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the images and the labels of some rows, as copies."""
        return self.images[rows], self.labels[rows]

    @functools.cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of the bytes of the images and the labels, in order."""
        digest = hashlib.sha256(np.ascontiguousarray(self.images).data)
        digest.update(self.labels.astype("<i4").tobytes())
        return digest.hexdigest()

    def batches(self, batch_size: int, *, shuffle: bool = False, seed: int = 0) -> Any:
        """Return the split as a `tf.data.Dataset` of `(uint8 images, int32 labels)` batches.

        Args:
            batch_size: Examples per batch; the last batch may be smaller.
            shuffle: Whether to shuffle the examples anew at every pass over the data set.
            seed: Integer that determines the order.
        """
        batches = make_batches(self.images, self.labels, batch_size, shuffle, seed)
        batches.labels_are_indices = True  # for models whose labels are named by other numbers
        return batches


@dataclasses.dataclass(frozen=True)
class TextSplit:
    """Texts and their labels.

    Attributes:
        texts: Object array `(N,)` of `str`.
        labels: int32 array `(N,)`, indices into the data set's label names; -1 marks a text
            without label. If a text may have several labels, an array `(N, C)` of 0 and 1.

    Raises:
        ValueError: An array has another shape or dtype, an element is not a `str`, or a text
            contains half a surrogate pair, which UTF-8 cannot encode.

    Example:

    >>> split = TextSplit(np.array(["Good.", "Bad."], dtype=object), np.array([1, 0], "int32"))
    >>> len(split), split.take([1]).texts.tolist()
    (2, ['Bad.'])
    """

    texts: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        check_text_array(self.texts, "A text split's `texts`")
        one_each = self.labels.ndim <= 2 and self.labels.shape[:1] == self.texts.shape
        if not one_each or self.labels.dtype != np.int32:
            raise ValueError(
                "A text split needs one int32 label a text (-1: not labelled), or a row of 0 and 1 "
                "of int32 for several labels. Received: "
                f"{counted(len(self.texts), 'text')}, {self.labels.dtype} labels of shape "
                f"{self.labels.shape}."
            )
        check_texts(self.texts, "A text split's `texts`")

    @property
    def inputs(self) -> np.ndarray:
        """The texts."""
        return self.texts

    @property
    def targets(self) -> np.ndarray:
        """The labels."""
        return self.labels

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        labels = f"any of {counted(self.labels.shape[-1], 'label')} each"
        if self.labels.ndim == 1:
            labels = counted(len(np.unique(self.labels[self.labels >= 0])), "label")
        return f"TextSplit({counted(len(self), 'text')}, {labels})"

    def take(self, indices: Any) -> Self:
        """Return a split of the examples at `indices` (an index array, a mask or a slice)."""
        return type(self)(self.texts[indices], self.labels[indices])

    @functools.cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of the lengths and UTF-8 bytes of the texts, and of the labels, in order."""
        digest = hashlib.sha256()
        for text in self.texts:
            digest.update(frame_text(text))
        digest.update(self.labels.astype("<i4").tobytes())
        return digest.hexdigest()

    def batches(self, batch_size: int, *, shuffle: bool = False, seed: int = 0) -> Any:
        """Return the split as a `tf.data.Dataset` of `(string texts, int32 labels)` batches.

        Args:
            batch_size: Examples per batch; the last batch may be smaller.
            shuffle: Whether to shuffle the examples anew at every pass over the data set.
            seed: Integer that determines the order.
        """
        batches = make_batches(self.texts, self.labels, batch_size, shuffle, seed)
        batches.labels_are_indices = self.labels.ndim == 1  # as for images
        return batches


def check_text_array(texts: np.ndarray, what: str) -> None:
    """Raise ValueError unless `texts` is an object array `(N,)`; `what` starts the message."""
    # A pandas column has the same attributes, but its rows are selected by its own index.
    if not isinstance(texts, np.ndarray) or texts.ndim != 1 or texts.dtype != object:
        received = type(texts).__name__
        if hasattr(texts, "dtype"):
            kind = "" if isinstance(texts, np.ndarray) else f"{received} of "
            received = f"{kind}{texts.dtype} of shape {texts.shape}"
        raise ValueError(
            f"{what} must be an object array of shape (N,), as "
            f"`np.array(list_of_str, dtype=object)` makes it. Received: {received}."
        )


def check_texts(texts: Iterable[Any], what: str) -> None:
    """Raise ValueError unless every element is a `str` that UTF-8 can encode."""
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(
                f"{what} must be str; decode bytes first. Received: "
                f"{type(text).__name__} at index {index}."
            )
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{what}: the text at index {index} holds half a surrogate pair, which UTF-8 "
                "cannot write. Decode its bytes with the encoding that it was written in."
            ) from error


def frame_text(text: str) -> bytes:
    """Return the length of a text in UTF-8 (8 bytes, little-endian), and its bytes.

    Fingerprints hash it: with the lengths, `"ab", "c"` and `"a", "bc"` differ.
    """
    encoded = text.encode("utf-8")
    return len(encoded).to_bytes(8, "little") + encoded


def make_batches(
    inputs: np.ndarray, targets: np.ndarray, batch_size: int, shuffle: bool, seed: int
) -> Any:
    """Return a `tf.data.Dataset` of batches of two arrays with the same number of rows."""
    import tensorflow as tf

    dataset = tf.data.Dataset.range(len(targets))
    if shuffle:
        dataset = dataset.shuffle(len(targets), seed=seed)
    all_inputs, all_targets = tf.constant(inputs), tf.constant(targets)
    return (
        dataset.batch(batch_size)
        .map(lambda indices: (tf.gather(all_inputs, indices), tf.gather(all_targets, indices)))
        .prefetch(tf.data.AUTOTUNE)
    )


class Split(Protocol):
    """The interface that `ImageSplit`, `TextSplit` and `PairSplit` have in common."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def inputs(self) -> Any: ...

    @property
    def targets(self) -> Any: ...

    def __len__(self) -> int: ...

    def take(self, indices: Any) -> Self: ...

    def batches(self, batch_size: int, *, shuffle: bool = False, seed: int = 0) -> Any: ...


SplitT = TypeVar("SplitT", bound=Split)


@dataclasses.dataclass(frozen=True, eq=False)
class InMemory(Generic[SplitT]):
    """A reader of a `Dataset` that returns a split which has been read already.

    Attributes:
        split: The split.
    """

    split: SplitT

    def __call__(self) -> SplitT:
        return self.split


@dataclasses.dataclass(frozen=True)
class Dataset(Mapping[str, SplitT], Generic[SplitT]):
    """A data set: a mapping from split names to splits, which are read on access.

    The splits are `ImageSplit` for images, `TextSplit` for texts, `PairSplit` for translation,
    and `WaveformSplit` for sounds.

    Attributes:
        name: The name by which `keras_attn.datasets.load` opens the data set.
        label_names: The name of each label; empty if targets are texts.
        readers: For each split a function that reads it.
        language: Code of the language of target texts, such as `"de"`, or None.
        multi_label: Whether an example may have several of the labels, or none.

    Raises:
        KeyError: On access, if there is no such split.

    Example:

    >>> texts = TextSplit(np.array(["Good.", "Bad."], dtype=object), np.array([1, 0], "int32"))
    >>> dataset = Dataset("mine", ("negative", "positive"), {"train": lambda: texts})
    >>> [dataset.label_names[label] for label in dataset["train"].labels]
    ['positive', 'negative']
    """

    name: str
    label_names: tuple[str, ...]
    readers: Mapping[str, Callable[[], SplitT]]
    language: str | None = None
    multi_label: bool = False

    def __getitem__(self, split: str) -> SplitT:
        if split not in self.readers:
            accepted = ", ".join(map(repr, self.readers))
            raise KeyError(f"{self.name} has no split {split!r}. Accepted: {accepted}.")
        return self.readers[split]()

    def __repr__(self) -> str:
        # The sizes of splits in memory alone: reading the others may take long, or fail.
        sizes = ", ".join(
            f"{name} {len(reader.split):,}" if isinstance(reader, InMemory) else name
            for name, reader in self.readers.items()
        )
        described = [repr(self.name), f"splits: {sizes}"]
        if self.label_names:
            described.append(f"labels: {listed(self.label_names, 'labels')}")
        if self.language:
            described.append(f"language {self.language!r}")
        if self.multi_label:
            described.append("any number of labels per example")
        return f"Dataset({', '.join(described)})"

    def __iter__(self) -> Iterator[str]:
        return iter(self.readers)

    def __len__(self) -> int:
        return len(self.readers)


def cut_validation(train: SplitT, size: int, seed: int = 20_121) -> tuple[SplitT, SplitT]:
    """Cut a validation split from a training split.

    The cut depends only on `seed` and the number of examples: it is the same on every machine
    and backend. Both splits keep the order of `train`.

    Args:
        train: The training split to cut.
        size: Number of validation examples.
        seed: Integer that determines the cut.

    Returns:
        The remaining training split, and the validation split.
    """
    held_out = np.zeros(len(train), bool)
    held_out[np.random.default_rng(seed).permutation(len(train))[:size]] = True
    return train.take(~held_out), train.take(held_out)
