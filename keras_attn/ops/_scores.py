"""Masking of attention scores, shared by the normalizers and by every implementation."""

import math

from keras import ops

from keras_attn.ops._matmul import softmax_few_rows
from keras_attn.ops._types import Tensor

# Far below any score, and still finite when another score is subtracted from it.
FLOOR = -1e30


def mask_scores(scores: Tensor, mask: Tensor) -> Tensor:
    """Lower masked scores so far that their weight is exactly 0.

    This is a sum rather than a `where`: its gradient costs nothing, and the mask is not
    broadcast to the shape of the scores.

    Args:
        scores: float tensor `(..., S)`.
        mask: boolean tensor that broadcasts to `scores`, True = attend.
    """
    return scores + ops.where(mask, 0.0, ops.cast(FLOOR, scores.dtype))


def add_bias(scores: Tensor, bias: Tensor) -> Tensor:
    """Add a bias to the scores; a bias of -inf excludes a key, as a mask does."""
    return ops.maximum(scores + ops.cast(bias, scores.dtype), FLOOR)


def bias_mask(bias: Tensor) -> Tensor:
    """Return the boolean mask of the keys that a bias does not exclude."""
    return ops.cast(bias, "float32") > FLOOR / 2


def maximum_of_rows(scores: Tensor) -> Tensor:
    """Return the maximum `(..., 1)` over the last axis; an empty batch or row is no error."""
    return ops.max(scores, axis=-1, keepdims=True, initial=-math.inf)


def zero_masked_rows(x: Tensor, mask: Tensor | None) -> Tensor:
    """Set the rows of `x` `(..., X)` to 0 where every entry of the mask `(..., S)` is False."""
    return x if mask is None else ops.where(ops.any(mask, axis=-1, keepdims=True), x, 0.0)


def softmax(scores: Tensor) -> Tensor:
    """Compute the softmax of scores that are already masked, over the last axis."""
    if scores.shape[-1] == 1:  # Keras warns about it, and a decoder's first step has one key
        return ops.exp(scores - scores)
    return softmax_few_rows(scores)
