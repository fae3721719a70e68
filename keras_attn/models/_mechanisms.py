"""The attention mechanisms of image networks, by name."""

from typing import Annotated, Any

from keras_attn._types import Tensor
from keras_attn.layers import CBAM, EfficientChannelAttention, SelfAttention2D, SqueezeExcite
from keras_attn.models._config import one_of
from keras_attn.ops import NORMALIZERS

GATES = {
    "squeeze_excite": SqueezeExcite,
    "efficient_channel": EfficientChannelAttention,
    "cbam": CBAM,
}

ImageAttentionKind = Annotated[str, one_of(lambda: ["none", *NORMALIZERS, *GATES])]


def apply_attention(x: Tensor, kind: str, **settings: Any) -> Tensor:
    """Apply a layer named `"attention"` to a feature map; return the map itself for `"none"`.

    Args:
        x: Symbolic feature map `(B, H, W, C)`.
        kind: `"none"`, a gate, or a normalizer of `SelfAttention2D`.
        settings: Arguments of `SelfAttention2D`; gates ignore them.
    """
    if kind == "none":
        return x
    if kind in GATES:
        return GATES[kind](name="attention")(x)
    return SelfAttention2D(normalizer=kind, name="attention", **settings)(x)
