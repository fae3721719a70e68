"""What a forecaster reads: arrays, data frames, splits and files, as one kind of series."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_attn._wording import counted, listed
from keras_attn.datasets import SeriesSplit
from keras_attn.datasets.files._frames import column_numbers, column_times, is_frame
from keras_attn.datasets.files.series import SeriesTable, read_series
from keras_attn.datasets.files.time_grid import (
    check_no_calendar,
    describe_step,
    frequency,
    whole_seconds,
)
from keras_attn.datasets.series import unequal_row

REMEDY = (
    "keras_attn.datasets.read_series brings a file or a data frame to equal intervals, and reports "
    "what it changes."
)


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
    """A time series in memory.

    Attributes:
        values: float64 array `(T, V)`, NaN where a value is missing.
        times: `datetime64[s]` array `(T,)` at equal intervals, or None if they are not known.
        names: The names of the variables; None if they are not known.
        start: First row of the split that it is from: targets are from this row on.
        time_column: Name of the column of times in its table, or None.
    """

    values: np.ndarray
    times: np.ndarray | None
    names: tuple[str, ...] | None
    start: int = 0
    time_column: str | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def step(self) -> int | None:
        """The interval between rows in seconds, or None if it is not known."""
        if self.times is None or len(self.times) < 2:
            return None
        return int((self.times[1] - self.times[0]).astype("int64"))


def is_series(x: Any) -> bool:
    """Return whether `x` is one series, in contrast to an array of windows or a data set."""
    if isinstance(x, SeriesSplit | SeriesTable | Series | str | os.PathLike) or is_frame(x):
        return True
    return getattr(x, "ndim", None) in (1, 2) and not hasattr(x, "element_spec")


def as_series(x: Any, argument: str = "history", num_variables: int | None = None) -> Series:
    """Return a series in the form that a forecaster reads.

    Args:
        x: Array `(T, V)`, or `(T,)` of one variable; a data frame of pandas or polars with a column
            for each variable, and times in its index or in one column; a `SeriesSplit`; a
            `SeriesTable`; or the path of a file for `keras_attn.datasets.read_series`. Times with a
            time zone are converted to UTC, and periods to their start.
        argument: Name of the argument, for messages.
        num_variables: Number of variables that the model reads, or None.

    Raises:
        TypeError: `x` is nothing of these.
        ValueError: A value is infinite or no number, times do not rise by equal intervals, or the
            number of variables is another one.
    """
    if isinstance(x, str | os.PathLike):
        x = read_series(x)
    if isinstance(x, Series):
        series = x
    elif isinstance(x, SeriesSplit | SeriesTable):
        values, start = x.values.astype("float64"), getattr(x, "start", 0)
        series = Series(values, x.times, x.names, start, x.time_column)
    elif is_frame(x):
        series = _from_frame(x, argument)
    else:
        series = Series(_from_array(x, argument), None, None)
    received = series.values.shape[1]
    if num_variables is not None and received != num_variables:
        names = f": {listed(series.names, 'variables')}" if series.names else ""
        raise ValueError(
            f"`{argument}` must have a column for each of the model's "
            f"{counted(num_variables, 'variable')}. Received: {counted(received, 'variable')}"
            f"{names}. Select the columns, or build a model with num_variables={received}."
        )
    check_finite(series.values, argument, series.names)
    return series


def in_order(series: Series, names: Sequence[str], argument: str = "history") -> Series:
    """Return a series with its variables in the order of the model.

    Args:
        series: The series.
        names: The names of the model's variables; empty if it has not been adapted.
        argument: Name of the argument, for messages.

    Raises:
        ValueError: The series has names, and lacks one of the model's.
    """
    if series.names is None or not names or series.names == tuple(names):
        return series
    if missing := [name for name in names if name not in series.names]:
        raise ValueError(
            f"`{argument}` must have the variables of the model: {listed(names, 'variables')}. "
            f"Received: {listed(series.names, 'variables')}, without "
            f"{listed(missing, 'variables')}. Rename the columns, or pass an array of the values "
            "alone, in this order."
        )
    columns = [series.names.index(name) for name in names]
    return dataclasses.replace(series, values=series.values[:, columns], names=tuple(names))


def check_step(series: Series, step: int | None, argument: str = "history") -> None:
    """Raise ValueError if a series has another interval than the one the model has learned."""
    if None not in (series.step, step) and series.step != step:
        own, theirs = (
            describe_step(np.timedelta64(each, "s")) for each in (step, series.step) if each
        )
        raise ValueError(
            f"`{argument}` must have the interval of the series that the model has learned, {own}. "
            f"Received: rows every {theirs}. Resample it, or train a model on it."
        )


def check_finite(values: np.ndarray, argument: str, names: Sequence[str] | None = None) -> None:
    """Raise ValueError if a value is infinite. NaN marks a missing value."""
    infinite = np.argwhere(np.isinf(values))
    if len(infinite):
        *row, column = infinite[0].tolist()
        variable = f"variable {names[column]!r}" if names else f"variable {column}"
        raise ValueError(
            f"`{argument}` must have finite values, or NaN where one is missing. Received: "
            f"{values[tuple(infinite[0])]} in row {row[-1]}, {variable}. Replace it."
        )


def _from_array(x: Any, argument: str) -> np.ndarray:
    """Return a float64 array `(T, V)` of an array or nested list."""
    array: np.ndarray | None
    try:
        array = np.asarray(x)
        if array.dtype.kind not in "fiub":
            array = array.astype("float64") if array.dtype.kind == "O" else None
    except (TypeError, ValueError):
        array = None
    if array is None or array.ndim not in (1, 2):
        shape = "" if array is None else f" of shape {array.shape}"
        kind = getattr(getattr(x, "dtype", None), "name", type(x).__name__)
        raise TypeError(
            f"`{argument}` must be numbers of shape (T, V), a row for each time; a data frame; or "
            f"the path of a table. Received: {kind}{shape}."
        )
    return (array[:, None] if array.ndim == 1 else array).astype("float64")


def _from_frame(frame: Any, argument: str) -> Series:
    """Return the series of a data frame of pandas or polars."""
    names, columns = [], []
    index, time_column = getattr(frame, "index", None), None
    times = None if index is None else _index_times(index, argument)
    for name in frame.columns:
        column = frame[name]
        found = column_times(column, argument)
        if found is None:
            numbers, problem = column_numbers(column)
            if problem is not None:
                raise ValueError(
                    f"`{argument}` must have columns of numbers, and one of times. Received: "
                    f"{problem[1]!r} in row {problem[0]} of the column {str(name)!r}. Drop the "
                    "column, or convert it: pandas.to_numeric, or pandas.to_datetime for times."
                )
            names.append(str(name))
            columns.append(numbers)
        elif times is not None:
            raise ValueError(
                f"`{argument}` must have times once. Received: the column {str(name)!r} besides "
                "other times. Drop one of them."
            )
        else:
            times, time_column = found, str(name)
    if not columns:
        raise ValueError(f"`{argument}` must have a column of numbers. Received: none.")
    if times is not None:
        times = _checked_times(times, argument)
    return Series(np.stack(columns, axis=1), times, tuple(names), 0, time_column)


def _index_times(index: Any, argument: str) -> np.ndarray | None:
    """Return the times of an index; None if it numbers the rows.

    Raises:
        ValueError: The index holds texts that are no times or several levels, or it numbers the
            rows in another order.
    """
    if getattr(index, "nlevels", 1) == 1:
        times = column_times(index, argument)
        values = index.to_numpy()
        if times is not None or not len(values):
            return times
        if values.dtype.kind in "iuf" and np.all(np.diff(values) > 0):
            return None
        received = f"{str(values[0])!r} to {str(values[-1])!r}, in no rising order"
        if values.dtype.kind not in "iuf":
            received = f"{values[0]!r}, which is no time"
    else:
        received = f"an index of {index.nlevels} levels"
    raise ValueError(
        f"`{argument}` must have times in its index, or rows numbered in rising order. Received: "
        f"{received}. Convert the index by pandas.to_datetime, or drop it by "
        "frame.reset_index(drop=True) if the rows are in order of time."
    )


def _checked_times(times: np.ndarray, argument: str) -> np.ndarray:
    """Return times as `datetime64[s]`, or raise ValueError unless they rise by equal intervals."""
    if np.isnat(times).any():
        raise ValueError(
            f"`{argument}` must have a time in each row. Received: none in row "
            f"{int(np.isnat(times).argmax())}. Drop these rows."
        )
    try:
        times = whole_seconds(times)
        check_no_calendar(times)
    except ValueError as error:
        raise ValueError(f"`{argument}`: {error}") from error
    row = unequal_row(times)
    if row is None:
        return times
    steps = np.diff(times).astype("int64")
    steps, counts = np.unique(steps[steps > 0], return_counts=True)
    step = int(steps[counts.argmax()]) if len(steps) else 1
    raise ValueError(
        f"`{argument}` must have times that rise by equal intervals; rows of a gap are NaN. "
        f"Received: {times[row - 1]} and {times[row]} in rows {row - 1} and {row}. Sort and "
        f"fill it, such as by frame.sort_index().asfreq({frequency(step)!r}) of pandas. {REMEDY}"
    )
