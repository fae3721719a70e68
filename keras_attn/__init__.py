"""Attention layers, and attention models trained from scratch, for Keras and TensorFlow.

>>> import keras_attn
>>> "cifar10_attention_net" in keras_attn.list_models()
True
"""

from typing import TYPE_CHECKING

from keras_attn import _lazy

if TYPE_CHECKING:
    from keras_attn import (
        batching,
        datasets,
        decoding,
        export,
        layers,
        models,
        ops,
        optimizers,
        profiling,
        recipes,
        tasks,
        text,
        training,
        zoo,
    )
    from keras_attn.loading import load
    from keras_attn.zoo import build, list_models

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    {"loading": ["load"], "zoo": ["build", "list_models"]},
    modules=(
        "batching",
        "datasets",
        "decoding",
        "export",
        "layers",
        "models",
        "ops",
        "optimizers",
        "profiling",
        "recipes",
        "tasks",
        "text",
        "training",
        "zoo",
    ),
)
