"""Images of one size, which ONNX and LiteRT models read, and their resizing by matrix products."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_attn._types import Tensor
from keras_attn._validation import check_positive_integer
from keras_attn.recipes import Signature, TensorInfo
from keras_attn.tasks._classification_cards import OUTPUTS
from keras_attn.tasks._image_inputs import as_sequence, read_image


def fixed_size_signature(image_size: Sequence[int]) -> Signature:
    """Return the signature of models that read images of the size of the network."""
    images = TensorInfo("images", "uint8", ("B", *image_size, 3), "RGB, resized to this size")
    return Signature((images,), (OUTPUTS[-1],))


def check_image_size(image_size: Any, default: Sequence[int]) -> tuple[int, int]:
    """Return height and width, or raise ValueError unless they are two positive integers."""
    if image_size is None:
        return default[0], default[1]
    if not isinstance(image_size, Sequence) or len(image_size) != 2:
        raise ValueError(f"`image_size` must be height and width. Received: {image_size!r}.")
    for each in image_size:
        check_positive_integer("image_size", each)
    return image_size[0], image_size[1]


def fixed_size_images(
    images: Any, size: tuple[int, int], max_pixels: int | None
) -> list[np.ndarray]:
    """Return images as uint8 arrays `(1, *size, 3)`.

    Raises:
        TypeError, ValueError: There are none, or see `ImageClassifier.classify`.
    """
    import tensorflow as tf

    arrays = []
    for image in as_sequence(images):
        array: Any = read_image(image, max_pixels)
        if array.shape[:2] != size:
            resized = tf.image.resize(tf.cast(array, tf.float32), size, antialias=True)
            array = np.clip(np.rint(resized.numpy()), 0, 255).astype("uint8")
        arrays.append(array[None])
    if not arrays:
        raise ValueError("`calibration` needs images. Received: none.")
    return arrays


def resizing_by_products(
    size: tuple[int, int], new_size: Sequence[int]
) -> Callable[[Tensor], Tensor]:
    """Return a function that resizes images `(1, *size, 3)` with built-in operations of LiteRT.

    Resizing with antialiasing is linear, and separate for rows and columns: each is a product with
    a constant matrix, which gives the values of `tf.image.resize(..., antialias=True)`.
    """
    import tensorflow as tf

    if tuple(size) == tuple(new_size):
        return lambda images: images

    def matrix(length: int, new_length: int) -> Any:
        columns = tf.eye(length)[None, :, :, None]  # the column `n` is an image of row `n`
        resized = tf.image.resize(columns, (new_length, length), antialias=True)
        return tf.constant(resized[0, :, :, 0].numpy())

    rows, columns = (matrix(*pair) for pair in zip(size, new_size, strict=True))

    def resize(images: Tensor) -> Tensor:
        channels = tf.transpose(tf.cast(images, tf.float32)[0], (2, 0, 1))  # (3, h, w)
        wide = tf.linalg.matmul(channels, columns, transpose_b=True)  # (3, h, W)
        resized = tf.linalg.matmul(tf.transpose(wide, (0, 2, 1)), rows, transpose_b=True)
        return tf.transpose(resized, (2, 1, 0))[None]  # of (3, W, H)

    return resize
