"""A residual network with self-attention on its last feature map."""

from typing import Annotated, Any, Literal

import keras
from annotated_types import Ge, Gt, Lt, MinLen

from keras_attn.layers import ConvBlock, PatchWhitening, ResidualBlock, SelfAttention2D
from keras_attn.models._config import GLOBAL_POOLS, AttentionKind, config


@config
class AttentionNetConfig:
    """What an `attention_net` is made of.

    Attributes:
        num_classes: number of classes.
        image_size: side of the square images.
        stem: `"convolution"`, a trained 3x3 `ConvBlock`, or `"whitening"`, a frozen
            `PatchWhitening` of 2x2 patches.
        stem_filters: channels of the stem, if it is a convolution.
        stage_filters: channels of each residual stage.
        stage_downsample: how each stage halves the map: `"max"`, `"average"`, `"stride"`
            or `"none"`.
        attention: normalizer of the attention, or `"none"` for the twin without it.
        num_heads: heads of the attention.
        activation: name of a Keras activation.
        pool: how the positions are pooled.
        logit_scale: constant factor on the logits; below 1 it slows the classifier.
        batch_norm_momentum: how much the moving statistics keep a step.
    """

    num_classes: Annotated[int, Gt(1)] = 10
    image_size: Annotated[int, Ge(8)] = 32
    stem: Literal["convolution", "whitening"] = "convolution"
    stem_filters: Annotated[int, Gt(0)] = 64
    stage_filters: Annotated[tuple[Annotated[int, Gt(0)], ...], MinLen(1)] = (64, 128, 256)
    stage_downsample: tuple[Literal["none", "max", "average", "stride"], ...] = (
        "max",
        "max",
        "none",
    )
    attention: AttentionKind = "softmax"
    num_heads: Annotated[int, Gt(0)] = 1
    activation: Literal["relu", "gelu", "silu"] = "relu"
    pool: Literal["max", "average"] = "max"
    logit_scale: Annotated[float, Gt(0)] = 0.125
    batch_norm_momentum: Annotated[float, Ge(0), Lt(1)] = 0.9

    def __post_init__(self) -> None:
        if len(self.stage_filters) != len(self.stage_downsample):
            raise ValueError(
                "`stage_filters` and `stage_downsample` must have one value a stage. "
                f"Received: {self.stage_filters} and {self.stage_downsample}."
            )


def attention_net(config: AttentionNetConfig) -> keras.Model:
    """Stem, residual stages, self-attention over the last feature map, a linear head.

    Residual blocks are those of He et al. (arXiv:1512.03385), projected where the
    channels change; attention is that of SAGAN (arXiv:1805.08318); the whitening stem,
    pooling before normalization and the scale on the logits come from Page (2019) and
    Jordan (arXiv:2404.00498).

    Args:
        config: what the network is made of.

    Returns:
        A functional model: float images `(B, image_size, image_size, 3)`, normalized, to
        logits `(B, num_classes)`.

    Example:

    >>> model = attention_net(AttentionNetConfig(stage_filters=(8, 16, 32)))
    >>> model.get_layer("attention").output.shape
    (None, 8, 8, 32)
    """
    images = keras.Input((config.image_size, config.image_size, 3), name="images")
    common: dict[str, Any] = {
        "activation": config.activation,
        "momentum": config.batch_norm_momentum,
    }
    if config.stem == "whitening":
        x = PatchWhitening(name="whitening")(images)
        x = keras.layers.Activation(config.activation, name="stem")(x)
    else:
        x = ConvBlock(config.stem_filters, name="stem", **common)(images)
    stages = zip(config.stage_filters, config.stage_downsample, strict=True)
    for index, (filters, downsample) in enumerate(stages):
        x = ResidualBlock(
            filters,
            downsample=None if downsample == "none" else downsample,
            name=f"stage_{index + 1}",
            **common,
        )(x)
    if config.attention != "none":
        x = SelfAttention2D(
            num_heads=config.num_heads, normalizer=config.attention, name="attention"
        )(x)
    x = GLOBAL_POOLS[config.pool](data_format="channels_last", name="pool")(x)
    x = keras.layers.Dense(config.num_classes, use_bias=False, dtype="float32", name="head")(x)
    logits = keras.layers.Rescaling(config.logit_scale, dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name="attention_net")
