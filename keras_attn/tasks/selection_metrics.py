"""Metrics by which the epochs of a run with class weights are compared."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_attn.tasks._class_weights import class_weights


class WeightedAccuracy(keras.metrics.SparseCategoricalAccuracy):
    """Accuracy in which each example counts by the weight of its class.

    With weights that make all classes count alike, it is the balanced accuracy: the mean over
    classes of the share of their examples that are classified correctly.

    Args:
        class_weights: Float array `(C,)`, the weight of each class.
        name: Name of the metric.

    Example:

    >>> metric = WeightedAccuracy(np.array([1.0, 3.0]))
    >>> metric.update_state([0, 0, 0, 1], [[9.0, 0.0]] * 4)
    >>> float(metric.result())
    0.5
    """

    def __init__(self, class_weights: np.ndarray, name: str = "weighted_accuracy") -> None:
        super().__init__(name=name)
        self.class_weights = np.asarray(class_weights, "float32")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count the answers to a batch of indices `(B,)` and logits `(B, C)`."""
        labels = keras.ops.cast(keras.ops.reshape(y_true, (-1,)), "int32")
        super().update_state(labels, y_pred, keras.ops.take(self.class_weights, labels))

    def get_config(self) -> dict[str, Any]:
        return {"class_weights": self.class_weights.tolist(), "name": self.name}


def selection_metric(
    setting: Any,
    weights: np.ndarray | None,
    validation_labels: np.ndarray,
    label_names: Sequence[str],
) -> WeightedAccuracy | None:
    """Return the metric by which epochs are compared if classes have weights in training.

    Plain accuracy would select an epoch in which rare classes are not learned yet.

    Args:
        setting: The recipe's `training.class_weights`.
        weights: The weight of each class in training, or None.
        validation_labels: Integer array `(N,)`, the labels of the validation split.
        label_names: The name of each label.

    Returns:
        For `"balanced"` the balanced accuracy, for a table the accuracy with the same weights, and
        None without weights.
    """
    if weights is None:
        return None
    if setting != "balanced":
        return WeightedAccuracy(weights)
    balanced = class_weights(setting, validation_labels, label_names)
    assert balanced is not None
    return WeightedAccuracy(balanced, "balanced_accuracy")
