"""Reading of tables with a delimiter: CSV, and tab-separated files with or without quoting."""

import csv
import io
import pathlib
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from keras_attn._names import unknown
from keras_attn._wording import counted
from keras_attn.datasets.files._encoding import suggest_encodings
from keras_attn.datasets.files._rows import (
    RAGGED,
    RAGGED_HEADERLESS,
    UNDECODABLE,
    Columns,
    Format,
    Row,
    Rows,
    is_undecodable,
    make_row,
    split_lines,
)

FIELD_LIMIT = 16 * 2**20  # characters; some texts exceed the limit of `csv`, 131,072
_SHOWN = 40  # characters of a field in a message

# A field of a quoted tab-separated file and what follows it.
_FIELD = re.compile(r'(?:"[^"]*(?:""[^"]*)*"|(?P<bare>[^"\t\r\n]*))(?P<end>\t|\r\n?|\n|\Z)')
# What programs that quote every text leave without quotes.
_BARE = re.compile(r"[-+.\deE]*|NA|NaN|nan|NULL|null|None|(?i:true|false)")
# A field that a program quoted: quotes inside are written twice.
_ESCAPED = re.compile(r'"[^"]*(?:""[^"]*)+"')


class Record(NamedTuple):
    """The fields of a row, and the numbers of its first and last line."""

    line: int
    last_line: int
    fields: list[str]


def read_delimited(
    path: pathlib.Path, content: str, columns: Columns, delimiter: str, options: Format
) -> Rows:
    """Read the rows of a table with a delimiter.

    Args:
        path: The file, for messages.
        content: Its text.
        columns: The columns to read.
        delimiter: Field separator.
        options: Whether fields are quoted, and whether there is a header.

    Raises:
        ValueError: A column is unknown, or a quote does not match.
    """
    quoting = options.quoting
    if quoting is None:
        # Most corpora with tabs hold quotes as they are: a quote at the start of a field would
        # swallow all rows up to the next one.
        quoting = delimiter != "\t" or is_quoted_throughout(content)
    records = read_records(path, content, delimiter) if quoting else _unquoted(content, delimiter)
    header = options.header
    if header is None:
        header = not _are_numbers(columns, records[0].fields)
    names = [name.strip() for name in records[0].fields]
    if header:
        if any(map(is_undecodable, names)):
            raise ValueError(
                f"The header of {path} holds bytes that are not of the encoding, or NUL. "
                f"{suggest_encodings(path)}"
            )
        width = len(names)
        records = records[1:]
    else:
        width = Counter(len(record.fields) for record in records).most_common(1)[0][0]
    indices = _find_columns(path, names if header else None, width, columns, names)
    rows = [
        _make_row(record, width, indices, header, options.label_separator) for record in records
    ]
    notes = [_describe(delimiter, quoting, header, names, columns, indices)]
    notes += _warn_of_quotes(records, rows, quoting)
    return Rows(rows, tuple(notes))


def is_quoted_throughout(content: str) -> bool:
    r"""Return whether every field of a tab-separated text is quoted, except numbers and the like.

    Then a program quoted it, and its fields may hold tabs and line breaks.

    Example:

    >>> is_quoted_throughout('"text"\t"label"\n"He said ""no"".\t"\t1\n')
    True
    >>> is_quoted_throughout('text\tlabel\n"No," he said.\t1\n"Yes."\t1\n')
    False
    """
    position, width, quoted = 0, 0, False
    widths = set()
    while position < len(content):
        field = _FIELD.match(content, position)
        if field is None or (field["bare"] is not None and not _BARE.fullmatch(field["bare"])):
            return False
        quoted |= field["bare"] is None
        width += 1
        if field["end"] != "\t":
            blank = width == 1 and field["bare"] == ""
            widths |= set() if blank else {width}
            width = 0
        position = field.end()
    return quoted and len(widths) == 1


def find_column(path: pathlib.Path, header: Sequence[str], name: str, columns: Columns) -> int:
    """Return the index of the column, or key, of a name.

    Raises:
        ValueError: No column has that name, or several have it.
    """
    if name not in header:
        shown = [column if len(column) <= _SHOWN else f"{column[:_SHOWN]}..." for column in header]
        message = unknown(f"column of {path.name}", name, shown)
        for delimiter in ";\t,|":
            if len(header) == 1 and delimiter in header[0]:
                message += (
                    f" The header looks as if the delimiter were {delimiter!r}: pass "
                    f"`delimiter={delimiter!r}`."
                )
        arguments = " and ".join(f"`{argument}`" for argument, _ in columns.chosen)
        raise ValueError(
            f"{message} Columns are chosen by {arguments}; in a table without a header by their "
            "numbers, from 1."
        )
    if header.count(name) > 1:
        raise ValueError(
            f"{path} has {header.count(name)} columns named {name!r}. Rename all but one, or give "
            "the number of the column, from 1."
        )
    return header.index(name)


def _unquoted(content: str, delimiter: str) -> list[Record]:
    return [
        Record(number, number, line.split(delimiter))
        for number, line in enumerate(split_lines(content), start=1)
        if line.strip(" ")
    ]


def read_records(path: pathlib.Path, content: str, delimiter: str) -> list[Record]:
    """Return the fields of all rows of a table with quoting, the header among them."""
    limit = csv.field_size_limit()
    csv.field_size_limit(max(limit, FIELD_LIMIT))
    start, records = 1, []
    # Like a text file, split only at \n, \r\n and \r; `csv` needs the line ends.
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    try:
        for fields in reader:
            if fields:
                records.append(Record(start, reader.line_num, fields))
            start = reader.line_num + 1
    except csv.Error as error:
        if "field limit" in str(error):
            raise ValueError(
                f"{path}: the row that starts on line {start} has a field of more than "
                f"{FIELD_LIMIT:,} characters, likely because a quote is never closed. If quotes "
                "are characters like others in this file, pass `quoting=False`."
            ) from error
        raise ValueError(
            f"{path}: the row that starts on line {start} is not well quoted ({error}). A "
            "field that starts with a quote must end with one, and a quote inside it is "
            "written twice. Fix that line; or, if quotes are characters like others in this "
            "file, pass `quoting=False`."
        ) from error
    finally:
        csv.field_size_limit(limit)
    return records


def _make_row(
    record: Record, width: int, indices: list[int], header: bool, label_separator: str | None
) -> Row:
    fields = record.fields
    if any(map(is_undecodable, fields)):
        return Row(record.line, problem=UNDECODABLE)
    if len(fields) != width:
        return Row(record.line, problem=RAGGED if header else RAGGED_HEADERLESS)
    text, *labels = (fields[index] for index in indices)
    return make_row(record.line, text, labels[0] if labels else None, label_separator)


def _number(column: str | int) -> int | None:
    """Return a column's number, or None for a name."""
    if isinstance(column, str):
        return int(column) if column.isascii() and column.isdecimal() else None
    return column


def _are_numbers(columns: Columns, first: Sequence[str]) -> bool:
    """Return whether all columns are given by number, which no name in the first row is."""
    chosen = [column for _, column in columns.chosen]
    named = all(isinstance(column, str) and column in first for column in chosen)
    return not named and all(_number(column) is not None for column in chosen)


def _find_columns(
    path: pathlib.Path,
    header: list[str] | None,
    width: int,
    columns: Columns,
    first: list[str],
) -> list[int]:
    """Return the indices of the columns, counted from 0."""
    indices: list[int] = []
    for argument, column in columns.chosen:
        number = _number(column)
        if header is not None and isinstance(column, str) and (column in header or number is None):
            indices.append(find_column(path, header, column, columns))
            continue
        if number is None:
            raise ValueError(
                f"`{argument}` must be the number of a column, from 1, for {path} is read without "
                f"a header. Received: {column!r}. Its first row: {_show(first)}."
            )
        if not 1 <= number <= width:
            raise ValueError(
                f"`{argument}` must be a name, or a number from 1 to {width}: {path} has {width} "
                f"columns, counted from 1. Received: {column!r}. Its first row: {_show(first)}."
            )
        indices.append(number - 1)
    if len(set(indices)) < len(indices):
        one, other = columns.arguments
        raise ValueError(
            f"`{one}` and `{other}` must be two columns. Received: {columns.text!r} and "
            f"{columns.label!r}."
        )
    return indices


def _show(fields: Sequence[str]) -> str:
    """Return fields for a message, each cut to some characters."""
    return ", ".join(
        repr(field if len(field) <= _SHOWN else f"{field[:_SHOWN]}...") for field in fields
    )


def _describe(
    delimiter: str,
    quoting: bool,
    header: bool,
    first: list[str],
    columns: Columns,
    indices: list[int],
) -> str:
    """Return a line of the account: how the file was read."""
    separator = {"\t": "tabs", ",": "commas", ";": "semicolons"}.get(delimiter, repr(delimiter))
    chosen = []
    for (argument, _), index in zip(columns.chosen, indices, strict=True):
        role = argument.removesuffix("_column")
        value = first[index] if index < len(first) else ""
        where = repr(value) if header else f"in line 1 {_show([value])}"
        chosen.append(f"{role} in column {index + 1} ({where})")
    return (
        f"Read as separated by {separator}, {'with' if quoting else 'without'} quoting, "
        f"{'with' if header else 'without'} a header: {', '.join(chosen)}."
    )


def _warn_of_quotes(records: list[Record], rows: list[Row], quoting: bool) -> list[str]:
    """Return a note on rows that the other choice of `quoting` would read differently."""
    if quoting:
        lines = [record.line for record in records if record.last_line > record.line]
        noun, verbs, remedy = "quoted row", ("spans several lines", "span several lines"), "False"
        doubt = "If each line is a row of its own"
    else:
        lines = _quoted_lines(records, rows)
        noun, verbs, remedy = "row", ("looks quoted as in CSV", "look quoted as in CSV"), "True"
        doubt = "If a program that quotes fields wrote the file"
    if not lines:
        return []
    shown = ", ".join(map(str, lines[:5])) + (", ..." if len(lines) > 5 else "")
    several = len(lines) > 1
    return [
        f"{counted(len(lines), noun)} {verbs[several]} ({'lines' if several else 'line'} {shown}). "
        f"{doubt}, pass `quoting={remedy}`."
    ]


def _quoted_lines(records: list[Record], rows: list[Row]) -> list[int]:
    """Return the lines of rows that look quoted by a program, if no row speaks against it."""
    lines = []
    for record, row in zip(records, rows, strict=True):
        ragged = row.problem in (RAGGED, RAGGED_HEADERLESS)
        quotes = [field for field in record.fields if '"' in field]
        if any(map(_ESCAPED.fullmatch, quotes)) or (ragged and quotes):
            lines.append(record.line)
        elif any(field[0] != '"' != field[-1] for field in quotes):
            return []  # a program would have quoted this field
    return lines
