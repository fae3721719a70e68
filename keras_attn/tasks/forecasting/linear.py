"""Linear maps from histories to forecasts, fitted in closed form by ridge regression.

NLinear and DLinear of Zeng et al. (arXiv:2205.13504), with the same weights for all variables:
NLinear maps the history without its last value, and DLinear maps a moving average of the history
and what it leaves. They are fitted by least squares with a penalty rather than by gradient steps.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from keras_attn.datasets.series import rows_from

PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # in units of the mean variance of the features
MOVING_AVERAGE = 25  # steps, as in DLinear
MAX_WINDOWS = 8_192  # training windows, at equal distances
MAX_SELECTION = 4_096  # validation windows by which the penalty is chosen, at equal distances
MAX_RESIDUALS = 512  # training windows of the quantiles of what is left, at equal distances
BATCH = 256  # windows


def fill_missing(histories: np.ndarray) -> np.ndarray:
    """Return rows `(N, L)` in which a missing value is the last one before it, or the mean.

    Values before the first one that is observed are the mean of those that are, and 0 without any.

    Example:

    >>> fill_missing(np.array([[np.nan, 1.0, np.nan, 3.0]])).tolist()
    [[2.0, 1.0, 1.0, 3.0]]
    """
    observed = ~np.isnan(histories)
    if observed.all():
        return histories
    zeros = np.where(observed, histories, 0.0)
    means = zeros.sum(axis=1, keepdims=True) / np.maximum(observed.sum(axis=1, keepdims=True), 1)
    last = np.maximum.accumulate(np.where(observed, np.arange(histories.shape[1]), -1), axis=1)
    filled = np.take_along_axis(zeros, np.maximum(last, 0), axis=1)
    return np.where(last < 0, means, filled)


def series_windows(
    values: np.ndarray, origins: np.ndarray, history: int, horizon: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the histories `(N V, L)` and the targets `(N V, H)` of windows of all variables."""
    histories, targets = (
        rows_from(values, first, count).transpose(0, 2, 1).reshape(-1, count)
        for first, count in ((origins - history, history), (origins, horizon))
    )
    return histories, targets


def at_equal_distances(origins: np.ndarray, limit: int) -> np.ndarray:
    """Return at most `limit` of the origins, at equal distances.

    Example:

    >>> at_equal_distances(np.arange(10), 4).tolist()
    [0, 3, 6, 9]
    """
    return origins[:: max(1, -(-len(origins) // limit))]


@dataclasses.dataclass(frozen=True)
class Moments:
    """Sums of products over training windows, from which all linear maps are computed.

    Attributes:
        gram: float64 array `(L, L)` of histories with histories.
        cross: float64 array `(L, H)` of histories with targets.
        sums: float64 array `(L,)` of histories.
        target_sums: float64 array `(H,)` of targets.
        count: Number of windows, each variable by itself.
    """

    gram: np.ndarray
    cross: np.ndarray
    sums: np.ndarray
    target_sums: np.ndarray
    count: int

    @classmethod
    def of(cls, values: np.ndarray, origins: np.ndarray, history: int, horizon: int) -> "Moments":
        """Sum over windows; those with missing targets are left out, and histories filled in.

        Args:
            values: Standardized float32 array `(T, V)`.
            origins: The first target of each window.
            history: Number of rows of a history.
            horizon: Number of targets.
        """
        gram, cross = np.zeros((history, history)), np.zeros((history, horizon))
        sums, target_sums, count = np.zeros(history), np.zeros(horizon), 0
        origins = at_equal_distances(origins, MAX_WINDOWS)
        for start in range(0, len(origins), BATCH):
            rows, targets = series_windows(values, origins[start : start + BATCH], history, horizon)
            whole = ~np.isnan(targets).any(axis=1) & ~np.isnan(rows).all(axis=1)
            rows, targets = fill_missing(rows[whole]), targets[whole]
            gram += rows.T @ rows
            cross += rows.T @ targets
            sums += rows.sum(axis=0)
            target_sums += targets.sum(axis=0)
            count += len(rows)
        return cls(gram, cross, sums, target_sums, count)

    def transformed(self, features: np.ndarray, *, subtract_last: bool) -> "Moments":
        """Return the moments of `histories @ features`, and of targets without the last value."""
        cross, target_sums = self.cross, self.target_sums
        if subtract_last:
            cross = cross - self.gram[:, -1:]
            target_sums = target_sums - self.sums[-1]
        return Moments(
            features.T @ self.gram @ features,
            features.T @ cross,
            features.T @ self.sums,
            target_sums,
            self.count,
        )

    def ridge(self, penalty: float, *, intercept: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return the weights `(F, H)` and the bias `(H,)` of least squares with a penalty."""
        mean, target_mean = self.sums / self.count, self.target_sums / self.count
        if not intercept:
            mean, target_mean = np.zeros_like(mean), np.zeros_like(target_mean)
        gram = self.gram / self.count - np.outer(mean, mean)
        cross = self.cross / self.count - np.outer(mean, target_mean)
        size = len(gram)
        scale = max(1e-12, float(np.trace(gram)) / size)
        weights = np.linalg.solve(gram + penalty * scale * np.eye(size), cross)
        return weights, target_mean - mean @ weights


@dataclasses.dataclass(frozen=True)
class LinearMap:
    """A linear map from histories to forecasts.

    Attributes:
        weights: float32 array `(L, H)`.
        bias: float32 array `(H,)`.
        subtract_last: Whether it maps the difference to the last value.
    """

    weights: np.ndarray
    bias: np.ndarray
    subtract_last: bool

    def __call__(self, histories: np.ndarray) -> np.ndarray:
        """Return forecasts `(N, H)` for histories `(N, L)` without missing values."""
        last = histories[:, -1:] if self.subtract_last else np.zeros((1, 1), "float32")
        return (histories - last) @ self.weights + self.bias + last


def nlinear(moments: Moments, penalty: float, *, intercept: bool = True) -> LinearMap:
    """Return NLinear: a map of the history without its last value.

    Example:

    >>> values = np.arange(40.0, dtype="float32")[:, None]  # it rises by 1 with each step
    >>> moments = Moments.of(values, np.arange(4, 38), history=4, horizon=2)
    >>> nlinear(moments, 1e-6)(np.array([[5.0, 6.0, 7.0, 8.0]])).round(2).tolist()
    [[9.0, 10.0]]
    """
    length = len(moments.sums)
    features = np.eye(length)
    features[-1] -= 1.0
    centered = moments.transformed(features, subtract_last=True)
    weights, bias = centered.ridge(penalty, intercept=intercept)
    return LinearMap(weights.astype("float32"), bias.astype("float32"), subtract_last=True)


def dlinear(moments: Moments, penalty: float) -> LinearMap:
    """Return DLinear: a map of the moving average of the history, and one of what it leaves."""
    length = len(moments.sums)
    trend = moving_average(length)
    features = np.concatenate([trend, np.eye(length) - trend], axis=1)
    weights, bias = moments.transformed(features, subtract_last=False).ridge(
        penalty, intercept=True
    )
    weights = (features @ weights).astype("float32")
    return LinearMap(weights, bias.astype("float32"), subtract_last=False)


def moving_average(length: int) -> np.ndarray:
    """Return the matrix `(L, L)` that maps rows to their moving averages; the ends are repeated.

    Example:

    >>> bool(np.allclose(np.ones((1, 60)) @ moving_average(60), 1.0))
    True
    """
    matrix = np.zeros((length, length))
    for offset in range(-(MOVING_AVERAGE // 2), MOVING_AVERAGE // 2 + 1):
        rows = np.clip(np.arange(length) + offset, 0, length - 1)
        matrix[rows, np.arange(length)] += 1.0 / MOVING_AVERAGE
    return matrix


def fit_shortcut(values: np.ndarray, history: int, horizon: int, penalty: float) -> np.ndarray:
    """Return the weights of NLinear without bias, for the shortcut of a network.

    The steps of the forecast are fitted in blocks that end at an eighth, a quarter, a half and the
    whole of the horizon: the near ones also to the last training windows, whose far targets are
    unknown.

    Args:
        values: Standardized training rows, float32 `(T, V)`.
        history: Number of rows of a history.
        horizon: Number of targets.
        penalty: Penalty of the squared weights, in units of the mean variance of the features.

    Returns:
        float64 array `(L, H)`; zeros where there is no window without missing targets.
    """
    weights = np.zeros((history, horizon))
    start = 0
    for end in sorted({-(-horizon // parts) for parts in (8, 4, 2, 1)}):
        origins = np.arange(history, len(values) - end + 1)
        moments = Moments.of(values, origins, history, end)
        if moments.count:
            weights[:, start:end] = nlinear(moments, penalty, intercept=False).weights[:, start:]
        start = end
    return weights


def residual_quantiles(
    values: np.ndarray, weights: np.ndarray, levels: Sequence[float], min_deviation: float
) -> np.ndarray:
    """Return quantiles of what a shortcut leaves of the training windows, by step.

    Args:
        values: Standardized training rows, float32 `(T, V)`.
        weights: The weights `(L, H)` of the shortcut.
        levels: Levels of the quantiles.
        min_deviation: Smallest standard deviation of a history.

    Returns:
        float64 array `(H, Q)`, in units of the standard deviation of each history; zeros without a
        window.
    """
    history, horizon = weights.shape
    origins = np.arange(history, len(values) - horizon + 1)
    if not len(origins):
        return np.zeros((horizon, len(levels)))
    origins = at_equal_distances(origins, MAX_RESIDUALS)
    rows, targets = series_windows(values, origins, history, horizon)
    rows = fill_missing(rows)
    deviations = np.maximum(rows.std(axis=1, keepdims=True), min_deviation)
    last = rows[:, -1:]
    residuals = (targets - last - (rows - last) @ weights) / deviations
    quantiles = np.nanquantile(residuals, list(levels), axis=0)
    return np.where(np.isnan(quantiles), 0.0, quantiles).T


def squared_error(
    predict: LinearMap, values: np.ndarray, origins: np.ndarray, history: int, horizon: int
) -> float:
    """Return the mean squared error of forecasts over all targets that are not missing.

    Args:
        predict: The map; or any function from histories `(N, L)` to forecasts `(N, H)`.
        values: Standardized float32 array `(T, V)`.
        origins: The first target of each window.
        history: Number of rows of a history.
        horizon: Number of targets.
    """
    total, count = 0.0, 0
    for start in range(0, len(origins), BATCH):
        rows, targets = series_windows(values, origins[start : start + BATCH], history, horizon)
        errors = np.square(predict(fill_missing(rows)).astype("float64") - targets)
        total += float(np.nansum(errors))
        count += int((~np.isnan(errors)).sum())
    return total / max(count, 1)
