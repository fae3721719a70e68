"""What a data set is here: named splits of images and labels, as NumPy arrays."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import numpy as np


@dataclasses.dataclass(frozen=True)
class Split:
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
        """The examples at `indices` (an index array or a slice)."""
        return type(self)(self.images[indices], self.labels[indices])

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
        import tensorflow as tf

        dataset = tf.data.Dataset.range(len(self))
        if shuffle:
            dataset = dataset.shuffle(len(self), seed=seed)
        images, labels = tf.constant(self.images), tf.constant(self.labels)
        return (
            dataset.batch(batch_size)
            .map(lambda indices: (tf.gather(images, indices), tf.gather(labels, indices)))
            .prefetch(tf.data.AUTOTUNE)
        )


@dataclasses.dataclass(frozen=True)
class ImageData(Mapping[str, Split]):
    """A data set: a mapping from split names to `Split`, each read when first asked for.

    Attributes:
        name: the name under which `keras_attn.data.load` knows it.
        label_names: the name of each label.
        readers: a function for each split that reads it.
    """

    name: str
    label_names: tuple[str, ...]
    readers: Mapping[str, Callable[[], Split]]

    def __getitem__(self, split: str) -> Split:
        if split not in self.readers:
            accepted = ", ".join(map(repr, self.readers))
            raise KeyError(f"{self.name} has no split {split!r}. Accepted: {accepted}.")
        return self.readers[split]()

    def __iter__(self) -> Iterator[str]:
        return iter(self.readers)

    def __len__(self) -> int:
        return len(self.readers)


def cut_validation(train: Split, size: int, seed: int = 20_121) -> tuple[Split, Split]:
    """Split `train` into what is left to train on and `size` validation examples.

    The cut depends on `seed` and the number of examples alone, and is the same on every
    machine and backend. Both parts keep the order of `train`.
    """
    held_out = np.zeros(len(train), bool)
    held_out[np.random.default_rng(seed).permutation(len(train))[:size]] = True
    return train.take(~held_out), train.take(held_out)
