"""Reading and splitting of your own time series, from a table with a column of times."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_attn._names import unknown
from keras_attn._warnings import warn_user
from keras_attn._wording import counted, listed
from keras_attn.datasets.files._account import Account, Skipped, tally
from keras_attn.datasets.files._delimited import read_records
from keras_attn.datasets.files._encoding import check_decodable, decode_file, suggest_encodings
from keras_attn.datasets.files._frames import column_numbers, column_times, is_frame
from keras_attn.datasets.files._rows import UNDECODABLE, Row, is_undecodable
from keras_attn.datasets.files._splitting import held_out_fractions
from keras_attn.datasets.files._tables import DELIMITERS
from keras_attn.datasets.files.time_grid import (
    TimeGrid,
    describe_step,
    parse_step,
    parse_times,
)
from keras_attn.datasets.series import SeriesSplit, split_rows
from keras_attn.datasets.splits import Dataset, InMemory

TIME_NAMES = ("time", "date", "datetime", "date_time", "timestamp", "ds", "时间", "日期")
MISSING = ("", "na", "n/a", "nan", "null", "none", "-", "?")
RAGGED = "ragged (another number of fields than the header)"
NO_TIME = "missing time"
MIN_ROWS = 10
MAX_REPEATED = 0.5  # share of times with several rows above which the user is warned
PLAIN = "Cells must be plain numbers such as 10038.5, without units, % and thousands separators"
_NUMBER = re.compile(
    r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:inf|infinity)", re.ASCII
)
_COMMA = re.compile(r"[-+]?(?:\d+|\d{1,3}(?:\.\d{3})+),\d+|[-+]?\d{1,3}(?:\.\d{3}){2,}")

Cells = Sequence[tuple[int, str]]  # the lines of cells, and their texts


@dataclasses.dataclass(frozen=True, eq=False)
class SeriesTable:
    """A time series of a file or data frame, at equal intervals.

    Attributes:
        name: Name of the data set that `split_series` returns.
        values: float64 array `(T, V)`, NaN where a value is missing.
        times: `datetime64[s]` array `(T,)`.
        names: The names of the variables.
        account: The rows that were kept and skipped, the columns that were not read, and how rows
            were brought to equal intervals.
        time_column: Name of the column of times; None if it is the index of a data frame.
    """

    name: str
    values: np.ndarray
    times: np.ndarray
    names: tuple[str, ...]
    account: Account
    time_column: str | None = None

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        rows, variables = counted(len(self), "row"), counted(len(self.names), "variable")
        return f"SeriesTable({self.name!r}, {rows} of {variables})"


def read_series(
    path: Any,
    *,
    time_column: str | None = None,
    variables: str | Sequence[str] | None = None,
    step: str | None = None,
    decimal: str | None = None,
    day_first: bool | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
    encoding: str | None = None,
) -> SeriesTable:
    r"""Read a time series with a row for each time, and report what is done to its rows.

    Rows are sorted by time and brought to equal intervals: rows of the same time are merged into
    their mean, times between two of the grid are rounded to the nearer one, and times without a row
    are rows of missing values (NaN). With a `step` longer than the interval of the data, a row is
    the mean from its time up to the next, as in `resample(step).mean()` of pandas. The account has
    the number of each. Fields such as an empty one, `NA` and `nan` are missing values. Rows without
    a time, or with another number of fields than the header, are skipped. Times with an offset or a
    time zone are converted to UTC. Months, quarters and years are not equal intervals: they raise
    an error.

    Args:
        path: A `.csv`, `.tsv`, `.tab` or `.txt` file with a header; or a data frame of pandas or
            polars, with times in its index or in a column.
        time_column: Name of the column of times. None takes the column called `time`, `date`,
            `datetime`, `date_time`, `timestamp`, `ds`, `时间` or `日期`; or else the first one. For
            a frame, None takes the index if it holds times, or else the first column that does.
        variables: Names of the columns to read, in order: a list, or a text with commas. None takes
            all columns of numbers; the account names the others.
        step: The interval, such as `"1h"`, `"15min"` or `"1d"`; None is the most frequent one.
        decimal: The decimal sign of numbers in a file, `"."` (the default) or `","`.
        day_first: Whether dates such as `1/2/2024` begin with the day. None decides by a number
            above 12.
        delimiter: Field separator; None means a comma in `.csv`, and a tab in the others.
        header: Must not be False: the names of the columns are needed.
        encoding: Encoding of the file. None means UTF-8, or what its byte order mark says.

    Raises:
        FileNotFoundError: The file does not exist.
        TypeError: `path` is no path and no data frame.
        ValueError: The file has no header, no rows, no such column, no column of numbers, a time
            that cannot be read, or another encoding; a field is neither a number nor missing; or
            the times are too irregular, those of months, or less than a second apart.

    Example:

    >>> import tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "load.csv")
    >>> _ = path.write_text("time,load\n2024-01-01 00:00,1\n2024-01-01 01:00,2\n2024-01-01 03:00,4")
    >>> table = read_series(path)
    >>> table.values[:, 0].tolist()
    [1.0, 2.0, nan, 4.0]
    >>> print(str(table.account).replace(str(path), "load.csv"))
    load.csv: 3 rows read, 3 kept, 0 skipped.
    4 times, every 1 hour, from 2024-01-01T00:00:00 to 2024-01-01T03:00:00.
    Without a row, missing values: 1 time (25.0 %).
    Variables: load.
    """
    interval = None if step is None else parse_step(step)
    if is_frame(path):
        options = {"decimal": decimal, "day_first": day_first, "delimiter": delimiter,
                   "header": header, "encoding": encoding}  # fmt: skip
        if received := [key for key, value in options.items() if value is not None]:
            raise ValueError(
                f"`{received[0]}` is for files. Received: a data frame as `path`. Leave it out."
            )
        return _read_frame(path, time_column, variables, interval)
    if not isinstance(path, str | os.PathLike):
        raise TypeError(
            "`path` must be the path of a table, or a data frame of pandas or polars. Received: "
            f"{type(path).__name__}."
        )
    if decimal not in (None, ".", ","):
        raise ValueError(f"`decimal` must be '.' or ','. Received: {decimal!r}.")
    path = pathlib.Path(path)
    names, rows, skipped = _read_table(path, delimiter, header, encoding)
    time = _time_column(path, names, time_column)
    total = len(rows) + sum(each.count for each in skipped.values())
    columns, unread = _variable_columns(path, names, rows, time, variables, decimal or ".")
    kept = [(line, row) for line, row in rows if row[time].strip()]
    if len(kept) < len(rows):
        skipped |= tally({NO_TIME: [line for line, row in rows if not row[time].strip()]})
    if not kept:
        raise ValueError(f"{path} has no row with a time in the column {names[time]!r}.")
    lines = [line for line, _ in kept]
    times = parse_times([row[time] for _, row in kept], str(path), day_first, lines)
    values = np.array(
        [[_number(path, line, names[column], row[column], decimal or ".") for column in columns]
         for line, row in kept], "float64",
    )  # fmt: skip
    keys = {
        name: [row[i] for _, row in kept]
        for i, name in enumerate(names)
        if i != time and not (variables is None and i in columns and len(columns) == 1)
    }
    variable_names = tuple(names[column] for column in columns)
    return _finish(
        path.stem, str(path), times, values, variable_names, interval, names[time],
        unread, keys, total, len(kept), skipped,
    )  # fmt: skip


def _read_frame(
    frame: Any,
    time_column: str | None,
    variables: str | Sequence[str] | None,
    step: np.timedelta64 | None,
) -> SeriesTable:
    """Return the series of a data frame, see `read_series`."""
    columns = {str(name): frame[name] for name in frame.columns}
    times, time_column = _frame_times(frame, columns, time_column)
    columns.pop(time_column or "", None)
    requested = _requested(variables, list(columns))
    for name in requested or []:
        if name not in columns:
            message = unknown("column of the data frame", name, columns)
            raise ValueError(f"`variables`: {message}")
    array, names, unread = _frame_values(columns, requested)
    missing = np.isnat(times)
    skipped = tally({NO_TIME: np.flatnonzero(missing).tolist()}) if missing.any() else {}
    keys = {name: columns[name].to_numpy()[~missing].tolist() for name in columns}
    return _finish(
        "data frame", "data frame", times[~missing], array[~missing], names, step, time_column,
        unread, keys, len(times), int((~missing).sum()), skipped,
    )  # fmt: skip


def _frame_times(
    frame: Any, columns: dict[str, Any], time_column: str | None
) -> tuple[np.ndarray, str | None]:
    """Return the times of a data frame, and the name of their column; None for its index."""
    times = None
    if time_column is not None:
        if time_column not in columns:
            message = unknown("column of the data frame", time_column, columns)
            raise ValueError(f"`time_column`: {message}")
        times = column_times(columns[time_column], time_column)
    else:
        index = getattr(frame, "index", None)
        times = None if index is None else column_times(index, "index")
        for name in list(columns) if times is None else []:
            if (times := column_times(columns[name], name)) is not None:
                time_column = name
                break
    if times is None:
        raise ValueError(
            "`path` must be a data frame with times in its index or in a column. Received: the "
            f"columns {listed(tuple(map(str, frame.columns)), 'columns')}. Convert one, such as by "
            "pandas.to_datetime, and name it with `time_column`."
        )
    return times, time_column


def _frame_values(
    columns: dict[str, Any], requested: list[str] | None
) -> tuple[np.ndarray, tuple[str, ...], list[str]]:
    """Return the values of a data frame, their names, and a text on each other column."""
    unread, values = [], {}
    for name, column in columns.items():
        if requested is not None and name not in requested:
            continue
        numbers, problem = column_numbers(column)
        if problem is not None and requested is not None:
            raise ValueError(
                f"The column {name!r} must hold numbers. Received in row {problem[0]}: "
                f"{problem[1]!r}. Convert it, such as by pandas.to_numeric."
            )
        if problem is not None:
            unread.append(f"{name!r} (row {problem[0]}: {str(problem[1])[:40]!r})")
        elif requested is None and np.isnan(numbers).all():
            unread.append(f"{name!r} (no value)")
        else:
            values[name] = numbers
    if not values:
        raise ValueError(
            "`path` must be a data frame with a column of numbers besides the times. Not read: "
            f"{', '.join(unread) or 'none'}. Convert them, such as by pandas.to_numeric."
        )
    names = tuple(requested or values)
    array = np.stack([values[name] for name in names], axis=1)
    if (infinite := np.argwhere(np.isinf(array))).size:
        row, place = infinite[0].tolist()
        raise ValueError(
            f"The column {names[place]!r} must have finite numbers, or NaN where one is missing. "
            f"Received in row {row}: {array[row, place]}."
        )
    return array, names, unread


def _finish(
    name: str,
    source: str,
    times: np.ndarray,
    values: np.ndarray,
    names: tuple[str, ...],
    step: np.timedelta64 | None,
    time_column: str | None,
    unread: list[str],
    keys: dict[str, list[Any]],
    total: int,
    kept: int,
    skipped: dict[str, Skipped],
) -> SeriesTable:
    """Return the table of rows in any order, with its account; see `read_series`."""
    try:
        grid = TimeGrid.fit(times, values, step=step)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    if grid.repeated > MAX_REPEATED:
        warn_user(_describe_repeats(source, times, keys))
    account = Account(source, total, kept, skipped, notes=_notes(grid, names, unread))
    return SeriesTable(name, grid.values, grid.times, names, account, time_column)


def _describe_repeats(source: str, times: np.ndarray, keys: dict[str, list[Any]]) -> str:
    """Return a warning of several rows for most times, with the column that separates them."""
    stamps = times.tolist()
    message = f"{source}: most times have several rows, which are averaged."
    for name, cells in keys.items():
        if len(set(zip(stamps, cells, strict=True))) == len(stamps) > 2 * len(set(cells)):
            return (
                f"{message} They differ in the column {name!r}: if these are several series, keep "
                "the rows of one, or make a column of each, such as with pivot of pandas."
            )
    return f"{message} If they are several series, keep the rows of one, or make a column of each."


def split_series(
    table: SeriesTable,
    *,
    validation: float | None = None,
    test: float | None = None,
    validation_data: SeriesTable | None = None,
    test_data: SeriesTable | None = None,
) -> Dataset[SeriesSplit]:
    """Split a series by time: the last rows are for the test, those before them for validation.

    Args:
        table: The series, see `read_series`.
        validation: Fraction of the rows for validation. [default: 0.1]
        test: Fraction of the rows for the test; 0 for no test split. [default: 0.1]
        validation_data: The validation split, in place of a fraction.
        test_data: The test split, likewise.

    Returns:
        A data set with the name of the table. Histories of windows of the validation and test
        splits may begin in the rows before them; those of other tables in these themselves.

    Raises:
        ValueError: The fractions leave a split empty, a fraction is given beside data for the same
            split, there are too few rows, or a table has other variables.

    Example:

    >>> times = np.datetime64("2024-01-01", "s") + np.arange(20) * np.timedelta64(86400, "s")
    >>> values = np.ones((20, 1), "float32")
    >>> table = SeriesTable("mine", values, times, ("load",), Account("mine.csv", 20, 20, {}))
    >>> {name: len(split) for name, split in split_series(table).items()}
    {'train': 16, 'validation': 2, 'test': 2}
    """
    shares = held_out_fractions(
        validation, test, validation_data is not None, test_data is not None
    )
    rows = len(table)
    if rows < MIN_ROWS:
        raise ValueError(f"A series to split must have at least {MIN_ROWS} rows. Received: {rows}.")
    sizes = [max(1, round(rows * share)) if share else 0 for share in shares]
    train, last = rows - sum(sizes), rows - sizes[1]
    if train < 1:
        raise ValueError(
            f"The fractions must leave rows to train on. Received: {shares[0]} and {shares[1]} of "
            f"{counted(rows, 'row')}."
        )
    spans = {"train": (0, train), "validation": (train, last), "test": (last, rows)}
    spans = {name: (start, end) for name, (start, end) in spans.items() if end > start}
    splits = split_rows(table.values, table.times, table.names, spans, table.time_column)
    for name, other in (("validation", validation_data), ("test", test_data)):
        if other is None:
            continue
        if other.names != table.names:
            raise ValueError(
                f"`{name}_data` must have the variables of the training data, "
                f"{listed(table.names, 'variables')}. Received: {listed(other.names, 'variables')}."
            )
        splits[name] = SeriesSplit(other.values, other.times, other.names)
    order = [name for name in ("train", "validation", "test") if name in splits]
    return Dataset(table.name, (), {name: InMemory(splits[name]) for name in order})


def _check_format(path: pathlib.Path, delimiter: str | None, header: bool | None) -> None:
    """Raise unless the file exists, and its suffix and the options are those of a table."""
    if path.suffix.lower() not in DELIMITERS:
        raise ValueError(
            f"The name of a table must end in one of {', '.join(DELIMITERS)}. Received: "
            f"{str(path)!r}. Rename or convert the file."
        )
    if header is False:
        raise ValueError(
            "`header` must not be False: the names of the columns tell times from variables. Add a "
            "first row, such as time,load."
        )
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no table {str(path)!r}. The current folder is {str(pathlib.Path.cwd())!r}."
        )
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise ValueError(
            "`delimiter` is one character, no quote and no line end. Received: "
            f"{delimiter!r} for {str(path)!r}."
        )


def _read_table(
    path: pathlib.Path, delimiter: str | None, header: bool | None, encoding: str | None
) -> tuple[list[str], list[tuple[int, list[str]]], dict[str, Skipped]]:
    """Return the names of the columns, the rows with their lines, and the rows skipped."""
    _check_format(path, delimiter, header)
    separator = delimiter or DELIMITERS[path.suffix.lower()]
    text, codec = decode_file(path, encoding)
    header_record, *records = read_records(path, text, separator)
    names = [name.strip() for name in header_record.fields]
    if any(map(is_undecodable, names)):
        raise ValueError(
            f"The header of {path} is not {codec.upper()}, or holds NUL. {suggest_encodings(path)}"
        )
    if len(names) == 1:
        raise ValueError(
            f"{path} must have a column of times and one of numbers at least. Received: the column "
            f"{names[0][:80]!r} alone.{_hint_of_delimiter(names)}"
        )
    rows, problems = [], []
    for line, _, fields in (each for each in records if any(map(str.strip, each.fields))):
        problem = None
        if any(map(is_undecodable, fields)):
            problem = UNDECODABLE
        elif len(fields) != len(names):
            problem = RAGGED
        problems.append(Row(line, problem=problem))
        if problem is None:
            rows.append((line, fields))
    check_decodable([path], problems, codec)
    if not rows:
        raise ValueError(
            f"{path} has no rows of {counted(len(names), 'field')}, as its header has."
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{path} must name each column differently. Received twice: {twice!r}.")
    skipped = {
        reason: [row.line for row in problems if row.problem == reason]
        for reason in (UNDECODABLE, RAGGED)
    }
    return names, rows, tally({reason: lines for reason, lines in skipped.items() if lines})


def _time_column(path: pathlib.Path, names: list[str], requested: str | None) -> int:
    """Return the index of the column of times."""
    if requested is None:
        return next((i for i, name in enumerate(names) if name.lower() in TIME_NAMES), 0)
    if requested not in names:
        raise ValueError(f"`time_column`: {unknown(f'column of {path}', requested, names)}")
    return names.index(requested)


def _requested(requested: str | Sequence[str] | None, names: list[str]) -> list[str] | None:
    """Return the names of variables that are requested; None for all columns of numbers."""
    if requested is None:
        return None
    # A name may hold a comma, if it is given alone or in a list.
    if not isinstance(requested, str):
        return list(requested)
    return [requested] if requested in names else [name.strip() for name in requested.split(",")]


def _variable_columns(
    path: pathlib.Path,
    names: list[str],
    rows: list[tuple[int, list[str]]],
    time: int,
    requested: str | Sequence[str] | None,
    decimal: str,
) -> tuple[list[int], list[str]]:
    """Return the indices of the columns to read, and a text on each other column."""
    chosen = _requested(requested, names)
    if chosen is not None:
        for name in chosen:
            if name not in names or names.index(name) == time:
                others = [each for index, each in enumerate(names) if index != time]
                raise ValueError(f"`variables`: {unknown(f'column of {path}', name, others)}")
        return [names.index(name) for name in chosen], []
    columns, unread, commas = [], [], False
    for column, name in enumerate(names):
        if column == time:
            continue
        cells = [(line, row[column].strip()) for line, row in rows]
        given = [(line, text) for line, text in cells if text.lower() not in MISSING]
        wrong = [(line, text) for line, text in given if not _is_number(text, decimal)]
        if given and not wrong:
            columns.append(column)
            continue
        commas |= bool(wrong) and all(_COMMA.fullmatch(text) for _, text in wrong)
        unread.append(_describe_unread(name, given, wrong))
    if not columns:
        remedy = f"{PLAIN}." if not commas else "Pass `decimal=','` to read decimal commas."
        raise ValueError(
            f"{path} has no column of numbers besides the times in {names[time]!r}. Not read: "
            f"{', '.join(unread) or 'none'}. {remedy}{_hint_of_delimiter(names)}"
        )
    return columns, unread


def _hint_of_delimiter(names: list[str]) -> str:
    """Return a sentence on a field separator that the header has more often than that of the file.

    Example:

    >>> _hint_of_delimiter(["time;load", "in kW;wind"])
    " The header seems separated by ';': pass `delimiter=';'`."
    """
    for other in ";\t,|":
        if "".join(names).count(other) >= len(names):
            return f" The header seems separated by {other!r}: pass `delimiter={other!r}`."
    return ""


def _describe_unread(name: str, given: Cells, wrong: Cells) -> str:
    """Return why a column is not read."""
    if not wrong:
        return f"{name!r} (no value)"
    line, text = wrong[0]
    numbers = len(given) - len(wrong)
    more = f"; {numbers:,} other cells are numbers" if numbers > len(wrong) else ""
    return f"{name!r} (line {line}: {text[:40]!r}{more})"


def _is_number(text: str, decimal: str) -> bool:
    return _NUMBER.fullmatch(_with_point(text, decimal).lower()) is not None


def _with_point(text: str, decimal: str) -> str:
    """Return a number with a decimal point, and without the points that separate thousands."""
    if decimal == ".":
        return text
    if re.fullmatch(r"[-+]?\d{1,3}(\.\d{3})+(,\d*)?", text):
        text = text.replace(".", "")
    return text.replace(",", ".") if "." not in text else "no number"


def _number(path: pathlib.Path, line: int, name: str, text: str, decimal: str) -> float:
    """Return a field as a number; NaN if it is missing."""
    text = text.strip()
    if text.lower() in MISSING:
        return float("nan")
    number = float(_with_point(text, decimal)) if _is_number(text, decimal) else float("inf")
    if number in (float("inf"), float("-inf")):
        commas = decimal == "." and _COMMA.fullmatch(text) is not None
        remedy = "Pass `decimal=','` to read decimal commas." if commas else f"{PLAIN}."
        raise ValueError(
            f"{path}: the column {name!r} must have finite numbers, or empty fields where one is "
            f"missing. Received on line {line}: {text[:40]!r}. {remedy}"
        )
    return number


def _notes(grid: TimeGrid, names: tuple[str, ...], unread: Sequence[str]) -> tuple[str, ...]:
    """Return sentences on how rows were brought to equal intervals, and on what was not read."""
    rows = len(grid.times)
    notes = [
        f"{rows:,} times, every {describe_step(grid.step)}, from {grid.times[0]} to "
        f"{grid.times[-1]}."
    ]
    if grid.reordered:
        notes.append("Sorted: the rows were not in order of time.")
    if grid.coarser:
        notes.append(
            f"Averaged over {describe_step(grid.step)}, from each time up to the next: "
            f"{counted(grid.merged, 'row')} more."
        )
    elif grid.merged:
        notes.append(f"Merged into the mean of their time: {counted(grid.merged, 'row')} more.")
    if grid.moved:
        notes.append(f"Rounded to the nearest time: {counted(grid.moved, 'row')}.")
    if grid.empty:
        share = 100 * grid.empty / rows
        notes.append(
            f"Without a row, missing values: {counted(grid.empty, 'time')} ({share:.1f} %)."
        )
    if missing := int(np.isnan(grid.values).sum()) - grid.empty * len(names):
        notes.append(f"Missing values in other rows: {missing:,}.")
    notes.append(f"Variables: {', '.join(names)}.")
    if unread:
        notes.append(f"Not read: {', '.join(unread)}.")
    return tuple(notes)
