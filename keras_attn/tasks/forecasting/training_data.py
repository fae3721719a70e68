"""Windows of a series, in batches, for training and evaluation."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_attn.batching import epoch_order, limit_batch_size
from keras_attn.datasets import Dataset, SeriesSplit
from keras_attn.datasets.series import rows_from
from keras_attn.profiling import Cost, cost
from keras_attn.recipes import Recipe
from keras_attn.tasks.forecasting.linear import at_equal_distances
from keras_attn.tasks.forecasting.losses import ForecastError, ForecastLoss
from keras_attn.tasks.forecasting.recipe import ForecastRecipe
from keras_attn.tasks.training_data import Objective, TrainingData

if TYPE_CHECKING:
    from keras_attn.tasks.forecasting.forecaster import Forecaster

EVALUATION_BATCH = 64  # windows


class WindowBatches(keras.utils.PyDataset):
    """Batches of windows: histories, and the targets that follow them.

    With a seed they are shuffled anew each epoch, and rows that do not fill a batch are left out of
    the epoch. A batch depends only on the seed and its index.

    Args:
        values: Standardized float32 array `(T, V)`, NaN where a value is missing.
        origins: Integer array: the first target of each window. The history may begin before the
            first row, and the targets end after the last one: such values are missing.
        history: Number of rows of a history, `L`.
        horizon: Number of targets, `H`.
        batch_size: Windows per batch.
        seed: Integer that, with the epoch, determines the order; None keeps the order.
        epochs: Number of epochs.
        per_epoch: Number of windows of an epoch, drawn anew for each; None is all.
        first_time: The number of the first row, in steps since 1970, for networks that read it;
            None for others.
        num_targets: Number of variables that are forecast, the first ones; None is all.

    Returns:
        By index a tuple of float32 histories `(B, L, V)` and targets `(B, H, K)`. With
        `first_time` the histories are a dictionary of `values` and `time`, the number of the last
        row, int32 `(B,)`.

    Raises:
        ValueError: The windows do not fill one batch.

    Example:

    >>> values = np.arange(6, dtype="float32")[:, None]
    >>> batches = WindowBatches(values, np.array([2, 3, 4]), 2, 1, batch_size=2)
    >>> histories, targets = batches[0]
    >>> len(batches), histories[..., 0].tolist(), targets[..., 0].tolist()
    (2, [[0.0, 1.0], [1.0, 2.0]], [[2.0], [3.0]])
    """

    def __init__(
        self,
        values: np.ndarray,
        origins: np.ndarray,
        history: int,
        horizon: int,
        batch_size: int,
        *,
        seed: int | None = None,
        epochs: int = 1,
        per_epoch: int | None = None,
        first_time: int | None = None,
        num_targets: int | None = None,
    ) -> None:
        super().__init__()
        self.values, self.origins, self.history, self.horizon = values, origins, history, horizon
        self.batch_size, self.seed, self.epochs = batch_size, seed, epochs
        self.first_time, self.num_targets = first_time, num_targets
        windows = len(origins) if per_epoch is None else min(per_epoch, len(origins))
        if not 0 < batch_size <= windows and seed is not None:
            raise ValueError(
                f"`batch_size` must be between 1 and the {windows:,} windows of an epoch. "
                f"Received: {batch_size!r}."
            )
        self.steps = math.ceil(windows / batch_size) if seed is None else windows // batch_size

    def __len__(self) -> int:
        return self.steps * self.epochs

    def __getitem__(self, index: int) -> tuple[Any, np.ndarray]:
        epoch, step = divmod(index, self.steps)
        origins = self.origins
        if self.seed is not None:
            origins = origins[epoch_order(len(origins), self.seed, epoch)]
        origins = origins[step * self.batch_size : (step + 1) * self.batch_size]
        histories: Any = rows_from(self.values, origins - self.history, self.history)
        if self.first_time is not None:
            time = (self.first_time + origins - 1).astype("int32")
            histories = {"values": histories, "time": time}
        return histories, rows_from(self.values[:, : self.num_targets], origins, self.horizon)


def all_origins(split: SeriesSplit, horizon: int) -> np.ndarray:
    """Return the first target of each window of a split whose targets are all in the split.

    Histories that begin before the first row of the series are missing there.

    Raises:
        ValueError: The split has no such window.
    """
    origins = split.origins(1, horizon)
    if not len(origins):
        raise ValueError(
            f"A split must have at least {horizon} rows, the horizon, after the first row of the "
            f"series. Received: {len(split)} rows. Use a longer series, or a model with a shorter "
            "horizon."
        )
    return origins


class ForecastTrainingData(TrainingData):
    """Windows of the training and validation rows.

    Training windows have a whole history. Their targets may end after the training rows: what is
    beyond is missing, so that the last rows count as often as the others.

    Args:
        forecaster: The model to train, with its mean and standard deviation.
        dataset: The data set.
        recipe: The recipe of the run.
    """

    def __init__(
        self, forecaster: "Forecaster", dataset: Dataset[SeriesSplit], recipe: Recipe
    ) -> None:
        assert isinstance(recipe, ForecastRecipe)
        self.forecaster, self.dataset, self.settings = forecaster, dataset, recipe.forecast
        self.horizons = forecaster.checked_horizons(recipe.forecast.horizons)
        self.objective = make_objective(forecaster.quantiles, self.horizons)
        train, validation = dataset["train"], dataset["validation"]
        self.train_values = forecaster.standardize(train.values)
        self.origins = train.origins(forecaster.history_length, self.horizons[0])
        if not len(self.origins):
            raise ValueError(
                "The training rows must hold a history and a horizon, "
                f"{forecaster.history_length} and {self.horizons[0]} rows. Received: {len(train)} "
                "rows. Train on a longer series, or set model.history and model.horizon lower."
            )
        self.validation_values = forecaster.standardize(validation.values)
        origins = all_origins(validation, self.horizons[0])
        limit = recipe.forecast.validation_windows
        self.validation_origins = origins if limit is None else at_equal_distances(origins, limit)

    def batches(self, batch_size: int, seed: int, epochs: int) -> keras.utils.PyDataset:
        return WindowBatches(
            self.train_values,
            self.origins,
            self.forecaster.history_length,
            self.forecaster.horizon,
            batch_size,
            seed=seed,
            epochs=epochs,
            per_epoch=self.settings.windows_per_epoch,
            **self.forecaster.window_options(self.dataset["train"].times),
        )

    def validation_batches(self, replicas: int) -> keras.utils.PyDataset:
        origins = self.validation_origins
        size = limit_batch_size(len(origins), EVALUATION_BATCH, replicas)
        return WindowBatches(
            self.validation_values,
            origins,
            self.forecaster.history_length,
            self.forecaster.horizon,
            size,
            **self.forecaster.window_options(self.dataset["validation"].times),
        )

    def examples_per_epoch(self, batch_size: int) -> int:
        limit = self.settings.windows_per_epoch or len(self.origins)
        return min(limit, len(self.origins)) // batch_size * batch_size

    def cost(self) -> Cost:
        return cost(self.forecaster.network)


def make_objective(quantiles: Sequence[float], horizons: Sequence[int]) -> Objective:
    """Return the objective of forecasts: squared error and pinball losses."""
    return Objective(
        ForecastLoss(quantiles, horizons), ForecastError(horizons), greater_is_better=False
    )
