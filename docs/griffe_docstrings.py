"""Parse the docstrings of this library for the API reference.

Griffe's parser of Google style does not know two conventions of Keras: the section
`Call arguments:` of a layer, and `Returns:` in the docstring of a class, for what a call returns.
"""

import re
from typing import Any

import griffe

CALL_ARGUMENTS = "Call arguments:"
_DOCTEST = re.compile(r"^(>>> .*(?:\n(?!\n|$).+)*)", re.MULTILINE)
_VARIADIC = (griffe.ParameterKind.var_positional, griffe.ParameterKind.var_keyword)


class Docstrings(griffe.Extension):
    """Convert docstrings into what griffe parses, and add the types of call arguments."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Convert a docstring before it is parsed.

        Doctests, up to a blank line each, become fenced code, and `Call arguments:` a section of
        parameters with this title.
        """
        if obj.docstring is not None:
            text = re.sub(r"^Example:$", "**Example**", obj.docstring.value, flags=re.MULTILINE)
            text = re.sub(
                rf"^{CALL_ARGUMENTS}$", f"Args: {CALL_ARGUMENTS}", text, flags=re.MULTILINE
            )
            obj.docstring.value = _DOCTEST.sub(r"```pycon\n\1\n```", text)

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        """Remove the defaults `()` and `{}` that griffe assumes for `*args` and `**kwargs`."""
        for parameter in func.parameters:
            if parameter.kind in _VARIADIC:
                parameter.default = None

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        """Take the types of call arguments and of returned values from the method `call`."""
        call = _call(cls)
        if call is None or cls.docstring is None:
            return
        for section in cls.docstring.parsed:
            if section.title == CALL_ARGUMENTS:
                for parameter in section.value:
                    # One line may describe several arguments: "key_mask, value_mask: ...".
                    declared = call.parameters[parameter.name.partition(",")[0]]
                    parameter.annotation = declared.annotation
                    parameter.value = declared.default
            elif isinstance(section, griffe.DocstringSectionReturns):
                for value in section.value:
                    value.annotation = call.annotation


def _call(cls: griffe.Class) -> griffe.Function | None:
    """Return the method whose arguments and result the docstring of a class describes."""
    for name in ("call", "__call__", "__getitem__"):
        for owner in (cls, *cls.mro()):
            method = owner.members.get(name)
            if isinstance(method, griffe.Function):
                return method
    return None
