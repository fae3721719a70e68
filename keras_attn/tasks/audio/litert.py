"""LiteRT (TensorFlow Lite) models of audio classifiers, by the converter of TensorFlow."""

import os
import pathlib
from typing import TYPE_CHECKING, Any

from keras_attn._files import replacing
from keras_attn.export import import_tensorflow

if TYPE_CHECKING:
    from keras_attn.tasks.audio.classifier import AudioClassifier


def write_litert(
    classifier: "AudioClassifier", filepath: str | os.PathLike[str], seconds: float
) -> pathlib.Path:
    """Write a LiteRT model of a classifier, see `AudioClassifier.export_litert`."""
    tf = import_tensorflow()
    path = pathlib.Path(filepath)
    if path.suffix != ".tflite":
        raise ValueError(
            f"The name of a LiteRT model must end in .tflite. Received: {os.fspath(filepath)!r}."
        )
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not number or not 0 < seconds <= classifier.max_seconds:
        raise ValueError(
            "`seconds` must be above 0 and at most the model's `max_seconds`, "
            f"{classifier.max_seconds:g}. Received: {seconds!r}."
        )
    spec = tf.TensorSpec((1, round(seconds * classifier.rate)), tf.float32, name="waveforms")

    def serve(waveforms: Any) -> dict[str, Any]:
        return {"probabilities": tf.nn.softmax(classifier(waveforms, training=False))}

    module = tf.Module()
    module.variables_ = [variable.value for variable in classifier.variables]
    concrete = tf.function(serve, autograph=False).get_concrete_function(spec)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    content = converter.convert()
    with replacing(path) as partial:
        partial.write_bytes(content)
    return path
