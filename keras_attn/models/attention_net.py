"""A convolutional network with self-attention on a late feature map."""

from typing import Annotated, Any, Literal

import keras
from annotated_types import Ge, Gt, Lt, MinLen

from keras_attn.layers import ConvBlock, PatchWhitening, ResidualBlock
from keras_attn.layers.initializers import Dirac
from keras_attn.models._config import GLOBAL_POOLS, frozen_config
from keras_attn.models._mechanisms import ImageAttention, attended
from keras_attn.models.registry import register_architecture

Tensor = Any


@frozen_config
class AttentionNetConfig:
    """What an `attention_net` is made of.

    Attributes:
        num_classes: number of classes.
        image_size: side of the square images.
        stem: `"convolution"`, a trained 3x3 `ConvBlock`, or `"whitening"`, a frozen
            `PatchWhitening` of 2x2 patches.
        stem_filters: channels of the stem, if it is a convolution.
        block: `"residual"`, two convolutions beside a shortcut, or `"plain"`, without it.
        stage_filters: channels of each stage, which is one block.
        stage_downsample: how each stage halves the map: `"max"`, `"average"`, `"stride"`
            (of residual blocks) or `"none"`.
        attention: normalizer of the attention, or a gate, or `"none"` for the twin without.
        attention_stage: number of the stage, from 1, that the attention follows; None is the
            last.
        num_heads: heads of the attention; this and the next two are of no matter to gates.
        key_channels: channels of its queries and keys; None is an eighth of the map's.
        value_channels: channels of its values; None is half of the map's.
        activation: name of a Keras activation.
        kernel_initializer: of convolutions, `"dirac"` for those that pass their input on.
        pool: how the positions are pooled.
        logit_scale: constant factor on the logits; below 1 it slows the classifier.
        batch_norm_momentum: how much the moving statistics keep a step.
        batch_norm_scale: whether normalizations have learned scales.
    """

    num_classes: Annotated[int, Gt(1)] = 10
    image_size: Annotated[int, Ge(8)] = 32
    stem: Literal["convolution", "whitening"] = "convolution"
    stem_filters: Annotated[int, Gt(0)] = 64
    block: Literal["residual", "plain"] = "residual"
    stage_filters: Annotated[tuple[Annotated[int, Gt(0)], ...], MinLen(1)] = (64, 128, 256)
    stage_downsample: tuple[Literal["none", "max", "average", "stride"], ...] = (
        "max",
        "max",
        "none",
    )
    attention: ImageAttention = "softmax"
    attention_stage: Annotated[int, Gt(0)] | None = None
    num_heads: Annotated[int, Gt(0)] = 1
    key_channels: Annotated[int, Gt(0)] | None = None
    value_channels: Annotated[int, Gt(0)] | None = None
    activation: Literal["relu", "gelu", "silu"] = "relu"
    kernel_initializer: Literal["he_normal", "dirac"] = "he_normal"
    pool: Literal["max", "average"] = "max"
    logit_scale: Annotated[float, Gt(0)] = 0.125
    batch_norm_momentum: Annotated[float, Ge(0), Lt(1)] = 0.9
    batch_norm_scale: bool = True

    def __post_init__(self) -> None:
        stages = len(self.stage_filters)
        if stages != len(self.stage_downsample):
            raise ValueError(
                "`stage_filters` and `stage_downsample` must have one value a stage. "
                f"Received: {self.stage_filters} and {self.stage_downsample}."
            )
        if self.block == "plain" and "stride" in self.stage_downsample:
            raise ValueError(
                '`stage_downsample` must be "max", "average" or "none" where `block` is "plain". '
                f"Received: {self.stage_downsample}."
            )
        if self.attention_stage is not None and self.attention_stage > stages:
            raise ValueError(
                f"`attention_stage` must be the number of a stage, 1 to {stages}. Received: "
                f"{self.attention_stage}."
            )
        side = self.image_size - (self.stem == "whitening")
        halvings = stages - self.stage_downsample.count("none")
        if side >> halvings == 0:
            raise ValueError(
                f"{halvings} halvings leave nothing of a map of {side} x {side}. Received: "
                f"image_size={self.image_size}, stage_downsample={self.stage_downsample}. Halve "
                "less often, or take larger images."
            )


@register_architecture("attention_net", task="image_classification")
def build_attention_net(config: AttentionNetConfig) -> keras.Model:
    """Stem, stages of convolutions, attention over a feature map, a linear head.

    Residual blocks are those of He et al. (arXiv:1512.03385), projected where the
    channels change; attention is that of SAGAN (arXiv:1805.08318); the whitening stem, plain
    blocks, pooling before normalization and the scale on the logits come from Page (2019) and
    Jordan (arXiv:2404.00498).

    Args:
        config: what the network is made of.

    Returns:
        A functional model: float images `(B, image_size, image_size, 3)`, normalized, to
        logits `(B, num_classes)`.

    Example:

    >>> model = build_attention_net(AttentionNetConfig(stage_filters=(8, 16, 32)))
    >>> model.get_layer("attention").output.shape
    (None, 8, 8, 32)
    """
    images = keras.Input((config.image_size, config.image_size, 3), name="images")
    if config.stem == "whitening":
        x = PatchWhitening(name="whitening")(images)
        x = keras.layers.Activation(config.activation, name="stem")(x)
    else:
        x = ConvBlock(config.stem_filters, name="stem", **_common(config))(images)
    stages = zip(config.stage_filters, config.stage_downsample, strict=True)
    for index, (filters, downsample) in enumerate(stages, start=1):
        x = _stage(config, x, filters, downsample, f"stage_{index}")
        if index == (config.attention_stage or len(config.stage_filters)):
            x = attended(
                x,
                config.attention,
                num_heads=config.num_heads,
                key_channels=config.key_channels,
                value_channels=config.value_channels,
            )
    x = GLOBAL_POOLS[config.pool](data_format="channels_last", name="pool")(x)
    x = keras.layers.Dense(config.num_classes, use_bias=False, dtype="float32", name="head")(x)
    logits = keras.layers.Rescaling(config.logit_scale, dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name="attention_net")


def _common(config: AttentionNetConfig) -> dict[str, Any]:
    """What all blocks are told."""
    dirac = config.kernel_initializer == "dirac"
    return {
        "activation": config.activation,
        "momentum": config.batch_norm_momentum,
        "kernel_initializer": Dirac() if dirac else config.kernel_initializer,
        "scale": config.batch_norm_scale,
    }


def _stage(
    config: AttentionNetConfig, x: Tensor, filters: int, downsample: str, name: str
) -> Tensor:
    """One block of two convolutions."""
    pool = None if downsample == "none" else downsample
    if config.block == "residual":
        return ResidualBlock(filters, downsample=pool, name=name, **_common(config))(x)
    x = ConvBlock(filters, pool=pool, name=f"{name}_first", **_common(config))(x)
    return ConvBlock(filters, name=name, **_common(config))(x)
