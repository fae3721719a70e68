"""Checks of argument values that many functions and layers repeat."""

import numbers
from typing import Any


def check_positive_integer(name: str, value: Any, owner: str = "") -> None:
    """Raise ValueError unless `value` is a positive integer.

    Args:
        name: Name of the argument.
        value: The value that was received.
        owner: Name of the layer or function that takes the argument; it starts the message.

    Raises:
        ValueError: `value` is a bool, is not an `int`, or is below 1.

    Example:

    >>> check_positive_integer("beam_size", 0)
    Traceback (most recent call last):
    ValueError: `beam_size` must be an integer of at least 1. Received: 0.
    >>> check_positive_integer("num_heads", 2.5, owner="MultiHeadAttention")
    Traceback (most recent call last):
    ValueError: MultiHeadAttention: `num_heads` must be an integer of at least 1. Received: 2.5.
    """
    _check_integer(name, value, 1, owner)


def check_integer_at_least(least: int, **arguments: Any) -> None:
    """Raise ValueError unless every argument is an integer of at least `least`.

    Args:
        least: The smallest accepted value.
        arguments: The received values by the names of the arguments.

    Raises:
        ValueError: A value is a bool, is not an `int`, or is below `least`.

    Example:

    >>> check_integer_at_least(0, seed=3, epoch=-1)
    Traceback (most recent call last):
    ValueError: `epoch` must be an integer of at least 0. Received: -1.
    """
    for name, value in arguments.items():
        _check_integer(name, value, least)


def check_rate(name: str, value: Any, owner: str = "") -> None:
    """Raise ValueError unless `value` is a rate: a real number in [0, 1).

    Args:
        name: Name of the argument.
        value: The value that was received.
        owner: Name of the layer or function that takes the argument; it starts the message.

    Raises:
        ValueError: `value` is a bool, is not a real number, or is outside [0, 1).

    Example:

    >>> check_rate("dropout", 1.0)
    Traceback (most recent call last):
    ValueError: `dropout` must be a rate in [0, 1). Received: 1.0.
    """
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not 0.0 <= value < 1.0:
        raise ValueError(f"{_prefix(owner)}`{name}` must be a rate in [0, 1). Received: {value!r}.")


def _check_integer(name: str, value: Any, least: int, owner: str = "") -> None:
    # `True` is an instance of `int`, and would count as 1.
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(
            f"{_prefix(owner)}`{name}` must be an integer of at least {least}. Received: {value!r}."
        )


def _prefix(owner: str) -> str:
    return f"{owner}: " if owner else ""
