"""Times of a series: parsing them, and bringing rows to equal intervals."""

import dataclasses
import datetime
import re
from collections.abc import Sequence
from typing import Self

import numpy as np

from keras_attn._wording import counted

_CLOCK = r"(?:(?:T| +)?(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?(?: *([AaPp])\.?[Mm]\.?)?)?"
_YEAR_LAST = re.compile(rf"(\d{{1,2}})[/.-](\d{{1,2}})[/.-](\d{{4}}){_CLOCK}")
_YEAR_FIRST = re.compile(rf"(\d{{4}})([/.-]|年)(\d{{1,2}})(?:[/.-]|月)(\d{{1,2}})日?{_CLOCK}")
_MONTH = re.compile(r"(\d{4})(?:[/-]|年)(\d{1,2})月?")
_EPOCH = re.compile(r"\d{10}|\d{13}")  # seconds or milliseconds since 1970, from 2001 on
FORMATS = "2024-02-01 13:00, 2024/2/1 13:00, 1/2/2024 1:00 PM or 2024年2月1日 13:00"
MAX_EMPTY = 0.5  # share of rows of the grid without a value above which a series is refused
COARSER = 1.5  # ratio of a requested interval to the usual one from which rows are averaged
MAX_FRACTION = 0.1  # seconds by which an interval may differ from whole seconds
DAY = 86_400  # seconds
UNITS = ((604_800, "week"), (DAY, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
FREQUENCIES = {604_800: "7D", DAY: "D", 3600: "h", 60: "min", 1: "s"}  # of pandas
NOT_EQUAL = (
    "The times are those of {unit}s, which are not equal intervals. Forecast rows by number: pass "
    "the values alone, as an array or frame.reset_index(drop=True); forecasts then have no times."
)


def parse_times(
    texts: Sequence[str],
    source: str,
    day_first: bool | None = None,
    lines: Sequence[int] = (),
    place: str = "on line",
) -> np.ndarray:
    """Return times as `datetime64[us]`; those with an offset from UTC are converted to UTC.

    Args:
        texts: Times in ISO 8601, such as `2024-02-01 13:00`, as `2024/2/1 13:00`, as
            `1/2/2024 13:00` or `1/2/2024 1:00 PM`, as `2024年2月1日`, or months as `2024-02`; or
            seconds or milliseconds since 1970, of 10 or 13 digits.
        source: Where they are from, for messages.
        day_first: Whether `1/2/2024` begins with the day. None decides by a number above 12 in the
            first or second place.
        lines: The line of each time, for messages; by default they are counted from 2.
        place: The word before the line in messages.

    Raises:
        ValueError: A text is no time, or it is not clear where the day is.

    Example:

    >>> parse_times(["2024-02-01 13:00", "2024/2/1 2:00 PM"], "a.csv").astype("M8[m]").tolist()
    [datetime.datetime(2024, 2, 1, 13, 0), datetime.datetime(2024, 2, 1, 14, 0)]
    """
    if day_first is None:
        day_first = _finds_day_first(texts, source)
    times = np.empty(len(texts), "datetime64[us]")
    for index, text in enumerate(texts):
        try:
            times[index] = np.datetime64(_parse(text.strip(), day_first), "us")
        except (ValueError, OverflowError) as error:
            line = lines[index] if len(lines) else index + 2
            hint = ""
            if re.fullmatch(r"\d{5}(\.\d+)?", text.strip()):
                hint = " It looks like a date of Excel: format the column as a date."
            raise ValueError(
                f"{source}: the time {place} {line} must be written as {FORMATS}. Received: "
                f"{text[:40]!r}.{hint} Rewrite it; or, if another column holds the times, name it "
                "with `time_column`."
            ) from error
    return times


def _parse(text: str, day_first: bool | None) -> datetime.datetime:
    """Return a time in UTC without an offset."""
    if (match := _YEAR_LAST.fullmatch(text)) is not None:
        one, two, year = int(match[1]), int(match[2]), int(match[3])
        day, month = (one, two) if day_first else (two, one)
        return datetime.datetime(year, month, day) + _clock(match.groups()[3:])
    if (match := _YEAR_FIRST.fullmatch(text)) is not None:
        year, month, day = int(match[1]), int(match[3]), int(match[4])
        return datetime.datetime(year, month, day) + _clock(match.groups()[4:])
    if (match := _MONTH.fullmatch(text)) is not None:
        return datetime.datetime(int(match[1]), int(match[2]), 1)
    if _EPOCH.fullmatch(text) and not 1900 <= int(text[:4]) <= 2100:  # no year begins it
        seconds = int(text) / (1000 if len(text) == 13 else 1)
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC).replace(tzinfo=None)
    time = datetime.datetime.fromisoformat(text)
    if time.tzinfo is not None:
        time = time.astimezone(datetime.UTC).replace(tzinfo=None)
    return time


def _clock(parts: Sequence[str | None]) -> datetime.timedelta:
    """Return the time of day of the groups of `_CLOCK`."""
    hour, minute, second = (int(part or 0) for part in parts[:3])
    fraction, half = parts[3:]
    if half is not None:
        if not 1 <= hour <= 12:
            raise ValueError("an hour of 12 is from 1 to 12")
        hour = hour % 12 + (12 if half in "Pp" else 0)
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError("no time of day")
    microseconds = int((fraction or "0").ljust(6, "0")[:6])
    return datetime.timedelta(hours=hour, minutes=minute, seconds=second, microseconds=microseconds)


def _finds_day_first(texts: Sequence[str], source: str) -> bool | None:
    """Return whether `1/2/2024` begins with the day, if a number above 12 shows it."""
    pairs = {
        (int(m[1]), int(m[2])): text
        for text in texts
        if (m := _YEAR_LAST.fullmatch(text.strip())) is not None
    }
    if not pairs:
        return None
    days_first = any(one > 12 for one, _ in pairs)
    months_first = any(two > 12 for _, two in pairs)
    if days_first == months_first:
        raise ValueError(
            f"{source}: dates such as {next(iter(pairs.values()))!r} do not show whether the day "
            "or the month comes first. Pass `day_first=True` or `day_first=False`, or write them "
            "as 2024-02-01 13:00, the year first."
        )
    return days_first


def whole_seconds(times: np.ndarray, *, step: bool = False) -> np.ndarray:
    """Return times rounded to seconds, `datetime64[s]`.

    Args:
        times: `datetime64` array `(T,)` of any unit.
        step: Whether an interval is requested, to which rows are averaged.

    Raises:
        ValueError: The usual interval is not a whole number of seconds, and none is requested.
    """
    times = times.astype("datetime64[us]")
    rounded = (times + np.timedelta64(500, "ms")).astype("datetime64[s]")
    if step or np.array_equal(rounded.astype("datetime64[us]"), times):
        return rounded
    usual = _median_step(times) / 1e6
    if usual and (usual < 1.0 or abs(usual - round(usual)) > MAX_FRACTION):
        raise ValueError(
            f"Intervals must be whole seconds. Received: times about {usual:g} seconds apart. "
            "Average the rows to whole seconds, such as with `step='1s'` of "
            "keras_attn.datasets.read_series; or pass the values alone, as an array."
        )
    return rounded


def _median_step(times: np.ndarray) -> float:
    """Return the median interval between different times, in their unit; 0 without any."""
    steps = np.diff(np.unique(times[~np.isnat(times)])).astype("int64")
    return float(np.median(steps)) if len(steps) else 0.0


def calendar_unit(times: np.ndarray) -> str | None:
    """Return "month", "quarter" or "year" if these separate the times, and equal intervals do not.

    Args:
        times: `datetime64[s]` array, in any order.

    Example:

    >>> calendar_unit(np.array(["2024-01-01", "2024-02-01", "2024-03-01"], "datetime64[s]"))
    'month'
    """
    times = np.unique(times[~np.isnat(times)])
    steps = np.diff(times).astype("int64")
    if not len(steps) or steps.min() < 28 * DAY:
        return None
    months = times.astype("datetime64[M]")
    from_start = times - months
    to_end = (months + 1).astype("datetime64[s]") - times
    same_day = len(np.unique(from_start)) == 1 or len(np.unique(to_end)) == 1
    if not same_day and not np.any(steps % steps.min()):
        return None  # such as every four weeks
    least = int(np.diff(months).astype("int64").min())
    return "year" if least >= 12 else "quarter" if least >= 3 else "month"


def check_no_calendar(times: np.ndarray) -> None:
    """Raise ValueError if times are those of months, quarters or years."""
    if (unit := calendar_unit(times)) is not None:
        raise ValueError(NOT_EQUAL.format(unit=unit))


@dataclasses.dataclass(frozen=True)
class TimeGrid:
    """Rows of a series at equal intervals.

    Attributes:
        times: `datetime64[s]` array `(T,)`, at equal intervals.
        values: float64 array `(T, V)`; NaN in rows that no row was read for.
        merged: Number of rows that were merged into another one of the same time.
        moved: Number of rows whose time was rounded to the grid.
        empty: Number of rows of the grid that no row was read for.
        reordered: Whether the rows were not in order of time.
        repeated: Share of the times with a row that have several.
        coarser: Whether rows are means over intervals longer than those of the data.
    """

    times: np.ndarray
    values: np.ndarray
    merged: int
    moved: int
    empty: int
    reordered: bool
    repeated: float
    coarser: bool

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
        between two of the grid is rounded to the nearer one. With a `step` at least 1.5 times the
        median interval, rows are averaged in place of that: a row of the grid is the mean from its
        time up to that of the next one, and the grid begins at a midnight plus whole steps, as that
        of `resample` of pandas.

        Args:
            times: `datetime64` array `(N,)`, in any order.
            values: float array `(N, V)`, NaN where a value is missing.
            step: The interval; None is the most frequent one between two successive times.

        Raises:
            ValueError: There are fewer than two times, they are months, their usual interval is not
                whole seconds, or most rows of the grid would be empty.

        Example:

        >>> times = np.array(["2024-01-01T00", "2024-01-01T01", "2024-01-01T01", "2024-01-01T03"])
        >>> grid = TimeGrid.fit(times.astype("datetime64[s]"), np.float32([[1], [2], [4], [5]]))
        >>> grid.values[:, 0].tolist(), grid.merged, grid.empty
        ([1.0, 3.0, nan, 5.0], 1, 1)
        """
        order = np.argsort(times, kind="stable")
        reordered = bool(np.any(np.diff(times) < np.timedelta64(0, "s")))
        exact, values = times[order], values[order]
        times = whole_seconds(exact, step=step is not None)
        check_no_calendar(times)
        differences = np.diff(times).astype("int64")
        differences = differences[differences > 0]
        if not len(differences):
            raise ValueError(
                "A time series must have rows at two different times. Received: "
                f"{counted(len(times), 'row')}."
            )
        steps, counts = np.unique(differences, return_counts=True)
        usual = int(steps[counts.argmax()])
        seconds = usual if step is None else int(step.astype("timedelta64[s]").astype("int64"))
        median = _median_step(exact.astype("datetime64[us]")) / 1e6
        coarser = step is not None and seconds >= COARSER * median
        if coarser:
            times = exact.astype("datetime64[s]")  # which drops fractions
            midnight = times[0].astype("datetime64[D]").astype("datetime64[s]")
            cells = (times - midnight).astype("int64") // seconds
            first = midnight + cells[0] * np.timedelta64(seconds, "s")
            cells = cells - cells[0]
        else:
            offsets, first = (times - times[0]).astype("int64"), times[0]
            cells = (offsets + seconds // 2) // seconds
        rows = int(cells[-1]) + 1
        if rows < 2:
            raise ValueError(
                "A time series must have two rows at least. Received: "
                f"{counted(len(times), 'row')} within one interval of "
                f"{describe_step(np.timedelta64(seconds, 's'))}. Choose a shorter `step`."
            )
        counts = np.bincount(cells, minlength=rows)
        empty = int((counts == 0).sum())
        if empty > MAX_EMPTY * rows:
            remedy = (
                "Give the interval of the forecast as `step`, such as '1h' or '1d', and rows "
                "within it are averaged."
            )
            if step is not None and seconds < median:
                usually = describe_step(np.timedelta64(max(1, round(median)), "s"))
                remedy = f"The rows are about {usually} apart: `step` must not be shorter."
            raise ValueError(
                f"The times of the rows are too irregular: {empty:,} of {rows:,} rows at intervals "
                f"of {describe_step(np.timedelta64(seconds, 's'))} would be empty. {remedy}"
            )
        _, repeats = np.unique(exact, return_counts=True)
        return cls(
            times=first + np.arange(rows) * np.timedelta64(seconds, "s"),
            values=_means(values, cells, rows),
            merged=len(times) - (rows - empty),
            moved=0 if coarser else int((offsets % seconds != 0).sum()),
            empty=empty,
            reordered=reordered,
            repeated=float((repeats > 1).mean()),
            coarser=coarser,
        )


def _means(values: np.ndarray, cells: np.ndarray, rows: int) -> np.ndarray:
    """Return the mean of the observed values of each cell, float64 `(rows, V)`, or NaN."""
    columns = []
    for column in values.T.astype("float64"):
        observed = ~np.isnan(column)
        sums = np.bincount(cells[observed], column[observed], minlength=rows)
        counts = np.bincount(cells[observed], minlength=rows)
        columns.append(np.where(counts, sums / np.maximum(counts, 1), np.nan))
    return np.stack(columns, axis=1)


def describe_step(step: np.timedelta64) -> str:
    """Return an interval in words.

    Example:

    >>> describe_step(np.timedelta64(600, "s")), describe_step(np.timedelta64(1, "D"))
    ('10 minutes', '1 day')
    """
    seconds = int(step.astype("timedelta64[s]").astype("int64"))
    size, unit = next((size, unit) for size, unit in UNITS if seconds % size == 0)
    return counted(seconds // size, unit)


def frequency(seconds: int) -> str:
    """Return an interval as pandas writes it.

    Example:

    >>> frequency(900), frequency(3600)
    ('15min', 'h')
    """
    size = next(size for size in FREQUENCIES if seconds % size == 0)
    count, name = seconds // size, FREQUENCIES[size]
    if count == 1:
        return name
    return f"{count * 7}D" if name == "7D" else f"{count}{name}"


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
            f"Received: {text!r}. Months and years are not equal intervals."
        )
    sizes = {"s": 1, "min": 60, "h": 3600, "d": DAY, "w": 604_800}
    return np.timedelta64(int(match[1]) * sizes[match[2]], "s")
