"""Decoding of WAV files in a graph, of core TensorFlow operations, as `decode_wav` does in Python.

`tf.audio.decode_wav` reads PCM of 16 bits only.
"""

from typing import Any

from keras_attn._types import Tensor
from keras_attn.datasets.files.waveforms import ACCEPTED, EXTENSIBLE, FLOAT, PCM, UNKNOWN_SIZE
from keras_attn.datasets.waveforms import MAX_CHANNELS

_PROBLEMS = (
    "",
    "is not a WAV file",
    "is truncated or damaged: it has no format or no samples",
    "is truncated: its header says more samples than there are",
    "is empty: it has no samples",
    "is compressed, or has samples of a width that is not read",
    "is damaged: it has an impossible number of channels",
)
# Encoding and bits of the samples, in the order of `_decoders`.
_FORMATS = ((PCM, 8), (PCM, 16), (PCM, 24), (PCM, 32), (FLOAT, 32), (FLOAT, 64))
_PADDING = 64  # bytes, so that the fields of a truncated header can be read


def decode_wav_in_graph(content: Tensor) -> tuple[Tensor, Tensor]:
    """Return the samples of a WAV file, mixed down to one channel, and their rate.

    Args:
        content: String scalar, the content of the file.

    Returns:
        Float32 tensor `(n,)`, and an int32 scalar. A file that cannot be read fails an assertion,
        whose message says why.
    """
    import tensorflow as tf

    size = tf.strings.length(content)
    header = tf.pad(tf.io.decode_raw(content, tf.uint8), [[0, _PADDING]])

    def number(place: Any, width: int) -> Tensor:
        """Return the little-endian integer at a place, int64."""
        first = tf.clip_by_value(tf.cast(place, tf.int32), 0, size)
        digits = tf.cast(header[first : first + width], tf.int64)
        return tf.reduce_sum(digits * tf.constant([256**n for n in range(width)], tf.int64))

    form, data, length = _find_chunks(number, tf.cast(size, tf.int64))
    remaining = tf.cast(size, tf.int64) - data
    length = tf.where(tf.equal(length, UNKNOWN_SIZE), remaining, length)
    encoding, channels, bits = (number(form + offset, 2) for offset in (0, 2, 14))
    rate = number(form + 4, 4)
    encoding = tf.where(tf.equal(encoding, EXTENSIBLE), number(form + 24, 2), encoding)
    known = tf.stack([(encoding == code) & (bits == width) for code, width in _FORMATS])
    frame = tf.maximum(channels * bits // 8, 1)
    riff = (number(0, 4) == _tag(b"RIFF")) & (number(8, 4) == _tag(b"WAVE"))
    faults = [
        tf.logical_not(riff),
        (form < 0) | (data < 0),
        length > remaining,
        length < frame,
        tf.logical_not(tf.reduce_any(known)),
        (channels < 1) | (channels > MAX_CHANNELS),
    ]
    problem = tf.constant(0, tf.int32)
    for index, fault in reversed(list(enumerate(faults, start=1))):
        problem = tf.where(fault, index, problem)
    reason = tf.gather(tf.constant(_PROBLEMS), problem)
    message = ["A file cannot be read. It", reason, f"Accepted: WAV with {ACCEPTED}."]
    with tf.control_dependencies([tf.debugging.Assert(tf.equal(problem, 0), message)]):
        content = tf.identity(content)
    used = tf.cast(length // frame * frame, tf.int32)
    raw = tf.strings.substr(content, tf.cast(data, tf.int32), used)
    kind = tf.argmax(tf.cast(known, tf.int32), output_type=tf.int32)
    samples = tf.switch_case(kind, [lambda decode=decode: decode(raw) for decode in _decoders()])
    frames = tf.reshape(samples, tf.stack([-1, tf.cast(channels, tf.int32)]))
    # A rate that does not fit int32 is impossible, and is refused as such.
    return tf.reduce_mean(frames, axis=1), tf.cast(tf.minimum(rate, 2**31 - 1), tf.int32)


def _find_chunks(number: Any, size: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the places of the format and of the samples, or -1, and the length of the samples."""
    import tensorflow as tf

    def is_before_data(place: Tensor, form: Tensor, data: Tensor, length: Tensor) -> Tensor:
        return (data < 0) & (place + 8 <= size)

    def read(place: Tensor, form: Tensor, data: Tensor, length: Tensor) -> tuple[Tensor, ...]:
        name, bytes_of_chunk = number(place, 4), number(place + 4, 4)
        start = place + 8
        form = tf.where(name == _tag(b"fmt "), start, form)
        is_data = name == _tag(b"data")
        data, length = tf.where(is_data, start, data), tf.where(is_data, bytes_of_chunk, length)
        return start + bytes_of_chunk + bytes_of_chunk % 2, form, data, length

    start = [tf.constant(value, tf.int64) for value in (12, -1, -1, 0)]
    _, form, data, length = tf.while_loop(is_before_data, read, start)
    return form, data, length


def _decoders() -> list[Any]:
    """Return functions from bytes of samples to floats in -1..1, in the order of `_FORMATS`."""
    import tensorflow as tf

    def integers(dtype: Any, offset: float, scale: float) -> Any:
        return lambda raw: (tf.cast(tf.io.decode_raw(raw, dtype), tf.float32) - offset) / scale

    def of_24_bits(raw: Tensor) -> Tensor:
        low, middle, high = tf.unstack(
            tf.cast(tf.reshape(tf.io.decode_raw(raw, tf.uint8), (-1, 3)), tf.int32), axis=1
        )
        high = tf.where(high < 128, high, high - 256)
        return tf.cast(high * 65_536 + middle * 256 + low, tf.float32) / 2.0**23

    return [
        integers(tf.uint8, 128.0, 128.0),
        integers(tf.int16, 0.0, 2.0**15),
        of_24_bits,
        integers(tf.int32, 0.0, 2.0**31),
        lambda raw: tf.io.decode_raw(raw, tf.float32),
        lambda raw: tf.cast(tf.io.decode_raw(raw, tf.float64), tf.float32),
    ]


def _tag(name: bytes) -> int:
    """Return the name of a chunk as the integer of its bytes."""
    return int.from_bytes(name, "little")
