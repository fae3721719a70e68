"""Reading of the rows of tables and parallel files, with the problem of each invalid row."""

import codecs
import csv
import dataclasses
import io
import json
import math
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from keras_attn._names import unknown

EMPTY = "empty text"
NO_LABEL = "missing label"
RAGGED = "ragged (another number of fields than the header)"
UNDECODABLE = "undecodable bytes, or NUL"
MALFORMED = "malformed (no JSON object, or a value that is a list or an object)"

DELIMITERS = {".csv": ",", ".tsv": "\t"}
JSON_LINES = (".jsonl", ".ndjson", ".json")
MAX_UNDECODABLE = 0.01  # fraction of the rows; more mean another encoding, not damaged lines
FIELD_LIMIT = 16 * 2**20  # characters; some texts exceed the limit of `csv`, 131,072

_SURROGATE = re.compile("[\ud800-\udfff]")  # a byte that `surrogateescape` could not decode


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a file.

    Attributes:
        line: Number of the line where it starts, counted from 1.
        text: Its text.
        label: Its label.
        problem: Why it cannot be used, or None.
    """

    line: int
    text: str = ""
    label: str = ""
    problem: str | None = None


class Columns(NamedTuple):
    """The columns to read, and the names of the arguments that select them."""

    text: str
    label: str
    arguments: tuple[str, str] = ("text_column", "label_column")


def read_rows(
    path: pathlib.Path, columns: Columns, delimiter: str | None, encoding: str
) -> list[Row]:
    """Read all rows of a table, in order. Blank lines are not rows.

    Args:
        path: The file; its suffix determines the format.
        columns: The columns to read.
        delimiter: Field separator, or None for that of the suffix.
        encoding: Encoding of the file.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The arguments or the format of the file are invalid.
    """
    suffix = path.suffix.lower()
    if suffix not in DELIMITERS and suffix not in JSON_LINES:
        accepted = ", ".join([*DELIMITERS, *JSON_LINES])
        raise ValueError(
            f"The name of a table must end in one of {accepted}; the .json ones hold one JSON "
            f"object a line. Received: {str(path)!r}. Rename or convert the file."
        )
    if columns.text == columns.label:
        one, other = columns.arguments
        raise ValueError(
            f"`{one}` and `{other}` must be two columns. Received: {columns.text!r} for both."
        )
    if delimiter is not None and (
        suffix in JSON_LINES or len(delimiter) != 1 or delimiter in '"\r\n'
    ):
        raise ValueError(
            "`delimiter` is one character, no quote and no line end, for .csv and .tsv files. "
            f"Received: {delimiter!r} for {str(path)!r}."
        )
    if not path.is_file():
        raise FileNotFoundError(f"There is no table {str(path)!r}.")
    content = _decode(path, encoding)
    if not content.strip():
        raise ValueError(f"{path} is empty.")
    # Like a text file, split only at \n, \r\n and \r; `csv` needs the line ends.
    lines = io.StringIO(content, newline="")
    if suffix in JSON_LINES:
        return _read_json_lines(path, lines, columns)
    limit = csv.field_size_limit()
    csv.field_size_limit(max(limit, FIELD_LIMIT))
    try:
        rows = _read_csv(path, lines, columns, delimiter or DELIMITERS[suffix])
    finally:
        csv.field_size_limit(limit)
    return rows


def parallel_rows(path: pathlib.Path, second: pathlib.Path, encoding: str) -> list[Row]:
    """Read a row from each line of two files: texts from the first, labels from the second.

    Args:
        path: File with a text per line.
        second: File with the label, or translation, of each line of the first.
        encoding: Encoding of both files.

    Raises:
        FileNotFoundError: A file does not exist.
        ValueError: A file is empty, or the numbers of lines differ.
    """
    columns = []
    for file in (path, second):
        if not file.is_file():
            raise FileNotFoundError(f"There is no file {str(file)!r}.")
        content = _decode(file, encoding)
        if not content.strip():
            raise ValueError(f"{file} is empty.")
        # `splitlines` would also split at characters that occur inside of sentences.
        columns.append(content.removesuffix("\n").split("\n"))
    if len(columns[0]) != len(columns[1]):
        raise ValueError(
            "Of parallel files, each line must belong to the same line of the other. Received: "
            f"{len(columns[0]):,} lines in {path}, {len(columns[1]):,} lines in {second}. Find "
            "where they part, or write both as two columns of one .tsv file."
        )
    rows = []
    for line, fields in enumerate(zip(*columns, strict=True), start=1):
        if any("\0" in field or _SURROGATE.search(field) for field in fields):
            rows.append(Row(line, problem=UNDECODABLE))
        else:
            rows.append(_make_row(line, *fields))
    return rows


def check_decodable(path: object, rows: Sequence[Row], encoding: str) -> None:
    """Raise ValueError if more than 1 % of the rows cannot be decoded."""
    lines = [row.line for row in rows if row.problem == UNDECODABLE]
    if len(lines) > MAX_UNDECODABLE * len(rows):
        raise ValueError(
            f"{len(lines)} of the {len(rows)} rows of {path} hold bytes that are not "
            f"{encoding}, or NUL characters: those on lines {', '.join(map(str, lines[:5]))} "
            "first. The file was likely written in another encoding: try "
            'encoding="cp1252" or "latin-1" (Windows, Western Europe), or "utf-16" if there '
            "are NULs."
        )


def _decode(path: pathlib.Path, encoding: str) -> str:
    try:
        codec = codecs.lookup(encoding).name
    except LookupError as error:
        raise ValueError(
            f"`encoding` must be one that Python knows, such as 'utf-8', 'latin-1', 'cp1252' or "
            f"'utf-16'. Received: {encoding!r}."
        ) from error
    content = path.read_bytes()
    if codec == "utf-8" and content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError(f"{path} starts as a UTF-16 file does. Read it with encoding='utf-16'.")
    try:
        return content.decode(codec, "surrogateescape").removeprefix("\ufeff")
    except (UnicodeError, LookupError) as error:  # LookupError: a codec that is not for texts
        raise ValueError(f"{path} is not a text in {encoding}: {error}.") from error


def _read_csv(
    path: pathlib.Path, lines: io.StringIO, columns: Columns, delimiter: str
) -> list[Row]:
    records = _iterate_csv(path, lines, delimiter)
    _, header = next(records)
    header = [name.strip() for name in header]
    if any("\0" in name or _SURROGATE.search(name) for name in header):
        raise ValueError(
            f"The header of {path} holds bytes that are not of the encoding, or NUL. "
            "Try encoding='cp1252' or 'latin-1', or for NUL 'utf-16-le'."
        )
    text, label = (_find_column(path, header, name, columns) for name in columns[:2])
    rows = []
    for line, fields in records:
        if any("\0" in field or _SURROGATE.search(field) for field in fields):
            rows.append(Row(line, problem=UNDECODABLE))
        elif len(fields) != len(header):
            rows.append(Row(line, problem=RAGGED))
        else:
            rows.append(_make_row(line, fields[text], fields[label]))
    return rows


def _iterate_csv(
    path: pathlib.Path, lines: io.StringIO, delimiter: str
) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line number and the fields of each record."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        start = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ValueError(
                f"{path}: the row that starts on line {start} is not well quoted ({error}). A "
                "field that starts with a quote must end with one, and a quote inside it is "
                "written twice. Mend that line, or write the file as JSON lines (.jsonl)."
            ) from error
        if fields:
            yield start, fields


def _find_column(path: pathlib.Path, header: list[str], name: str, columns: Columns) -> int:
    """Return the index of a column."""
    if name not in header:
        message = unknown(f"column of {path.name}", name, header)
        for delimiter in ";\t,|":
            if len(header) == 1 and delimiter in header[0]:
                message += f" The header looks as if the delimiter were {delimiter!r}: give it."
        one, other = columns.arguments
        raise ValueError(f"{message} Columns are chosen by `{one}` and `{other}`.")
    if header.count(name) > 1:
        raise ValueError(
            f"{path} has {header.count(name)} columns named {name!r}. Rename all but one."
        )
    return header.index(name)


def _read_json_lines(path: pathlib.Path, lines: io.StringIO, columns: Columns) -> list[Row]:
    rows = []
    keys: dict[str, None] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if not keys and line.lstrip().startswith("["):
            raise ValueError(
                f"{path} holds a JSON array; one JSON object a line is read. Convert it, for "
                f"example with: jq -c '.[]' {path.name} > {path.stem}.jsonl"
            )
        if "\0" in line or _SURROGATE.search(line):
            rows.append(Row(number, problem=UNDECODABLE))
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):  # not JSON, a number too long, a nest too deep
            record = None
        if not isinstance(record, dict):
            rows.append(Row(number, problem=MALFORMED))
            continue
        keys.update(dict.fromkeys(record))
        rows.append(_make_json_row(number, record.get(columns.text), record.get(columns.label)))
    for name in columns[:2]:
        if keys and name not in keys:
            _find_column(path, list(keys), name, columns)
    return rows


def _make_json_row(line: int, text: Any, label: Any) -> Row:
    if isinstance(text, dict | list) or isinstance(label, dict | list):
        return Row(line, problem=MALFORMED)
    text, label = _to_text(text), _to_text(label)
    if any("\0" in field or _SURROGATE.search(field) for field in (text, label)):
        return Row(line, problem=UNDECODABLE)  # an escape such as \u0000
    return _make_row(line, text, label)


def _to_text(value: Any) -> str:
    """Return a JSON value as text; missing values are empty."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    # Tools without missing integers write 1.0 for 1: both are the same label.
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _make_row(line: int, text: str, label: str) -> Row:
    text, label = text.strip(), label.strip()
    if not text:
        return Row(line, problem=EMPTY)
    if not label:
        return Row(line, problem=NO_LABEL)
    return Row(line, text, label)
