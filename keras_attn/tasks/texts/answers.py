"""The answers of a text classifier."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_attn.tasks.classification import classification_answers, label_columns


class TextClassification(NamedTuple):
    """The answer of a text classifier for one text.

    Attributes:
        label: The most probable label.
        score: Its probability, in [0, 1].
        probabilities: The probability of every label.
        words: Number of words that are read of the text, punctuation marks included.
        known_words: Number of those that are in the vocabulary. An answer for a text of which few
            words are known says little about it, however high its score.
    """

    label: str
    score: float
    probabilities: dict[str, float]
    words: int
    known_words: int

    @property
    def coverage(self) -> tuple[int, int, str]:
        """The number of known words, of all words, and what they are called."""
        return self.known_words, self.words, "words"

    @property
    def summary(self) -> str:
        """The label and its score."""
        return f"{self.label} ({self.score:.3f})"

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as a dictionary that can be written as JSON."""
        return self._asdict()

    def to_columns(self, top: int = 3) -> dict[str, str]:
        """Return label, score, the next labels and the known words as cells of a table row."""
        return {**label_columns(self, top), "known": f"{self.known_words}/{self.words}"}


class MultiLabelTextClassification(NamedTuple):
    """The answer of a text classifier whose texts may have several labels, or none.

    Attributes:
        labels: The labels whose probability is at least the threshold of the model, in the order
            of the label names.
        probabilities: The probability of every label; they do not sum to 1.
        words: Number of words that are read of the text, punctuation marks included.
        known_words: Number of those that are in the vocabulary.
    """

    labels: tuple[str, ...]
    probabilities: dict[str, float]
    words: int
    known_words: int

    @property
    def coverage(self) -> tuple[int, int, str]:
        """The number of known words, of all words, and what they are called."""
        return self.known_words, self.words, "words"

    @property
    def summary(self) -> str:
        """The labels with their probabilities, the most probable first."""
        return self._listed(self.labels) or "no label"

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as a dictionary that can be written as JSON."""
        return {**self._asdict(), "labels": list(self.labels)}

    def to_columns(self, top: int = 3) -> dict[str, str]:
        """Return the labels, the next ones up to `top`, and the known words as table cells."""
        others = set(self.probabilities) - set(self.labels)
        ranked = sorted(others, key=lambda name: -self.probabilities[name])
        return {
            "labels": self.summary,
            "also": self._listed(ranked[: max(0, top - len(self.labels))]),
            "known": f"{self.known_words}/{self.words}",
        }

    def _listed(self, names: Iterable[str]) -> str:
        ranked = sorted(names, key=lambda name: -self.probabilities[name])
        return ", ".join(f"{name} ({self.probabilities[name]:.3f})" for name in ranked)


def text_answers(
    label_names: Sequence[str], probabilities: np.ndarray, words: np.ndarray, known: np.ndarray
) -> list[TextClassification]:
    """Return the answer for each text.

    Args:
        label_names: The `C` labels.
        probabilities: Probabilities `(N, C)`.
        words: Integers `(N,)`, the number of words of each text.
        known: Integers `(N,)`, how many of them are known.
    """
    answers = classification_answers(label_names, probabilities)
    counts = zip(answers, words.tolist(), known.tolist(), strict=True)
    return [TextClassification(*answer, total, part) for answer, total, part in counts]
