"""What a forecaster reads: arrays, data frames, splits and files, as one kind of series."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_attn._wording import counted, listed
from keras_attn.datasets import SeriesSplit
from keras_attn.datasets.files.series import SeriesTable, read_series
from keras_attn.datasets.files.time_grid import describe_step

REMEDY = "A file is brought to equal intervals by keras_attn.datasets.read_series."


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
    """A time series in memory.

    Attributes:
        values: float32 array `(T, V)`, NaN where a value is missing.
        times: `datetime64[s]` array `(T,)` at equal intervals, or None if they are not known.
        names: The names of the variables; None if they are not known.
    """

    values: np.ndarray
    times: np.ndarray | None
    names: tuple[str, ...] | None

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
    if isinstance(x, SeriesSplit | SeriesTable | Series | str | os.PathLike) or _is_frame(x):
        return True
    return getattr(x, "ndim", None) in (1, 2) and not hasattr(x, "element_spec")


def as_series(x: Any, argument: str = "history", num_variables: int | None = None) -> Series:
    """Return a series in the form that a forecaster reads.

    Args:
        x: Array `(T, V)`, or `(T,)` of one variable; a data frame of pandas or polars with a column
            for each variable, and times in its index or in one column; a `SeriesSplit`; a
            `SeriesTable`; or the path of a file for `keras_attn.datasets.read_series`.
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
        series = Series(x.values, x.times, x.names)
    elif _is_frame(x):
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
    return Series(series.values[:, columns], series.times, tuple(names))


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


def _is_frame(x: Any) -> bool:
    return hasattr(x, "columns") and hasattr(x, "to_numpy")


def _from_array(x: Any, argument: str) -> np.ndarray:
    """Return a float32 array `(T, V)` of an array or nested list."""
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
    return (array[:, None] if array.ndim == 1 else array).astype("float32")


def _from_frame(frame: Any, argument: str) -> Series:
    """Return the series of a data frame of pandas or polars."""
    names, columns = [], []
    times = _as_times(getattr(frame, "index", None))
    for name in frame.columns:
        column = frame[name]
        found = _as_times(column)
        if found is None:
            names.append(str(name))
            columns.append(_numbers(column, str(name), argument))
        elif times is not None:
            raise ValueError(
                f"`{argument}` must have times once. Received: the column {str(name)!r} besides "
                "other times. Drop one of them."
            )
        else:
            times = found
    if not columns:
        raise ValueError(f"`{argument}` must have a column of numbers. Received: none.")
    if times is not None:
        _check_times(times, argument)
    return Series(np.stack(columns, axis=1), times, tuple(names))


def _as_times(column: Any) -> np.ndarray | None:
    """Return a column or index as `datetime64[s]`, or None if it holds no times."""
    if column is None or not hasattr(column, "to_numpy"):
        return None
    values = column.to_numpy()
    return values.astype("datetime64[s]") if values.dtype.kind == "M" else None


def _numbers(column: Any, name: str, argument: str) -> np.ndarray:
    """Return a column as float32; missing values of any kind are NaN."""
    values = column.to_numpy()
    if values.dtype.kind in "fiub":
        return values.astype("float32")
    numbers = np.empty(len(values), "float32")
    for row, value in enumerate(values):
        missing = value is None or type(value).__name__ == "NAType"
        if not missing and (isinstance(value, str) or not hasattr(value, "__float__")):
            raise ValueError(
                f"`{argument}` must have columns of numbers, and one of times. Received: {value!r} "
                f"in row {row} of the column {name!r}. Drop the column, or convert it: "
                "pandas.to_numeric, or pandas.to_datetime for times."
            )
        numbers[row] = np.nan if missing else float(value)
    return numbers


def _check_times(times: np.ndarray, argument: str) -> None:
    """Raise ValueError unless times rise by equal intervals."""
    steps = np.diff(times)
    if np.isnat(times).any():
        raise ValueError(
            f"`{argument}` must have a time in each row. Received: none in row "
            f"{int(np.isnat(times).argmax())}. Drop these rows."
        )
    if not len(steps):
        return
    wrong = (steps <= np.timedelta64(0, "s")) | (steps != steps[0])
    if steps[0] <= np.timedelta64(0, "s") or wrong.any():
        row = int(wrong.argmax()) + 1
        raise ValueError(
            f"`{argument}` must have times that rise by equal intervals; rows of a gap are NaN. "
            f"Received: {times[row - 1]} and {times[row]} in rows {row - 1} and {row}. Sort and "
            f"fill it, such as frame.sort_index().asfreq('h') of pandas. {REMEDY}"
        )
