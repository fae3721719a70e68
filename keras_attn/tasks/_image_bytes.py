"""Decoding of JPEG and PNG files in a graph, upright, as `keras_attn.datasets.decode_image` does.

TensorFlow's decoders ignore the orientation of EXIF data, which says how to turn a photo. It is
read here from the segment APP1 of JPEG and the chunk `eXIf` of PNG. Orientations that are stated in
XMP, or in texts of PNG as ImageMagick writes them, are not.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_attn._types import Tensor
from keras_attn.datasets.files._image_headers import (
    LONG,
    MARKERS_WITHOUT_LENGTH,
    ORIENTATION_TAG,
    SHORT,
)

BYTES = "image_bytes"  # TensorFlow Serving decodes {"b64": ...} for names that end in _bytes
_PADDING = 64  # bytes, so that the fields of a truncated header can be read
_MAX_SEGMENTS = 1_000  # of a JPEG before its pixels
_MAX_CHUNKS = 1_000  # of a PNG

Number = Callable[..., Any]


def image_requests(image_size: Sequence[int]) -> dict[str, dict[str, Any]]:
    """Return example requests of a SavedModel that reads images and files of them.

    Args:
        image_size: Height and width of the network's input.
    """
    import tensorflow as tf

    images = np.zeros((1, *image_size, 3), "uint8")
    content = tf.io.encode_png(images[0]).numpy()
    return {"serving_default": {"images": images}, "bytes": {BYTES: [content]}}


def decode_image_in_graph(content: Tensor, max_pixels: int) -> Tensor:
    """Return the image of a JPEG or PNG file, turned as its EXIF orientation says.

    Args:
        content: String scalar, the content of the file.
        max_pixels: Largest number of pixels to decode.

    Returns:
        Uint8 tensor `(H, W, 3)`. A file of another format, a damaged one and one with more pixels
        raise `tf.errors.InvalidArgumentError`.
    """
    import tensorflow as tf

    octets = tf.pad(tf.io.decode_raw(content, tf.uint8), [[0, _PADDING]])
    number = _reader(octets, tf.strings.length(content))
    is_jpeg, is_png = _is_jpeg(number), _is_png(number)
    known = tf.debugging.Assert(is_jpeg | is_png, ["A file is neither JPEG nor PNG."])
    with tf.control_dependencies([known]):
        height, width = tf.cond(
            is_jpeg,
            lambda: tuple(tf.unstack(tf.cast(tf.image.extract_jpeg_shape(content)[:2], tf.int64))),
            lambda: (number(20, 4), number(16, 4)),
        )
    limit = tf.debugging.Assert(
        height * width <= max_pixels,
        [f"An image may have at most {max_pixels:,} pixels. Received:", height, width],
    )
    with tf.control_dependencies([limit]):
        image = tf.io.decode_image(content, channels=3, expand_animations=False)
    image = tf.ensure_shape(image, (None, None, 3))
    return orient_in_graph(image, orientation_in_graph(content))


def orientation_in_graph(content: Tensor) -> Tensor:
    """Return the EXIF orientation of a JPEG or PNG file, from 1 to 8, as an int64 scalar.

    It is 1 where there is none, and where the EXIF data are damaged.

    Args:
        content: String scalar, the content of the file.
    """
    import tensorflow as tf

    octets = tf.pad(tf.io.decode_raw(content, tf.uint8), [[0, _PADDING]])
    number = _reader(octets, tf.strings.length(content))
    size = tf.strings.length(content)
    start, end = tf.cond(
        _is_png(number), lambda: _find_in_png(number, size), lambda: _find_in_jpeg(number, size)
    )
    end = tf.minimum(end, tf.cast(size, tf.int64))
    is_big = number(start, 2) == 0x4D4D  # MM: Motorola; II: Intel
    is_tiff = (start > 0) & (is_big | (number(start, 2) == 0x4949))

    def value(places: Any, width: int) -> Any:
        return tf.where(is_big, number(places, width), number(places, width, little=True))

    directory = start + value(start + 4, 4)
    count = tf.where(directory + 2 <= end, value(directory, 2), 0)
    entries = directory + 2 + 12 * tf.range(count, dtype=tf.int64)
    kinds = value(entries + 2, 2)
    values = tf.where(kinds == SHORT, value(entries + 8, 2), value(entries + 8, 4))
    ends = entries + tf.where(kinds == SHORT, tf.constant(10, tf.int64), 12)
    is_tag = (value(entries, 2) == ORIENTATION_TAG) & (value(entries + 4, 4) == 1)
    usable = is_tag & ((kinds == SHORT) | (kinds == LONG)) & (ends <= end)
    stated = tf.concat([tf.boolean_mask(values, usable), [tf.constant(1, tf.int64)]], axis=0)[0]
    return tf.where(is_tiff & (stated >= 1) & (stated <= 8), stated, 1)


def orient_in_graph(image: Tensor, orientation: Tensor) -> Tensor:
    """Return an image `(H, W, 3)` upright, as EXIF defines its orientation from 1 to 8."""
    import tensorflow as tf

    def is_among(*orientations: int) -> Any:
        return tf.reduce_any(tf.equal(orientation, tf.constant(orientations, tf.int64)))

    image = tf.cond(is_among(5, 6, 7, 8), lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
    upright = tf.cond(is_among(3, 4, 7, 8), lambda: image[::-1], lambda: image)
    return tf.cond(is_among(2, 3, 6, 7), lambda: upright[:, ::-1], lambda: upright)


def _reader(octets: Tensor, size: Tensor) -> Number:
    """Return a function of places and a width in bytes that returns integers, int64."""
    import tensorflow as tf

    def number(places: Any, width: int, little: bool = False) -> Any:
        first = tf.clip_by_value(tf.cast(places, tf.int64), 0, tf.cast(size, tf.int64))
        digits = tf.cast(
            tf.gather(octets, first[..., None] + tf.range(width, dtype=tf.int64)), "int64"
        )
        powers = [256**n for n in range(width)]
        powers = powers if little else powers[::-1]
        return tf.reduce_sum(digits * tf.constant(powers, tf.int64), axis=-1)

    return number


def _is_jpeg(number: Number) -> Any:
    return number(0, 3) == 0xFFD8FF


def _is_png(number: Number) -> Any:
    # The header must come first, because the limit on pixels reads height and width there.
    signature = (number(0, 4) == 0x89504E47) & (number(4, 4) == 0x0D0A1A0A)
    return signature & (number(12, 4) == int.from_bytes(b"IHDR", "big"))


def _find_in_jpeg(number: Number, size: Tensor) -> tuple[Any, Any]:
    """Return start and end of the TIFF structure in the segment APP1, or 0 and 0."""
    import tensorflow as tf

    def is_before_pixels(place: Any, start: Any, end: Any) -> Any:
        ends = (number(place, 2) == 0xFFD9) | (number(place, 2) == 0xFFDA)
        return (start == 0) & ~ends & (place + 4 <= tf.cast(size, tf.int64))

    def read(place: Any, start: Any, end: Any) -> tuple[Any, Any, Any]:
        marker = number(place + 1, 1)
        length = number(place + 2, 2)
        plain = tf.reduce_any(tf.equal(marker, tf.constant([0, *MARKERS_WITHOUT_LENGTH], tf.int64)))
        is_exif = (marker == 0xE1) & (number(place + 4, 4) == int.from_bytes(b"Exif", "big"))
        is_exif &= number(place + 8, 2) == 0
        following = place + tf.where(plain, tf.constant(2, tf.int64), 2 + length)
        # Fill bytes, and bytes that do not belong there.
        is_segment = (number(place, 1) == 0xFF) & (marker != 0xFF)
        following = tf.where(is_segment, following, place + 1)
        is_exif &= is_segment
        start = tf.where(is_exif, place + 10, start)
        end = tf.where(is_exif, place + 2 + length, end)
        return following, start, end

    state = [tf.constant(place, tf.int64) for place in (2, 0, 0)]
    _, start, end = tf.while_loop(is_before_pixels, read, state, maximum_iterations=_MAX_SEGMENTS)
    return start, end


def _find_in_png(number: Number, size: Tensor) -> tuple[Any, Any]:
    """Return start and end of the TIFF structure in the chunk `eXIf`, or 0 and 0."""
    import tensorflow as tf

    def is_before_end(place: Any, start: Any, end: Any) -> Any:
        return (start == 0) & (place + 8 <= tf.cast(size, tf.int64))

    def read(place: Any, start: Any, end: Any) -> tuple[Any, Any, Any]:
        length = number(place, 4)
        is_exif = number(place + 4, 4) == int.from_bytes(b"eXIf", "big")
        prefix = is_exif & (number(place + 8, 4) == int.from_bytes(b"Exif", "big"))
        first = tf.where(prefix, place + 14, place + 8)  # some writers add the prefix of JPEG
        start = tf.where(is_exif, first, start)
        return place + 12 + length, start, tf.where(is_exif, place + 8 + length, end)

    state = [tf.constant(place, tf.int64) for place in (8, 0, 0)]
    _, start, end = tf.while_loop(is_before_end, read, state, maximum_iterations=_MAX_CHUNKS)
    return start, end
