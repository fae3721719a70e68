"""Checks and conversion of what users pass as images."""

import os
from typing import Any

import numpy as np

from keras_attn._types import Tensor
from keras_attn._warnings import warn_user
from keras_attn.datasets import decode_image

Image = str | os.PathLike[str] | np.ndarray

_ACCEPTED = (
    "a uint8 array (height, width, 3) or (batch, height, width, 3), the path of an image file, an "
    "image of Pillow, or a list or column of pandas of such arrays, paths and images"
)
_GRAY = "np.repeat(images[..., None], 3, axis=-1)"  # remedy for gray images without channels
_REMEDIES = {
    1: "Repeat a gray image over three channels: np.repeat(images, 3, axis=-1).",
    2: "Drop the alpha channel, and repeat the gray one: np.repeat(images[..., :1], 3, axis=-1).",
    4: "Drop the alpha channel: images[..., :3].",
}


def is_one_image(images: Any) -> bool:
    """Return whether `images` is one image: a path, an image of Pillow, or an array of rank 3."""
    if isinstance(images, str | os.PathLike) or is_pillow(images):
        return True
    return not isinstance(images, list) and getattr(images, "ndim", None) == 3


def as_sequence(images: Any) -> Any:
    """Return images as an array or a list.

    Columns of pandas, tuples and arrays of objects or strings become lists, tensors become
    arrays.

    Raises:
        TypeError: `images` is nothing of that, such as a dictionary.
    """
    _refuse_bytes(images)
    if isinstance(images, str | os.PathLike) or is_pillow(images):
        raise TypeError(f"Expected several images. Put the image in a list: [{images!r:.80}].")
    if hasattr(images, "to_numpy"):
        images = images.to_numpy()
    elif hasattr(images, "__array__") and not isinstance(images, np.ndarray):
        images = np.asarray(images)
    if isinstance(images, np.ndarray):
        strings = images.dtype.kind in "OUS" and images.ndim == 1
        return list(images) if strings else images
    if isinstance(images, list | tuple):
        return list(images)
    raise TypeError(f"Images must be {_ACCEPTED}. Received: {type(images).__name__}.")


def read_image(image: Any, max_pixels: int | None) -> np.ndarray:
    """Return one image, a path or an array, as a uint8 array `(H, W, 3)`.

    Raises:
        TypeError, ValueError, FileNotFoundError: See `decode_image` and `check_images`.
    """
    if isinstance(image, str | os.PathLike):
        return decode_image(image, max_pixels=max_pixels)
    _refuse_bytes(image)
    if isinstance(image, dict | set) or image is None:
        raise TypeError(f"Images must be {_ACCEPTED}. Received: {type(image).__name__}.")
    if is_pillow(image):
        image = _from_pillow(image)
    try:
        array = np.asarray(image)
    except ValueError as error:  # rows of different lengths
        raise TypeError(
            f"Images must be {_ACCEPTED}. Received: a {type(image).__name__} that is no array "
            f"({error})."
        ) from error
    if array.ndim == 4:
        raise ValueError(
            f"Expected one image (height, width, 3). Received: {array.dtype} of shape "
            f"{array.shape}, a batch. Pass one of them, such as images[0]."
        )
    check_images(array[None], array.shape)
    return array


def check_images(images: np.ndarray, shape: tuple[int, ...] | None = None) -> None:
    """Raise unless `images` is a uint8 array `(N, H, W, 3)` of images that have pixels.

    Args:
        images: The images.
        shape: The shape of what the user passed, for the message, if it is another one.
    """
    received = f"Received: {images.dtype} of shape {shape or images.shape}."
    if images.ndim != 4 or 0 in images.shape[1:]:
        remedy = ""
        if images.ndim == 3:
            remedy = f" Repeat gray images over three channels: {_GRAY}."
            if images.shape[-1] == 3:
                remedy = " Pass one image as a batch: images[None]."
        raise ValueError(
            "Images must have shape (height, width, 3) or (batch, height, width, 3), or be "
            f"paths of image files. {received}{remedy}"
        )
    check_channels(images.shape, received)
    if images.dtype == np.uint8 and images.size and images.max() == 1:
        warn_user(
            "Images must have values in 0..255. Received: uint8 with the values 0 and 1 alone, "
            "which are nearly black. Convert floats in 0..1 with "
            "(images * 255).round().astype('uint8')."
        )
    if images.dtype != np.uint8:
        remedies = {
            "f": " Convert floats in 0..1 with (images * 255).round().astype('uint8'), and floats "
            "in 0..255 with images.round().astype('uint8').",
            "b": " Convert booleans with images.astype('uint8') * 255.",
        }
        integers = " Convert integers in 0..255 with images.astype('uint8')."
        remedies |= {"i": integers, "u": integers}
        raise TypeError(
            f"Images must be uint8, with values in 0..255. {received}"
            f"{remedies.get(images.dtype.kind, '')}"
        )


def check_channels(shape: Any, received: str) -> None:
    """Raise ValueError unless the last axis of images is known to be 3, or unknown."""
    if shape[-1] not in (3, None):
        remedy = _REMEDIES.get(
            shape[-1], f"Put the channels last; or repeat gray images without channels: {_GRAY}."
        )
        raise ValueError(f"Images must have 3 channels, red, green and blue. {received} {remedy}")


def check_values(images: np.ndarray) -> None:
    """Raise for what `fit` and `logits` do not take: `check_images`, and floats out of range."""
    if images.dtype.kind != "f" or images.ndim != 4 or images.shape[-1] != 3:
        check_images(images)
        return
    if not np.isfinite(images).all():
        raise ValueError("Images must have finite values. Received: NaN or infinity.")
    if 0.0 < images.max(initial=0.0) <= 1.0 or images.min(initial=0.0) < 0.0:
        raise ValueError(
            "Images must have values in 0..255. Received: floats from "
            f"{images.min():.3g} to {images.max():.3g}. Convert floats in 0..1 with "
            "images * 255, and pass images that are not standardized."
        )
    if images.max(initial=0.0) > 256.0:
        raise ValueError(
            f"Images must have values in 0..255. Received: floats up to {images.max():.6g}. Divide "
            "images of 16 bits by 257; clip what resizing has added with np.clip(images, 0, 255)."
        )


def check_batch(images: Tensor) -> Tensor:
    """Return a batch of a `tf.data.Dataset`, and fail where its values are not in 0..255."""
    import tensorflow as tf

    received = f"Received: elements of {images.dtype.name} and shape {images.shape}."
    if images.shape.rank not in (None, 4):
        step = "Call dataset.batch(32) first."
        if images.dtype == tf.string:
            step = "Read files by keras_attn.datasets.decode_image, or pass a list of paths."
        raise ValueError(
            "A tf.data.Dataset must hold batches of images (batch, height, width, 3). "
            f"{received} {step}"
        )
    if images.shape.rank is None:  # of a generator: checked when a batch is read
        images = tf.ensure_shape(images, (None, None, None, 3))
    check_channels(images.shape, received)
    if images.dtype == tf.uint8:
        return images
    if not images.dtype.is_floating:
        remedy = "Multiply booleans by 255, divide integers in 0..65535 by 257, and"
        raise TypeError(
            "Images of a tf.data.Dataset must be uint8 or floats, with values in 0..255. "
            f"{received} {remedy} convert integers in 0..255 with tf.cast(images, 'uint8')."
        )
    largest = tf.reduce_max(images)
    usual = ~((largest > 0) & (largest <= 1)) & (tf.reduce_min(images) >= 0) & (largest <= 256)
    usual |= tf.size(images) == 0
    message = (
        "Images must have values in 0..255; convert floats in 0..1 with images * 255, and those of "
        "images of 16 bits with images / 257."
    )
    with tf.control_dependencies([tf.debugging.Assert(usual, [message])]):
        return tf.identity(images)


def _from_pillow(image: Any) -> Any:
    """Return an image of Pillow upright, in RGB.

    Raises:
        ValueError: Its values have no range that is known, as those of 32-bit integers and floats.
    """
    import PIL.Image
    import PIL.ImageOps

    image = PIL.ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):  # Pillow would clip the values, not scale them
        values = np.asarray(image).astype("uint16") >> 8  # as TensorFlow decodes such files
        image = PIL.Image.fromarray(values.astype("uint8"))
    elif image.mode in ("I", "F"):
        raise ValueError(
            f"An image of Pillow must have values in 0..255. Received: one of mode {image.mode!r}, "
            "whose range is not known. Pass the path of its file, or scale its values: "
            "PIL.Image.fromarray((values * scale).astype('uint8'))."
        )
    return image.convert("RGB")


def is_pillow(image: Any) -> bool:
    """Return whether `image` is an image of Pillow, without importing it."""
    return hasattr(image, "getexif") and hasattr(image, "convert")


def _refuse_bytes(image: Any) -> None:
    """Raise TypeError for an encoded image in memory."""
    if isinstance(image, bytes | bytearray | memoryview):
        raise TypeError(
            f"Images must be {_ACCEPTED}. Received: {type(image).__name__}, {len(image)} of them. "
            "Pass the path of the file, or decode it: keras_attn.datasets.decode_image(path), or "
            "tf.io.decode_image(data, channels=3, expand_animations=False).numpy()."
        )
