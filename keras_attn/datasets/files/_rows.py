"""The rows of a file, with the problem of each row that cannot be used."""

import dataclasses
import re
from typing import NamedTuple

EMPTY = "empty text"
NO_LABEL = "missing label"
RAGGED = "ragged (another number of fields than the header)"
RAGGED_HEADERLESS = "ragged (another number of fields than most rows)"
UNDECODABLE = "undecodable bytes, or NUL"
MALFORMED = "malformed (no JSON object, or a value that is a list or an object)"

_UNUSABLE = re.compile("[\0\ud800-\udfff]")  # NUL, or a byte that `surrogateescape` kept


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a file.

    Attributes:
        line: Number of the line where it starts, counted from 1.
        text: Its text.
        label: Its label.
        labels: Its labels, if it may have several or none.
        problem: Why it cannot be used, or None.
    """

    line: int
    text: str = ""
    label: str = ""
    labels: tuple[str, ...] = ()
    problem: str | None = None


class Rows(NamedTuple):
    """The rows of a file, in order, and notes on how it was read."""

    rows: list[Row]
    notes: tuple[str, ...]


class Columns(NamedTuple):
    """The columns to read, and the names of the arguments that select them.

    A column is selected by its name, or by its number, counted from 1. Without a column of labels,
    rows have none.
    """

    text: str | int
    label: str | int | None
    arguments: tuple[str, ...] = ("text_column", "label_column")

    @property
    def chosen(self) -> list[tuple[str, str | int]]:
        """The arguments, and the column that each selects."""
        columns = [column for column in self[:2] if column is not None]
        return list(zip(self.arguments, columns, strict=True))


@dataclasses.dataclass(frozen=True)
class Format:
    r"""The format of a file as it was passed; None is determined from the file.

    Attributes:
        delimiter: Field separator, one character.
        quoting: Whether fields with delimiters, quotes or line breaks are in quotes.
        header: Whether the first row holds the names of the columns.
        encoding: Encoding, as Python names it.
        label_separator: Separator of the labels of a text, which may have several or none; None for
            exactly one label.
    """

    delimiter: str | None = None
    quoting: bool | None = None
    header: bool | None = None
    encoding: str | None = None
    label_separator: str | None = None


def make_row(line: int, text: str, label: str | None, label_separator: str | None = None) -> Row:
    """Return the row of a text and its label, or its labels if there is a separator of them.

    Args:
        line: Number of its line.
        text: Its text.
        label: Its label; None if there is no column of labels.
        label_separator: Separator of labels.
    """
    if _UNUSABLE.search(text) or _UNUSABLE.search(label or ""):
        return Row(line, problem=UNDECODABLE)
    text = text.strip()
    if not text:
        return Row(line, problem=EMPTY)
    if label is None:
        return Row(line, text)
    label = label.strip()
    if label_separator is not None:
        labels = (name.strip() for name in label.split(label_separator))
        return Row(line, text, labels=tuple(filter(None, labels)))
    if not label:
        return Row(line, problem=NO_LABEL)
    return Row(line, text, label)


def is_undecodable(text: str) -> bool:
    """Return whether a text holds NUL, or a byte that is not of its encoding."""
    return _UNUSABLE.search(text) is not None


def split_lines(content: str) -> list[str]:
    r"""Split at line ends: "\n" or "\r\n", or "\r" in a file without "\n", of an old Macintosh.

    Unlike `str.splitlines` it does not split at characters that occur inside of sentences.

    Example:

    >>> split_lines("one\r\ntwo\u2028too\n"), split_lines("one\rtwo")
    (['one', 'two\u2028too'], ['one', 'two'])
    """
    end = "\n" if "\n" in content else "\r"
    lines = content.removesuffix(end).split(end)
    return [line.removesuffix("\r") for line in lines]
