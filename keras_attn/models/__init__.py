"""Architectures: a frozen config, and the function that builds a `keras.Model` from it."""

import difflib
from collections.abc import Callable
from typing import Any

import keras

from keras_attn.models.attention_net import AttentionNetConfig, attention_net
from keras_attn.models.small_attention_cnn import SmallAttentionCNNConfig, small_attention_cnn

ARCHITECTURES: dict[str, tuple[type, Callable[[Any], keras.Model]]] = {
    "attention_net": (AttentionNetConfig, attention_net),
    "small_attention_cnn": (SmallAttentionCNNConfig, small_attention_cnn),
}


def build(architecture: str, **settings: Any) -> keras.Model:
    """Build an architecture by name, with fresh weights.

    Args:
        architecture: a key of `ARCHITECTURES`.
        **settings: values for its config; the others keep their defaults.

    Raises:
        ValueError: no architecture has that name, or a setting is unknown or impossible.

    Example:

    >>> build("small_attention_cnn", attention="sigmoid", num_classes=3).output.shape
    (None, 3)
    """
    if architecture not in ARCHITECTURES:
        near = difflib.get_close_matches(str(architecture), ARCHITECTURES, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"Unknown architecture: received {architecture!r}.{hint} "
            f"Accepted: {', '.join(map(repr, ARCHITECTURES))}."
        )
    config, function = ARCHITECTURES[architecture]
    return function(config(**settings))


__all__ = [
    "ARCHITECTURES",
    "AttentionNetConfig",
    "SmallAttentionCNNConfig",
    "attention_net",
    "build",
    "small_attention_cnn",
]
