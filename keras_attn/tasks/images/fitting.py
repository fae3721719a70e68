"""Preprocessing of images for `fit`, `evaluate`, `predict` and the answers."""

from typing import Any

import numpy as np
from keras import ops

from keras_attn._types import Tensor
from keras_attn._warnings import warn_user
from keras_attn.tasks._batches import check_elements, with_rank
from keras_attn.tasks._image_inputs import as_sequence, check_batch, check_values, read_image
from keras_attn.tasks.classification import ClassificationTask

GROUP_PIXELS = 10_000_000  # images of a list that are resized together, so that few are in memory


class ImageFitting(ClassificationTask):
    """A classifier that takes images of any size, as arrays, lists and file paths.

    Attributes:
        image_shape: Height, width and channels of the network's input.
        max_pixels: Largest image file to decode, in pixels.
    """

    image_shape: tuple[int, ...]
    max_pixels: int

    def _fit_arguments(self, x: Any, y: Any, training: bool = False) -> dict[str, Any]:
        if training and not (self._is_adapted or getattr(self.optimizer, "built", False)):
            warn_user(
                "This model does not know the mean and the standard deviation of its images. Call "
                "`adapt(images)` with the training images before `fit`."
            )
        return super()._fit_arguments(x, y, training)

    def preprocess(self, images: Tensor, *rest: Any) -> Any:
        """Resize images to the size of the network's input, for example in `tf.data.Dataset.map`.

        Args:
            images: Uint8 or float tensor `(B, H, W, 3)` or `(H, W, 3)`, values in 0..255.
            *rest: Labels and other components of a data set's elements, which are returned
                unchanged.

        Returns:
            Float32 images in 0..255 at the size of the network's input, followed by `rest`.
        """
        resized = ops.image.resize(
            ops.cast(images, "float32"),
            self.image_shape[:2],
            interpolation="bilinear",
            antialias=True,
            data_format="channels_last",
        )
        return (resized, *rest) if rest else resized

    def preprocess_inputs(self, x: Any, *, training: bool = False) -> Any:
        """Return images as an array at the size of the network's input.

        Arrays of that size are returned unchanged.

        Args:
            x: Array `(N, H, W, 3)`; or a list, column of pandas or object array that contains
                arrays `(H, W, 3)` and paths of image files.
            training: Not used.
        """
        return self._read_images(x)[0]

    def _read_images(
        self, x: Any, max_pixels: int | None = None, skip_errors: bool = False
    ) -> tuple[np.ndarray, dict[int, Exception]]:
        """Return images as `preprocess_inputs` does, and the errors of those that cannot be read.

        Args:
            x: See `preprocess_inputs`.
            max_pixels: Largest image file to decode; None is the attribute `max_pixels`.
            skip_errors: Whether to leave out images of a list that cannot be read. Their errors
                are returned by index; otherwise they are raised.
        """
        x = as_sequence(x)
        if isinstance(x, np.ndarray):
            check_values(x)
            return self._resize(x), {}
        limit = self.max_pixels if max_pixels is None else max_pixels
        parts: list[np.ndarray] = []
        group: list[np.ndarray] = []  # images of one size, which are resized together
        errors: dict[int, Exception] = {}
        for index, image in enumerate(x):
            try:
                array = read_image(image, limit)
            except (ValueError, TypeError, OSError) as error:
                if not skip_errors:
                    raise
                errors[index] = error
                continue
            full = len(group) * array.size > GROUP_PIXELS * 3
            if group and (full or array.shape != group[0].shape):
                parts.append(self._resize(np.stack(group)))
                group = []
            group.append(array)
        if not group:
            return np.zeros((0, *self.image_shape), "uint8"), errors
        return np.concatenate([*parts, self._resize(np.stack(group))]), errors

    def preprocess_batch(self, x: Tensor, *rest: Tensor, training: bool = False) -> Any:
        """Resize a batch of images of a `tf.data.Dataset` and convert label names."""
        check_elements((x, *rest), self.description.examples)
        x = check_batch(x)
        if tuple(x.shape[1:]) != self.image_shape:
            x = self.preprocess(x)
        if not rest:
            return x
        targets, *weights = rest
        return (x, self.index_labels(targets), *(with_rank(w, 1) for w in weights))

    def _resize(self, images: np.ndarray) -> np.ndarray:
        if images.shape[1:] == self.image_shape:
            return images
        return ops.convert_to_numpy(self.preprocess(images))
