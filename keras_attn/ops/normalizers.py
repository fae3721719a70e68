"""Normalizers: from attention scores to attention weights, along the last axis.

Every normalizer has one signature, `normalizer(scores, mask=None) -> weights`, with
`scores` of shape `(..., S)` in float32 and `mask` a boolean tensor that broadcasts to
it (True = attend). All of them keep the same three promises:

- a masked position has weight exactly 0, and takes no part in the normalization;
- a row in which everything is masked is exactly 0 everywhere;
- gradients are finite for finite scores, masked or not.
"""

from collections.abc import Callable
from typing import Any

from keras import ops

from keras_attn._names import unknown
from keras_attn.ops._backend import softmax_of_few

Tensor = Any
Normalizer = Callable[..., Tensor]

# Far below any score, and still finite when another score is subtracted from it.
FLOOR = -1e30

# Enough for rows of 16384 keys; each step is one pass over the scores.
NEWTON_STEPS = 12


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
    return zero_dead(weights("softmax", scores, mask), mask)


def softmax1(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """`exp(s_i) / (1 + sum_j exp(s_j))`: a softmax that may attend to nothing.

    The added 1 is a key of score 0 and value 0: weights sum to less than 1, and to
    nearly 0 where every score is very negative (Miller, "Attention is off by one", 2023).
    """
    return zero_dead(weights("softmax1", scores, mask), mask)


def sigmoid(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """`sigmoid(s_i - log n)`: each key is judged on its own; rows need not sum to 1.

    `n` is the number of keys that the row may attend to, so that the weights of a row
    sum to about 1 at initialization (Ramapuram et al., arXiv:2409.04431, where `n` is
    the sequence length). Counting only the allowed keys makes padding, and the unused
    end of a decoding cache, change nothing.
    """
    return zero_dead(weights("sigmoid", scores, mask), mask)


def normalized_sigmoid(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """`sigmoid(s_i) / sum_j sigmoid(s_j)`: bounded evidence a key, rows that sum to 1.

    Computed as the softmax of `log sigmoid(s)`, which does not underflow where every
    score is very negative.
    """
    return zero_dead(weights("normalized_sigmoid", scores, mask), mask)


def sparsemax(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Euclidean projection onto the simplex: sums to 1, with exact zeros.

    Martins and Astudillo, "From softmax to sparsemax", arXiv:1602.02068.
    """
    return zero_dead(weights("sparsemax", scores, mask), mask)


def entmax15(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """1.5-entmax: between softmax and sparsemax; sums to 1, with exact zeros.

    Peters, Niculae and Martins, arXiv:1905.05702.
    """
    return zero_dead(weights("entmax15", scores, mask), mask)


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
    raise ValueError(unknown("`normalizer`", name, NORMALIZERS))


def weights(name: str, scores: Tensor, mask: Tensor | None) -> Tensor:
    """The weights by the normalizer called `name`, but in dead rows whatever comes.

    A row in which everything is masked is for `zero_dead`, where it costs least.
    """
    scores = scores if mask is None else floored(scores, mask)
    return _FORMULAS[name](scores, mask)


def floored(scores: Tensor, mask: Tensor) -> Tensor:
    """Scores with those outside the mask so low that their weight is exactly 0.

    A sum, not a choice: its gradient costs nothing, and the mask keeps its own shape.
    """
    return scores + ops.where(mask, 0.0, ops.cast(FLOOR, scores.dtype))


def biased(scores: Tensor, bias: Tensor) -> Tensor:
    """Scores with a bias added; one of -inf excludes, as a mask does."""
    return ops.maximum(scores + ops.cast(bias, scores.dtype), FLOOR)


def unexcluded(bias: Tensor) -> Tensor:
    """The mask of what a bias does not exclude."""
    return ops.cast(bias, "float32") > FLOOR / 2


def zero_dead(x: Tensor, mask: Tensor | None) -> Tensor:
    """`x` `(..., X)` with rows of zeros where the mask `(..., S)` allows nothing."""
    return x if mask is None else ops.where(ops.any(mask, axis=-1, keepdims=True), x, 0.0)


def _softmax(scores: Tensor) -> Tensor:
    if scores.shape[-1] == 1:  # which Keras warns of, and is a decoder's first step
        return ops.exp(scores - scores)
    return softmax_of_few(scores)


def _softmax1(scores: Tensor, mask: Tensor | None) -> Tensor:
    top = ops.stop_gradient(ops.maximum(ops.max(scores, axis=-1, keepdims=True), 0.0))
    exponentials = ops.exp(scores - top)
    return exponentials / (ops.exp(-top) + ops.sum(exponentials, axis=-1, keepdims=True))


def _sigmoid(scores: Tensor, mask: Tensor | None) -> Tensor:
    count = scores.shape[-1]
    if count is None:
        count = ops.sum(ops.ones_like(scores), axis=-1, keepdims=True)
    if mask is not None:
        allowed = ops.sum(ops.cast(mask, scores.dtype), axis=-1, keepdims=True)
        count = allowed * count if mask.shape[-1] == 1 else allowed
    return ops.sigmoid(scores - ops.log(ops.maximum(ops.cast(count, scores.dtype), 1.0)))


_FORMULAS: dict[str, Normalizer] = {
    "softmax": lambda scores, mask: _softmax(scores),
    "softmax1": _softmax1,
    "sigmoid": _sigmoid,
    "normalized_sigmoid": lambda scores, mask: _softmax(ops.log_sigmoid(scores)),
    "sparsemax": lambda scores, mask: _project(scores, power=1),
    "entmax15": lambda scores, mask: _project(scores / 2.0, power=2),
}


def _project(scores: Tensor, power: int) -> Tensor:
    """`max(scores - threshold, 0) ** power`, with the threshold at which it sums to 1.

    With the row's maximum at 0 the threshold is in [-1, 0), and the sum falls, convex,
    as the threshold rises: Newton's method from -1 never overshoots. It beats sorting
    with cumulative sums, which in float32 lose the support of long rows. The last step
    alone is differentiated: it leaves the threshold in place and has the derivative of
    the implicit function, so that no custom gradient is needed.
    """
    shifted = scores - ops.stop_gradient(ops.max(scores, axis=-1, keepdims=True))
    threshold, fixed = -1.0, ops.stop_gradient(shifted)
    for _ in range(NEWTON_STEPS):
        threshold = _newton_step(fixed, threshold, power)
    threshold = _newton_step(shifted, threshold, power)
    return _excess(shifted, threshold, power)


def _excess(shifted: Tensor, threshold: Tensor, power: int) -> Tensor:
    excess = ops.maximum(shifted - threshold, 0.0)
    return excess if power == 1 else ops.square(excess)


def _newton_step(shifted: Tensor, threshold: Tensor, power: int) -> Tensor:
    excess = ops.stop_gradient(ops.maximum(shifted - threshold, 0.0))
    slope = ops.cast(excess > 0.0, excess.dtype) if power == 1 else 2.0 * excess
    residual = ops.sum(_excess(shifted, threshold, power), axis=-1, keepdims=True) - 1.0
    return threshold + residual / ops.sum(slope, axis=-1, keepdims=True)
