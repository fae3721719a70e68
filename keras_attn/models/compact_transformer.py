"""A Transformer over tokens that a few convolutions compute from an image."""

from typing import Annotated, Literal

import keras
from annotated_types import Ge, MinLen

from keras_attn._types import Tensor
from keras_attn.layers import (
    ConvBlock,
    PatchWhitening,
    PositionEmbedding,
    TransformerEncoderBlock,
)
from keras_attn.layers._fast_layers import FastActivation
from keras_attn.layers.initializers import Dirac
from keras_attn.models._blocks import feed_forward_block, make_pooling
from keras_attn.models._config import AttentionKind, NumClasses, Positive, Rate, frozen_config
from keras_attn.models.registry import register_architecture


@frozen_config
class CompactTransformerConfig:
    """Configuration of a `compact_transformer`.

    Attributes:
        num_classes: Number of classes.
        image_size: Height and width of the images.
        stem: `"none"`, or `"whitening"`, a frozen `PatchWhitening` of 2x2 patches.
        tokenizer_filters: Channels of the convolutions that compute tokens; the last is the
            size of a token.
        tokenizer_pools: Whether each of them halves the feature map.
        num_layers: Number of encoder blocks.
        num_heads: Attention heads of each block, which divide the size of a token.
        intermediate_dim: Hidden size of the feed-forward networks.
        position: `"embedding"`, learned vectors added to the tokens; or a position encoding
            inside attention, see `keras_attn.layers.MultiHeadAttention`.
        pool_dim: Size of query and keys of the attention that pools the tokens.
        attention: Normalizer of all attention; or `"none"`, the baseline without attention:
            blocks with feed-forward networks only, and an average over the tokens.
        dropout: Dropout rate in the blocks.
        batch_norm_momentum: Momentum of the tokenizer's moving statistics.
    """

    num_classes: NumClasses = 10
    image_size: Annotated[int, Ge(8)] = 32
    stem: Literal["none", "whitening"] = "none"
    tokenizer_filters: Annotated[tuple[Positive, ...], MinLen(1)] = (64, 128)
    tokenizer_pools: tuple[bool, ...] = (True, True)
    num_layers: Positive = 4
    num_heads: Positive = 4
    intermediate_dim: Positive = 128
    position: Literal["embedding", "relative"] | None = "embedding"
    pool_dim: Positive = 32
    attention: AttentionKind = "softmax"
    dropout: Rate = 0.0
    batch_norm_momentum: Rate = 0.9

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
    """Build a convolutional tokenizer, encoder blocks, attention pooling, a linear classifier.

    The Compact Convolutional Transformer of Hassani et al. (arXiv:2104.05704): overlapping
    convolutions compute the tokens, and a learned query pools them in place of a class token.
    Here the tokenizer has batch normalization, and may begin with a whitening of patches.

    Args:
        config: Configuration of the network.

    Returns:
        A functional model: float images `(B, image_size, image_size, 3)`, normalized, to
        logits `(B, num_classes)`.

    Example:

    >>> model = build_compact_transformer(CompactTransformerConfig(num_layers=2))
    >>> model.get_layer("block_2").output.shape
    (None, 64, 128)
    """
    images = keras.Input((config.image_size, config.image_size, 3), name="images")  # (B, H, W, 3)
    x = images
    if config.stem == "whitening":
        x = PatchWhitening(name="whitening")(x)
        x = FastActivation("gelu", name="stem")(x)
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
    x = keras.layers.Reshape((height * width, size), name="tokens")(x)  # (B, T, D)
    if config.position == "embedding":
        x = PositionEmbedding(max_length=height * width, name="position")(x)
    for index in range(1, config.num_layers + 1):
        x = _block(config, x, f"block_{index}")
    x = keras.layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    x = make_pooling(config.attention, key_dim=config.pool_dim, project_values=False)(x)  # (B, D)
    logits = keras.layers.Dense(config.num_classes, dtype="float32", name="head")(x)
    return keras.Model(images, logits, name="compact_transformer")


def _block(config: CompactTransformerConfig, x: Tensor, name: str) -> Tensor:
    """Apply one encoder block to tokens `(B, T, D)`."""
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
