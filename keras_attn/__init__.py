"""Attention layers, and attention models that were trained here, for Keras and TensorFlow.

>>> import keras_attn
>>> "cifar10_attention_net" in keras_attn.zoo.list()
True
"""

from typing import TYPE_CHECKING

from keras_attn import _lazy

if TYPE_CHECKING:
    from keras_attn import (
        data,
        decoding,
        explain,
        export,
        layers,
        models,
        ops,
        tasks,
        text,
        training,
        zoo,
    )

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    {
        "data": [],
        "decoding": [],
        "explain": [],
        "export": [],
        "layers": [],
        "models": [],
        "ops": [],
        "tasks": [],
        "text": [],
        "training": [],
        "zoo": [],
    },
)
