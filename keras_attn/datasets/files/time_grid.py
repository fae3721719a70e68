"""Times of a series: parsing them, and bringing rows to equal intervals."""

import dataclasses
import datetime
import re
from collections.abc import Sequence
from typing import Literal, Self

import numpy as np

from keras_attn._wording import counted

_PARTS = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})(?:[ T](\d{1,2}):(\d{2})(?::(\d{2}))?)?")
MAX_EMPTY = 0.5  # share of rows of the grid without a value above which a series is refused
UNITS = ((604_800, "week"), (86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
First = Literal["day", "month"]


def parse_times(
    texts: Sequence[str], source: str, first: First | None = None, lines: Sequence[int] = ()
) -> np.ndarray:
    """Return times as `datetime64[s]`; those with an offset from UTC are converted to UTC.

    Args:
        texts: Times in ISO 8601, such as `2024-02-01 13:00`, or as `1/2/2024 13:00`.
        source: Where they are from, for messages.
        first: Whether `1/2/2024` begins with the day or the month. None decides by a number above
            12 in the first or second place.
        lines: The line of each time, for messages; by default they are counted from 2.

    Raises:
        ValueError: A text is no time, or it is not clear where the day is.

    Example:

    >>> parse_times(["2024-02-01 13:00", "2024-02-01T14:00:00"], "a.csv").astype(str).tolist()
    ['2024-02-01T13:00:00', '2024-02-01T14:00:00']
    """
    if first is None:
        first = _first_part(texts, source)
    times = np.empty(len(texts), "datetime64[s]")
    for index, text in enumerate(texts):
        try:
            times[index] = _parse(text.strip(), first)
        except ValueError as error:
            line = lines[index] if len(lines) else index + 2
            raise ValueError(
                f"{source}: the time on line {line} must be written as 2024-02-01 13:00 or "
                f"1/2/2024 13:00. Received: {text[:40]!r}. Choose the column of times with "
                "`time_column`."
            ) from error
    return times


def _parse(text: str, first: First | None) -> np.datetime64:
    if (match := _PARTS.fullmatch(text)) is not None:
        one, two, year, hour, minute, second = (int(part or 0) for part in match.groups())
        day, month = (two, one) if first == "month" else (one, two)
        return _as_datetime64(datetime.datetime(year, month, day, hour, minute, second))
    time = datetime.datetime.fromisoformat(text)
    if time.tzinfo is not None:
        time = time.astimezone(datetime.UTC).replace(tzinfo=None)
    return _as_datetime64(time)


def _as_datetime64(time: datetime.datetime) -> np.datetime64:
    return np.datetime64(time.isoformat(timespec="seconds"), "s")


def _first_part(texts: Sequence[str], source: str) -> First | None:
    """Return what `1/2/2024` begins with, if a number above 12 shows it; None if none is so."""
    pairs = [(int(m[1]), int(m[2])) for text in texts if (m := _PARTS.fullmatch(text.strip()))]
    if not pairs:
        return None
    days_first = any(one > 12 for one, _ in pairs)
    months_first = any(two > 12 for _, two in pairs)
    if days_first == months_first:
        raise ValueError(
            f"{source}: dates such as {texts[0]!r} do not show whether the day or the month comes "
            "first. Write them as 2024-02-01 13:00, the year first."
        )
    return "day" if days_first else "month"


@dataclasses.dataclass(frozen=True)
class TimeGrid:
    """Rows of a series at equal intervals.

    Attributes:
        times: `datetime64[s]` array `(T,)`, at equal intervals.
        values: float32 array `(T, V)`; NaN in rows that no row was read for.
        merged: Number of rows that were merged into another one of the same time.
        moved: Number of rows whose time was rounded to the grid.
        empty: Number of rows of the grid that no row was read for.
        reordered: Whether the rows were not in order of time.
    """

    times: np.ndarray
    values: np.ndarray
    merged: int
    moved: int
    empty: int
    reordered: bool

    @property
    def step(self) -> np.timedelta64:
        """The interval between rows."""
        return self.times[1] - self.times[0]

    @classmethod
    def fit(
        cls, times: np.ndarray, values: np.ndarray, *, step: np.timedelta64 | None = None
    ) -> Self:
        """Bring rows to equal intervals.

        Rows of the same time are merged into the mean of their values that are not missing. A time
        between two of the grid is rounded to the nearer one.

        Args:
            times: `datetime64[s]` array `(N,)`, in any order.
            values: float32 array `(N, V)`, NaN where a value is missing.
            step: The interval; None is the most frequent one between two successive times.

        Raises:
            ValueError: There are fewer than two times, or most rows of the grid would be empty.

        Example:

        >>> times = np.array(["2024-01-01T00", "2024-01-01T01", "2024-01-01T01", "2024-01-01T03"])
        >>> grid = TimeGrid.fit(times.astype("datetime64[s]"), np.float32([[1], [2], [4], [5]]))
        >>> grid.values[:, 0].tolist(), grid.merged, grid.empty
        ([1.0, 3.0, nan, 5.0], 1, 1)
        """
        order = np.argsort(times, kind="stable")
        reordered = bool(np.any(np.diff(times) < np.timedelta64(0, "s")))
        times, values = times[order], values[order]
        differences = np.diff(times)
        differences = differences[differences > np.timedelta64(0, "s")]
        if not len(differences):
            raise ValueError(
                "A time series must have rows at two different times. Received: "
                f"{counted(len(times), 'row')}."
            )
        if step is None:
            steps, counts = np.unique(differences, return_counts=True)
            step = steps[counts.argmax()]
        offsets = (times - times[0]).astype("int64")
        seconds = int(step.astype("timedelta64[s]").astype("int64"))
        cells = (offsets + seconds // 2) // seconds
        rows = int(cells[-1]) + 1
        counts = np.bincount(cells, minlength=rows)
        empty = int((counts == 0).sum())
        if empty > MAX_EMPTY * rows:
            raise ValueError(
                f"The times of the rows are too irregular: {empty:,} of {rows:,} rows at intervals "
                f"of {describe_step(step)} would be empty. Give the interval of the forecast as "
                "`step`, such as '1h' or '1d', and rows within it are averaged."
            )
        return cls(
            times=times[0] + np.arange(rows) * np.timedelta64(seconds, "s"),
            values=_means(values, cells, rows),
            merged=len(times) - (rows - empty),
            moved=int((offsets % seconds != 0).sum()),
            empty=empty,
            reordered=reordered,
        )


def _means(values: np.ndarray, cells: np.ndarray, rows: int) -> np.ndarray:
    """Return the mean of the observed values of each cell, float32 `(rows, V)`, or NaN."""
    columns = []
    for column in values.T.astype("float64"):
        observed = ~np.isnan(column)
        sums = np.bincount(cells[observed], column[observed], minlength=rows)
        counts = np.bincount(cells[observed], minlength=rows)
        columns.append(np.where(counts, sums / np.maximum(counts, 1), np.nan))
    return np.stack(columns, axis=1).astype("float32")


def describe_step(step: np.timedelta64) -> str:
    """Return an interval in words.

    Example:

    >>> describe_step(np.timedelta64(600, "s")), describe_step(np.timedelta64(1, "D"))
    ('10 minutes', '1 day')
    """
    seconds = int(step.astype("timedelta64[s]").astype("int64"))
    size, unit = next((size, unit) for size, unit in UNITS if seconds % size == 0)
    return counted(seconds // size, unit)


def parse_step(text: str) -> np.timedelta64:
    """Return the interval that a text such as `"15min"`, `"1h"` or `"1d"` names.

    Raises:
        ValueError: It is no such text.

    Example:

    >>> parse_step("15min")
    np.timedelta64(900,'s')
    """
    match = re.fullmatch(r"(\d+) ?(s|min|h|d|w)", text.strip()) if isinstance(text, str) else None
    if match is None or not int(match[1]):
        raise ValueError(
            "`step` must be a number and a unit: s, min, h, d or w, such as '15min' or '1h'. "
            f"Received: {text!r}."
        )
    sizes = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
    return np.timedelta64(int(match[1]) * sizes[match[2]], "s")
