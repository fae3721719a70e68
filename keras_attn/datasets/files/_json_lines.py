"""Reading of tables with a JSON object per line."""

import dataclasses
import io
import json
import pathlib
from typing import Any

from keras_attn._label_names import label_name
from keras_attn.datasets.files._delimited import find_column
from keras_attn.datasets.files._rows import (
    MALFORMED,
    UNDECODABLE,
    Columns,
    Row,
    Rows,
    is_undecodable,
    make_row,
)


def read_json_lines(
    path: pathlib.Path, content: str, columns: Columns, label_separator: str | None = None
) -> Rows:
    """Read the rows of a table with a JSON object per line.

    Raises:
        ValueError: The file holds a JSON array, or no object has the key of a column.
    """
    names = []
    for argument, column in columns.chosen:
        if not isinstance(column, str):
            raise ValueError(
                f"`{argument}` must be a key of the JSON objects in {path}, as a string. "
                f"Received: {column!r}."
            )
        names.append(column)
    text, *labels = names
    rows = []
    keys: dict[str, None] = {}
    # Like a text file, split only at \n, \r\n and \r.
    for number, line in enumerate(io.StringIO(content, newline=None), start=1):
        if not line.strip():
            continue
        if not keys and line.lstrip().startswith("["):
            raise ValueError(
                f"{path} holds a JSON array; one JSON object a line is read. Convert it, for "
                f"example with: jq -c '.[]' {path.name} > {path.stem}.jsonl"
            )
        if is_undecodable(line):
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
        if labels:
            label = record.get(labels[0])
            rows.append(_make_row(number, record.get(text), label, label_separator))
        else:
            rows.append(_make_text_row(number, record.get(text)))
    for name in names:
        if keys and name not in keys:
            find_column(path, list(keys), name, columns)
    return Rows(rows, ())


def _make_text_row(line: int, text: Any) -> Row:
    if isinstance(text, dict | list):
        return Row(line, problem=MALFORMED)
    return make_row(line, text if isinstance(text, str) else label_name(text), None)


def _make_row(line: int, text: Any, label: Any, label_separator: str | None) -> Row:
    if label_separator is not None and isinstance(label, list):
        # A name in a list may hold the separator.
        row = _make_row(line, text, "", label_separator)
        if row.problem or any(isinstance(name, dict | list) for name in label):
            return row if row.problem else Row(line, problem=MALFORMED)
        names = tuple(filter(None, map(label_name, label)))
        if any(map(is_undecodable, names)):
            return Row(line, problem=UNDECODABLE)
        return dataclasses.replace(row, labels=names)
    if isinstance(text, dict | list) or isinstance(label, dict | list):
        return Row(line, problem=MALFORMED)
    # An escape such as \u0000 gives an undecodable row.
    text, label = (v if isinstance(v, str) else label_name(v) for v in (text, label))
    return make_row(line, text, label, label_separator)
