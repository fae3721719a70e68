"""A small convolutional network with one attention: a stage to compare mechanisms on."""

from typing import Annotated, Literal

import keras
from annotated_types import Ge, Gt, Lt

from keras_attn.layers import ConvBlock
from keras_attn.models._config import GLOBAL_POOLS, frozen_config
from keras_attn.models._mechanisms import ImageAttention, attended
from keras_attn.models.registry import register_architecture


@frozen_config
class SmallAttentionCNNConfig:
    """What a `small_attention_cnn` is made of.

    Attributes:
        num_classes: number of classes.
        image_size: side of the square images.
        filters: channels of the two convolutions.
        attention: normalizer of the attention, or a gate, or `"none"` for the twin without it.
        num_heads: heads of the attention.
        key_channels: channels of queries and keys together, a multiple of `num_heads`.
        pool: how the positions are pooled. An average leaves relations between parts to
            the attention; a maximum is itself a little relational.
        dropout: rate before the classifier.
    """

    num_classes: Annotated[int, Gt(1)] = 10
    image_size: Annotated[int, Ge(4)] = 32
    filters: tuple[Annotated[int, Gt(0)], Annotated[int, Gt(0)]] = (32, 64)
    attention: ImageAttention = "softmax"
    num_heads: Annotated[int, Gt(0)] = 1
    key_channels: Annotated[int, Gt(0)] = 32
    pool: Literal["max", "average"] = "average"
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0


@register_architecture("small_attention_cnn", task="image_classification")
def build_small_attention_cnn(config: SmallAttentionCNNConfig) -> keras.Model:
    """Two convolutions with pooling, attention over the positions, a linear head.

    A position of the last feature map sees 10 pixels of the image; attention is the only
    way from one part of it to another before the positions are pooled. Its `gamma` starts
    at 1, open, since there is no deep network here to protect from it.

    Args:
        config: what the network is made of.

    Returns:
        A functional model: float images `(B, image_size, image_size, 3)`, normalized, to
        logits `(B, num_classes)`.

    Example:

    >>> build_small_attention_cnn(SmallAttentionCNNConfig(num_classes=4)).output.shape
    (None, 4)
    """
    images = keras.Input((config.image_size, config.image_size, 3), name="images")
    x = images
    for index, filters in enumerate(config.filters):
        x = ConvBlock(filters, pool="max", name=f"stage_{index + 1}")(x)
    x = attended(
        x,
        config.attention,
        key_channels=config.key_channels,
        num_heads=config.num_heads,
        gamma_initializer="ones",
    )
    x = GLOBAL_POOLS[config.pool](data_format="channels_last", name="pool")(x)
    if config.dropout:
        x = keras.layers.Dropout(config.dropout, name="dropout")(x)
    logits = keras.layers.Dense(config.num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name="small_attention_cnn")
