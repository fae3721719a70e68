"""The functions of an audio classifier's SavedModel, of core TensorFlow operations."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_attn.datasets.waveforms import MAX_RATE, MAX_VALUE, MIN_RATE
from keras_attn.layers.spectrogram import waveform_lengths
from keras_attn.tasks.audio.resampling import resample_in_graph
from keras_attn.tasks.audio.wav_in_graph import decode_wav_in_graph
from keras_attn.tasks.classification import serving_outputs

if TYPE_CHECKING:
    from keras_attn.tasks.audio.classifier import AudioClassifier


def serve_waveforms(classifier: "AudioClassifier") -> Callable[..., dict[str, Any]]:
    """Return a function from waveforms `(B, n)` and a rate to the outputs of the signature.

    Zeros at the end of a row are padding. A row of zeros has equal probabilities. Samples that are
    not finite or not scaled, sounds that are too short or too long, and impossible rates fail.
    """
    import tensorflow as tf

    def serve(waveforms: Any, rate: Any) -> dict[str, Any]:
        lengths = _checked_lengths(classifier, waveforms, rate)
        # TensorFlow's convolutions on a CPU fail for empty batches, and a frame needs a sample.
        size = tf.shape(waveforms)[0]
        padding = tf.cast(tf.equal(size, 0), tf.int32)
        waveforms = tf.pad(waveforms, [[0, padding], [0, 1]])
        lengths = tf.pad(lengths, [[0, padding]])
        waveforms = resample_in_graph(waveforms, lengths, rate, classifier.rate)
        return _outputs(classifier, waveforms, size)

    return serve


def serve_files(classifier: "AudioClassifier") -> Callable[..., dict[str, Any]]:
    """Return a function from the contents of WAV files `(B,)` to the outputs of the signature.

    Files of the same formats as in Python are decoded. Each may have a rate and a number of
    channels of its own. The length of a file is that of its header, also if it ends in zeros.
    """
    import tensorflow as tf

    def read(content: Any) -> Any:
        samples, rate = decode_wav_in_graph(content)
        waveform = samples[None]
        lengths = _checked_lengths(classifier, waveform, rate, tf.shape(waveform)[1:])
        waveform = tf.pad(waveform, [[0, 0], [0, 1]])
        resampled = resample_in_graph(waveform, lengths, rate, classifier.rate)[0]
        return tf.RaggedTensor.from_row_lengths(resampled, tf.shape(resampled, tf.int64))[0]

    def serve(files: Any) -> dict[str, Any]:
        size = tf.shape(files)[0]
        ragged = tf.map_fn(
            read, files, fn_output_signature=tf.RaggedTensorSpec((None,), tf.float32, 0)
        )
        waveforms = ragged.to_tensor()
        padding = tf.cast(tf.equal(size, 0), tf.int32)
        return _outputs(classifier, tf.pad(waveforms, [[0, padding], [0, 1]]), size)

    return serve


def waveform_requests(classifier: "AudioClassifier") -> dict[str, dict[str, Any]]:
    """Return example requests for both signatures, of a second of silence."""
    import tensorflow as tf

    samples = np.zeros((1, round(min(1.0, classifier.max_seconds) * classifier.rate)), "float32")
    rate = np.int32(classifier.rate)
    content = tf.audio.encode_wav(samples[0][:, None], rate).numpy()
    return {
        "serving_default": {"waveforms": samples, "rate": rate},
        "wav": {"files": [content]},
    }


def _checked_lengths(
    classifier: "AudioClassifier", waveforms: Any, rate: Any, sizes: Any = None
) -> Any:
    """Return the lengths of waveforms without padding, and fail for what the model does not take.

    Args:
        classifier: The model.
        waveforms: Float32 tensor `(B, n)`.
        rate: Their samples per second.
        sizes: int32 tensor `(B,)`, the lengths that `max_seconds` limits; None is those without
            padding.
    """
    import tensorflow as tf

    rate = tf.convert_to_tensor(rate)
    lengths = waveform_lengths(tf.pad(waveforms, [[0, 0], [0, 1]]))
    longest = lengths if sizes is None else sizes
    seconds = tf.cast(longest, tf.float32) / tf.cast(tf.maximum(rate, 1), tf.float32)
    window = classifier.spectrogram.sequence_length
    resampled = tf.cast(lengths, tf.int64) * classifier.rate
    is_window = resampled >= window * tf.cast(rate, tf.int64)
    checks = [
        tf.debugging.Assert(
            (rate >= MIN_RATE) & (rate <= MAX_RATE),
            [f"`rate` must be from {MIN_RATE} to {MAX_RATE} samples per second. Received:", rate],
        ),
        tf.debugging.Assert(
            tf.reduce_all(tf.abs(waveforms) <= MAX_VALUE),  # False for NaN
            ["Samples must be in -1..1; divide those of 16 bits by 32768. Received:", waveforms],
        ),
        tf.debugging.Assert(
            tf.reduce_all(seconds <= classifier.max_seconds),
            [f"A waveform may have at most {classifier.max_seconds:g} seconds. Received:", seconds],
        ),
        tf.debugging.Assert(
            tf.reduce_all(is_window | tf.equal(lengths, 0)),
            [
                f"A waveform must have at least {classifier.min_seconds:g} seconds. Received "
                "samples:",
                lengths,
            ],
        ),
    ]
    with tf.control_dependencies(checks):
        return tf.identity(lengths)


def _outputs(classifier: "AudioClassifier", waveforms: Any, size: Any) -> dict[str, Any]:
    import tensorflow as tf

    logits = classifier(waveforms, training=False)
    return serving_outputs(classifier.label_names, tf.nn.softmax(logits)[:size])
