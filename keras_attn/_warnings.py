"""Warnings that point to the user's line."""

import pathlib
import sys
import warnings

_PACKAGE = str(pathlib.Path(__file__).parent)


def warn_user(message: str) -> None:
    """Issue a `UserWarning` that names the line which called the package.

    Example:

    >>> warn_user("The text is long.")  # doctest: +SKIP
    script.py:3: UserWarning: The text is long.
    """
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level)
