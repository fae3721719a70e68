"""Pure functions on tensors, written with `keras.ops`, that run on every Keras backend.

Nothing here is a layer, has a variable, or reads a file.
"""

from keras_attn.ops.beams import gather_beams
from keras_attn.ops.boxes import box_iou, generalized_iou, select_boxes
from keras_attn.ops.crossentropy import linear_crossentropy
from keras_attn.ops.dispatch import IMPLEMENTATIONS, attention
from keras_attn.ops.full import attend
from keras_attn.ops.layout import swap_heads
from keras_attn.ops.masks import band_mask, combine, length_mask, padding_mask
from keras_attn.ops.normalizers import (
    NORMALIZERS,
    STREAMING_NORMALIZERS,
    Normalizer,
    entmax15,
    normalized_sigmoid,
    register_normalizer,
    sigmoid,
    softmax,
    softmax1,
    sparsemax,
)
from keras_attn.ops.positions import alibi, alibi_bias, alibi_slopes, rotary, sinusoidal
from keras_attn.ops.streaming import StreamingRule

__all__ = [
    "IMPLEMENTATIONS",
    "NORMALIZERS",
    "STREAMING_NORMALIZERS",
    "Normalizer",
    "StreamingRule",
    "alibi",
    "alibi_bias",
    "alibi_slopes",
    "attend",
    "attention",
    "band_mask",
    "box_iou",
    "combine",
    "entmax15",
    "gather_beams",
    "generalized_iou",
    "length_mask",
    "linear_crossentropy",
    "normalized_sigmoid",
    "padding_mask",
    "register_normalizer",
    "rotary",
    "select_boxes",
    "sigmoid",
    "sinusoidal",
    "softmax",
    "softmax1",
    "sparsemax",
    "swap_heads",
]
