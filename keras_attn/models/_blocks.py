"""Parts that several architectures are made of."""

from typing import Any

import keras

Tensor = Any


def feed_forward_block(x: Tensor, intermediate_dim: int, dropout: float, name: str) -> Tensor:
    """A Transformer block without attention: a feed-forward network beside a shortcut."""
    y = keras.layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm")(x)
    y = keras.layers.Dense(intermediate_dim, activation="gelu", name=f"{name}_in")(y)
    y = keras.layers.Dense(x.shape[-1], name=f"{name}_out")(y)
    if dropout:
        y = keras.layers.Dropout(dropout, name=f"{name}_dropout")(y)
    return keras.layers.Add(name=name)([x, y])
