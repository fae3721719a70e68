"""The loss and the metric of forecasts, with missing targets left out."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_attn._types import Tensor


def step_weights(horizons: Sequence[int], length: int) -> np.ndarray:
    """Return the weight of each step in the mean over horizons of the error up to each.

    Args:
        horizons: Numbers of steps that are scored, each from the first one on.
        length: Number of steps.

    Returns:
        float32 array `(length,)` with mean 1.

    Example:

    >>> step_weights((1, 2), 2).tolist()
    [1.5, 0.5]
    """
    weights = np.zeros(length)
    for horizon in horizons:
        weights[:horizon] += 1.0 / horizon
    return (weights * length / weights.sum()).astype("float32")


@keras.saving.register_keras_serializable(package="keras_attn")
class ForecastLoss(keras.losses.Loss):
    """Mean squared error of the mean, plus the pinball losses of the quantiles.

    The pinball loss of a quantile is least, in expectation, where the share of targets below it is
    its level (Koenker and Bassett, 1978). Targets that are NaN do not count, and a window without
    targets has loss 0.

    Args:
        quantiles: Levels of the quantiles.
        horizons: Numbers of steps that are scored: a step counts by its weight in the mean over
            horizons of the errors up to each. None counts all steps alike.
        **kwargs: See `keras.losses.Loss`.

    Call arguments:
        y_true: Targets `(B, H, K)`, NaN where one is missing.
        y_pred: Forecasts `(B, H, K, 1 + Q)`: the mean, then the quantiles.

    Example:

    >>> loss = ForecastLoss(quantiles=(0.9,))
    >>> forecasts = np.array([[[[1.0, 3.0]], [[0.0, 0.0]]]])
    >>> round(float(loss(np.array([[[2.0], [np.nan]]]), forecasts)), 3)
    1.1
    """

    def __init__(
        self,
        quantiles: Sequence[float] = (),
        horizons: Sequence[int] | None = None,
        reduction: str = "sum_over_batch_size",
        name: str = "forecast_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, reduction=reduction, **kwargs)
        self.quantiles = tuple(quantiles)
        self.horizons = None if horizons is None else tuple(horizons)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        y_true, y_pred = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        observed = ops.logical_not(ops.isnan(y_true))
        y_true = ops.where(observed, y_true, ops.zeros_like(y_true))
        error = y_true[..., None] - y_pred
        loss = ops.square(error[..., 0])
        if self.quantiles:
            levels = ops.convert_to_tensor(self.quantiles, "float32")
            below = error[..., 1:]
            loss = loss + ops.sum(ops.maximum(levels * below, (levels - 1.0) * below), axis=-1)
        weights = ops.cast(observed, "float32")
        if self.horizons is not None:
            steps = step_weights(self.horizons, y_pred.shape[1])
            weights = weights * ops.convert_to_tensor(steps)[:, None]
        total = ops.sum(weights, axis=(1, 2))
        return ops.sum(weights * loss, axis=(1, 2)) / ops.maximum(total, 1e-9)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "quantiles": self.quantiles,
            "horizons": self.horizons,
        }


@keras.saving.register_keras_serializable(package="keras_attn")
class ForecastError(keras.metrics.Metric):
    """Mean over horizons of the mean squared error of the means up to each.

    A window counts for the horizons that its targets reach to: its last target that is not missing
    is in the last step, or beyond.

    Args:
        horizons: Numbers of steps that are scored, each from the first one on.
        name: Name of the metric.
        dtype: See `keras.metrics.Metric`.

    Example:

    >>> error = ForecastError((1, 2))
    >>> error.update_state(np.array([[[2.0], [3.0]]]), np.zeros((1, 2, 1, 1)))
    >>> float(error.result())  # the mean of 4 and 6.5
    5.25
    """

    def __init__(self, horizons: Sequence[int], name: str = "mse", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self._direction = "down"
        self.horizons = tuple(horizons)
        shape = (len(self.horizons),)
        self.totals = self.add_weight(name="totals", shape=shape, initializer="zeros")
        self.counts = self.add_weight(name="counts", shape=shape, initializer="zeros")

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Any = None) -> None:
        y_true, y_pred = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        observed = ops.logical_not(ops.isnan(y_true))
        weights = ops.cast(observed, "float32")
        error = ops.square(ops.where(observed, y_true - y_pred[..., 0], ops.zeros_like(y_true)))
        steps = ops.cast(ops.arange(1, y_pred.shape[1] + 1), "float32")
        reach = ops.max(ops.max(weights, axis=2) * steps, axis=1)  # (B,)
        totals, counts = [], []
        for horizon in self.horizons:
            reached = ops.cast(reach >= horizon, "float32")
            if sample_weight is not None:
                reached = reached * ops.reshape(ops.cast(sample_weight, "float32"), (-1,))
            totals.append(ops.sum(reached * ops.sum(error[:, :horizon], axis=(1, 2))))
            counts.append(ops.sum(reached * ops.sum(weights[:, :horizon], axis=(1, 2))))
        self.totals.assign_add(ops.stack(totals))
        self.counts.assign_add(ops.stack(counts))

    def result(self) -> Tensor:
        return ops.mean(self.totals / ops.maximum(self.counts, 1e-9))

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype, "horizons": self.horizons}
