"""Images with the boxes and labels of the objects in them, in NumPy arrays."""

import dataclasses
import functools
import hashlib
from typing import Any, Self

import numpy as np

from keras_attn._wording import counted


@dataclasses.dataclass(frozen=True, eq=False)
class DetectionSplit:
    """Images, and the objects in each.

    Attributes:
        images: Uint8 arrays `(H, W, 3)`, whose sizes may differ.
        boxes: For each image a float32 array `(n, 4)`: left, top, right and bottom side of its
            objects in pixels, the format `"xyxy"` of Keras. `n` may be 0.
        labels: For each image an int32 array `(n,)`, indices into the data set's label names.
        account: The files and boxes that were read and dropped; None for arrays.

    Raises:
        ValueError: The lengths differ, or an array has another shape or dtype.

    Example:

    >>> image, boxes = np.zeros((8, 8, 3), "uint8"), np.array([[1, 2, 5, 6]], "float32")
    >>> DetectionSplit((image,), (boxes,), (np.array([0], "int32"),))
    DetectionSplit(1 image, 1 object)
    """

    images: tuple[np.ndarray, ...]
    boxes: tuple[np.ndarray, ...]
    labels: tuple[np.ndarray, ...]
    account: Any = None

    def __post_init__(self) -> None:
        if not len(self.images) == len(self.boxes) == len(self.labels):
            raise ValueError(
                "A split needs boxes and labels for each image. Received: "
                f"{counted(len(self.images), 'image')}, boxes of {len(self.boxes)} and labels of "
                f"{len(self.labels)}."
            )
        for index, (image, boxes, labels) in enumerate(
            zip(self.images, self.boxes, self.labels, strict=True)
        ):
            if image.ndim != 3 or image.shape[-1] != 3 or image.dtype != np.uint8:
                raise ValueError(
                    "A split's `images` must be uint8 of shape (H, W, 3). Received: "
                    f"{image.dtype} of shape {image.shape} at index {index}."
                )
            fits = boxes.shape == (len(labels), 4) and labels.ndim == 1
            if not fits or boxes.dtype != np.float32 or labels.dtype != np.int32:
                raise ValueError(
                    "An image needs float32 boxes (n, 4) and int32 labels (n,). Received: "
                    f"{boxes.dtype} boxes {boxes.shape} and {labels.dtype} labels {labels.shape} "
                    f"at index {index}."
                )

    @property
    def inputs(self) -> list[np.ndarray]:
        """The images."""
        return list(self.images)

    @property
    def targets(self) -> list[dict[str, np.ndarray]]:
        """The `boxes` and `labels` of each image, as `ObjectDetector.fit` takes them."""
        pairs = zip(self.boxes, self.labels, strict=True)
        return [{"boxes": boxes, "labels": labels} for boxes, labels in pairs]

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        objects = sum(map(len, self.labels))
        return (
            f"DetectionSplit({counted(len(self), 'image')}, {counted(objects, 'object')})"
        )  # fmt: skip

    def take(self, indices: Any) -> Self:
        """Return a split of the examples at `indices` (an index array, a mask or a slice)."""
        rows = np.arange(len(self))[indices]
        parts = (tuple(part[r] for r in rows) for part in (self.images, self.boxes, self.labels))
        return type(self)(*parts)

    @functools.cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of the sizes and bytes of the images, and of the boxes and labels."""
        digest = hashlib.sha256()
        for image, boxes, labels in zip(self.images, self.boxes, self.labels, strict=True):
            digest.update(f"{image.shape[0]} {image.shape[1]} {len(labels)} ".encode())
            digest.update(np.ascontiguousarray(image).data)
            digest.update(boxes.astype("<f4").tobytes() + labels.astype("<i4").tobytes())
        return digest.hexdigest()

    def batches(self, batch_size: int, *, shuffle: bool = False, seed: int = 0) -> Any:
        """Return the split as a `tf.data.Dataset` of images and dictionaries of targets.

        Boxes and labels are padded with -1 to the largest number of objects of an image.

        Args:
            batch_size: Examples per batch; the last batch may be smaller.
            shuffle: Whether to shuffle the examples anew at every pass over the data set.
            seed: Integer that determines the order.

        Raises:
            ValueError: The images differ in size.
        """
        import tensorflow as tf

        if len({image.shape for image in self.images}) > 1:
            raise ValueError(
                "Batches of `tf.data` need images of one size. Pass the images themselves to `fit`."
            )
        boxes, labels = pad_objects(self.boxes, self.labels)
        targets = {"boxes": boxes, "labels": labels}
        dataset = tf.data.Dataset.from_tensor_slices((np.stack(self.images), targets))
        if shuffle:
            dataset = dataset.shuffle(len(self), seed=seed)
        return dataset.batch(batch_size).prefetch(tf.data.AUTOTUNE)


def pad_objects(
    boxes: Any, labels: Any, length: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes float32 `(N, M, 4)` and labels int32 `(N, M)`, padded with -1.

    Args:
        boxes: Arrays `(n, 4)`.
        labels: Arrays `(n,)`.
        length: `M`; None is the largest `n`, but at least 1.

    Example:

    >>> boxes, labels = pad_objects([np.zeros((0, 4)), np.ones((1, 4))], [[], [2]])
    >>> boxes.shape, labels.tolist()
    ((2, 1, 4), [[-1], [2]])
    """
    longest = max([1, *map(len, labels)]) if length is None else length
    padded_boxes = np.full((len(labels), longest, 4), -1.0, "float32")
    padded_labels = np.full((len(labels), longest), -1, "int32")
    for row, (some, names) in enumerate(zip(boxes, labels, strict=True)):
        padded_boxes[row, : len(names)] = np.reshape(some, (-1, 4))
        padded_labels[row, : len(names)] = names
    return padded_boxes, padded_labels
