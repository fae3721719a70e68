"""Metrics of text classification."""

from typing import Any

import numpy as np

from keras_attn.tasks.calibration import expected_calibration_error
from keras_attn.tasks.classification import cross_entropy

LENGTH_BOUNDS = (100, 200, 400, 800)  # words; bounds of the ranges for accuracy by length


def classification_metrics(
    probabilities: np.ndarray, labels: np.ndarray, lengths: np.ndarray
) -> dict[str, Any]:
    """Return the metrics of answers for texts, see `TextClassifier.evaluate_split`.

    Args:
        probabilities: Floats `(N, C)`.
        labels: Integers `(N,)`.
        lengths: Integers `(N,)`, the number of words of each text.
    """
    correct = probabilities.argmax(axis=-1) == labels
    return {
        "accuracy": float(correct.mean()),
        "loss": cross_entropy(probabilities, labels),
        "examples": len(labels),
        "calibration_error": expected_calibration_error(probabilities, labels),
        "by_length": accuracy_by_length(correct, lengths),
    }


def accuracy_by_length(correct: np.ndarray, lengths: np.ndarray) -> list[dict[str, Any]]:
    """Return accuracy and number of texts in each range of lengths that has texts.

    Args:
        correct: Booleans `(N,)`, whether the answer is correct.
        lengths: Integers `(N,)`, the number of words of each text.
    """
    rows, lower = [], 0.0
    for bound in (*LENGTH_BOUNDS, np.inf):
        in_range = (lengths > lower) & (lengths <= bound)
        if in_range.any():
            rows.append(
                {
                    "up_to": None if bound == np.inf else bound,
                    "accuracy": float(correct[in_range].mean()),
                    "examples": int(in_range.sum()),
                }
            )
        lower = bound
    return rows


def micro_f1(selected: np.ndarray, labels: np.ndarray) -> float:
    """Return F1 over all pairs of a text and a label; 0 if there are none.

    Args:
        selected: Boolean array `(N, C)`, the labels that texts are given.
        labels: Multi-hot array `(N, C)`, the labels that they have.

    Example:

    >>> micro_f1(np.array([[True, True], [False, True]]), np.array([[1, 0], [0, 1]]))
    0.8
    """
    hits = int((selected & (labels > 0)).sum())
    return 2 * hits / max(1, int(selected.sum()) + int((labels > 0).sum()))


def best_threshold(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the threshold of scores at which the micro-averaged F1 is highest.

    Args:
        scores: Float array `(N, C)`, such as probabilities. A text is given the labels whose score
            is at least the threshold.
        labels: Multi-hot array `(N, C)`, the labels that texts have. At least one has one.

    Returns:
        The middle between two neighboring scores, or the lowest score.

    Example:

    >>> best_threshold(np.array([[0.5, 0.125], [0.25, 0.375]]), np.array([[1, 0], [0, 1]]))
    0.3125
    """
    order = np.argsort(-scores, axis=None, kind="stable")
    ranked = scores.ravel()[order].astype("float64")
    hits = np.cumsum(labels.ravel()[order] > 0)
    f1 = 2 * hits / (np.arange(1, hits.size + 1) + hits[-1])
    f1[:-1][ranked[:-1] == ranked[1:]] = 0.0  # a threshold cannot separate equal scores
    best = int(f1.argmax())
    return float(ranked[best : best + 2].mean())
