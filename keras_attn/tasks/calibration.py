"""Probabilities that mean what they say."""

import numpy as np


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that makes held-out labels the most probable.

    Logits over a temperature give the same answers with other probabilities (Guo et al.,
    arXiv:1706.04599). The likelihood has one maximum, which is sought by bisection on the
    logarithm of the temperature, between 1/50 and 50. Where no answer is wrong it has none, and
    would make every score 1: the temperature is then 1, which leaves the network's own scores.

    Args:
        logits: float array `(N, C)`.
        labels: integer array `(N,)`.

    Raises:
        ValueError: there are no labels, or a logit is not finite.

    Example:

    >>> logits = np.array([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0], [4.0, 0.0]])
    >>> round(fit_temperature(logits, np.array([0, 0, 0, 1])), 2)  # right 3 times of 4
    3.64
    """
    logits = np.asarray(logits, "float64")
    if not len(labels) or not np.isfinite(logits).all():
        raise ValueError(
            "Calibration needs labelled examples with finite logits. Received: "
            f"{len(labels)} labels, {np.count_nonzero(~np.isfinite(logits))} logits not finite."
        )
    target = logits[np.arange(len(labels)), labels]
    if (target == logits.max(axis=-1)).all():
        return 1.0

    def slope(log_temperature: float) -> float:
        """What the loss does as the temperature grows, but for a positive factor."""
        expected = (softmax(logits / np.exp(log_temperature)) * logits).sum(axis=-1)
        return float((target - expected).mean())

    low, high = -np.log(50.0), np.log(50.0)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return float(np.exp((low + high) / 2))


def expected_calibration_error(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = 15
) -> float:
    """How far the score of an answer is from the share of answers that are right.

    The mean over bins of equal width of the score, weighted by their answers (Guo et al.,
    arXiv:1706.04599).

    Args:
        probabilities: float array `(N, C)`.
        labels: integer array `(N,)`.
        bins: number of bins.

    Returns:
        A share in [0, 1]; 0 for scores that are exactly right.

    Example:

    >>> probabilities = np.array([[0.75, 0.25]] * 4)
    >>> expected_calibration_error(probabilities, np.array([0, 0, 0, 1]))
    0.0
    """
    score = probabilities.max(axis=-1)
    right = probabilities.argmax(axis=-1) == labels
    member = np.minimum((score * bins).astype(int), bins - 1)
    gaps = [abs((right[member == b].astype(float) - score[member == b]).sum()) for b in range(bins)]
    return float(np.sum(gaps) / len(labels))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis, in float64."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)
