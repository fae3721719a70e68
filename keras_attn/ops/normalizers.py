"""Normalizers: from attention scores to attention weights, along the last axis.

Every normalizer has one signature, `normalizer(scores, mask=None) -> weights`, with
`scores` of shape `(..., S)` in float32 and `mask` a boolean tensor that broadcasts to
it (True = attend). All of them keep the same three promises:

- a masked position has weight exactly 0, and takes no part in the normalization;
- a row in which everything is masked is exactly 0 everywhere;
- gradients are finite for finite scores, masked or not.
"""

import difflib
from collections.abc import Callable
from typing import Any

from keras import ops

Tensor = Any
Normalizer = Callable[..., Tensor]

# Far below any score, and still finite when another score is subtracted from it.
FLOOR = -1e30


def softmax(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """`exp(s_i) / sum_j exp(s_j)`: weights that sum to 1 (Bahdanau et al., 2015).

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
    if mask is None:
        return ops.softmax(scores, axis=-1)
    return _zero_outside(mask, ops.softmax(ops.where(mask, scores, FLOOR), axis=-1))


def softmax1(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """`exp(s_i) / (1 + sum_j exp(s_j))`: a softmax that may attend to nothing.

    The added 1 is a key of score 0 and value 0: weights sum to less than 1, and to
    nearly 0 where every score is very negative (Miller, "Attention is off by one", 2023).
    """
    masked = scores if mask is None else ops.where(mask, scores, FLOOR)
    top = ops.stop_gradient(ops.maximum(ops.max(masked, axis=-1, keepdims=True), 0.0))
    exponentials = ops.exp(masked - top)
    return exponentials / (ops.exp(-top) + ops.sum(exponentials, axis=-1, keepdims=True))


def sigmoid(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """`sigmoid(s_i - log n)`: each key is judged on its own; rows need not sum to 1.

    `n` is the number of keys that the row may attend to, so that the weights of a row
    sum to about 1 at initialization (Ramapuram et al., arXiv:2409.04431, where `n` is
    the sequence length). Counting only the allowed keys makes padding, and the unused
    end of a decoding cache, change nothing.
    """
    if mask is None:
        count = ops.cast(ops.shape(scores)[-1], scores.dtype)
        return ops.sigmoid(scores - ops.log(count))
    mask = ops.broadcast_to(mask, ops.shape(scores))
    count = ops.sum(ops.cast(mask, scores.dtype), axis=-1, keepdims=True)
    return _zero_outside(mask, ops.sigmoid(scores - ops.log(ops.maximum(count, 1.0))))


def normalized_sigmoid(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """`sigmoid(s_i) / sum_j sigmoid(s_j)`: bounded evidence a key, rows that sum to 1.

    Computed as the softmax of `log sigmoid(s)`, which does not underflow where every
    score is very negative.
    """
    return softmax(ops.log_sigmoid(scores), mask)


def sparsemax(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Euclidean projection onto the simplex: sums to 1, with exact zeros.

    Martins and Astudillo, "From softmax to sparsemax", arXiv:1602.02068.
    """
    shifted, ordered, size = _sorted(scores, mask)
    total = ops.cumsum(ordered, axis=-1)
    support = _count(1.0 + size * ordered > total)
    threshold = (_pick(total, support) - 1.0) / ops.cast(support, scores.dtype)
    return _project(shifted, threshold, mask, power=1)


def entmax15(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """1.5-entmax: between softmax and sparsemax; sums to 1, with exact zeros.

    Peters, Niculae and Martins, arXiv:1905.05702 (the exact, sorting algorithm).
    """
    shifted, ordered, size = _sorted(scores / 2.0, mask)
    mean = ops.cumsum(ordered, axis=-1) / size
    mean_of_squares = ops.cumsum(ops.square(ordered), axis=-1) / size
    spread = size * (mean_of_squares - ops.square(mean))
    thresholds = mean - ops.sqrt(ops.maximum((1.0 - spread) / size, 0.0))
    support = _count(thresholds <= ordered)
    return _project(shifted, _pick(thresholds, support), mask, power=2)


NORMALIZERS: dict[str, Normalizer] = {
    "softmax": softmax,
    "softmax1": softmax1,
    "sigmoid": sigmoid,
    "normalized_sigmoid": normalized_sigmoid,
    "sparsemax": sparsemax,
    "entmax15": entmax15,
}


def get(name: str) -> Normalizer:
    """The normalizer called `name`.

    Raises:
        ValueError: no normalizer has that name; the message lists those that exist.

    Example:

    >>> get("sparsemax").__name__
    'sparsemax'
    """
    if name in NORMALIZERS:
        return NORMALIZERS[name]
    near = difflib.get_close_matches(str(name), NORMALIZERS, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    accepted = ", ".join(repr(known) for known in NORMALIZERS)
    raise ValueError(f"Unknown `normalizer`: received {name!r}.{hint} Accepted: {accepted}.")


def _zero_outside(mask: Tensor, weights: Tensor) -> Tensor:
    return ops.where(mask, weights, ops.zeros_like(weights))


def _sorted(scores: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Scores with their row's maximum at 0, the same in descending order, and 1..S.

    Masked scores come last. Their value is moderate, since `entmax15` squares it.
    """
    if mask is not None:
        scores = ops.where(mask, scores, FLOOR)
    shifted = scores - ops.stop_gradient(ops.max(scores, axis=-1, keepdims=True))
    shifted = ops.maximum(shifted, -1e6)
    ordered = ops.stop_gradient(-ops.sort(-shifted, axis=-1))
    size = ops.cumsum(ops.ones_like(ordered), axis=-1)
    return shifted, ordered, size


def _count(condition: Tensor) -> Tensor:
    return ops.maximum(ops.sum(ops.cast(condition, "int32"), axis=-1, keepdims=True), 1)


def _pick(values: Tensor, support: Tensor) -> Tensor:
    return ops.take_along_axis(values, support - 1, axis=-1)


def _project(shifted: Tensor, threshold: Tensor, mask: Tensor | None, power: int) -> Tensor:
    """`max(shifted - threshold, 0) ** power`, differentiable through the threshold.

    The threshold is defined implicitly, by the weights' sum being 1. One Newton step
    from the value that the sorting algorithm found leaves that value in place and has
    the derivative of the implicit function, so that no custom gradient is needed.
    """
    threshold = ops.stop_gradient(threshold)
    excess = ops.maximum(shifted - threshold, 0.0)
    if power == 1:
        total, slope = excess, ops.cast(excess > 0, excess.dtype)
    else:
        total, slope = ops.square(excess), 2.0 * excess
    slope = ops.stop_gradient(ops.sum(slope, axis=-1, keepdims=True))
    residual = ops.sum(total, axis=-1, keepdims=True) - 1.0
    threshold = threshold + residual / ops.maximum(slope, 1e-6)
    excess = ops.maximum(shifted - threshold, 0.0)
    weights = excess if power == 1 else ops.square(excess)
    return weights if mask is None else _zero_outside(mask, weights)
