"""The answer of a classifier, whatever it reads."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class Classification(NamedTuple):
    """The answer for one example.

    Attributes:
        label: the most probable label.
        score: its probability, in [0, 1].
        probabilities: the probability of every label.
    """

    label: str
    score: float
    probabilities: dict[str, float]


def answer(label_names: Sequence[str], probabilities: np.ndarray) -> Classification:
    """The answer from one example's probabilities `(C,)`."""
    best = int(probabilities.argmax())
    named = dict(zip(label_names, map(float, probabilities), strict=True))
    return Classification(label_names[best], float(probabilities[best]), named)


def served(label_names: Sequence[str], probabilities: Any) -> dict[str, Any]:
    """The named outputs of a SavedModel, from a TensorFlow tensor `(B, C)`."""
    import tensorflow as tf

    best = tf.argmax(probabilities, axis=-1)
    return {
        "label": tf.gather(tf.constant(list(label_names)), best),
        "score": tf.reduce_max(probabilities, axis=-1),
        "probabilities": probabilities,
    }


def checked_label_names(task: str, label_names: Sequence[str], outputs: int) -> tuple[str, ...]:
    """Different names, one for each output of a network.

    Raises:
        ValueError: they are not that.
    """
    if isinstance(label_names, str) or len(set(label_names)) != len(label_names):
        raise ValueError(
            f"`label_names` must be a list of different names. Received: {label_names!r}."
        )
    if outputs != len(label_names):
        raise ValueError(
            f"{task} needs one name for each output of the network. Received: "
            f"{len(label_names)} names for {outputs} outputs."
        )
    return tuple(label_names)


def check_export_arguments(task: str, arguments: dict[str, Any]) -> None:
    """Refuse what Keras's `export` takes and a SavedModel of ours does not."""
    if arguments:
        raise TypeError(
            f"{task}.export writes a TensorFlow SavedModel and takes a path alone. "
            f"Received: {', '.join(arguments)}. For other formats export `.network`."
        )
