"""Pure functions on tensors, over `keras.ops`: no layer, no variable, no file."""

from keras_attn.ops.attention import IMPLEMENTATIONS, attention
from keras_attn.ops.beams import gather_beams
from keras_attn.ops.full import attend
from keras_attn.ops.layout import swap_heads
from keras_attn.ops.masks import band_mask, combine, length_mask, padding_mask
from keras_attn.ops.normalizers import (
    NORMALIZERS,
    entmax15,
    normalized_sigmoid,
    sigmoid,
    softmax,
    softmax1,
    sparsemax,
)
from keras_attn.ops.positions import alibi, alibi_bias, alibi_slopes, rotary, sinusoidal

__all__ = [
    "IMPLEMENTATIONS",
    "NORMALIZERS",
    "alibi",
    "alibi_bias",
    "alibi_slopes",
    "attend",
    "attention",
    "band_mask",
    "combine",
    "entmax15",
    "gather_beams",
    "length_mask",
    "normalized_sigmoid",
    "padding_mask",
    "rotary",
    "sigmoid",
    "sinusoidal",
    "softmax",
    "softmax1",
    "sparsemax",
    "swap_heads",
]
