"""Conversion of images of any size, and of their objects, into arrays of one size."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops, utils

from keras_attn._label_names import label_lookup, label_name
from keras_attn._names import unknown
from keras_attn._types import Tensor
from keras_attn._wording import counted
from keras_attn.datasets.detection import pad_objects
from keras_attn.layers.augmentation import GREY

FORMATS = ("xyxy", "yxyx", "xywh", "center_xywh", "center_yxhw", "rel_xyxy", "rel_yxyx", "rel_xywh")
_ACCEPTED = (
    'for each image a dictionary {"boxes": (n, 4), "labels": (n,)}; or one dictionary of arrays '
    '{"boxes": (N, M, 4), "labels": (N, M)} in which labels of -1 are padding'
)


def fitted_size(height: int, width: int, image_size: tuple[int, int]) -> tuple[int, int]:
    """Return the height and width of an image that is resized into a size, in its aspect ratio.

    Example:

    >>> fitted_size(480, 640, (192, 256)), fitted_size(100, 50, (64, 64))
    ((192, 256), (64, 32))
    """
    scale = min(image_size[0] / height, image_size[1] / width)
    return (
        max(1, min(image_size[0], round(height * scale))),
        max(1, min(image_size[1], round(width * scale))),
    )


def fit_images(images: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Return images resized into a size, with grey on the right or at the bottom.

    Args:
        images: Uint8 or float images `(B, h, w, 3)` in 0..255, of known size.
        image_size: Height and width.

    Returns:
        Float32 images `(B, *image_size, 3)`.
    """
    images = ops.cast(images, "float32")
    height, width = images.shape[1:3]
    new = fitted_size(height, width, image_size)
    if new != tuple(images.shape[1:3]):
        images = ops.image.resize(
            images, new, interpolation="bilinear", antialias=True, data_format="channels_last"
        )
    return _pad(images, image_size, new)


def fit_images_in_graph(images: Any, image_size: tuple[int, int]) -> tuple[Any, Any]:
    """Return images as `fit_images` does, in a graph of TensorFlow, of a size that is not known.

    Args:
        images: Uint8 tensor `(B, h, w, 3)`.
        image_size: Height and width.

    Returns:
        The images; and the factors of x and y between an image and the result, float32 `(2,)`.
    """
    import tensorflow as tf

    sides = tf.cast(tf.shape(images)[1:3], tf.float64)  # as Python computes
    limits = tf.constant(image_size, tf.float64)
    new = tf.round(sides * tf.reduce_min(limits / sides))
    new = tf.cast(tf.clip_by_value(new, 1.0, limits), tf.int32)
    resized = tf.image.resize(tf.cast(images, tf.float32), new, antialias=True)
    missing = tf.constant(image_size) - new
    padding = [[0, 0], [0, missing[0]], [0, missing[1]], [0, 0]]
    resized = tf.pad(resized, padding, constant_values=GREY)
    factors = tf.cast(tf.cast(new, tf.float64) / sides, tf.float32)
    return tf.ensure_shape(resized, (None, *image_size, 3)), factors[::-1]


def _pad(images: Tensor, image_size: tuple[int, int], size: tuple[int, int]) -> Tensor:
    if size == tuple(image_size):
        return images
    padding = ((0, 0), (0, image_size[0] - size[0]), (0, image_size[1] - size[1]), (0, 0))
    return ops.pad(images, padding, constant_values=GREY)


def as_objects(
    targets: Any, sizes: Sequence[tuple[int, int]], box_format: str, label_names: Sequence[str]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the boxes `(n, 4)`, `xyxy` in pixels, and int32 labels `(n,)` of each image.

    Args:
        targets: What `ObjectDetector.fit` takes.
        sizes: Height and width of each image.
        box_format: Format of the boxes, one of Keras.
        label_names: The names of the labels.

    Raises:
        TypeError, ValueError: The targets are nothing of that, or do not fit the images; a label is
            unknown, or a box has no area.
    """
    check_format(box_format)
    if isinstance(targets, Mapping):
        _check_keys(targets)
        if len(targets["boxes"]) != len(targets["labels"]):
            raise ValueError(
                "There must be boxes and labels for each image. Received: boxes of "
                f"{counted(len(targets['boxes']), 'image')}, labels of {len(targets['labels'])}."
            )
        targets = [
            {"boxes": boxes, "labels": labels}
            for boxes, labels in zip(targets["boxes"], targets["labels"], strict=True)
        ]
    if hasattr(targets, "tolist") and getattr(targets, "ndim", 0) == 1:
        targets = targets.tolist()  # a column of pandas, or an object array
    if not isinstance(targets, list | tuple):
        raise TypeError(f"The objects must be {_ACCEPTED}. Received: {type(targets).__name__}.")
    if len(targets) != len(sizes):
        raise ValueError(
            f"There must be objects for each image. Received: {counted(len(sizes), 'image')}, "
            f"objects of {len(targets)}. An image without objects has boxes of shape (0, 4)."
        )
    all_boxes, all_labels = [], []
    lookup = label_lookup(label_names)
    for index, (each, size) in enumerate(zip(targets, sizes, strict=True)):
        if not isinstance(each, Mapping):
            raise TypeError(
                f"The objects must be {_ACCEPTED}. Received: {type(each).__name__} at index "
                f"{index}."
            )
        _check_keys(each)
        labels = _indices(each["labels"], lookup, label_names, index)
        boxes = np.asarray(each["boxes"], "float32")
        boxes = boxes.reshape(-1, 4) if boxes.size == 0 else boxes
        if boxes.shape != (len(labels), 4):
            raise ValueError(
                f"An image must have boxes (n, 4) and labels (n,). Received: boxes {boxes.shape} "
                f"and labels ({len(labels)},) at index {index}."
            )
        boxes, labels = boxes[labels >= 0], labels[labels >= 0]
        if len(boxes) and box_format != "xyxy":
            boxes = np.asarray(
                utils.bounding_boxes.convert_format(boxes, box_format, "xyxy", *size), "float32"
            )
        wrong = ~((boxes[:, 2:] > boxes[:, :2]).all(axis=-1) & np.isfinite(boxes).all(axis=-1))
        if wrong.any():
            raise ValueError(
                f"Boxes must be finite and have an area, in the format {box_format!r}. Received: "
                f"{np.asarray(each['boxes'])[np.flatnonzero(wrong)[0]].tolist()} at index {index}. "
                "Pass their format as `bounding_box_format`, and drop boxes without area."
            )
        _check_places(boxes, each["boxes"], size, box_format, index)
        all_boxes.append(boxes)
        all_labels.append(labels)
    return all_boxes, all_labels


def _check_places(
    boxes: np.ndarray, received: Any, size: tuple[int, int], box_format: str, index: int
) -> None:
    """Raise ValueError for boxes that another format would explain.

    Args:
        boxes: Boxes `(n, 4)`, `xyxy` in pixels.
        received: The boxes as they were passed.
        size: Height and width of the image.
        box_format: Format of the boxes that were passed.
        index: Index of the image.
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    outside = ((centres < 0) | (centres > [size[1], size[0]])).any(axis=-1)
    # Coordinates from 0 to 1 would be boxes within the first pixel.
    relative = not box_format.startswith("rel_") and len(boxes) and boxes.max() <= 1.0
    if outside.any() or (relative and max(size) > 2):
        row = int(np.flatnonzero(outside)[0]) if outside.any() else 0
        problem = "relative coordinates, as it seems" if not outside.any() else "a box outside"
        raise ValueError(
            f"Boxes must lie in their image of {size[1]}x{size[0]} pixels, in the format "
            f"{box_format!r}. Received: {problem}, {np.asarray(received)[row].tolist()} at index "
            f"{index}. Pass their format as `bounding_box_format`, or drop the box."
        )


def encode_objects(
    boxes: Sequence[np.ndarray], labels: Sequence[np.ndarray], factors: np.ndarray
) -> np.ndarray:
    """Return float32 targets `(N, M, 5)` of a network: boxes in its pixels, and labels.

    Args:
        boxes: For each image boxes `(n, 4)`, `xyxy`, in pixels of the image.
        labels: For each image the labels `(n,)`.
        factors: Factors of x and y between each image and the network's input, `(N, 2)`.

    Returns:
        Rows of padding have label -1.
    """
    padded, padded_labels = pad_objects(boxes, labels)
    scaled = padded * np.tile(factors, 2)[:, None].astype("float32")
    return np.concatenate([scaled, padded_labels[..., None].astype("float32")], axis=-1)


def check_format(box_format: Any) -> None:
    """Raise ValueError unless Keras has a format of that name."""
    if box_format not in FORMATS:
        raise ValueError(unknown("`bounding_box_format`", str(box_format), FORMATS))


def _check_keys(targets: Mapping[str, Any]) -> None:
    if not {"boxes", "labels"} <= set(targets):
        raise ValueError(
            f"The objects must be {_ACCEPTED}. Received: a dictionary with the keys "
            f"{', '.join(map(repr, targets))}."
        )


def _indices(
    labels: Any, lookup: Mapping[str, int], label_names: Sequence[str], image: int
) -> np.ndarray:
    """Return labels, names or indices, as int32 `(n,)`."""
    array = np.asarray(labels)
    if array.size == 0:
        return np.zeros(0, "int32")
    if array.dtype.kind in "USO":
        names = [label_name(value) for value in array.ravel().tolist()]
        for name in names:
            if name not in lookup and name != "-1":
                raise ValueError(unknown(f"label at index {image}", name, label_names))
        return np.array([lookup.get(name, -1) for name in names], "int32")
    if (array != np.round(array)).any() or array.min() < -1 or array.max() >= len(label_names):
        raise ValueError(
            f"Labels must be names, or indices from 0 to {len(label_names) - 1}, and -1 for "
            f"padding. Received: {array.ravel().tolist()[:10]} at index {image}."
        )
    return array.ravel().astype("int32")
