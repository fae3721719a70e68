"""Reading and splitting of your own time series, from a table with a column of times."""

import csv
import dataclasses
import io
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from keras_attn._names import unknown
from keras_attn._wording import counted, listed
from keras_attn.datasets.files._account import Account, Skipped, tally
from keras_attn.datasets.files._encoding import decode_file
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

TIME_NAMES = ("time", "date", "datetime", "date_time", "timestamp", "ds")
MISSING = ("", "na", "n/a", "nan", "null", "none", "-", "?")
RAGGED = "ragged (another number of fields than the header)"
NO_TIME = "missing time"
MIN_ROWS = 10


@dataclasses.dataclass(frozen=True, eq=False)
class SeriesTable:
    """A time series of a file, at equal intervals.

    Attributes:
        name: Name of the data set that `split_series` returns.
        values: float32 array `(T, V)`, NaN where a value is missing.
        times: `datetime64[s]` array `(T,)`.
        names: The names of the variables.
        account: The rows that were kept and skipped, and how they were brought to equal intervals.
    """

    name: str
    values: np.ndarray
    times: np.ndarray
    names: tuple[str, ...]
    account: Account

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        rows, variables = counted(len(self), "row"), counted(len(self.names), "variable")
        return f"SeriesTable({self.name!r}, {rows} of {variables})"


def read_series(
    path: str | os.PathLike[str],
    *,
    time_column: str | None = None,
    variables: str | Sequence[str] | None = None,
    step: str | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
    encoding: str | None = None,
) -> SeriesTable:
    r"""Read a time series with a row for each time, and report what is done to its rows.

    Rows are sorted by time and brought to equal intervals: rows of the same time are merged into
    their mean, times between two of the grid are rounded to the nearer one, and times without a row
    are rows of missing values (NaN). The account has the number of each. Fields such as an empty
    one, `NA` and `nan` are missing values. Rows without a time, or with another number of fields
    than the header, are skipped.

    Args:
        path: A `.csv`, `.tsv`, `.tab` or `.txt` file with a header.
        time_column: Name of the column of times. None takes the column called `time`, `date`,
            `datetime`, `date_time`, `timestamp` or `ds`; or else the first one.
        variables: Names of the columns to read, in order: a list, or a text with commas. None takes
            all columns of numbers.
        step: The interval, such as `"1h"`, `"15min"` or `"1d"`; None is the most frequent one.
        delimiter: Field separator; None means a comma in `.csv`, and a tab in the others.
        header: Must not be False: the names of the columns are needed.
        encoding: Encoding of the file. None means UTF-8, or what its byte order mark says.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file has no header, no rows, no such column, no column of numbers, or a time
            that cannot be read; a field is neither a number nor missing; or the times are too
            irregular.

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
    path = pathlib.Path(path)
    names, rows, skipped = _read_table(path, delimiter, header, encoding)
    time = _time_column(path, names, time_column)
    columns = _variable_columns(path, names, rows, time, variables)
    kept = [(line, row) for line, row in rows if row[time].strip()]
    if len(kept) < len(rows):
        skipped |= tally({NO_TIME: [line for line, row in rows if not row[time].strip()]})
    if not kept:
        raise ValueError(f"{path} has no row with a time in the column {names[time]!r}.")
    times = parse_times([row[time] for _, row in kept], str(path), None, [n for n, _ in kept])
    values = np.array(
        [[_number(path, line, names[column], row[column]) for column in columns]
         for line, row in kept], "float32",
    )  # fmt: skip
    try:
        grid = TimeGrid.fit(times, values, step=None if step is None else parse_step(step))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    variable_names = tuple(names[column] for column in columns)
    total = len(rows) + sum(each.count for key, each in skipped.items() if key == RAGGED)
    account = Account(
        str(path), total, len(kept), skipped, notes=_notes(grid, variable_names)
    )  # fmt: skip
    return SeriesTable(path.stem, grid.values, grid.times, variable_names, account)


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
    splits = split_rows(table.values, table.times, table.names, spans)
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


def _read_table(
    path: pathlib.Path, delimiter: str | None, header: bool | None, encoding: str | None
) -> tuple[list[str], list[tuple[int, list[str]]], dict[str, Skipped]]:
    """Return the names of the columns, the rows with their lines, and the rows skipped."""
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
    text, _ = decode_file(path, encoding)
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter or DELIMITERS[path.suffix.lower()]
    )
    names = [name.strip() for name in next(reader, [])]
    rows, ragged = [], []
    for row in reader:
        if not any(field.strip() for field in row):
            continue
        if len(row) == len(names):
            rows.append((reader.line_num, row))
        else:
            ragged.append(reader.line_num)
    if not rows:
        raise ValueError(
            f"{path} has no rows of {counted(len(names), 'field')}, as its header has."
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{path} must name each column differently. Received twice: {twice!r}.")
    return names, rows, tally({RAGGED: ragged}) if ragged else {}


def _time_column(path: pathlib.Path, names: list[str], requested: str | None) -> int:
    """Return the index of the column of times."""
    if requested is None:
        return next((i for i, name in enumerate(names) if name.lower() in TIME_NAMES), 0)
    if requested not in names:
        raise ValueError(f"`time_column`: {unknown(f'column of {path}', requested, names)}")
    return names.index(requested)


def _variable_columns(
    path: pathlib.Path,
    names: list[str],
    rows: list[tuple[int, list[str]]],
    time: int,
    requested: str | Sequence[str] | None,
) -> list[int]:
    """Return the indices of the columns to read."""
    if requested is not None:
        # A name may hold a comma, if it is given alone or in a list.
        if isinstance(requested, str):
            requested = [requested] if requested in names else requested.split(",")
        for name in (each.strip() for each in requested):
            if name not in names or names.index(name) == time:
                others = [each for index, each in enumerate(names) if index != time]
                raise ValueError(f"`variables`: {unknown(f'column of {path}', name, others)}")
        return [names.index(name.strip()) for name in requested]
    columns = [
        column
        for column in range(len(names))
        if column != time and all(_is_number(row[column]) for _, row in rows)
        and any(row[column].strip().lower() not in MISSING for _, row in rows)
    ]  # fmt: skip
    if not columns:
        raise ValueError(
            f"{path} has no column of numbers besides the times in {names[time]!r}. Its columns "
            f"are {listed(tuple(names), 'columns')}. Name those to forecast with `variables`."
        )
    return columns


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text.strip().lower() in MISSING
    return True


def _number(path: pathlib.Path, line: int, name: str, text: str) -> float:
    """Return a field as a number; NaN if it is missing."""
    if text.strip().lower() in MISSING:
        return float("nan")
    try:
        number = float(text)
    except ValueError:
        number = float("inf")
    if number in (float("inf"), float("-inf")):
        raise ValueError(
            f"{path}: the column {name!r} must have finite numbers, or empty fields where one is "
            f"missing. Received on line {line}: {text[:40]!r}."
        )
    return number


def _notes(grid: TimeGrid, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return sentences on how rows were brought to equal intervals."""
    rows = len(grid.times)
    notes = [
        f"{rows:,} times, every {describe_step(grid.step)}, from {grid.times[0]} to "
        f"{grid.times[-1]}."
    ]
    if grid.reordered:
        notes.append("Sorted: the rows were not in order of time.")
    if grid.merged:
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
    return tuple(notes)
