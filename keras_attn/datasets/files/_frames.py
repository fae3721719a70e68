"""Columns of data frames of pandas and polars, as times and as numbers."""

import datetime
from typing import Any

import numpy as np

from keras_attn.datasets.files.time_grid import parse_times


def is_frame(x: Any) -> bool:
    """Return whether `x` is a data frame of pandas or polars."""
    return hasattr(x, "columns") and hasattr(x, "to_numpy")


def column_times(column: Any, argument: str) -> np.ndarray | None:
    """Return a column or index as `datetime64[us]`, or None if it holds no times.

    Times with a time zone are converted to UTC, and periods to their start. Texts are parsed if the
    first one is a time.

    Args:
        column: A column or the index of a frame.
        argument: Name of the argument, for messages.

    Raises:
        ValueError: The first text is a time, and another one is not.
    """
    kind = str(getattr(column, "dtype", ""))
    accessor = getattr(column, "dt", column)
    if kind.startswith("period["):
        column = accessor.to_timestamp()
    elif getattr(getattr(column, "dtype", None), "tz", None) is not None:
        column = accessor.tz_convert("UTC")
        column = getattr(column, "dt", column).tz_localize(None)
    values = column.to_numpy()
    if values.dtype.kind == "M":
        return values.astype("datetime64[us]")
    first = next((value for value in values if _is_given(value)), None)
    if values.dtype.kind not in "OUT" or first is None:
        return None
    if isinstance(first, datetime.date):
        return np.array([_of_object(value) for value in values], "datetime64[us]")
    if not isinstance(first, str) or not _is_time(first):
        return None
    given = [row for row, value in enumerate(values) if _is_given(value)]
    texts = [str(values[row]) for row in given]
    times = np.full(len(values), "NaT", "datetime64[us]")
    times[given] = parse_times(texts, f"`{argument}`", None, given, place="in row")
    return times


def _is_given(value: Any) -> bool:
    """Return whether a value is not missing."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return False
    return not (isinstance(value, float) and np.isnan(value))


def _is_time(text: str) -> bool:
    """Return whether a text is a time with a year: no number alone is."""
    try:
        parse_times([text], "", day_first=True)
    except ValueError:
        return False
    return not text.strip().isdecimal()


def _of_object(value: Any) -> np.datetime64:
    if not _is_given(value):
        return np.datetime64("NaT", "us")
    if not isinstance(value, datetime.datetime):
        value = datetime.datetime(value.year, value.month, value.day)
    if value.tzinfo is not None:
        value = value.astimezone(datetime.UTC).replace(tzinfo=None)
    return np.datetime64(value.isoformat(), "us")


def column_numbers(column: Any) -> tuple[np.ndarray, tuple[int, Any] | None]:
    """Return a column as float64, NaN where one is missing, and the first cell that is no number.

    Returns:
        The numbers, NaN also for cells that are no numbers; and the row and the value of the first
        of these, or None.
    """
    values = column.to_numpy()
    if values.dtype.kind in "fiub":
        return values.astype("float64"), None
    numbers, problem = np.full(len(values), np.nan), None
    for row, value in enumerate(values):
        if not _is_given(value):
            continue
        if isinstance(value, str) or not hasattr(value, "__float__"):
            problem = problem or (row, value)
        else:
            numbers[row] = float(value)
    return numbers, problem
