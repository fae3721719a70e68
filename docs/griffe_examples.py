"""Render the doctests of docstrings as code."""

import re
from typing import Any

import griffe

_DOCTEST = re.compile(r"^(>>> .*(?:\n(?!\n|$).+)*)", re.MULTILINE)


class Examples(griffe.Extension):
    """Put the doctests in docstrings, up to a blank line each, into fences."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Convert the docstring of an object that has been read."""
        if obj.docstring is not None:
            text = re.sub(r"^Example:$", "**Example**", obj.docstring.value, flags=re.MULTILINE)
            obj.docstring.value = _DOCTEST.sub(r"```pycon\n\1\n```", text)
