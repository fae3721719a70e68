"""Normalizers: functions from attention scores to attention weights, over the last axis.

Every normalizer has the signature `normalizer(scores, mask=None) -> weights`, with `scores`
a float tensor `(..., S)` and `mask` a boolean tensor that broadcasts to it (True = attend).
All of them guarantee that

- a masked position has weight exactly 0, and does not change the weights of the others;
- a row in which every position is masked has only weights that are exactly 0;
- gradients are finite for finite scores, masked or not.

`NORMALIZERS` maps names to `Normalizer` objects. Add one with `register_normalizer`.
"""

import dataclasses
import functools
from collections.abc import Callable

import keras
from keras import ops

from keras_attn._names import unknown
from keras_attn.ops import _scores
from keras_attn.ops._mask_values import check_mask_values
from keras_attn.ops._types import Tensor
from keras_attn.ops.streaming import (
    NormalizedSigmoidRule,
    SigmoidRule,
    SoftmaxRule,
    StreamingRule,
)

Formula = Callable[[Tensor, Tensor | None], Tensor]

# Enough for rows of 16384 keys; each step is one pass over the scores.
NEWTON_STEPS = 12


@dataclasses.dataclass(frozen=True)
class Normalizer:
    """A named function from scores to weights, with its paper and its streaming rule.

    Args:
        name: value of the `normalizer` argument that selects it.
        formula: function from scores `(..., S)` and the mask to weights `(..., S)`. Scores of
            masked positions are near -1e30 already; the mask is for formulas that count keys. In
            `attention` it is False also where a bias of -inf excludes a key.
            Fully masked rows may have any finite weights: `__call__` sets them to 0.
        paper: reference for the formula.
        streaming: rule for weights from blocks of scores; None if the formula needs whole
            rows. `implementation="chunked"` of `keras_attn.ops.attention` needs a rule.
    """

    name: str
    formula: Formula
    paper: str
    streaming: StreamingRule | None = None

    def __call__(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the weights, with the shape of `scores`."""
        if mask is None:
            return self.formula(scores, None)
        check_mask_values(mask=mask)
        mask = ops.cast(mask, "bool")
        weights = self.formula(_scores.mask_scores(scores, mask), mask)
        return _scores.zero_masked_rows(weights, mask)


NORMALIZERS: dict[str, Normalizer] = {}
"""Every normalizer by name. Extend it with `register_normalizer`."""

STREAMING_NORMALIZERS: dict[str, Normalizer] = {}
"""The normalizers that have a streaming rule, in the order of `NORMALIZERS`."""


def register_normalizer(
    *, paper: str, streaming: StreamingRule | None = None
) -> Callable[[Formula], Callable[..., Tensor]]:
    """Register a formula as the normalizer that has the name of the function.

    Args:
        paper: see `Normalizer`.
        streaming: see `Normalizer`.

    Returns:
        Decorator for the formula. It returns a function `(scores, mask=None) -> weights` that
        masks the scores, applies the formula, and gives weights of 0 in fully masked rows.

    Raises:
        ValueError: the name is registered already.

    Example:

    >>> @register_normalizer(paper="Hinton et al., arXiv:1503.02531")
    ... def warm_softmax(scores, mask):
    ...     return ops.softmax(scores / 2.0, axis=-1)
    >>> [round(float(x), 2) for x in warm_softmax(ops.convert_to_tensor([0.0, 2.0, 4.0]))]
    [0.09, 0.24, 0.67]
    >>> NORMALIZERS.pop("warm_softmax").name
    'warm_softmax'
    """

    def register(formula: Formula) -> Callable[..., Tensor]:
        normalizer = Normalizer(formula.__name__, formula, paper, streaming)
        if normalizer.name in NORMALIZERS:
            raise ValueError(
                f"A normalizer must have a name of its own. Received: {normalizer.name!r}, which "
                "is registered already. Rename the function."
            )
        NORMALIZERS[normalizer.name] = normalizer
        if streaming is not None:
            STREAMING_NORMALIZERS[normalizer.name] = normalizer

        @functools.wraps(formula)
        def normalize(scores: Tensor, mask: Tensor | None = None) -> Tensor:
            return normalizer(scores, mask)

        return normalize

    return register


def get(name: str) -> Normalizer:
    """Return the normalizer that is registered as `name`.

    Raises:
        ValueError: no normalizer has that name; the message lists the registered names.

    Example:

    >>> get("sparsemax").paper
    'Martins and Astudillo, arXiv:1602.02068'
    """
    if name in NORMALIZERS:
        return NORMALIZERS[name]
    raise ValueError(unknown("`normalizer`", name, NORMALIZERS))


@register_normalizer(paper="Bahdanau et al., arXiv:1409.0473", streaming=SoftmaxRule())
def softmax(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Compute `exp(s_i) / sum_j exp(s_j)`: weights that sum to 1.

    Bahdanau et al., "Neural machine translation by jointly learning to align and translate",
    arXiv:1409.0473.

    Args:
        scores: float tensor `(..., S)`.
        mask: boolean tensor that broadcasts to `scores`, True = attend.

    Returns:
        Weights with the shape of `scores`.

    Example:

    >>> import numpy as np
    >>> weights = softmax(np.zeros((1, 4), "float32"), np.array([[True, True, False, False]]))
    >>> np.asarray(weights).tolist()
    [[0.5, 0.5, 0.0, 0.0]]
    """
    return _scores.softmax(scores)


@register_normalizer(
    paper='Miller, "Attention is off by one", 2023', streaming=SoftmaxRule(initial_lse=0.0)
)
def softmax1(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Compute `exp(s_i) / (1 + sum_j exp(s_j))`: a softmax that can attend to nothing.

    The added 1 acts as a key of score 0 and value 0: weights sum to less than 1, and to
    nearly 0 where every score is very negative (Miller, "Attention is off by one", 2023).
    """
    maximum = ops.stop_gradient(ops.maximum(_scores.maximum_of_rows(scores), 0.0))
    exponentials = ops.exp(scores - maximum)
    return exponentials / (ops.exp(-maximum) + ops.sum(exponentials, axis=-1, keepdims=True))


@register_normalizer(paper="Ramapuram et al., arXiv:2409.04431", streaming=SigmoidRule())
def sigmoid(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Compute `sigmoid(s_i - log n)`: keys do not compete, and rows need not sum to 1.

    `n` is the number of keys that the row may attend to, so that the weights of a row sum to
    about 1 at initialization. In the paper (Ramapuram et al., arXiv:2409.04431) `n` is the
    sequence length. Counting only unmasked keys makes the weights independent of padding, and
    of the unused end of a decoding cache.
    """
    count = _number_of_keys(scores)
    if mask is not None:
        unmasked = ops.sum(ops.cast(mask, scores.dtype), axis=-1, keepdims=True)
        # A mask that is broadcast along the keys has one value for all of them.
        count = unmasked * (count / ops.maximum(_number_of_keys(mask), 1.0))
    return ops.sigmoid(scores - ops.log(ops.maximum(count, 1.0)))


def _number_of_keys(x: Tensor) -> Tensor:
    """Return the size of the last axis, a float32 tensor that broadcasts to `x`."""
    if x.shape[-1] is None and isinstance(x, keras.KerasTensor):  # its shape is known later
        return ops.sum(ops.cast(ops.ones_like(x), "float32"), axis=-1, keepdims=True)
    return ops.cast(ops.shape(x)[-1], "float32")


@register_normalizer(paper="Chorowski et al., arXiv:1506.07503", streaming=NormalizedSigmoidRule())
def normalized_sigmoid(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Compute `sigmoid(s_i) / sum_j sigmoid(s_j)`: bounded evidence for a key, rows sum to 1.

    Chorowski et al., "Attention-based models for speech recognition", arXiv:1506.07503, who
    call it smoothing. It is computed as the softmax of `log sigmoid(s)`, which does not
    underflow where every score is very negative.
    """
    return _scores.softmax(ops.log_sigmoid(scores))


@register_normalizer(paper="Martins and Astudillo, arXiv:1602.02068")
def sparsemax(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Project the scores onto the simplex: weights sum to 1, and some are exactly 0.

    Martins and Astudillo, "From softmax to sparsemax", arXiv:1602.02068.
    """
    return _project_to_simplex(scores, power=1)


@register_normalizer(paper="Peters, Niculae and Martins, arXiv:1905.05702")
def entmax15(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Compute 1.5-entmax, between softmax and sparsemax: sums to 1, with exact zeros.

    Peters, Niculae and Martins, "Sparse sequence-to-sequence models", arXiv:1905.05702.
    """
    return _project_to_simplex(scores / 2.0, power=2)


def _project_to_simplex(scores: Tensor, power: int) -> Tensor:
    """Compute `max(scores - threshold, 0) ** power`, with the threshold at which it sums to 1.

    With the maximum of a row at 0 the threshold is in [-1, 0), and the sum is a decreasing
    convex function of the threshold: Newton's method from -1 never overshoots. Sorting with
    cumulative sums would lose the support of long rows in float32. Only the last step is
    differentiated: it leaves the threshold in place and has the derivative of the implicit
    function, so that no custom gradient is needed.
    """
    shifted = scores - ops.stop_gradient(_scores.maximum_of_rows(scores))
    threshold, constant = -1.0, ops.stop_gradient(shifted)
    for _ in range(NEWTON_STEPS):
        threshold = _newton_step(constant, threshold, power)
    threshold = _newton_step(shifted, threshold, power)
    return _powered_excess(shifted, threshold, power)


def _powered_excess(shifted: Tensor, threshold: Tensor, power: int) -> Tensor:
    excess = ops.maximum(shifted - threshold, 0.0)
    return excess if power == 1 else ops.square(excess)


def _newton_step(shifted: Tensor, threshold: Tensor, power: int) -> Tensor:
    excess = ops.stop_gradient(ops.maximum(shifted - threshold, 0.0))
    slope = ops.cast(excess > 0.0, excess.dtype) if power == 1 else 2.0 * excess
    residual = ops.sum(_powered_excess(shifted, threshold, power), axis=-1, keepdims=True) - 1.0
    return threshold + residual / ops.sum(slope, axis=-1, keepdims=True)
