"""The base class of layers that read strings."""

from typing import Any

import keras


class StringLayer(keras.layers.Layer):
    """A layer whose inputs are strings, computed by TensorFlow operations."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._convert_input_args = False  # Keras would cast strings to the layer's dtype
        self._allow_non_tensor_positional_args = True  # str, lists and arrays of str
        # XLA has no strings. Keras compiles no step of a model with a layer that says so, though on
        # other backends no step can contain this layer: it runs before, in TensorFlow.
        self.supports_jit = keras.backend.backend() != "tensorflow"
