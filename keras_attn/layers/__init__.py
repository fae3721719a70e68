"""Keras layers: attention, and the blocks on which it stands."""

from keras_attn.layers.convolution import ConvBlock, ResidualBlock
from keras_attn.layers.multi_head_attention import MultiHeadAttention
from keras_attn.layers.normalization import ImageNormalization, PatchWhitening
from keras_attn.layers.self_attention_2d import SelfAttention2D

__all__ = [
    "ConvBlock",
    "ImageNormalization",
    "MultiHeadAttention",
    "PatchWhitening",
    "ResidualBlock",
    "SelfAttention2D",
]
