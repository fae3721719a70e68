"""Messages for settings that pydantic has refused: what each must be, and what was received."""

import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import pydantic

_MAX_SHOWN = 80  # characters of a received value
_KINDS = {
    "bool": "true or false",
    "int": "an integer",
    "float": "a number",
    "finite": "a finite number",
    "string": "a string",
    "dict": "a table, such as {key = 1}",
    "list": "a list",
    "tuple": "a list",
    "model": "a section of keys",
}
_BOUNDS = {
    "greater_than": "greater than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "too_short": "a longer list",
}


class Problem(typing.NamedTuple):
    """A setting that was refused.

    Attributes:
        key: Its key, with sections separated by dots; "" for several keys at once.
        type: `"unknown"`, `"missing"`, `"impossible"`, or `"other"` for a message about keys.
        text: What is wrong, as a sentence without its subject; for `"other"` a whole sentence.
    """

    key: str
    type: str
    text: str


def setting_problems(
    error: pydantic.ValidationError, owner: type[pydantic.BaseModel] | None = None
) -> list[Problem]:
    """Return what is wrong with each key.

    A key that may have values of several types has one problem, which names all of them.

    Args:
        error: The error of pydantic.
        owner: The model that was validated, which distinguishes keys from the alternatives of a
            type; None for a dataclass, whose keys have no sections.

    Example:

    >>> class Size(pydantic.BaseModel):
    ...     width: typing.Annotated[int, pydantic.Field(gt=0)] | typing.Literal["auto"] = 1
    >>> try:
    ...     Size(width="wide")
    ... except pydantic.ValidationError as error:
    ...     print(setting_problems(error, Size)[0].text)
    must be an integer or 'auto'. Received: 'wide'.
    """
    problems: dict[str, Problem] = {}
    impossible: dict[str, list[tuple[Sequence[Any], Mapping[str, Any]]]] = {}
    descriptions: dict[str, str] = {}
    for problem in error.errors():
        path, inner, description = _locate(problem["loc"], owner)
        key = ".".join(map(str, path))
        if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            problems[key] = Problem(key, "unknown", "")
        elif problem["type"] == "missing":
            problems[key] = Problem(key, "missing", "missing.")
        elif problem["type"] == "value_error":
            problems[key] = Problem(key, "other", f"{str(problem['ctx']['error']).rstrip('.')}.")
        else:
            impossible.setdefault(key, []).append((inner, problem))
            problems.setdefault(key, Problem(key, "impossible", ""))
            descriptions[key] = description
    for key, entries in impossible.items():
        # A table with an impossible value fails as a table there, and as each other type as such.
        depth = max(len(inner) for inner, _ in entries)
        deepest = [(inner, problem) for inner, problem in entries if len(inner) == depth]
        where = ".".join([key, *map(str, deepest[0][0])])
        expected = dict.fromkeys(_expected(problem) for _, problem in deepest)
        must = descriptions[key] if depth == 0 and descriptions[key] else " or ".join(expected)
        received = repr(deepest[0][1]["input"])
        if len(received) > _MAX_SHOWN:
            received = f"{received[:_MAX_SHOWN]}..."
        problems[key] = Problem(where, "impossible", f"must be {must}. Received: {received}.")
    return list(problems.values())


def _locate(
    location: Sequence[Any], owner: type[pydantic.BaseModel] | None
) -> tuple[list[Any], list[Any], str]:
    """Return the key of a location, the keys within its value, and the description of the key."""
    if owner is None:
        return list(location[:1]), [part for part in location[1:] if isinstance(part, int)], ""
    path: list[Any] = []
    section: Any = owner
    remaining = list(location)
    description = ""
    while remaining:
        name = remaining.pop(0)
        path.append(name)
        if isinstance(name, int):  # an index of a list of sections
            continue
        field = getattr(section, "model_fields", {}).get(name)
        if field is None:
            return path, remaining, ""
        description = field.description or ""
        alternatives = _alternatives(field.annotation)
        if len(alternatives) > 1:
            return path, remaining[1:], description  # without the name of the alternative
        section = alternatives[0]
        if typing.get_origin(section) is list:
            (section,) = typing.get_args(section)
            if not remaining or not hasattr(section, "model_fields"):
                return path, remaining, description
        elif not hasattr(section, "model_fields"):
            return path, remaining, description
    return path, [], description


def _alternatives(annotation: Any) -> list[Any]:
    """Return the types of a union without None, or the type itself."""
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return [annotation]
    return [part for part in typing.get_args(annotation) if part is not type(None)]


def _expected(problem: Mapping[str, Any]) -> str:
    """Return what a value must be, as the rest of a sentence."""
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "literal_error":
        one_of = "one of " if " or " in context["expected"] else ""
        return f"{one_of}{context['expected']}"
    if kind in _BOUNDS:
        return _BOUNDS[kind].format(**context)
    named = _KINDS.get(kind.partition("_")[0])
    return named or str(problem["msg"]).removeprefix("Input should be ").rstrip(".")
