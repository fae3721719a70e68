"""Decoding of image files."""

import logging
import os
import pathlib
from typing import Any

import numpy as np

from keras_attn._errors import tensorflow_reason
from keras_attn._validation import check_positive_integer
from keras_attn.datasets.files._image_headers import HeaderError, ImageHeader, read_header

log = logging.getLogger("keras_attn.images")  # of files that are decoded, at the level DEBUG
MAX_PIXELS = 100_000_000  # default limit; decoded they are 300 MB
_ACCEPTED = "PNG, JPEG, GIF (first frame), BMP and WebP"


def decode_image(
    path: str | os.PathLike[str], *, max_pixels: int | None = MAX_PIXELS
) -> np.ndarray:
    """Read a PNG, JPEG, GIF (first frame), BMP or WebP file as uint8 `(H, W, 3)`.

    The image is turned as its EXIF orientation says, so that photos of phones are upright. Gray
    images are repeated over three channels, 16 bits are reduced to their upper 8, CMYK is
    converted, and transparency is dropped.

    Args:
        path: Path of the file.
        max_pixels: Largest number of pixels to decode, or None for the default. A file of less
            than a megabyte can hold an image that fills the memory.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is not an image in one of those formats, or the image has more than
            `max_pixels` pixels.

    Example:

    >>> import pathlib, tempfile
    >>> import tensorflow as tf
    >>> path = pathlib.Path(tempfile.mkdtemp(), "image.png")
    >>> _ = path.write_bytes(tf.io.encode_png(np.zeros((2, 3, 3), "uint8")).numpy())
    >>> decode_image(path).shape
    (2, 3, 3)
    >>> decode_image(path, max_pixels=5)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: '...image.png' has 3 x 2 = 6 pixels, more than the limit of 5. ...
    """
    limit = MAX_PIXELS if max_pixels is None else max_pixels
    check_positive_integer("max_pixels", limit)
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no image file {str(path)!r}.")
    content = path.read_bytes()
    try:
        header = read_header(content)
    except HeaderError as error:
        raise _unreadable(path, str(error)) from error
    pixels = header.width * header.height
    if pixels > limit:
        raise ValueError(
            f"{str(path)!r} has {header.width} x {header.height} = {pixels:,} pixels, more than "
            f"the limit of {limit:,}. Make the image smaller; or pass `max_pixels={pixels}` if you "
            "trust the file and have the memory, 3 bytes a pixel and more."
        )
    return _orient(_decode(path, content, header), header.orientation)


def _decode(path: pathlib.Path, content: bytes, header: ImageHeader) -> np.ndarray:
    import tensorflow as tf

    log.debug("%s", path)
    if header.format == "GIF":  # TensorFlow decodes all frames, however many, to return the first
        content = content[: header.end] + b";"
    last: Exception | None = None
    for channels in (3, 4) if header.format == "WebP" else (3,):  # WebP: with transparency 4
        try:
            image: Any = tf.io.decode_image(content, channels=channels, expand_animations=False)
            return image.numpy()[..., :3]
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
            last = error
    assert last is not None
    raise _unreadable(
        path, f"The file is damaged, TensorFlow says: {tensorflow_reason(last)}."
    ) from last


def _orient(image: np.ndarray, orientation: int) -> np.ndarray:
    """Return an image `(H, W, 3)` upright, as EXIF defines its orientation from 1 to 8."""
    if orientation >= 5:
        image = image.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def _unreadable(path: pathlib.Path, reason: str) -> ValueError:
    return ValueError(
        f"{str(path)!r} is not an image that can be read. {reason} Accepted: {_ACCEPTED}."
    )
