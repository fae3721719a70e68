"""The metrics of a split: errors of all windows, by horizon and by variable."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_attn.datasets import SeriesSplit
from keras_attn.tasks.forecasting.losses import ForecastLoss
from keras_attn.tasks.forecasting.training_data import WindowBatches, all_origins

if TYPE_CHECKING:
    from keras_attn.tasks.forecasting.forecaster import Forecaster


def evaluate_windows(
    forecaster: "Forecaster", split: SeriesSplit, horizons: Sequence[int], batch_size: int
) -> dict[str, Any]:
    """Return the errors of a model on all windows of a split.

    For each horizon, every window is scored whose targets up to it lie in the split. Its history
    may begin in the rows before the split. Values are standardized by the training rows, so that
    all variables count alike, and targets that are missing are left out.

    Args:
        forecaster: The model.
        split: The split.
        horizons: The numbers of steps that are scored, each from the first one on.
        batch_size: Windows per batch.

    Returns:
        `mse` and `mae`, the means over the horizons of `mse_96`, `mae_96` and so on; `windows_96`
        and so on; `mse_by_variable`, over the windows of the longest horizon; `loss`, that of
        training; `examples`, the number of windows of the shortest horizon. With quantiles also
        `pinball`, the mean of their pinball losses, over the windows of the longest horizon. With
        several quantiles also `coverage`, the share of targets between the lowest and the highest
        one over these windows, and `interval`, the share that is expected there.

    Raises:
        ValueError: The split has other variables, or fewer rows than the shortest horizon.
    """
    series = forecaster._series(split, "split")
    values = forecaster.standardize(series.values)
    origins = all_origins(split, min(horizons))
    sizes = (forecaster.history_length, forecaster.horizon, batch_size)
    batches = WindowBatches(values, origins, *sizes, **forecaster.window_options(series.times))
    totals = _Totals(horizons, len(series.values), forecaster)
    for index, (histories, targets) in enumerate(batches):
        forecasts = keras.ops.convert_to_numpy(forecaster.predict_on_batch(histories))
        totals.add(origins[index * batch_size :][: len(targets)], targets, forecasts)
    return totals.metrics(len(origins))


class _Totals:
    """Sums of errors over windows, in double precision."""

    def __init__(self, horizons: Sequence[int], rows: int, forecaster: "Forecaster") -> None:
        self.horizons, self.rows, self.names = horizons, rows, forecaster.target_names
        self.levels = np.array(forecaster.quantiles)
        self.loss = ForecastLoss(forecaster.quantiles, horizons, reduction="none")
        self.sums = dict.fromkeys([(kind, h) for kind in ("mse", "mae") for h in horizons], 0.0)
        self.counts, self.windows = dict.fromkeys(horizons, 0), dict.fromkeys(horizons, 0)
        self.by_variable = np.zeros((2, forecaster.num_targets))
        self.pinball = self.covered = self.total_loss = 0.0

    def add(self, origins: np.ndarray, targets: np.ndarray, forecasts: np.ndarray) -> None:
        """Add windows: their origins, targets `(B, H, K)`, and forecasts `(B, H, K, 1 + Q)`."""
        losses = self.loss(targets, forecasts)
        self.total_loss += float(keras.ops.convert_to_numpy(losses).astype("float64").sum())
        for horizon in self.horizons:
            whole = origins + horizon <= self.rows
            self.windows[horizon] += int(whole.sum())
            known = targets[whole, :horizon].astype("float64")
            errors = known - forecasts[whole, :horizon, :, 0]
            self.sums["mse", horizon] += float(np.nansum(errors**2))
            self.sums["mae", horizon] += float(np.nansum(np.abs(errors)))
            self.counts[horizon] += int((~np.isnan(errors)).sum())
        # Of the longest horizon, the last of the loop.
        self.by_variable += [np.nansum(errors**2, axis=(0, 1)), (~np.isnan(errors)).sum((0, 1))]
        if len(self.levels):
            below = known[..., None] - forecasts[whole, :horizon, :, 1:]
            self.pinball += float(
                np.nansum(np.maximum(self.levels * below, (self.levels - 1) * below))
            )
            self.covered += float(((below[..., 0] >= 0) & (below[..., -1] <= 0)).sum())

    def metrics(self, windows: int) -> dict[str, Any]:
        """Return the metrics, see `evaluate_windows`."""
        metrics: dict[str, Any] = {}
        for kind in ("mse", "mae"):
            by_horizon = {
                f"{kind}_{h}": self.sums[kind, h] / max(self.counts[h], 1) for h in self.horizons
            }
            metrics |= {kind: float(np.mean(list(by_horizon.values()))), **by_horizon}
        sums, counts = self.by_variable
        metrics["mse_by_variable"] = dict(
            zip(self.names, (sums / np.maximum(counts, 1)).tolist(), strict=True)
        )
        observed = max(self.counts[self.horizons[-1]], 1)
        if len(self.levels):
            metrics["pinball"] = self.pinball / observed / len(self.levels)
        if len(self.levels) > 1:
            metrics["coverage"] = self.covered / observed
            metrics["interval"] = round(float(self.levels[-1] - self.levels[0]), 6)
        metrics["loss"] = self.total_loss / windows
        metrics |= {f"windows_{h}": count for h, count in self.windows.items()}
        metrics["examples"] = windows
        return metrics
