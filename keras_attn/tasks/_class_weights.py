"""Class weights: how much each class counts in the loss of training. Imports no Keras."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from keras_attn._names import unknown
from keras_attn.recipes import Training
from keras_attn.recipes.recipe import Positive

ClassWeights = Literal["balanced"] | Mapping[str, float] | None


class ClassificationTraining(Training):
    """Length, batch size, regularization, precision and class weights of training.

    Attributes:
        class_weights: Weight of each class in the loss of training: `"balanced"`, or a table of
            weights by the names of labels, in which a label that is not named has weight 1. None
            weighs all examples alike. The loss of a batch is the weighted mean over its examples.
            An example that augmentation mixes from several classes has the mean of their weights.
            The loss on validation data is not weighted.
    """

    class_weights: Literal["balanced"] | dict[str, Positive] | None = None


def class_weights(
    setting: ClassWeights, labels: np.ndarray, label_names: Sequence[str]
) -> np.ndarray | None:
    """Return the weight of each class, or None if all examples count alike.

    Args:
        setting: `"balanced"`, weights by label name, or None.
        labels: Integer array `(N,)`, the labels of the training examples.
        label_names: The name of each of the `C` labels.

    Returns:
        A float32 array `(C,)`. `"balanced"` gives class `c` the weight `N / (C * N_c)`, where `N_c`
        is its number of examples: all classes then count alike, and the mean over examples is 1.
        A class without examples has weight 1.

    Raises:
        ValueError: A label has no such name.

    Example:

    >>> class_weights("balanced", np.array([0, 0, 0, 1]), ("spam", "ham")).round(2)
    array([0.67, 2.  ], dtype=float32)
    >>> class_weights({"ham": 3.0}, np.array([0, 1]), ("spam", "ham"))
    array([1., 3.], dtype=float32)
    """
    if setting is None:
        return None
    if setting == "balanced":
        counts = np.bincount(labels, minlength=len(label_names))
        weights = len(labels) / (len(label_names) * np.maximum(counts, 1))
        return np.where(counts, weights, 1.0).astype("float32")
    for name in setting:
        if name not in label_names:
            raise ValueError(unknown("label in training.class_weights", name, label_names))
    return np.array([setting.get(name, 1.0) for name in label_names], "float32")
