"""Class weights: how much each class counts in the loss of training. Imports no Keras."""

import numbers
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field

from keras_attn._label_names import label_lookup, label_name, names_are_other_numbers
from keras_attn._names import unknown
from keras_attn._wording import counted
from keras_attn.recipes import Training
from keras_attn.recipes.recipe import Positive

ClassWeights = Literal["balanced"] | Mapping[str, float] | None


class ClassificationTraining(Training):
    """Length, batch size, regularization, precision and class weights of training.

    Attributes:
        class_weights: Weight of each class in the loss of training: `"balanced"`, or a table of
            weights by the names of labels, in which a label that is not named has weight 1. None
            weighs all examples alike. The loss of a batch is the weighted mean over its examples:
            the sum of their weighted losses over the sum of their weights. (`fit(class_weight=)`
            of Keras divides by the number of examples.)
            An example that augmentation mixes from several classes has the mean of their weights.
            The loss on validation data is not weighted.
    """

    class_weights: Literal["balanced"] | dict[str, Positive] | None = Field(
        default=None,
        description="'balanced', or a table of positive weights by the names of labels, such as "
        "{spam = 5.0, ham = 1.0}",
    )


def class_weights(
    setting: Any,
    labels: np.ndarray,
    label_names: Sequence[str],
    argument: str = "training.class_weights",
) -> np.ndarray | None:
    """Return the weight of each class, or None if all examples count alike.

    Args:
        setting: `"balanced"`; a dictionary of weights by the name or index of labels; a weight for
            each label, in order; or None.
        labels: Integer array `(N,)`, the labels of the training examples, for `"balanced"`.
        label_names: The name of each of the `C` labels.
        argument: Name of the setting, for messages.

    Returns:
        A float32 array `(C,)`. `"balanced"` gives class `c` the weight `N / (C * N_c)`, where `N_c`
        is its number of examples: all classes then count alike, and the mean over examples is 1.
        A class without examples, or that the dictionary does not name, has weight 1.

    Raises:
        ValueError: The setting is something else, a label is unknown or named twice, or a weight
            is not a finite number of at least 0.

    Example:

    >>> class_weights("balanced", np.array([0, 0, 0, 1]), ("spam", "ham")).round(2)
    array([0.67, 2.  ], dtype=float32)
    >>> class_weights({"ham": 3.0}, np.array([0, 1]), ("spam", "ham"))
    array([1., 3.], dtype=float32)
    """
    if setting is None:
        return None
    if isinstance(setting, str) and setting == "balanced":
        counts = np.bincount(labels, minlength=len(label_names))
        weights = len(labels) / (len(label_names) * np.maximum(counts, 1))
        return np.where(counts, weights, 1.0).astype("float32")
    by_index: dict[int, float] = {}
    by_name = isinstance(setting, Mapping)
    for label, weight in _weights_by_label(setting, label_names, argument).items():
        index = _label_index(label, label_names, argument) if by_name else label
        if index is None:
            raise ValueError(unknown(f"label in `{argument}`", label, label_names))
        if index in by_index:
            raise ValueError(
                f"`{argument}` must have one weight per label. Received: two for "
                f"{label_names[index]!r}, by different names. Leave out one."
            )
        is_number = isinstance(weight, numbers.Real) and not isinstance(weight, bool)
        if not is_number or not 0.0 <= float(weight) < float("inf"):
            raise ValueError(
                f"The weights in `{argument}` must be finite numbers of at least 0. Received: "
                f"{weight!r} for {label!r}."
            )
        by_index[index] = float(weight)
    return np.array([by_index.get(index, 1.0) for index in range(len(label_names))], "float32")


def _weights_by_label(setting: Any, label_names: Sequence[str], argument: str) -> Mapping[Any, Any]:
    """Return weights as a mapping from labels."""
    if isinstance(setting, Mapping):
        return setting
    if not isinstance(setting, list | tuple | np.ndarray):
        raise ValueError(
            f'`{argument}` must be "balanced", a dictionary from labels to weights, or a weight '
            f"for each label, in order. Received: {setting!r}."
        )
    if len(setting) != len(label_names):
        raise ValueError(
            f"`{argument}` must have a weight for each of the {len(label_names)} labels. "
            f"Received: {counted(len(setting), 'weight')}."
        )
    return dict(enumerate(setting))


def _label_index(label: Any, label_names: Sequence[str], argument: str) -> int | None:
    """Return the index of a label by its name or index, or None if there is no such label."""
    is_boolean = isinstance(label, bool | np.bool_)
    if isinstance(label, numbers.Real) and not is_boolean:
        if names_are_other_numbers(label_names):
            raise ValueError(
                f"The labels in `{argument}` must be strings, because the names of the labels are "
                f"numbers that are not their indices. Received: {label!r}. Give a name, such "
                f"as {label_names[0]!r}, or a list with a weight for each label, in order."
            )
        number = float(label)
        known = number.is_integer() and 0 <= number < len(label_names)
        return int(number) if known else None
    indices = label_lookup(label_names)
    return indices.get(label if isinstance(label, str) else "", indices.get(label_name(label)))
