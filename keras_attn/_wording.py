"""Counts and lists of names in messages."""

from collections.abc import Collection
from itertools import islice

MAX_LISTED = 20  # names; a longer list is cut
SHOWN = 10  # names of a list that is cut


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun, in the singular for 1.

    Args:
        number: The number.
        noun: The noun in the singular; it may have words before and after it.
        plural: The plural; "" adds an "s" to the noun.

    Example:

    >>> counted(1, "text"), counted(2_000, "text"), counted(0, "batch", "batches")
    ('1 text', '2,000 texts', '0 batches')
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def listed(
    names: Collection[object], noun: str = "in all", limit: int = MAX_LISTED, shown: int = SHOWN
) -> str:
    """Return names for a message; a long list is cut, and says how many there are.

    Args:
        names: The names.
        noun: What to call all of them, in the plural.
        limit: Largest number of names that are not cut.
        shown: Number of names that a list which is cut shows.

    Example:

    >>> listed(["cat", "dog"])
    "'cat', 'dog'"
    >>> listed([f"word {number}" for number in range(100)], "labels", shown=2)
    "'word 0', 'word 1', ... (100 labels)"
    """
    if len(names) <= limit:
        return ", ".join(map(repr, names))
    first = ", ".join(map(repr, islice(names, shown)))
    return f"{first}, ... ({len(names):,} {noun})"
