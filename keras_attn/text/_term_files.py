"""Readable files of distinct strings, one per line, in UTF-8."""

import os
import pathlib
from collections.abc import Iterable

from keras_attn._files import replacing


def check_terms(terms: Iterable[str], kind: str = "term") -> tuple[str, ...]:
    """Return terms as a tuple, if a file can hold them.

    Args:
        terms: Distinct strings.
        kind: What a term is called in messages.

    Raises:
        TypeError: `terms` is one string, or a term is not a `str`.
        ValueError: A term is empty, contains a line break, occurs twice, or is not valid
            Unicode. The message names the first such term.
    """
    if isinstance(terms, (str, bytes)):
        raise TypeError(f"Expected a list of {kind}s. Received one string: {terms!r}.")
    terms = tuple(terms)
    seen: set[str] = set()
    for index, term in enumerate(terms):
        if not isinstance(term, str):
            raise TypeError(f"A {kind} must be a str. Received: {term!r}, number {index}.")
        if not term or "\n" in term or "\r" in term:
            raise ValueError(
                f"A {kind} must have at least one character and no line break. "
                f"Received: {term!r}, number {index}."
            )
        if term in seen:
            raise ValueError(f"The {kind}s must be distinct. Received {term!r} twice.")
        try:
            term.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(f"A {kind} must be valid Unicode. Received: {term!r}.") from error
        seen.add(term)
    return terms


def write_terms(path: str | os.PathLike[str], terms: Iterable[str]) -> None:
    """Write terms to a file, one per line, atomically."""
    with replacing(pathlib.Path(path)) as partial:
        partial.write_bytes("".join(f"{term}\n" for term in terms).encode("utf-8"))


def read_terms(
    path: str | os.PathLike[str], kind: str = "term", *, allow_none: bool = False
) -> tuple[str, ...]:
    """Read a file that `write_terms` wrote.

    Args:
        path: The file.
        kind: What a term is called in messages.
        allow_none: Whether an empty file is accepted, as models that were not adapted save it.

    Raises:
        ValueError: The file does not exist, is empty, is not UTF-8, is cut short, or holds what
            `check_terms` refuses.
    """
    try:
        content = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise ValueError(
            f"Could not read the {kind}s from {str(path)!r}: {error.strerror}. Save the model, "
            "or write the file, again."
        ) from error
    try:
        lines = content.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{str(path)!r} holds no list of {kind}s: {error}.") from error
    if not content and not allow_none:
        raise ValueError(
            f"{str(path)!r} is empty: it must hold the {kind}s of a model, one per line. Restore "
            "the file, or save the model again."
        )
    if lines.pop():
        raise ValueError(
            f"{str(path)!r} does not end with a line break: it may be cut short. If it is "
            "whole, add one."
        )
    try:
        return check_terms(lines, kind)
    except ValueError as error:
        raise ValueError(f"{str(path)!r} is damaged: {error}") from error
