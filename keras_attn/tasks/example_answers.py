"""Answers for a few examples of a data set, which cards show."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class ExampleAnswer:
    """An example of a data set with a model's answer.

    Attributes:
        input: A text, or an image uint8 `(H, W, 3)`.
        target: What the data set says: the name of the label, or the reference translation.
        answer: What the model says.
        score: The model's score of the answer, or None.
    """

    input: str | np.ndarray
    target: str
    answer: str
    score: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the example as a dictionary that can be written as JSON, without an image."""
        values = {"target": self.target, "answer": self.answer, "score": self.score}
        return {"input": self.input, **values} if isinstance(self.input, str) else values


def right_and_wrong(examples: Sequence[ExampleAnswer], count: int) -> list[ExampleAnswer]:
    """Return the first examples with right and with wrong answers: of five, three and two.

    Args:
        examples: Examples in the order of the data set.
        count: Number of examples to return. There are fewer if either kind is too rare.

    Example:

    >>> examples = [ExampleAnswer(text, "a", label) for text, label in zip("1234", "aaba")]
    >>> [example.input for example in right_and_wrong(examples, 3)]
    ['1', '2', '3']
    """
    right = [example for example in examples if example.answer == example.target]
    wrong = [example for example in examples if example.answer != example.target]
    return [*right[: count - count // 2], *wrong[: count // 2]]
