"""Decoding of image files."""

import os
import pathlib
from typing import Any

import numpy as np


def decode_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a PNG, JPEG, GIF (first frame) or BMP file as uint8 `(H, W, 3)`.

    Gray images are repeated over three channels, and transparency is dropped.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is not an image in one of those formats.
    """
    import tensorflow as tf

    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no image file {str(path)!r}.")
    try:
        image: Any = tf.io.decode_image(path.read_bytes(), channels=3, expand_animations=False)
    except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
        raise ValueError(
            f"{str(path)!r} is not an image that can be read. Accepted: PNG, JPEG, GIF and BMP. "
            f"TensorFlow says: {error.message.splitlines()[0]}"
        ) from error
    return image.numpy()
