"""Reading of the rows of tables and parallel files, in any format."""

import pathlib

from keras_attn._wording import counted
from keras_attn.datasets.files._delimited import read_delimited
from keras_attn.datasets.files._encoding import check_decodable, decode_file
from keras_attn.datasets.files._json_lines import read_json_lines
from keras_attn.datasets.files._rows import Columns, Format, Row, Rows, make_row, split_lines

DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": "\t"}
JSON_LINES = (".jsonl", ".ndjson", ".json")


def read_rows(path: pathlib.Path, columns: Columns, options: Format) -> Rows:
    """Read all rows of a table, in order. Blank lines are not rows.

    Args:
        path: The file; its suffix determines the format.
        columns: The columns to read.
        options: What is known of the format.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The arguments or the format of the file are invalid, there are no rows, or
            more than 1 % of the rows cannot be decoded.
    """
    suffix = path.suffix.lower()
    if suffix not in DELIMITERS and suffix not in JSON_LINES:
        accepted = ", ".join([*DELIMITERS, *JSON_LINES])
        raise ValueError(
            f"The name of a table must end in one of {accepted}; the .json ones hold one JSON "
            f"object a line. Received: {str(path)!r}. Rename or convert the file."
        )
    _check_options(path, columns, options)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no table {str(path)!r}. {_describe_folder(path)} Give the path of a file "
            f"that ends in one of {', '.join([*DELIMITERS, *JSON_LINES])}."
        )
    content, encoding = decode_file(path, options.encoding)
    if suffix in JSON_LINES:
        result = read_json_lines(path, content, columns, options.label_separator)
    else:
        delimiter = options.delimiter or DELIMITERS[suffix]
        result = read_delimited(path, content, columns, delimiter, options)
    if not result.rows:
        raise ValueError(f"{path} has a header and no rows. A row for each example must follow it.")
    check_decodable([path], result.rows, encoding)
    return result._replace(notes=(*_describe_encoding(encoding), *result.notes))


def parallel_rows(path: pathlib.Path, second: pathlib.Path, encoding: str | None) -> Rows:
    """Read a row from each line of two files: texts from the first, labels from the second.

    Args:
        path: File with a text per line.
        second: File with the label, or translation, of each line of the first.
        encoding: Encoding of both files, or None, see `decode_file`.

    Raises:
        FileNotFoundError: A file does not exist.
        ValueError: A file is empty, the numbers of lines differ, or more than 1 % of the rows
            cannot be decoded.
    """
    sides, encodings = [], []
    for file in (path, second):
        if not file.is_file():
            raise FileNotFoundError(
                f"There is no file {str(file)!r}. {_describe_folder(file)} Give the path of a file "
                "with a sentence per line."
            )
        content, name = decode_file(file, encoding)
        sides.append(split_lines(content))
        encodings.append(name)
    if len(sides[0]) != len(sides[1]):
        raise ValueError(
            "Parallel files must have equally many lines, one pair each. Received: "
            f"{counted(len(sides[0]), 'line')} in {path}, {counted(len(sides[1]), 'line')} in "
            f"{second}. Find where they part, or write both as two columns of one .tsv file."
        )
    rows: list[Row] = [
        make_row(line, text, label)
        for line, (text, label) in enumerate(zip(*sides, strict=True), start=1)
    ]
    used = " and ".join(dict.fromkeys(encodings))
    check_decodable([path, second], rows, used)
    return Rows(rows, _describe_encoding(used))


def _describe_folder(path: pathlib.Path) -> str:
    """Return where a path that does not exist was looked for, for messages."""
    if path.is_dir():
        return "It is a folder."
    if path.is_absolute():
        return f"Its folder {'exists' if path.parent.is_dir() else 'does not exist either'}."
    return f"The current folder is {str(pathlib.Path.cwd())!r}."


def _describe_encoding(encoding: str) -> tuple[str, ...]:
    return () if encoding == "utf-8" else (f"Decoded from {encoding}.",)


def _check_options(path: pathlib.Path, columns: Columns, options: Format) -> None:
    """Raise ValueError if an option does not fit the file or another option."""
    for name, column in columns.chosen:
        if isinstance(column, bool) or not isinstance(column, str | int):
            raise ValueError(
                f"`{name}` must be the name of a column, or its number, from 1. Received: "
                f"{column!r}."
            )
    if columns.text == columns.label:
        one, other = columns.arguments
        raise ValueError(
            f"`{one}` and `{other}` must be two columns. Received: {columns.text!r} for both."
        )
    delimiter = options.delimiter
    is_json = path.suffix.lower() in JSON_LINES
    if delimiter is not None and (is_json or len(delimiter) != 1 or delimiter in '"\r\n'):
        raise ValueError(
            "`delimiter` is one character, no quote and no line end, for .csv, .tsv and .txt "
            f"files. Received: {delimiter!r} for {str(path)!r}."
        )
    separator = options.label_separator
    if separator is not None and (
        not isinstance(separator, str)
        or not separator.strip(" \r\n")
        or (not is_json and separator == (delimiter or DELIMITERS[path.suffix.lower()]))
    ):
        raise ValueError(
            "`label_separator` must be a string other than white space and the delimiter, such as "
            f"'|', which separates the labels of a text. Received: {separator!r} for {str(path)!r}."
        )
    for name in ("quoting", "header"):
        value = getattr(options, name)
        if value is not None and (is_json or not isinstance(value, bool)):
            raise ValueError(
                f"`{name}` must be True, False or None, for .csv, .tsv and .txt files. Received: "
                f"{value!r} for {str(path)!r}."
            )
