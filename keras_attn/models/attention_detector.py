"""A convolutional network with attention that finds objects: labels and boxes at each position."""

import math
from typing import Annotated, Any

import keras
from annotated_types import Gt, MinLen

from keras_attn._types import Tensor
from keras_attn.layers import (
    ConvBlock,
    PositionEmbedding,
    ResidualBlock,
    TransformerEncoderBlock,
)
from keras_attn.models._blocks import feed_forward_block
from keras_attn.models._config import AttentionKind, Positive, Rate, frozen_config
from keras_attn.models.registry import register_architecture

PRIOR = 0.01  # score of each label at each position, at first


@frozen_config
class AttentionDetectorConfig:
    """Configuration of an `attention_detector`.

    Attributes:
        num_classes: Number of labels.
        image_size: Height and width of the images.
        stem_filters: Channels of the stem, a convolution of stride 4.
        stage_filters: Channels of each stage. A stage halves the map; attention is over the
            positions of the last one.
        stage_blocks: Number of residual blocks of each stage.
        num_layers: Number of encoder blocks.
        num_heads: Attention heads of each block, which divide the last of `stage_filters`.
        intermediate_dim: Hidden size of the feed-forward networks.
        head_filters: Channels of the map from which labels and boxes are computed. It has the size
            of the last stage but one.
        attention: Normalizer of all attention; or `"none"`, the baseline without attention: blocks
            with feed-forward networks only.
        dropout: Dropout rate in the blocks.
        batch_norm_momentum: Momentum of the moving statistics.
    """

    num_classes: Positive = 3
    image_size: tuple[Positive, Positive] = (240, 320)
    stem_filters: Positive = 32
    stage_filters: Annotated[tuple[Positive, ...], MinLen(2)] = (64, 128)
    stage_blocks: tuple[Positive, ...] = (2, 1)
    num_layers: Annotated[int, Gt(0)] = 2
    num_heads: Positive = 4
    intermediate_dim: Positive = 256
    head_filters: Positive = 64
    attention: AttentionKind = "softmax"
    dropout: Rate = 0.0
    batch_norm_momentum: Rate = 0.97

    def __post_init__(self) -> None:
        if len(self.stage_filters) != len(self.stage_blocks):
            raise ValueError(
                "`stage_filters` and `stage_blocks` must have one value a stage. Received: "
                f"{self.stage_filters} and {self.stage_blocks}."
            )
        factor = 4 * 2 ** len(self.stage_filters)
        if any(side % factor for side in self.image_size):
            raise ValueError(
                f"`image_size` must be multiples of {factor}, since the stem divides the sides by "
                f"4, and each of {len(self.stage_filters)} stages by 2. Received: "
                f"{self.image_size}."
            )
        if self.stage_filters[-1] % self.num_heads:
            raise ValueError(
                "`num_heads` must divide the last of `stage_filters`. Received: "
                f"{self.num_heads} heads of {self.stage_filters[-1]} features."
            )


@register_architecture("attention_detector", task="object_detection")
def build_attention_detector(config: AttentionDetectorConfig) -> keras.Model:
    """Build residual stages, encoder blocks over the last map, and a head on a finer map.

    The head is dense and without anchors, as in FCOS (Tian et al., arXiv:1904.01355): each position
    of the finer map says which labels have an object there, and how far the sides of its box are.
    What attention finds on the coarse map is upsampled and added to the finer one (Lin et al.,
    arXiv:1612.03144).

    Args:
        config: Configuration of the network.

    Returns:
        A functional model: float images `(B, *image_size, 3)`, normalized, to a map
        `(B, h, w, num_classes + 4)`: the logit of each label, then the logarithms of the distances
        from the centre of the position to the left, top, right and bottom side, in units of the
        distance of two positions.

    Example:

    >>> model = build_attention_detector(AttentionDetectorConfig(image_size=(64, 96)))
    >>> model.output.shape, model.get_layer("block_2").output.shape
    ((None, 8, 12, 7), (None, 24, 128))
    """
    common: dict[str, Any] = {"activation": "relu", "momentum": config.batch_norm_momentum}
    images = keras.Input((*config.image_size, 3), name="images")  # (B, H, W, 3)
    x = fine = ConvBlock(config.stem_filters, 7, strides=4, name="stem", **common)(images)
    stages = zip(config.stage_filters, config.stage_blocks, strict=True)
    for index, (filters, blocks) in enumerate(stages, start=1):
        fine = x
        for block in range(1, blocks + 1):
            downsample = "stride" if block == 1 else None
            name = f"stage_{index}_{block}"
            x = ResidualBlock(filters, downsample=downsample, name=name, **common)(x)
    _, height, width, size = x.shape
    x = PositionEmbedding((height, width), name="position")(x)
    x = keras.layers.Reshape((height * width, size), name="tokens")(x)  # (B, T, D)
    for index in range(1, config.num_layers + 1):
        x = _block(config, x, f"block_{index}")
    x = keras.layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    x = keras.layers.Dense(config.head_filters, name="coarse")(x)
    x = keras.layers.Reshape((height, width, config.head_filters), name="map")(x)
    x = keras.layers.UpSampling2D(data_format="channels_last", name="upsampled")(x)
    fine = keras.layers.Conv2D(
        config.head_filters, 1, data_format="channels_last", name="fine"
    )(fine)  # fmt: skip
    x = keras.layers.Add(name="joined")([fine, x])  # (B, h, w, F)
    x = ConvBlock(config.head_filters, name="neck", **common)(x)
    prior = keras.initializers.Constant(-math.log((1 - PRIOR) / PRIOR))
    outputs = []
    for name, channels, bias in (("labels", config.num_classes, prior), ("boxes", 4, "ones")):
        y = ConvBlock(config.head_filters, name=f"{name}_tower", **common)(x)
        outputs.append(
            keras.layers.Conv2D(
                channels,
                1,
                kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
                bias_initializer=bias,
                data_format="channels_last",
                dtype="float32",
                name=name,
            )(y)
        )
    output = keras.layers.Concatenate(dtype="float32", name="output")(outputs)
    return keras.Model(images, output, name="attention_detector")


def _block(config: AttentionDetectorConfig, x: Tensor, name: str) -> Tensor:
    """Apply one encoder block to tokens `(B, T, D)`."""
    if config.attention == "none":
        return feed_forward_block(x, config.intermediate_dim, config.dropout, name)
    return TransformerEncoderBlock(
        num_heads=config.num_heads,
        intermediate_dim=config.intermediate_dim,
        dropout=config.dropout,
        activation="gelu",
        normalizer=config.attention,
        implementation="full",
        name=name,
    )(x)
