"""Parts of several architectures, with and without attention."""

from typing import Any

import keras

from keras_attn._types import Tensor
from keras_attn.layers import AttentionPooling


def feed_forward_block(x: Tensor, intermediate_dim: int, dropout: float, name: str) -> Tensor:
    """Apply a pre-norm Transformer block without attention: a feed-forward network, a shortcut.

    Args:
        x: Symbolic tensor `(B, T, D)`; the result has the same shape.
        intermediate_dim: Width of the hidden layer.
        dropout: Rate for what is added to the shortcut.
        name: Name of the last layer, and prefix of the others.
    """
    y = keras.layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm")(x)
    y = keras.layers.Dense(intermediate_dim, activation="gelu", name=f"{name}_in")(y)
    y = keras.layers.Dense(x.shape[-1], name=f"{name}_out")(y)
    if dropout:
        y = keras.layers.Dropout(dropout, name=f"{name}_dropout")(y)
    return keras.layers.Add(name=name)([x, y])


def make_pooling(
    attention: str,
    *,
    score: str = "scaled_dot",
    name: str = "attention",
    uniform_name: str = "pool",
    **settings: Any,
) -> AttentionPooling:
    """Return an attention pooling, or an average of the same values for `"none"`.

    Args:
        attention: A normalizer, or `"none"`.
        score: How the learned query is compared with positions.
        name: Name of the layer.
        uniform_name: Its name for `"none"`.
        **settings: Other arguments of `AttentionPooling`.
    """
    if attention == "none":
        return AttentionPooling(score="uniform", name=uniform_name, **settings)
    return AttentionPooling(score=score, normalizer=attention, name=name, **settings)
