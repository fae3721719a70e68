"""Checks of arguments that many functions take."""

from typing import Any


def check_count(name: str, value: Any) -> None:
    """Refuse what is no number of things.

    Raises:
        ValueError: `value` is not an integer of at least 1.

    Example:

    >>> check_count("beam_size", 0)
    Traceback (most recent call last):
    ValueError: `beam_size` must be an integer of at least 1. Received: 0.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"`{name}` must be an integer of at least 1. Received: {value!r}.")
