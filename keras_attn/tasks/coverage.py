"""Report how much of a text a model knows."""

from collections.abc import Sequence
from typing import Any

MIN_KNOWN_SHARE = 0.5  # below this share of known units, an answer is marked
SAYS_LITTLE = "The answer says little about the text"
MAX_WARNINGS = 5


def is_little_known(known: int, total: int) -> bool:
    """Return whether an answer rests on little: fewer than half of the units are known.

    Example:

    >>> is_little_known(1, 8), is_little_known(7, 8), is_little_known(0, 0)
    (True, False, True)
    """
    return known < MIN_KNOWN_SHARE * total or total == 0


def known_share(known: int, total: int, units: str) -> str:
    """Return how much of a text a model knows, as a clause.

    Example:

    >>> known_share(3, 4, "words")
    'the model knows 3 of 4 words'
    >>> known_share(0, 0, "words")
    'the text is empty: it has no words'
    """
    if total == 0:
        return f"the text is empty: it has no {units}"
    return f"the model knows {known} of {total} {units}"


def coverage_warnings(answers: Sequence[Any], first: int = 1) -> list[str]:
    """Return a warning for each of the first inputs of which the model knows little.

    Args:
        answers: Answers, or lists of alternative answers. Those without an attribute `coverage`,
            such as answers for images, are skipped.
        first: The number of the first input, for messages.

    Example:

    >>> from keras_attn.tasks import Translation
    >>> coverage_warnings([Translation("Ja.", -1.0, 3, 3), Translation("Ja?", -9.0, 4, 0)])
    ['text 2: the model knows 0 of 4 characters. The answer says little about the text.']
    """
    warnings = []
    for number, answer in enumerate(answers, start=first):
        best = answer[0] if isinstance(answer, list) else answer
        coverage = getattr(best, "coverage", None)
        if coverage is None or not is_little_known(*coverage[:2]):
            continue
        known, total, units = coverage
        which = f"text {number}: " if len(answers) > 1 or first > 1 else ""
        warnings.append(f"{which}{known_share(known, total, units)}. {SAYS_LITTLE}.")
    if len(warnings) > MAX_WARNINGS:
        more = len(warnings) - MAX_WARNINGS
        warnings[MAX_WARNINGS:] = [f"the same holds for {more} more of {len(answers)} texts."]
    return warnings
