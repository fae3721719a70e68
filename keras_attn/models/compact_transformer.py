"""A Transformer over the tokens that a few convolutions make of an image."""

from typing import Annotated, Any, Literal

import keras
from annotated_types import Ge, Gt, Lt, MinLen

from keras_attn.layers import (
    AttentionPooling,
    ConvBlock,
    PatchWhitening,
    PositionEmbedding,
    TransformerEncoderBlock,
)
from keras_attn.layers.initializers import Dirac
from keras_attn.models._blocks import feed_forward_block
from keras_attn.models._config import AttentionKind, frozen_config
from keras_attn.models.registry import register_architecture

Tensor = Any


@frozen_config
class CompactTransformerConfig:
    """What a `compact_transformer` is made of.

    Attributes:
        num_classes: number of classes.
        image_size: side of the square images.
        stem: `"none"`, or `"whitening"`, a frozen `PatchWhitening` of 2x2 patches.
        tokenizer_filters: channels of the convolutions that make tokens; the last is the size
            of a token.
        tokenizer_pools: whether each of them halves the map.
        num_layers: encoder blocks.
        num_heads: heads of each, which divide the size of a token.
        intermediate_dim: width of the feed-forward networks.
        position: `"embedding"`, learned vectors that are added to the tokens; or what attention
            itself knows of the order of tokens, see `keras_attn.layers.MultiHeadAttention`.
        pool_dim: size of the query and the keys of the attention that pools the tokens.
        attention: normalizer of all attention, or `"none"` for the twin: blocks of
            feed-forward networks alone, and an average over the tokens.
        dropout: rate of dropout in the blocks.
        batch_norm_momentum: how much the moving statistics of the tokenizer keep a step.
    """

    num_classes: Annotated[int, Gt(1)] = 10
    image_size: Annotated[int, Ge(8)] = 32
    stem: Literal["none", "whitening"] = "none"
    tokenizer_filters: Annotated[tuple[Annotated[int, Gt(0)], ...], MinLen(1)] = (64, 128)
    tokenizer_pools: tuple[bool, ...] = (True, True)
    num_layers: Annotated[int, Gt(0)] = 4
    num_heads: Annotated[int, Gt(0)] = 4
    intermediate_dim: Annotated[int, Gt(0)] = 128
    position: Literal["embedding", "relative"] | None = "embedding"
    pool_dim: Annotated[int, Gt(0)] = 32
    attention: AttentionKind = "softmax"
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    batch_norm_momentum: Annotated[float, Ge(0), Lt(1)] = 0.9

    def __post_init__(self) -> None:
        if len(self.tokenizer_filters) != len(self.tokenizer_pools):
            raise ValueError(
                "`tokenizer_filters` and `tokenizer_pools` must have one value a convolution. "
                f"Received: {self.tokenizer_filters} and {self.tokenizer_pools}."
            )
        side = self.image_size - (self.stem == "whitening")
        halvings = sum(self.tokenizer_pools)
        if side >> halvings == 0:
            raise ValueError(
                f"Images of {side} pixels, halved {halvings} times by `tokenizer_pools`, leave no "
                f"token. Received: {self.tokenizer_pools}."
            )
        if self.tokenizer_filters[-1] % self.num_heads:
            raise ValueError(
                "`num_heads` must divide the last of `tokenizer_filters`. Received: "
                f"{self.num_heads} heads of {self.tokenizer_filters[-1]} features."
            )


@register_architecture("compact_transformer", task="image_classification")
def build_compact_transformer(config: CompactTransformerConfig) -> keras.Model:
    """Convolutions that make tokens, encoder blocks, attention pooling, a linear head.

    The Compact Convolutional Transformer of Hassani et al. (arXiv:2104.05704): tokens come of
    overlapping convolutions, and a learned query pools them in place of a class token. Here
    the tokenizer is normalized, and may begin with a whitening of patches.

    Args:
        config: what the network is made of.

    Returns:
        A functional model: float images `(B, image_size, image_size, 3)`, normalized, to
        logits `(B, num_classes)`.

    Example:

    >>> model = build_compact_transformer(CompactTransformerConfig(num_layers=2))
    >>> model.get_layer("block_2").output.shape
    (None, 64, 128)
    """
    images = keras.Input((config.image_size, config.image_size, 3), name="images")
    x = images
    if config.stem == "whitening":
        x = PatchWhitening(name="whitening")(x)
        x = keras.layers.Activation("gelu", name="stem")(x)
    convolutions = zip(config.tokenizer_filters, config.tokenizer_pools, strict=True)
    for index, (filters, pool) in enumerate(convolutions, start=1):
        x = ConvBlock(
            filters,
            pool="max" if pool else None,
            activation="gelu",
            momentum=config.batch_norm_momentum,
            kernel_initializer=Dirac(),
            name=f"tokenizer_{index}",
        )(x)
    _, height, width, size = x.shape
    x = keras.layers.Reshape((height * width, size), name="tokens")(x)
    if config.position == "embedding":
        x = PositionEmbedding(max_length=height * width, name="position")(x)
    for index in range(1, config.num_layers + 1):
        x = _block(config, x, f"block_{index}")
    x = keras.layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    uniform = config.attention == "none"
    x = AttentionPooling(
        key_dim=config.pool_dim,
        project_values=False,
        score="uniform" if uniform else "scaled_dot",
        normalizer="softmax" if uniform else config.attention,
        name="pool" if uniform else "attention",
    )(x)
    logits = keras.layers.Dense(config.num_classes, dtype="float32", name="head")(x)
    return keras.Model(images, logits, name="compact_transformer")


def _block(config: CompactTransformerConfig, x: Tensor, name: str) -> Tensor:
    if config.attention == "none":
        return feed_forward_block(x, config.intermediate_dim, config.dropout, name)
    return TransformerEncoderBlock(
        num_heads=config.num_heads,
        intermediate_dim=config.intermediate_dim,
        dropout=config.dropout,
        position=None if config.position == "embedding" else config.position,
        normalizer=config.attention,
        implementation="full",
        name=name,
    )(x)
