"""Convolutions over a spectrogram, then attention over time, for spoken words."""

from typing import Annotated, Literal

import keras
from annotated_types import Ge
from keras import ops

from keras_attn._types import Tensor
from keras_attn.layers import SpecAugment, TransformerEncoderBlock
from keras_attn.models._blocks import feed_forward_block, make_pooling
from keras_attn.models._config import AttentionKind, NumClasses, Positive, Rate, frozen_config
from keras_attn.models.registry import register_architecture

STEM_KERNEL = 3  # frames and features of a convolution
MOMENTUM = 0.9  # of the moving statistics of the stem


@frozen_config
class KeywordAttentionConfig:
    """Configuration of a `keyword_attention`.

    Attributes:
        num_classes: Number of classes.
        num_mel_bins: Number of features of a frame.
        stem_filters: Channels of the two convolutions of the stem. Each halves the features, and
            the first also the frames.
        time_stride: Step in frames of the second convolution: 1, or 2 for half as many positions.
        model_dim: Number of features of a position inside the encoder.
        num_layers: Number of encoder blocks.
        num_heads: Attention heads of each block, which divide `model_dim`.
        intermediate_dim: Hidden size of the feed-forward networks.
        attention: Normalizer of all attention; or `"none"`, the baseline without attention:
            blocks with feed-forward networks only, and an average over time.
        dropout: Dropout rate in the blocks, and before the classifier.
        frequency_masks: Number of bands of frequencies that training masks, see
            `keras_attn.layers.SpecAugment`.
        frequency_width: Largest width of such a band; 0 masks nothing.
        time_fraction: Largest share of the frames that training masks.
    """

    num_classes: NumClasses = 10
    num_mel_bins: Annotated[int, Ge(4)] = 40
    stem_filters: tuple[Positive, Positive] = (24, 48)
    time_stride: Literal[1, 2] = 1
    model_dim: Positive = 64
    num_layers: Positive = 2
    num_heads: Positive = 4
    intermediate_dim: Positive = 128
    attention: AttentionKind = "softmax"
    dropout: Rate = 0.1
    frequency_masks: Positive = 2
    frequency_width: Annotated[int, Ge(0)] = 8
    time_fraction: Rate = 0.2

    def __post_init__(self) -> None:
        if self.model_dim % self.num_heads:
            raise ValueError(
                "`num_heads` must divide `model_dim`. Received: "
                f"{self.num_heads} heads of {self.model_dim} features."
            )
        if self.frequency_width > self.num_mel_bins:
            raise ValueError(
                "`frequency_width` must not exceed `num_mel_bins`. Received: "
                f"{self.frequency_width} of {self.num_mel_bins}."
            )


@register_architecture("keyword_attention", task="audio_classification")
def build_keyword_attention(config: KeywordAttentionConfig) -> keras.Model:
    """Build a convolutional stem over a spectrogram, encoder blocks, attention pooling, a head.

    After the Keyword Transformer (Berg et al., arXiv:2104.00769) and the attention over
    convolutional features of de Andrade et al. (arXiv:1808.08929), smaller: the second convolution
    is separable, attention has rotary positions, and a learned query pools time.

    Frames of zeros are padding: they are attended by nobody, and change no other position.

    Args:
        config: Configuration of the network.

    Returns:
        A functional model: log-mel features `(B, T, num_mel_bins)`, normalized, with frames of
        zeros as padding, to logits `(B, num_classes)`.

    Example:

    >>> model = build_keyword_attention(KeywordAttentionConfig())
    >>> model.get_layer("block_2").output.shape
    (None, None, 64)
    """
    features = keras.Input((None, config.num_mel_bins), name="features")  # (B, T, M)
    padding_mask = ops.any(ops.not_equal(features, 0), axis=-1)  # (B, T)
    x = features
    if config.frequency_width:
        x = SpecAugment(
            config.frequency_masks,
            config.frequency_width,
            config.time_fraction,
            name="spec_augment",
        )(x)
    x = keras.layers.Reshape((-1, config.num_mel_bins, 1), name="image")(x)  # (B, T, M, 1)
    first, second = config.stem_filters
    x = _convolve(
        keras.layers.Conv2D(first, STEM_KERNEL, strides=2, use_bias=False, name="stem_1"), x
    )
    padding_mask = padding_mask[:, ::2]  # (B, T / 2)
    x = _normalize(x, padding_mask, "stem_1")
    x = x * ops.cast(padding_mask, x.dtype)[:, :, None, None]  # as a convolution pads the border
    separable = keras.layers.DepthwiseConv2D(
        STEM_KERNEL, strides=(config.time_stride, 2), name="stem_2_depthwise"
    )
    x = _convolve(separable, x)
    padding_mask = padding_mask[:, :: config.time_stride]
    x = keras.layers.Dense(second, use_bias=False, name="stem_2")(x)  # (B, T / 2, M / 4, C)
    x = _normalize(x, padding_mask, "stem_2")
    x = keras.layers.Reshape((-1, x.shape[2] * x.shape[3]), name="frames")(x)
    x = keras.layers.Dense(config.model_dim, name="projection")(x)  # (B, T / 2, D)
    if config.dropout:
        x = keras.layers.Dropout(config.dropout, name="stem_dropout")(x)
    for index in range(1, config.num_layers + 1):
        x = _block(config, x, padding_mask, f"block_{index}")
    x = keras.layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    pooling = make_pooling(config.attention, key_dim=config.model_dim, project_values=False)
    x = pooling(x, padding_mask=padding_mask)  # (B, D)
    if config.dropout:
        x = keras.layers.Dropout(config.dropout, name="dropout")(x)
    logits = keras.layers.Dense(config.num_classes, dtype="float32", name="logits")(x)
    return keras.Model(features, logits, name="keyword_attention")


def _convolve(layer: keras.layers.Layer, x: Tensor) -> Tensor:
    """Apply a convolution with the same zeros around it for every number of frames.

    With `padding="same"` and a stride, where the windows begin depends on whether the number of
    frames is even.
    """
    return layer(keras.layers.ZeroPadding2D(STEM_KERNEL // 2, name=f"{layer.name}_padding")(x))


def _normalize(x: Tensor, padding_mask: Tensor, name: str) -> Tensor:
    """Normalize a map `(B, T, F, C)` by statistics without padding, and apply an activation."""
    positions = ops.repeat(padding_mask[:, :, None], x.shape[2], axis=2)  # (B, T, F)
    norm = keras.layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_norm")
    # A function, because a layer would carry the mask on, for which the next layers have no use.
    return ops.gelu(norm(x, mask=positions), approximate=False)


def _block(config: KeywordAttentionConfig, x: Tensor, padding_mask: Tensor, name: str) -> Tensor:
    """Apply one encoder block to positions `(B, T, D)`."""
    if config.attention == "none":
        return feed_forward_block(x, config.intermediate_dim, config.dropout, name)
    block = TransformerEncoderBlock(
        num_heads=config.num_heads,
        intermediate_dim=config.intermediate_dim,
        dropout=config.dropout,
        normalizer=config.attention,
        position="rotary",
        implementation="full",
        name=name,
    )
    return block(x, padding_mask=padding_mask)
