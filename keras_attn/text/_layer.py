"""The base class of layers that read strings."""

from typing import Any

import keras


class StringLayer(keras.layers.Layer):
    """A layer whose inputs are strings, computed by TensorFlow operations."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._convert_input_args = False  # Keras would cast strings to the layer's dtype
        self._allow_non_tensor_positional_args = True  # str, lists and arrays of str
        self.supports_jit = False  # XLA has no strings
