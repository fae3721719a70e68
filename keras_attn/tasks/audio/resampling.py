"""Band-limited resampling, in NumPy and in a graph of TensorFlow, by the same formula.

A waveform is interpolated by a windowed sinc (Smith, "Digital Audio Resampling Home Page"): sample
`m` of the result lies at `m * rate / new_rate` in the waveform, and is the sum over the samples
`k` at a distance below `ZEROS / cutoff` of `waveform[k] * h(k - m * rate / new_rate)`, where
`h(t) = cutoff * sinc(cutoff * t) * cos(pi / 2 * t * cutoff / ZEROS) ** 2`. Frequencies above half
of the lower rate are removed. The support is finite, so that zeros after a waveform change nothing.
"""

from typing import Any

import numpy as np

from keras_attn._types import Tensor

ZEROS = 16  # zero crossings of the sinc on either side
ROLL_OFF = 0.95  # cutoff, as a fraction of half of the lower rate
BLOCK = 8_000  # samples of the result that are computed together, to bound the memory


def resample(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Return a waveform at another rate.

    Args:
        samples: Float array `(n,)`.
        rate: Its samples per second.
        new_rate: Samples per second of the result.

    Returns:
        Float32 array `(ceil(n * new_rate / rate),)`.

    Example:

    >>> tone = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    >>> half = resample(tone, 16_000, 8_000)
    >>> same = np.sin(2 * np.pi * 440 * np.arange(8_000) / 8_000)
    >>> half.shape, bool(np.abs(half - same)[50:-50].max() < 0.001)
    ((8000,), True)
    """
    if rate == new_rate:
        return samples.astype("float32")
    size = -(-len(samples) * new_rate // rate)
    cutoff = ROLL_OFF * min(1.0, new_rate / rate)
    reach = int(np.ceil(ZEROS / cutoff))
    padded = np.pad(samples.astype("float32"), reach + 1)
    result = np.zeros(size, "float32")
    for start in range(0, size, BLOCK):
        numbers = np.arange(start, min(size, start + BLOCK), dtype="int64") * rate
        whole, fraction = numbers // new_rate, (numbers % new_rate / new_rate).astype("float32")
        offsets = np.arange(-reach, reach + 2)
        distances = (offsets[None] - fraction[:, None]) * np.float32(cutoff)  # in zero crossings
        window = np.cos(np.float32(np.pi / 2 / ZEROS) * distances) ** 2
        weights = np.float32(cutoff) * np.sinc(distances) * window * (np.abs(distances) < ZEROS)
        taken = padded[whole[:, None] + offsets[None] + reach + 1]
        result[start : start + len(numbers)] = (taken * weights).sum(axis=1, dtype="float32")
    return result


def resample_in_graph(waveforms: Tensor, lengths: Tensor, rate: Tensor, new_rate: int) -> Tensor:
    """Return waveforms at another rate, as `resample` does, by TensorFlow.

    Args:
        waveforms: Float32 tensor `(B, n)`.
        lengths: int32 tensor `(B,)`: the number of samples of each that are not padding.
        rate: int32 scalar, their samples per second.
        new_rate: Samples per second of the result.

    Returns:
        Float32 tensor `(B, ceil(n * new_rate / rate))`, 0 after the end of each waveform.
    """
    import tensorflow as tf

    rate = tf.cast(rate, tf.int64)

    def scaled(numbers: Any) -> Any:
        return -(-tf.cast(numbers, tf.int64) * new_rate // rate)

    def convert() -> Any:
        cutoff = ROLL_OFF * tf.minimum(1.0, new_rate / tf.cast(rate, tf.float32))
        reach = tf.cast(tf.math.ceil(ZEROS / cutoff), tf.int64)
        padded = tf.pad(waveforms, [[0, 0], [reach + 1, reach + 1]])
        offsets = tf.range(-reach, reach + 2)
        size = scaled(tf.shape(waveforms)[1])

        def block(start: Any, result: Any) -> tuple[Any, Any]:
            numbers = tf.range(start, tf.minimum(size, start + BLOCK)) * rate
            fraction = tf.cast(numbers % new_rate, tf.float32) / new_rate
            distances = (tf.cast(offsets, tf.float32)[None] - fraction[:, None]) * cutoff
            angles = np.pi * distances
            safe = tf.where(angles == 0.0, 1.0, angles)
            sinc = tf.where(angles == 0.0, 1.0, tf.sin(safe) / safe)
            window = tf.square(tf.cos(np.pi / 2 / ZEROS * distances))
            inside = tf.cast(tf.abs(distances) < ZEROS, tf.float32)
            weights = cutoff * sinc * window * inside
            index = (numbers // new_rate)[:, None] + offsets[None] + reach + 1
            part = tf.reduce_sum(tf.gather(padded, index, axis=1) * weights[None], axis=-1)
            return start + BLOCK, tf.concat([result, part], axis=1)

        shapes = (tf.TensorShape(()), tf.TensorShape((None, None)))
        start = (tf.constant(0, tf.int64), tf.zeros((tf.shape(waveforms)[0], 0)))
        _, result = tf.while_loop(
            lambda place, _: place < size, block, start, shape_invariants=shapes
        )
        return result

    result = tf.cond(tf.equal(rate, new_rate), lambda: waveforms, convert)
    numbers = tf.range(tf.shape(result)[1], dtype=tf.int64)
    inside = numbers[None] < scaled(lengths)[:, None]
    return tf.where(inside, result, 0.0)
