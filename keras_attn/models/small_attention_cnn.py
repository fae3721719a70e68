"""A small convolutional network with one attention layer, for comparing mechanisms."""

from typing import Annotated, Literal

import keras
from annotated_types import Ge

from keras_attn.layers import ConvBlock
from keras_attn.models._config import GLOBAL_POOLS, NumClasses, Positive, Rate, frozen_config
from keras_attn.models._mechanisms import ImageAttentionKind, apply_attention
from keras_attn.models.registry import register_architecture


@frozen_config
class SmallAttentionCNNConfig:
    """Configuration of a `small_attention_cnn`.

    Attributes:
        num_classes: Number of classes.
        image_size: Height and width of the images.
        filters: Channels of the two convolutions.
        attention: Normalizer of the attention; or a gate; or `"none"`, the baseline without
            attention.
        num_heads: Number of attention heads.
        key_channels: Channels of queries and keys, a multiple of `num_heads`.
        pool: How positions are pooled before the classifier. An average leaves relations
            between parts of the image to the attention; a maximum is slightly relational
            itself.
        dropout: Dropout rate before the classifier.
    """

    num_classes: NumClasses = 10
    image_size: Annotated[int, Ge(4)] = 32
    filters: tuple[Positive, Positive] = (32, 64)
    attention: ImageAttentionKind = "softmax"
    num_heads: Positive = 1
    key_channels: Positive = 32
    pool: Literal["max", "average"] = "average"
    dropout: Rate = 0.0


@register_architecture("small_attention_cnn", task="image_classification")
def build_small_attention_cnn(config: SmallAttentionCNNConfig) -> keras.Model:
    """Build two convolutions with pooling, attention over positions, a linear classifier.

    The receptive field of a position in the last feature map is 10 pixels wide: before
    positions are pooled, only attention relates distant parts of the image. Its `gamma` starts
    at 1, since the network is shallow enough to train with full attention from the start.

    Args:
        config: Configuration of the network.

    Returns:
        A functional model: float images `(B, image_size, image_size, 3)`, normalized, to
        logits `(B, num_classes)`.

    Example:

    >>> build_small_attention_cnn(SmallAttentionCNNConfig(num_classes=4)).output.shape
    (None, 4)
    """
    images = keras.Input((config.image_size, config.image_size, 3), name="images")  # (B, H, W, 3)
    x = images
    for index, filters in enumerate(config.filters):
        x = ConvBlock(filters, pool="max", name=f"stage_{index + 1}")(x)  # half of (H, W)
    x = apply_attention(
        x,
        config.attention,
        key_channels=config.key_channels,
        num_heads=config.num_heads,
        gamma_initializer="ones",
    )
    x = GLOBAL_POOLS[config.pool](data_format="channels_last", name="pool")(x)  # (B, C)
    if config.dropout:
        x = keras.layers.Dropout(config.dropout, name="dropout")(x)
    logits = keras.layers.Dense(config.num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name="small_attention_cnn")
