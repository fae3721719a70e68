"""The mechanisms that an image network can attend by, under one name each."""

from typing import Any, Literal

from keras_attn.layers import (
    CBAM,
    EfficientChannelAttention,
    SelfAttention2D,
    SqueezeExcite,
)
from keras_attn.models._config import AttentionKind

Tensor = Any

ImageAttention = AttentionKind | Literal["squeeze_excite", "efficient_channel", "cbam"]

GATES = {
    "squeeze_excite": SqueezeExcite,
    "efficient_channel": EfficientChannelAttention,
    "cbam": CBAM,
}


def attended(x: Tensor, kind: str, **settings: Any) -> Tensor:
    """A feature map with attention, by a layer named `attention`; as it is for `"none"`.

    Args:
        x: symbolic feature map `(B, H, W, C)`.
        kind: `"none"`, a gate, or a normalizer of `SelfAttention2D`.
        settings: arguments of `SelfAttention2D`, if it is that.
    """
    if kind == "none":
        return x
    if kind in GATES:
        return GATES[kind](name="attention")(x)
    return SelfAttention2D(normalizer=kind, name="attention", **settings)(x)
