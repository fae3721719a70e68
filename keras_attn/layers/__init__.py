"""Keras layers: attention, positions, convolution blocks, input layers and augmentation."""

from keras_attn.layers.attention import Attention
from keras_attn.layers.attention_decoder import AttentionDecoder
from keras_attn.layers.attention_pooling import AttentionPooling
from keras_attn.layers.augmentation import CutMix, Cutout, Mixup, RandomFlip, RandomShift
from keras_attn.layers.box_augmentation import RandomColor, RandomPlacement
from keras_attn.layers.branches import BranchMean
from keras_attn.layers.convolution import ConvBlock, ResidualBlock
from keras_attn.layers.gates import CBAM, EfficientChannelAttention, SqueezeExcite
from keras_attn.layers.multi_head_attention import MultiHeadAttention
from keras_attn.layers.ngram_embedding import NGramEmbedding
from keras_attn.layers.normalization import ImageNormalization, PatchWhitening
from keras_attn.layers.positions import (
    PositionEmbedding,
    RelativePositionBias,
    SinusoidalPositionEncoding,
)
from keras_attn.layers.self_attention_2d import SelfAttention2D
from keras_attn.layers.spectrogram import LogMelSpectrogram, SpecAugment
from keras_attn.layers.transformer import TransformerDecoderBlock, TransformerEncoderBlock
from keras_attn.layers.waveform_augmentation import (
    RandomNoise,
    RandomSpectralTilt,
    RandomSpeedPerturbation,
    RandomTimeShift,
    RandomTrim,
)

__all__ = [
    "CBAM",
    "Attention",
    "AttentionDecoder",
    "AttentionPooling",
    "BranchMean",
    "ConvBlock",
    "CutMix",
    "Cutout",
    "EfficientChannelAttention",
    "ImageNormalization",
    "LogMelSpectrogram",
    "Mixup",
    "MultiHeadAttention",
    "NGramEmbedding",
    "PatchWhitening",
    "PositionEmbedding",
    "RandomColor",
    "RandomFlip",
    "RandomNoise",
    "RandomPlacement",
    "RandomShift",
    "RandomSpectralTilt",
    "RandomSpeedPerturbation",
    "RandomTimeShift",
    "RandomTrim",
    "RelativePositionBias",
    "ResidualBlock",
    "SelfAttention2D",
    "SinusoidalPositionEncoding",
    "SpecAugment",
    "SqueezeExcite",
    "TransformerDecoderBlock",
    "TransformerEncoderBlock",
]
