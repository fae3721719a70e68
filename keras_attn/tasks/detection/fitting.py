"""Preprocessing of images and objects for `fit`, `evaluate`, `predict` and the answers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_attn._arrays import to_weights
from keras_attn._types import Tensor
from keras_attn.datasets import DetectionSplit
from keras_attn.tasks._batches import check_elements, is_dataset, with_rank
from keras_attn.tasks._image_inputs import (
    as_sequence,
    check_batch,
    check_values,
    read_image,
)
from keras_attn.tasks.detection.inputs import (
    as_objects,
    check_format,
    encode_objects,
    fit_images,
    fitted_size,
)
from keras_attn.tasks.task import Task


class DetectionFitting(Task):
    """A detector that takes images of any size, as arrays, lists and file paths.

    Attributes:
        image_size: Height and width of the network's input.
        label_names: The name of each label.
        max_pixels: Largest image file to decode, in pixels.
    """

    image_size: tuple[int, int]
    label_names: tuple[str, ...]
    max_pixels: int
    _box_format: str = "xyxy"  # of the call of `fit` or `evaluate` in progress

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        *,
        bounding_box_format: str = "xyxy",
        **kwargs: Any,
    ) -> Any:
        """Train on images and objects, as `keras.Model.fit` does.

        Args:
            x: Images of any size, see `detect`; or a `tf.data.Dataset`, `keras.utils.PyDataset` or
                generator of batches of images and objects.
            y: For each image a dictionary of `boxes` `(n, 4)` and `labels` `(n,)`; or one
                dictionary of arrays `(N, M, 4)` and `(N, M)` in which a label of -1 is padding, as
                in Keras. Labels are names or indices. Boxes are in pixels of the image.
            batch_size: Images per step, unless `x` is a data set; the default is 32.
            epochs: Passes over the data.
            bounding_box_format: Format of the boxes, see `keras.utils.bounding_boxes`: `"xyxy"`,
                left, top, right and bottom side; or `"xywh"`, `"center_xywh"`, `"rel_xyxy"` and
                others. In a `tf.data.Dataset` they must be `"xyxy"`.
            **kwargs: See `keras.Model.fit`.

        Returns:
            A `keras.callbacks.History`.

        Raises:
            TypeError, ValueError: The objects do not fit the images, a label is unknown, or a box
                has no area.
        """
        if kwargs.get("class_weight") is not None:
            raise ValueError(
                "`class_weight` is not supported for objects, of which an image has several. "
                "Received: "
                f"{kwargs['class_weight']!r:.80}. Weight images by `sample_weight`."
            )
        _check_format(bounding_box_format, x, kwargs.get("validation_data"))
        self._box_format = bounding_box_format
        try:
            return super().fit(x, y, batch_size, epochs, **kwargs)
        finally:
            self._box_format = "xyxy"

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        *,
        bounding_box_format: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return loss and best fit on images and objects, see `fit`."""
        if bounding_box_format is None:  # also as `fit` calls it
            return super().evaluate(x, y, batch_size, **kwargs)
        _check_format(bounding_box_format, x)
        self._box_format = bounding_box_format
        try:
            return super().evaluate(x, y, batch_size, **kwargs)
        finally:
            self._box_format = "xyxy"

    def encode(self, split: DetectionSplit) -> tuple[np.ndarray, np.ndarray]:
        """Return the images of a split as uint8 `(N, H, W, 3)`, and targets `(N, M, 5)`."""
        images = [
            np.clip(np.round(self._fit([image])[0][0]), 0, 255).astype("uint8")
            for image in split.images
        ]
        factors = np.array([self._factors(image.shape[:2]) for image in split.images])
        targets = encode_objects(split.boxes, split.labels, factors.reshape(-1, 2))
        if not images:
            return np.zeros((0, *self.image_size, 3), "uint8"), targets
        return np.stack(images), targets

    def preprocess_inputs(self, x: Any, *, training: bool = False) -> Any:
        """Return images as float32 `(N, H, W, 3)` at the size of the network's input.

        Their aspect ratio stays: what is missing on the right or at the bottom is grey. Arrays of
        that size are returned unchanged.

        Args:
            x: Array `(N, H, W, 3)`; or a list, column of pandas or object array that contains
                arrays `(H, W, 3)` and paths of image files.
            training: Not used.
        """
        x = as_sequence(x)
        if isinstance(x, np.ndarray):
            check_values(x)
            same = x.shape[1:3] == self.image_size
            return x if same else ops.convert_to_numpy(fit_images(x, self.image_size))
        if not x:
            return np.zeros((0, *self.image_size, 3), "float32")
        return np.concatenate([self._fit([read_image(each, self.max_pixels)])[0] for each in x])

    def preprocess_batch(self, x: Tensor, *rest: Tensor, training: bool = False) -> Any:
        """Resize a batch of images of a `tf.data.Dataset` with its objects, in its graph."""
        import tensorflow as tf

        check_elements((x, *rest), self.description.examples)
        x = check_batch(x)
        if None in x.shape[1:3]:
            raise ValueError(
                "The images of a tf.data.Dataset must have a fixed size. Received: elements of "
                f"shape {x.shape}. Pass a list of images; or resize them, and scale the boxes."
            )
        size = tuple(x.shape[1:3])
        x = x if size == self.image_size else fit_images(x, self.image_size)
        if not rest:
            return x
        targets, *weights = rest
        if not isinstance(targets, dict) or not {"boxes", "labels"} <= set(targets):
            raise ValueError(
                "The targets of a tf.data.Dataset must be dictionaries of `boxes` (B, M, 4) and "
                f"`labels` (B, M), indices with -1 as padding. Received: {targets!r:.200}."
            )
        boxes, labels = (
            each.to_tensor(-1) if isinstance(each, tf.RaggedTensor) else each
            for each in (targets["boxes"], targets["labels"])
        )
        if labels.dtype == tf.string:
            raise TypeError(
                "The labels of a tf.data.Dataset must be indices. Received: strings. Pass lists, "
                "or replace each name by its place in `label_names`."
            )
        labels = tf.cast(labels, tf.float32)
        boxes = tf.reshape(tf.cast(boxes, tf.float32), (*tf.unstack(tf.shape(labels)), 4))
        sides = boxes[..., 2:] - boxes[..., :2]
        is_right = tf.reduce_all(sides > 0.0, axis=-1) & (labels < len(self.label_names))
        message = (
            "The objects of a tf.data.Dataset must have labels from 0 to "
            f"{len(self.label_names) - 1}, -1 for padding, and boxes 'xyxy' with an area. Received:"
        )
        tf.debugging.Assert(tf.reduce_all(is_right | (labels < 0.0)), [message, labels, boxes])
        # An image may have no object: pad by one.
        boxes = tf.pad(boxes, [[0, 0], [0, 1], [0, 0]], constant_values=-1.0)
        labels = tf.pad(labels, [[0, 0], [0, 1]], constant_values=-1.0)[..., None]
        boxes = boxes * np.tile(self._factors(size), 2).astype("float32")
        return (x, tf.concat([boxes, labels], axis=-1), *(with_rank(w, 1) for w in weights))

    def _preprocess(self, x: Any, *rest: Any, training: bool = False) -> Any:
        """Return preprocessed images, and objects scaled with each of them."""
        if not rest or is_dataset(x):
            return super()._preprocess(x, *rest, training=training)
        self._check_not_empty(x)
        objects, *weights = rest
        images = list(as_sequence(x))
        images = [
            each if getattr(each, "ndim", 0) == 3 else read_image(each, self.max_pixels)
            for each in images
        ]
        targets = self._objects(objects, images, self._box_format)
        factors = np.array([self._factors(image.shape[:2]) for image in images])
        encoded = encode_objects(
            [each["boxes"] for each in targets], [each["labels"] for each in targets], factors
        )
        return (
            self.preprocess_inputs(x if isinstance(x, np.ndarray) else images, training=training),
            encoded,
            *map(to_weights, weights),
        )

    def _objects(
        self, objects: Any, images: Sequence[Any], box_format: str
    ) -> list[dict[str, np.ndarray]]:
        """Return the `boxes` and `labels` of each image, see `as_objects`."""
        sizes = [
            (image if getattr(image, "ndim", 0) == 3 else read_image(image, self.max_pixels)).shape
            for image in images
        ]
        pairs = as_objects(
            objects, [(size[0], size[1]) for size in sizes], box_format, self.label_names
        )
        return [{"boxes": boxes, "labels": labels} for boxes, labels in zip(*pairs, strict=True)]

    def _fit(self, images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return arrays at the size of the input, and the factors `(N, 2)` of x and y."""
        fitted = [
            ops.convert_to_numpy(fit_images(image[None], self.image_size))[0] for image in images
        ]
        factors = [self._factors(image.shape[:2]) for image in images]
        return np.stack(fitted), np.array(factors)

    def _factors(self, size: Sequence[int]) -> tuple[float, float]:
        """Return the factors of x and y between an image and the network's input."""
        height, width = fitted_size(size[0], size[1], self.image_size)
        return width / size[1], height / size[0]


def _check_format(box_format: Any, *data: Any) -> None:
    """Raise ValueError for an unknown format of boxes, or one that a data set does not support."""
    check_format(box_format)
    if box_format != "xyxy" and any(hasattr(each, "element_spec") for each in data):
        raise ValueError(
            "The boxes of a tf.data.Dataset must be 'xyxy' in pixels. Received: "
            f"bounding_box_format={box_format!r}. Convert them in the data set, such as by "
            "keras.utils.bounding_boxes.convert_format."
        )
