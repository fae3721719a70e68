"""Splits of multivariate time series."""

import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from keras_attn._wording import counted
from keras_attn.datasets.splits import make_batches

Spans = dict[str, tuple[int, int]]  # for each split its first row, and the row after its last


@dataclasses.dataclass(frozen=True)
class SeriesSplit:
    """Rows of a multivariate time series at equal intervals, with the rows before them.

    A window of a split is a history and the rows that follow it, the targets. The targets lie in
    the rows of the split; the history may begin in the rows before `start`, which belong to earlier
    splits. All other windows would leave the first rows of a split without a forecast.

    Attributes:
        values: float32 or float64 array `(T, V)`, NaN where a value is missing.
        times: `datetime64[s]` array `(T,)`, at equal intervals.
        names: The names of the `V` variables.
        start: First row of the split.
        time_column: Name of the column of times in the table that it is from, or None.

    Raises:
        ValueError: An array has another shape or dtype, or times are not at equal intervals.

    Example:

    >>> times = np.datetime64("2024-01-01T00", "s") + np.arange(6) * np.timedelta64(3600, "s")
    >>> split = SeriesSplit(np.ones((6, 2), "float32"), times, ("load", "wind"), start=2)
    >>> len(split), split.origins(history=2, horizon=3).tolist()
    (4, [2, 3])
    """

    values: np.ndarray
    times: np.ndarray
    names: tuple[str, ...]
    start: int = 0
    time_column: str | None = None

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.dtype not in (
            np.float32,
            np.float64,
        ):
            raise ValueError(
                "A series split's `values` must be float32 or float64 of shape (T, V). Received: "
                f"{self.values.dtype} of shape {self.values.shape}."
            )
        rows, variables = self.values.shape
        if self.times.shape != (rows,) or self.times.dtype != np.dtype("datetime64[s]"):
            raise ValueError(
                f"A series split's `times` must be datetime64[s] of shape ({rows},), one for each "
                f"row. Received: {self.times.dtype} of shape {self.times.shape}."
            )
        if len(self.names) != variables:
            raise ValueError(
                f"A series split needs a name for each of its {counted(variables, 'variable')}. "
                f"Received: {list(self.names)}."
            )
        if not 0 <= self.start <= rows:
            raise ValueError(
                f"`start` must be a row of the {counted(rows, 'row')}. Received: {self.start}."
            )
        if (row := unequal_row(self.times)) is not None:
            raise ValueError(
                "A series split's `times` must increase by equal intervals; a gap is rows of NaN. "
                f"Received: {self.times[row - 1]} and {self.times[row]} at rows {row - 1} and "
                f"{row}. See keras_attn.datasets.read_series."
            )

    @property
    def inputs(self) -> np.ndarray:
        """The values of the split alone, without the rows before it."""
        return self.values[self.start :]

    @property
    def targets(self) -> np.ndarray:
        """The same values, which are also what is forecast."""
        return self.inputs

    @property
    def step(self) -> np.timedelta64:
        """The interval between rows; 0 if there are fewer than two."""
        return self.times[1] - self.times[0] if len(self.times) > 1 else np.timedelta64(0, "s")

    def __len__(self) -> int:
        return len(self.values) - self.start

    def __repr__(self) -> str:
        rows, variables = counted(len(self), "row"), counted(len(self.names), "variable")
        return f"SeriesSplit({rows} of {variables})"

    def take(self, indices: Any) -> Self:
        """Return a split of the rows at `indices` (a slice of step 1), with the rows before them.

        Raises:
            TypeError: `indices` is no slice of step 1: other rows are not at equal intervals.
        """
        if not isinstance(indices, slice) or indices.step not in (None, 1):
            raise TypeError(
                "Rows of a time series are taken by a slice, such as slice(0, 100). Received: "
                f"{indices!r}."
            )
        first, last, _ = indices.indices(len(self))
        end = self.start + max(first, last)
        return dataclasses.replace(
            self, values=self.values[:end], times=self.times[:end], start=self.start + first
        )

    def origins(self, history: int, horizon: int) -> np.ndarray:
        """Return the row of the first target of each window, int64.

        Args:
            history: Number of rows of a history. Windows whose history would begin before the first
                row are left out.
            horizon: Number of targets, all in the rows of the split.
        """
        return np.arange(max(self.start, history), len(self.values) - horizon + 1)

    @functools.cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of names, times, values and the first row."""
        digest = hashlib.sha256("\n".join(self.names).encode())
        digest.update(self.start.to_bytes(8, "little"))
        digest.update(self.times.astype("<i8").tobytes())
        values = np.where(np.isnan(self.values), np.nan, self.values).astype(self.values.dtype)
        digest.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
        return digest.hexdigest()

    def batches(
        self,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        history: int = 1,
        horizon: int = 1,
    ) -> Any:
        """Return the windows as a `tf.data.Dataset` of `(histories, targets)` batches.

        Args:
            batch_size: Windows per batch; the last batch may be smaller.
            shuffle: Whether to shuffle the windows anew at every pass over the data set.
            seed: Integer that determines the order.
            history: Number of rows of a history.
            horizon: Number of targets.
        """
        origins = self.origins(history, horizon)
        histories = rows_from(self.values, origins - history, history)
        return make_batches(
            histories, rows_from(self.values, origins, horizon), batch_size, shuffle, seed
        )


def unequal_row(times: np.ndarray) -> int | None:
    """Return the first row whose interval to the row before it is not that of the first two rows.

    Args:
        times: `datetime64` array `(T,)`.

    Returns:
        The row, also if the first interval is not positive; None if times rise by equal intervals.

    Example:

    >>> unequal_row(np.array(["2024-01-01", "2024-01-02", "2024-01-04"], "datetime64[D]"))
    2
    """
    steps = np.diff(times)
    if not len(steps):
        return None
    wrong = steps != steps[0]
    wrong[0] = steps[0] <= np.timedelta64(0, "s")
    return int(wrong.argmax()) + 1 if wrong.any() else None


def rows_from(values: np.ndarray, first: np.ndarray, count: int) -> np.ndarray:
    """Return `count` rows from each of the rows `first` on; NaN after the last row and before 0.

    Args:
        values: Float array `(T, V)`.
        first: Integer array `(N,)`.
        count: Number of rows.

    Returns:
        Array `(N, count, V)`.

    Example:

    >>> rows_from(np.arange(4.0)[:, None], np.array([1, 3]), 2)[..., 0].tolist()
    [[1.0, 2.0], [3.0, nan]]
    """
    rows = first[:, None] + np.arange(count)
    windows = values[np.clip(rows, 0, len(values) - 1)]
    outside = (rows < 0) | (rows >= len(values))
    if outside.any():
        windows[outside] = np.nan
    return windows


def split_rows(
    values: np.ndarray,
    times: np.ndarray,
    names: Sequence[str],
    spans: Spans,
    time_column: str | None = None,
) -> dict[str, SeriesSplit]:
    """Return splits of a series by time, each with all rows before it.

    Args:
        values: float32 or float64 array `(T, V)`.
        times: `datetime64[s]` array `(T,)`.
        names: The names of the variables.
        spans: For each split its first row, and the row after its last.
        time_column: Name of the column of times, or None.
    """
    return {
        name: SeriesSplit(values[:end], times[:end], tuple(names), start, time_column)
        for name, (start, end) in spans.items()
    }
