"""Calibration of class probabilities: temperature scaling and calibration error."""

import numpy as np

from keras_attn._wording import counted


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature that maximizes the likelihood of held-out labels.

    Dividing logits by a temperature changes probabilities but not the most probable label (Guo et
    al., arXiv:1706.04599). The likelihood has a single maximum, which is found by bisection on
    the logarithm of the temperature between 1/50 and 50. If every example is classified
    correctly, there is no maximum, because the likelihood increases as the temperature decreases.
    Then one example in `N + 2` is assumed to be wrong (Laplace's rule of succession).

    Args:
        logits: Float array `(N, C)`.
        labels: Integer array `(N,)`.

    Raises:
        ValueError: There are no labels, or a logit is not finite.

    Example:

    >>> logits = np.array([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0], [4.0, 0.0]])
    >>> round(fit_temperature(logits, np.array([0, 0, 0, 1])), 2)  # 3 of 4 correct
    3.64
    """
    logits = np.asarray(logits, "float64")
    if not len(labels) or not np.isfinite(logits).all():
        raise ValueError(
            "Calibration needs labelled examples with finite logits. Received: "
            f"{counted(len(labels), 'label')}, "
            f"{counted(int(np.sum(~np.isfinite(logits))), 'logit')} not finite."
        )
    target = logits[np.arange(len(labels)), labels]
    if not np.ptp(logits, axis=-1).any():
        return 1.0  # no temperature changes anything
    if (target == logits.max(axis=-1)).all():
        share = 1 / (len(labels) + 2)
        others = (logits.sum(axis=-1) - target) / max(1, logits.shape[-1] - 1)
        target = (1 - share) * target + share * others

    def slope(log_temperature: float) -> float:
        """Return the derivative of the loss, up to a positive factor."""
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
    """Return the expected calibration error (Guo et al., arXiv:1706.04599).

    This is the absolute difference between accuracy and mean score in each of several bins of
    equal width of the score, averaged over bins with the number of examples as weight.

    Args:
        probabilities: Float array `(N, C)`.
        labels: Integer array `(N,)`.
        bins: Number of bins.

    Returns:
        A float in [0, 1]; 0 for perfectly calibrated scores. NaN if a probability is NaN.

    Example:

    >>> probabilities = np.array([[0.75, 0.25]] * 4)
    >>> expected_calibration_error(probabilities, np.array([0, 0, 0, 1]))
    0.0
    """
    score = probabilities.max(axis=-1)
    if np.isnan(score).any():
        return float("nan")
    correct = probabilities.argmax(axis=-1) == labels
    bin_index = np.minimum((score * bins).astype(int), bins - 1)
    gaps = [
        abs((correct[bin_index == b].astype(float) - score[bin_index == b]).sum())
        for b in range(bins)
    ]
    return float(np.sum(gaps) / len(labels))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the softmax over the last axis, in the dtype of `logits`."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)
