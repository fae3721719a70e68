"""A convolutional network with self-attention on a late feature map."""

from typing import Annotated, Any, Literal

import keras
from annotated_types import Ge, Gt, MinLen

from keras_attn._types import Tensor
from keras_attn.layers import ConvBlock, PatchWhitening, ResidualBlock
from keras_attn.layers._fast_layers import FastActivation
from keras_attn.layers.initializers import Dirac
from keras_attn.models._config import GLOBAL_POOLS, NumClasses, Positive, Rate, frozen_config
from keras_attn.models._mechanisms import ImageAttentionKind, apply_attention
from keras_attn.models.registry import register_architecture


@frozen_config
class AttentionNetConfig:
    """Configuration of an `attention_net`.

    Attributes:
        num_classes: Number of classes.
        image_size: Height and width of the images.
        stem: `"convolution"`, a trained 3x3 `ConvBlock`, or `"whitening"`, a frozen
            `PatchWhitening` of 2x2 patches.
        stem_filters: Channels of the stem, if it is a convolution.
        block: `"residual"`, two convolutions and a shortcut, or `"plain"`, without a shortcut.
        stage_filters: Channels of each stage. A stage is one block.
        stage_downsample: How each stage halves the feature map: `"max"`, `"average"`,
            `"stride"` (residual blocks only) or `"none"`.
        attention: Normalizer of the attention; or a gate; or `"none"`, the baseline without
            attention.
        attention_stage: Number of the stage, from 1, after which attention is applied; None
            means the last.
        num_heads: Number of attention heads. Gates ignore it, and the next two.
        key_channels: Channels of queries and keys; None means an eighth of the map's.
        value_channels: Channels of values; None means half of the map's.
        activation: Name of a Keras activation.
        kernel_initializer: Initializer of the convolutions; `"dirac"` makes them the identity
            at first.
        pool: How positions are pooled before the classifier.
        logit_scale: Constant factor on the logits. Below 1 it slows down the classifier.
        batch_norm_momentum: Momentum of the moving statistics.
        batch_norm_scale: Whether batch normalizations have a learned scale.
    """

    num_classes: NumClasses = 10
    image_size: Annotated[int, Ge(8)] = 32
    stem: Literal["convolution", "whitening"] = "convolution"
    stem_filters: Positive = 64
    block: Literal["residual", "plain"] = "residual"
    stage_filters: Annotated[tuple[Positive, ...], MinLen(1)] = (64, 128, 256)
    stage_downsample: tuple[Literal["none", "max", "average", "stride"], ...] = (
        "max",
        "max",
        "none",
    )
    attention: ImageAttentionKind = "softmax"
    attention_stage: Positive | None = None
    num_heads: Positive = 1
    key_channels: Positive | None = None
    value_channels: Positive | None = None
    activation: Literal["relu", "gelu", "silu"] = "relu"
    kernel_initializer: Literal["he_normal", "dirac"] = "he_normal"
    pool: Literal["max", "average"] = "max"
    logit_scale: Annotated[float, Gt(0)] = 0.125
    batch_norm_momentum: Rate = 0.9
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
    """Build a convolutional network with self-attention on a late feature map.

    A stem, stages of convolutions, attention, pooling, a linear classifier. Residual blocks
    are those of He et al. (arXiv:1512.03385), with a projection where the channels change; the
    attention is that of SAGAN (arXiv:1805.08318); the whitening stem, plain blocks, pooling
    before normalization and the scale on the logits follow Page (2019) and Jordan
    (arXiv:2404.00498).

    Args:
        config: Configuration of the network.

    Returns:
        A functional model: float images `(B, image_size, image_size, 3)`, normalized, to
        logits `(B, num_classes)`.

    Example:

    >>> model = build_attention_net(AttentionNetConfig(stage_filters=(8, 16, 32)))
    >>> model.get_layer("attention").output.shape
    (None, 8, 8, 32)
    """
    images = keras.Input((config.image_size, config.image_size, 3), name="images")  # (B, H, W, 3)
    if config.stem == "whitening":
        x = PatchWhitening(name="whitening")(images)
        x = FastActivation(config.activation, name="stem")(x)
    else:
        x = ConvBlock(config.stem_filters, name="stem", **_block_settings(config))(images)
    stages = zip(config.stage_filters, config.stage_downsample, strict=True)
    for index, (filters, downsample) in enumerate(stages, start=1):
        x = _stage(config, x, filters, downsample, f"stage_{index}")
        if index == (config.attention_stage or len(config.stage_filters)):
            x = apply_attention(
                x,
                config.attention,
                num_heads=config.num_heads,
                key_channels=config.key_channels,
                value_channels=config.value_channels,
            )
    x = GLOBAL_POOLS[config.pool](data_format="channels_last", name="pool")(x)  # (B, C)
    x = keras.layers.Dense(config.num_classes, use_bias=False, dtype="float32", name="head")(x)
    logits = keras.layers.Rescaling(config.logit_scale, dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name="attention_net")


def _block_settings(config: AttentionNetConfig) -> dict[str, Any]:
    """Return the arguments that all blocks share."""
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
    """Apply one block of two convolutions to a feature map `(B, H, W, C)`."""
    pool = None if downsample == "none" else downsample
    if config.block == "residual":
        return ResidualBlock(filters, downsample=pool, name=name, **_block_settings(config))(x)
    x = ConvBlock(filters, pool=pool, name=f"{name}_first", **_block_settings(config))(x)
    return ConvBlock(filters, name=name, **_block_settings(config))(x)
