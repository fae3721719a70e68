"""LiteRT (TensorFlow Lite) models of built-in operations, by the converter of TensorFlow."""

import pathlib
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np

from keras_attn._files import replacing
from keras_attn.export._tracing import prepared_for_tracing, traced
from keras_attn.export.saved_model import import_tensorflow


def write_litert(
    path: pathlib.Path,
    function: Callable[..., dict[str, Any]],
    owner: keras.layers.Layer,
    *,
    examples: Iterable[np.ndarray] | None = None,
    **inputs: Any,
) -> pathlib.Path:
    """Write a function of fixed shapes as a LiteRT model.

    Args:
        path: File to write.
        function: Function from tensors to a dictionary of named tensors. Strings are left out,
            because LiteRT has none.
        owner: The layer whose variables the function uses.
        examples: Inputs of the function, by which weights and activations are quantized to int8;
            inputs and outputs keep their types. None quantizes nothing.
        **inputs: `tf.TensorSpec` of each argument, of a fixed shape, by name.

    Returns:
        The path.

    Raises:
        RuntimeError: The Keras backend is not TensorFlow.
        OSError: The file cannot be written.
    """
    tf = import_tensorflow()
    with prepared_for_tracing(owner):
        module, concrete = traced(function, owner, inputs)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
        if examples is not None:
            batches = [[example] for example in examples]
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: iter(batches)
            converter.target_spec.supported_ops = [
                tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
                tf.lite.OpsSet.TFLITE_BUILTINS,
            ]
        content = converter.convert()
    with replacing(path) as partial:
        partial.write_bytes(content)
    return path
