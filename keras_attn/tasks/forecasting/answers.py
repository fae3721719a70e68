"""The answer of a forecaster: means and quantiles of the next values."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_attn._names import unknown
from keras_attn.tasks._figures import new_figure

SHOWN_VARIABLES = 8  # of a plot
HISTORY_HORIZONS = 3  # length of the plotted history, in horizons


@dataclasses.dataclass(frozen=True, eq=False)
class Forecast:
    """A forecast of each variable of a time series, in the units of the history.

    Attributes:
        names: The names of the `K` variables that are forecast.
        mean: float32 array `(H, K)`, the expected values.
        quantiles: For each level, such as 0.1, a float32 array `(H, K)`. Empty if the model
            forecasts no quantiles.
        times: `datetime64[s]` array `(H,)`, or None if the history had no times.
        history: float32 array `(L, V)`, the rows that the model read, NaN where one is missing.
        history_times: Their times, or None.
    """

    names: tuple[str, ...]
    mean: np.ndarray
    quantiles: Mapping[float, np.ndarray]
    times: np.ndarray | None
    history: np.ndarray
    history_times: np.ndarray | None

    def __len__(self) -> int:
        return len(self.mean)

    def __repr__(self) -> str:
        levels = ", ".join(f"{level:g}" for level in self.quantiles) or "no"
        return f"Forecast({len(self)} steps of {', '.join(self.names)}; {levels} quantiles)"

    def to_dict(self) -> dict[str, Any]:
        """Return means, quantiles and times as a dictionary that can be written as JSON."""
        values: dict[str, Any] = {}
        if self.times is not None:
            values["times"] = [str(time) for time in self.times]
        values["mean"] = self._by_name(self.mean)
        values["quantiles"] = {
            f"{level:g}": self._by_name(array) for level, array in self.quantiles.items()
        }
        return values

    def to_columns(self, top: int = 3) -> dict[str, str]:
        """Return the cells of a table row: the last step, and at most `top` variables.

        A cell is the mean, with the lowest and the highest quantile.
        """
        last = f"step {len(self)}" if self.times is None else str(self.times[-1])
        cells = {"until": last}
        for index, name in enumerate(self.names[:top]):
            band = [array[-1, index] for array in self.quantiles.values()]
            cell = f"{self.mean[-1, index]:.4g}"
            cells[name] = f"{cell} [{band[0]:.4g}, {band[-1]:.4g}]" if len(band) > 1 else cell
        return cells

    def to_frame(self) -> Any:
        """Return a pandas `DataFrame` with a row for each step.

        Its columns are the variables, and the quantiles as `"OT 0.1"`; its index is the times, or
        the number of each step from 1. It needs pandas.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError("`to_frame` needs pandas: pip install pandas.") from error
        columns = self._by_name(self.mean)
        for level, array in self.quantiles.items():
            columns |= {
                f"{name} {level:g}": array[:, index].tolist()
                for index, name in enumerate(self.names)
            }
        index = range(1, len(self) + 1) if self.times is None else pd.DatetimeIndex(self.times)
        return pd.DataFrame(columns, index=index)

    def plot(self, variables: Sequence[str] | None = None, *, steps: int | None = None) -> Any:
        """Return a matplotlib `Figure`: the end of the history, the forecast and its band.

        Args:
            variables: Names of variables, a panel each; None is the first 8.
            steps: Number of rows of the history to show; None is three horizons.

        Raises:
            ValueError: There is no such variable.
            ImportError: matplotlib is not installed.
        """
        chosen = self.names[:SHOWN_VARIABLES] if variables is None else tuple(variables)
        for name in chosen:
            if name not in self.names:
                raise ValueError(unknown("variable", name, self.names))
        figure = new_figure(9.0, 1.2 + 1.9 * len(chosen))
        axes = figure.subplots(len(chosen), 1, sharex=True, squeeze=False)[:, 0]
        for axis, name in zip(axes, chosen, strict=True):
            self.draw(axis, name, steps)
        axes[0].legend(loc="upper left", fontsize="small")
        if self.times is None:
            axes[-1].set_xlabel("steps after the history")
        return figure

    def draw(self, axis: Any, name: str, steps: int | None = None) -> None:
        """Draw the panel of a variable, see `plot`."""
        index = self.names.index(name)
        steps = min(len(self.history), HISTORY_HORIZONS * len(self) if steps is None else steps)
        past = self.history[len(self.history) - steps :, index]
        if self.times is None or self.history_times is None:
            before, after = np.arange(1 - steps, 1), np.arange(1, len(self) + 1)
        else:
            before, after = self.history_times[len(self.history) - steps :], self.times
            use_short_dates(axis)
        marker = "o" if len(self) == 1 else None  # a line of one point is not visible
        options = {"color": "#d84315", "linewidth": 1.4, "marker": marker, "label": "forecast"}
        axis.plot(before, past, color="#546e7a", linewidth=1.0, label="history")
        axis.plot(after, self.mean[:, index], **options)
        levels = list(self.quantiles)
        if len(levels) > 1:
            low, high = (self.quantiles[level][:, index] for level in (levels[0], levels[-1]))
            band = {"color": "#d84315", "label": f"quantiles {levels[0]:g} to {levels[-1]:g}"}
            if len(self) == 1:
                axis.vlines(after, low, high, alpha=0.4, linewidth=4.0, **band)
            else:
                axis.fill_between(after, low, high, alpha=0.2, linewidth=0.0, **band)
        axis.set_ylabel(name, parse_math=False)

    def _by_name(self, array: np.ndarray) -> dict[str, list[float]]:
        return {name: array[:, index].tolist() for index, name in enumerate(self.names)}


def use_short_dates(axis: Any) -> None:
    """Write the times of an axis without repeating the date, so that they do not overlap."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator()
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))
