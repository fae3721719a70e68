"""Augmentation of images with boxes, for object detection.

As in `keras_attn.layers.augmentation`, images are floats `(B, H, W, C)` with values in 0..255, and
outside of training the layers return their inputs.
"""

import math
import threading
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_attn._types import Tensor
from keras_attn.layers._sublayers import PACKAGE, check_rates
from keras_attn.layers.augmentation import GREY, _Augmentation


@keras.saving.register_keras_serializable(package=PACKAGE)
class RandomPlacement(_Augmentation):
    """Mirror, turn by quarters, scale and shift each image, and its boxes likewise.

    What moves in from outside of the image is grey. Boxes are cut at the border, and become padding
    if less than `min_visible` of their area is left.

    Args:
        zoom: the scale of an image is between `1 / zoom` and `zoom`, uniformly in its logarithm.
        stretch: height and width are also scaled by up to this factor, one up and the other down.
        shift: largest shift along each axis, as a fraction of the side.
        turn: whether to turn images by a random number of quarters, and mirror a random half of
            them: for images that have no upper side. If False, they are mirrored left to right.
        min_visible: least visible fraction of a box that is kept.
        seed: integer that makes the draws repeatable.

    Call arguments:
        inputs: float tensor `(B, H, W, C)`.
        training: whether to change the images; else they are returned as they are.

    Returns:
        Tensor `(B, H, W, C)`. `augment_targets(targets)` changes the boxes likewise.

    Example:

    >>> layer = RandomPlacement(zoom=1.5, shift=0.1, seed=0)
    >>> images = layer(np.zeros((1, 32, 48, 3), "float32"), training=True)
    >>> objects = np.array([[[8.0, 8.0, 24.0, 16.0, 2.0], [0.0, 0.0, 0.0, 0.0, -1.0]]], "float32")
    >>> ops.convert_to_numpy(layer.augment_targets(objects))[0, :, 4].tolist()
    [2.0, -1.0]
    """

    def __init__(
        self,
        zoom: float = 1.0,
        stretch: float = 1.0,
        shift: float = 0.0,
        turn: bool = True,
        min_visible: float = 0.4,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        for name, value in (("zoom", zoom), ("stretch", stretch)):
            if not value >= 1.0:
                raise ValueError(
                    f"RandomPlacement: `{name}` must be a factor from 1 on. Received: {value!r}."
                )
        check_rates(self, shift=shift, min_visible=min_visible)
        self.zoom = float(zoom)
        self.stretch = float(stretch)
        self.shift = shift
        self.turn = turn
        self.min_visible = min_visible
        # One placement per thread, as in `Mixup`.
        self._last_call = threading.local()

    def augment(self, images: Tensor) -> Tensor:
        height, width = images.shape[1:3]
        matrix = self._draw_matrix(ops.shape(images)[0])  # (B, 2, 2), from inputs to outputs
        shift = self._uniform(ops.shape(images)[0], 2) * self.shift
        shift = shift * np.array([width, height], "float32")
        self._last_call.placement = (matrix, shift, (height, width))
        # The inverse map, between the indices of pixels, whose centres are integers.
        a, b, c, d = (matrix[:, row, column] for row in range(2) for column in range(2))
        determinant = a * d - b * c
        inverse = [d / determinant, -b / determinant, -c / determinant, a / determinant]
        x, y = (width - 1) / 2, (height - 1) / 2
        from_x, from_y = -x - shift[:, 0], -y - shift[:, 1]
        zeros = ops.zeros_like(a)
        transform = ops.stack(
            [
                *(inverse[0], inverse[1], inverse[0] * from_x + inverse[1] * from_y + x),
                *(inverse[2], inverse[3], inverse[2] * from_x + inverse[3] * from_y + y),
                *(zeros, zeros),
            ],
            axis=-1,
        )
        placed = ops.image.affine_transform(
            ops.cast(images, "float32"),  # TensorFlow has no such operation for every dtype
            transform,
            interpolation="bilinear",
            fill_mode="constant",
            fill_value=GREY,
            data_format="channels_last",
        )
        return ops.cast(placed, images.dtype)

    def augment_targets(self, targets: Tensor) -> Tensor:
        """Return boxes changed as the images of the last call.

        Args:
            targets: float tensor `(B, M, 5)`: boxes in pixels, `xyxy`, and labels, -1 for padding.

        Returns:
            Tensor of the same shape. Boxes that are no longer visible have label -1.
        """
        matrix, shift, (height, width) = self._last_call.placement
        targets = ops.cast(targets, "float32")
        centre = np.array([width / 2, height / 2], "float32")
        middle = (targets[..., :2] + targets[..., 2:4]) / 2 - centre
        half = (targets[..., 2:4] - targets[..., :2]) / 2
        middle = ops.einsum("bij,bmj->bmi", matrix, middle) + centre + shift[:, None]
        half = ops.einsum("bij,bmj->bmi", ops.abs(matrix), half)
        size = np.array([width, height], "float32")
        low = ops.clip(middle - half, 0.0, size)
        high = ops.clip(middle + half, 0.0, size)
        visible = ops.prod(high - low, axis=-1) / ops.maximum(ops.prod(2 * half, axis=-1), 1e-6)
        labels = targets[..., 4]
        labels = ops.where(visible >= self.min_visible, labels, -ops.ones_like(labels))
        return ops.concatenate([low, high, labels[..., None]], axis=-1)

    def _draw_matrix(self, batch: Any) -> Tensor:
        """Return a matrix `(B, 2, 2)` for each image: mirror or turn, times the scales."""
        zoom = ops.exp(self._uniform(batch, 1) * math.log(self.zoom))
        stretch = ops.exp(self._uniform(batch, 1) * math.log(self.stretch) / 2)
        scales = ops.concatenate([zoom * stretch, zoom / stretch], axis=1)
        signs = ops.where(self._uniform(batch, 2) < 0.0, -1.0, 1.0)
        if not self.turn:
            signs = signs * np.array([1.0, 0.0]) + np.array([0.0, 1.0])
        diagonal = ops.cast(signs, "float32") * scales
        swap = self._uniform(batch, 1) < (0.0 if self.turn else -2.0)
        matrix = diagonal[:, :, None] * np.eye(2, dtype="float32")
        swapped = diagonal[:, :, None] * np.eye(2, dtype="float32")[::-1]
        return ops.where(swap[..., None], swapped, matrix)

    def _uniform(self, batch: Any, size: int) -> Tensor:
        """Return numbers `(B, size)` between -1 and 1."""
        return keras.random.uniform((batch, size), -1.0, 1.0, seed=self.seed_generator)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "zoom": self.zoom,
            "stretch": self.stretch,
            "shift": self.shift,
            "turn": self.turn,
            "min_visible": self.min_visible,
        }


@keras.saving.register_keras_serializable(package=PACKAGE)
class RandomColor(_Augmentation):
    """Change contrast, brightness and the balance of the channels of each image.

    Args:
        contrast: the differences from the mean of an image are multiplied by up to 1 plus or minus
            this.
        brightness: largest value that is added to an image, as a fraction of 255.
        balance: largest value that is added to each channel by itself, likewise.
        seed: integer that makes the draws repeatable.

    Call arguments:
        inputs: float tensor `(B, H, W, C)`.
        training: whether to change the images; else they are returned as they are.

    Returns:
        Tensor `(B, H, W, C)`, with values clipped to 0..255.

    Example:

    >>> images = np.full((2, 8, 8, 3), 100.0, "float32")
    >>> tuple(RandomColor(contrast=0.2, seed=0)(images, training=True).shape)
    (2, 8, 8, 3)
    """

    def __init__(
        self,
        contrast: float = 0.0,
        brightness: float = 0.0,
        balance: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        check_rates(self, contrast=contrast, brightness=brightness, balance=balance)
        self.contrast = contrast
        self.brightness = brightness
        self.balance = balance

    def augment(self, images: Tensor) -> Tensor:
        batch, _, _, channels = ops.shape(images)
        dtype, images = images.dtype, ops.cast(images, "float32")
        mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
        factor = 1.0 + self._uniform(batch, 1) * self.contrast
        added = self._uniform(batch, 1) * self.brightness * 255.0
        added = added + self._uniform(batch, channels) * self.balance * 255.0
        changed = factor * images + (mean * (1.0 - factor) + added)
        return ops.cast(ops.clip(changed, 0.0, 255.0), dtype)

    def _uniform(self, batch: Any, size: int) -> Tensor:
        """Return numbers `(B, 1, 1, size)` between -1 and 1."""
        return keras.random.uniform((batch, 1, 1, size), -1.0, 1.0, seed=self.seed_generator)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "contrast": self.contrast,
            "brightness": self.brightness,
            "balance": self.balance,
        }
