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
