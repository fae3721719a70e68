"""What a data set is here: named splits of images or of texts, as NumPy arrays."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np


@dataclasses.dataclass(frozen=True)
class ImageSplit:
    """Images and their labels.

    Attributes:
        images: uint8 array `(N, H, W, 3)`.
        labels: int32 array `(N,)`, indices into the data set's label names.
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
                "A split needs one label an image. Received: "
                f"{len(self.images)} images, labels of shape {self.labels.shape}."
            )

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: Any) -> Self:
        """Return a split of the examples at `indices` (an index array, a mask or a slice)."""
        return type(self)(self.images[indices], self.labels[indices])

    def batch(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the images and the labels of some rows, as copies."""
        return self.images[rows], self.labels[rows]

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the bytes of images and labels, in order."""
        digest = hashlib.sha256(np.ascontiguousarray(self.images).data)
        digest.update(self.labels.astype("<i4").tobytes())
        return digest.hexdigest()

    def batches(self, batch_size: int, *, shuffle: bool = False, seed: int = 0) -> Any:
        """The split as a `tf.data.Dataset` of `(uint8 images, int32 labels)` batches.

        Args:
            batch_size: examples a batch; the last batch may be smaller.
            shuffle: reshuffle at every pass over the data set.
            seed: integer that makes the order repeatable.
        """
        return zip_batches(self.images, self.labels, batch_size, shuffle, seed)


@dataclasses.dataclass(frozen=True)
class TextSplit:
    """Texts and their labels.

    Attributes:
        texts: object array `(N,)` of `str`.
        labels: int32 array `(N,)`, indices into the data set's label names; -1 is a text
            whose label nobody gave.

    Raises:
        ValueError: an array has another shape or dtype, an element is no `str`, or a text
            holds half a surrogate pair, which no encoding of Unicode can write.

    Example:

    >>> split = TextSplit(np.array(["Good.", "Bad."], dtype=object), np.array([1, 0], "int32"))
    >>> len(split), split.take([1]).texts.tolist()
    (2, ['Bad.'])
    """

    texts: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        check_array_of_texts(self.texts, "A text split's `texts`")
        if self.labels.shape != self.texts.shape or self.labels.dtype != np.int32:
            raise ValueError(
                "A text split needs one int32 label a text (-1: not labelled). Received: "
                f"{len(self.texts)} texts, {self.labels.dtype} labels of shape "
                f"{self.labels.shape}."
            )
        check_texts(self.texts, "A text split's `texts`")

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: Any) -> Self:
        """The examples at `indices` (an index array or a slice)."""
        return type(self)(self.texts[indices], self.labels[indices])

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the texts' lengths and UTF-8 bytes, and of the labels, in order."""
        digest = hashlib.sha256()
        for text in self.texts:
            digest.update(framed(text))
        digest.update(self.labels.astype("<i4").tobytes())
        return digest.hexdigest()

    def batches(self, batch_size: int, *, shuffle: bool = False, seed: int = 0) -> Any:
        """The split as a `tf.data.Dataset` of `(string texts, int32 labels)` batches.

        Args:
            batch_size: examples a batch; the last batch may be smaller.
            shuffle: reshuffle at every pass over the data set.
            seed: integer that makes the order repeatable.
        """
        return zip_batches(self.texts, self.labels, batch_size, shuffle, seed)


def check_array_of_texts(texts: np.ndarray, what: str) -> None:
    """Refuse what is no object array of one dimension."""
    if texts.ndim != 1 or texts.dtype != object:
        raise ValueError(
            f"{what} must be an object array of shape (N,), as "
            "`np.array(list_of_str, dtype=object)` makes it. Received: "
            f"{texts.dtype} of shape {texts.shape}."
        )


def check_texts(texts: Iterable[Any], what: str) -> None:
    """Refuse elements that are no `str`, or that UTF-8 cannot write."""
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


def framed(text: str) -> bytes:
    """The length of a text in UTF-8 and its bytes: what a fingerprint is made of."""
    encoded = text.encode("utf-8")
    return len(encoded).to_bytes(8, "little") + encoded


def zip_batches(
    inputs: np.ndarray, answers: np.ndarray, batch_size: int, shuffle: bool, seed: int
) -> Any:
    """A `tf.data.Dataset` of batches of two arrays, row by row."""
    import tensorflow as tf

    dataset = tf.data.Dataset.range(len(answers))
    if shuffle:
        dataset = dataset.shuffle(len(answers), seed=seed)
    all_inputs, all_answers = tf.constant(inputs), tf.constant(answers)
    return (
        dataset.batch(batch_size)
        .map(lambda indices: (tf.gather(all_inputs, indices), tf.gather(all_answers, indices)))
        .prefetch(tf.data.AUTOTUNE)
    )


class AnyExamples(Protocol):
    """What every split has: `ImageSplit`, `TextSplit` and `PairSplit`."""

    @property
    def fingerprint(self) -> str: ...

    def __len__(self) -> int: ...

    def take(self, indices: Any) -> Self: ...

    def batches(self, batch_size: int, *, shuffle: bool = False, seed: int = 0) -> Any: ...


AnySplit = TypeVar("AnySplit", bound=AnyExamples)


@dataclasses.dataclass(frozen=True)
class Dataset(Mapping[str, AnySplit], Generic[AnySplit]):
    """A data set: a mapping from split names to splits, each read when first asked for.

    A data set of images holds `ImageSplit`, one of texts `TextSplit`, one for translation
    `PairSplit`.

    Attributes:
        name: the name under which `keras_attn.datasets.load` knows it.
        label_names: the name of each label; none where targets are texts.
        readers: a function for each split that reads it.

    Example:

    >>> texts = TextSplit(np.array(["Good.", "Bad."], dtype=object), np.array([1, 0], "int32"))
    >>> dataset = Dataset("mine", ("negative", "positive"), {"train": lambda: texts})
    >>> [dataset.label_names[label] for label in dataset["train"].labels]
    ['positive', 'negative']
    """

    name: str
    label_names: tuple[str, ...]
    readers: Mapping[str, Callable[[], AnySplit]]

    def __getitem__(self, split: str) -> AnySplit:
        if split not in self.readers:
            accepted = ", ".join(map(repr, self.readers))
            raise KeyError(f"{self.name} has no split {split!r}. Accepted: {accepted}.")
        return self.readers[split]()

    def __iter__(self) -> Iterator[str]:
        return iter(self.readers)

    def __len__(self) -> int:
        return len(self.readers)


def cut_validation(train: AnySplit, size: int, seed: int = 20_121) -> tuple[AnySplit, AnySplit]:
    """Split `train` into what is left to train on and `size` validation examples.

    The cut depends on `seed` and the number of examples alone, and is the same on every
    machine and backend. Both parts keep the order of `train`.
    """
    held_out = np.zeros(len(train), bool)
    held_out[np.random.default_rng(seed).permutation(len(train))[:size]] = True
    return train.take(~held_out), train.take(held_out)
