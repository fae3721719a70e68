"""Base class of the forecaster: preprocessing, and `fit` on series and on windows."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_attn._types import Tensor
from keras_attn.batching import prepare_batches
from keras_attn.datasets import SeriesSplit
from keras_attn.models.patch_transformer import MIN_DEVIATION, SeriesPatches
from keras_attn.tasks.forecasting.inputs import (
    Series,
    as_series,
    check_finite,
    check_step,
    in_order,
    is_series,
)
from keras_attn.tasks.forecasting.linear import fit_shortcut, residual_quantiles
from keras_attn.tasks.forecasting.training_data import EVALUATION_BATCH, WindowBatches
from keras_attn.tasks.task import Task

SECONDS_PER_DAY = 86_400
# Names of layers of a network: its linear map, and that of the offsets of quantiles.
SHORTCUT, QUANTILES = "shortcut", "quantile_head"


class SeriesModel(Task):
    """A network with the mean and the deviation of each variable. `fit` takes series or windows."""

    network: keras.Model
    history_length: int
    horizon: int
    num_variables: int
    num_targets: int
    reads_time: bool
    variable_names: tuple[str, ...]
    step: int | None
    shortcut_penalty: float
    center: keras.Variable
    scale: keras.Variable

    def standardize(self, values: Any) -> np.ndarray:
        """Return values `(..., V)` in units of the deviation of the training rows, float32."""
        center, scale = self._statistics()
        return ((np.asarray(values, "float64") - center) / scale).astype("float32")

    def _restore(self, forecasts: np.ndarray) -> np.ndarray:
        """Return standardized forecasts `(N, H, T, 1 + Q)` in the units of the series, float32."""
        center, scale = (array[: self.num_targets] for array in self._statistics())
        restored = np.asarray(forecasts, "float64") * scale[:, None] + center[:, None]
        return restored.astype("float32")

    def _statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean and the deviation of each variable, float64 `(V,)`."""
        arrays = (ops.convert_to_numpy(each.value) for each in (self.center, self.scale))
        center, scale = (array.astype("float64") for array in arrays)
        return center, scale

    def time_index(self, times: np.ndarray) -> np.ndarray:
        """Return the number of steps from 1970-01-01 to each time, int32."""
        return (times.astype("int64") // (self.step or 1)).astype("int32")

    def window_options(self, times: np.ndarray | None) -> dict[str, Any]:
        """Return the arguments of `WindowBatches` that depend on the network.

        Args:
            times: The times of all rows, or None.

        Raises:
            ValueError: The network reads the calendar, and there are no times.
        """
        if not self.reads_time:
            return {"num_targets": self.num_targets}
        if times is None or self.step is None:
            raise ValueError(
                "This model reads the calendar: the series must have times. Received: rows without "
                "times. Pass a data frame with times in its index, or the path of a table."
            )
        return {"num_targets": self.num_targets, "first_time": int(self.time_index(times[:1])[0])}

    def preprocess_inputs(self, x: Any, *, training: bool = False) -> Any:
        """Standardize windows `(N, L, V)`, see `fit`."""
        if not self.reads_time:
            return self.standardize(self._windows(x, "x", self.history_length, self.num_variables))
        if not isinstance(x, dict) or set(x) != {"values", "time"}:
            raise TypeError(
                "This model reads the calendar: `x` must be a dictionary of `values`, windows "
                "(N, L, V), and `time`, the number of the last row of each, see `time_index`; or "
                f"one series with times. Received: {type(x).__name__}."
            )
        windows = self._windows(x["values"], "x", self.history_length, self.num_variables)
        return {"values": self.standardize(windows), "time": np.asarray(x["time"], "int32")}

    def preprocess_targets(self, y: Any) -> np.ndarray:
        """Standardize targets `(N, H, T)`, see `fit`."""
        targets = self._windows(y, "y", self.horizon, self.num_targets).astype("float64")
        center, scale = (array[: self.num_targets] for array in self._statistics())
        return ((targets - center) / scale).astype("float32")

    def preprocess_batch(self, x: Tensor, *rest: Tensor, training: bool = False) -> Any:
        """Standardize a batch of windows, and targets if there are any."""
        x = (
            {**x, "values": self._standardized(x["values"])}
            if self.reads_time
            else (self._standardized(x))
        )
        return (x, *(self._standardized(y) for y in rest[:1]), *rest[1:]) if rest else x

    def _standardized(self, values: Tensor) -> Tensor:
        """Return a tensor of TensorFlow, `(B, T, C)`, in units of the deviations of variables."""
        import tensorflow as tf

        statistics: Any = (self.center, self.scale)
        if keras.backend.backend() != "tensorflow":  # whose variables no graph of TensorFlow reads
            statistics = (ops.convert_to_numpy(each.value) for each in statistics)
        center, scale = (each[: values.shape[-1]] for each in statistics)
        return (tf.cast(values, tf.float32) - center) / scale

    def _windows(self, x: Any, argument: str, length: int, variables: int) -> np.ndarray:
        """Return windows as a float32 array, or raise ValueError."""
        array = np.asarray(x)
        if array.ndim != 3 or array.shape[1:] != (length, variables):
            raise ValueError(
                f"`{argument}` must be windows of shape (N, {length}, {variables}), or "
                f"one series of shape (T, {self.num_variables}) as `x` alone. Received: shape "
                f"{array.shape}."
            )
        array = array.astype("float32")
        check_finite(array, argument)
        return array

    def _series(self, x: Any, argument: str = "history") -> Series:
        """Return a series with the variables and the interval of the model, or raise ValueError."""
        known = x if isinstance(x, Series) else as_series(x, argument)
        if known.names is not None and self.variable_names:
            known = in_order(known, self.variable_names, argument)
        known = as_series(known, argument, self.num_variables)
        check_step(known, self.step, argument)
        return known

    def adapt(self, series: Any, targets: Any = None) -> None:
        """Learn the mean and the deviation of each variable, its name, and the interval.

        If the network has a shortcut, its linear map is fitted too, by ridge regression, and the
        quantiles begin as those of what it leaves of the training windows. The other weights do not
        change.

        Call it once on a new model, with the training series, before `fit`.

        Args:
            series: The training series, as for `fit`.
            targets: Not used.

        Raises:
            TypeError, ValueError: See `fit`; or a variable has no value at all.
        """
        self._check_adaptable()
        known = as_series(series, "series", self.num_variables)
        rows = known.values.astype("float64")
        if isinstance(series, SeriesSplit):
            rows = rows[series.start :]
        counts = (~np.isnan(rows)).sum(axis=0)
        names = known.names or tuple(f"variable {i}" for i in range(self.num_variables))
        if not counts.all():
            raise ValueError(
                "`series` must have a value of each variable. Received: none of "
                f"{names[int(counts.argmin())]!r}. Leave it out."
            )
        self._check_calendar(known.step)
        deviations = np.nanstd(rows, axis=0)
        self.center.assign(np.nanmean(rows, axis=0))
        self.scale.assign(np.where(deviations > 0.0, deviations, 1.0))
        self.variable_names, self.step = names, known.step
        self._fit_shortcut(self.standardize(rows))

    def _check_calendar(self, step: int | None) -> None:
        """Raise ValueError if a network of the calendar does not fit the interval of a series."""
        if not self.reads_time:
            return
        lengths = [each.length for each in self.network.layers if isinstance(each, SeriesPatches)]
        if step is None or (lengths and step * lengths[0] != SECONDS_PER_DAY):
            interval = "no times" if step is None else f"rows every {step} s"
            raise ValueError(
                "This model reads the calendar: `series` must have times, and whole days of "
                f"{lengths[0] if lengths else 'some'} rows. Received: {interval}. Build the model "
                "with `day_length`, the number of rows of a day."
            )

    def _fit_shortcut(self, values: np.ndarray) -> None:
        """Fit the shortcut of the network, if it has one, and the quantiles of what it leaves.

        Args:
            values: Standardized training rows `(T, V)`.
        """
        layers = {layer.name: layer for layer in self.network.layers}
        if SHORTCUT not in layers:
            return
        sizes = (self.history_length, self.horizon)
        values = values[:, : self.num_targets]
        weights = fit_shortcut(values, *sizes, self.shortcut_penalty)
        layers[SHORTCUT].kernel.assign(weights)
        if QUANTILES in layers:
            quantiles = residual_quantiles(values, weights, self.quantiles, MIN_DEVIATION)
            steps = np.maximum(np.diff(quantiles, axis=1), 1e-3)
            # The layer's outputs are the first quantile, and the steps to the others by `softplus`.
            bias = np.concatenate([quantiles[:, :1], np.log(np.expm1(steps))], axis=1)
            layers[QUANTILES].bias.assign(bias.reshape(-1))

    def adapt_to_split(self, split: SeriesSplit) -> None:
        """Call `adapt` on the rows of a training split."""
        self.adapt(split)

    @property
    def _is_adapted(self) -> bool:
        return bool(self.variable_names)

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        **kwargs: Any,
    ) -> Any:
        """Train on a series, or on windows, as `keras.Model.fit` does.

        Args:
            x: A series: an array `(T, V)`, a data frame with a column for each variable and times
                in its index or in one column, a split, or the path of a table. All its windows are
                trained on. Or windows `(N, L, V)`; or a data set of batches of windows and targets.
            y: Targets `(N, H, V)`, if `x` is an array of windows.
            batch_size: Windows per step; the default is 32.
            epochs: Passes over the windows.
            **kwargs: See `keras.Model.fit`; `validation_data` may be a series too.

        Returns:
            A `keras.callbacks.History`.

        Raises:
            TypeError: `x` is nothing of these.
            ValueError: The model has not been adapted; the series is shorter than a history and a
                target; or it has other variables, infinite values, or times at unequal intervals.
        """
        self._check_adapted()
        validation = kwargs.get("validation_data")
        if validation is not None and is_series(validation):
            series = self._series(validation, "validation_data")
            kwargs["validation_data"] = self._batches(series, EVALUATION_BATCH)
        if not is_series(x):
            return super().fit(x, y, batch_size, epochs, **kwargs)
        seed = int(np.random.randint(2**31))  # depends on `keras.utils.set_random_seed`
        batches = self._batches(self._series(x, "x"), batch_size or 32, seed, epochs)
        start = kwargs.get("initial_epoch", 0) * batches.steps
        kwargs = {**kwargs, "steps_per_epoch": batches.steps, "shuffle": False}
        return keras.Model.fit(self, prepare_batches(batches, start=start), epochs=epochs, **kwargs)

    def evaluate(
        self, x: Any = None, y: Any = None, batch_size: int | None = None, **kwargs: Any
    ) -> Any:
        """Return the loss on a series or on windows, as `keras.Model.evaluate` does; see `fit`."""
        if kwargs.get("_use_cached_eval_dataset") or not is_series(x):
            return super().evaluate(x, y, batch_size, **kwargs)
        batches = self._batches(self._series(x, "x"), batch_size or EVALUATION_BATCH)
        return keras.Model.evaluate(self, prepare_batches(batches), **kwargs)

    def predict(self, x: Any, batch_size: int | None = None, **kwargs: Any) -> np.ndarray:
        """Return the forecasts of windows, in the units of the series.

        Args:
            x: Windows `(N, L, V)`; or a data set of batches of windows. For one series, see
                `forecast`.
            batch_size: Windows per batch.
            **kwargs: See `keras.Model.predict`.

        Returns:
            float32 array `(N, H, V, 1 + Q)`: the mean, then the quantiles.
        """
        return self._restore(super().predict(x, batch_size, **kwargs))

    def _check_adapted(self) -> None:
        if not self._is_adapted and not self._has_loaded_weights:
            raise ValueError(
                "A new forecaster has no mean and deviation to standardize values by. Call "
                "forecaster.adapt(series) with the training series first."
            )

    def _batches(
        self, series: Series, batch_size: int, seed: int | None = None, epochs: int = 1
    ) -> WindowBatches:
        """Return all windows of a series that have a whole history, and a target at least."""
        origins = np.arange(self.history_length, len(series))
        if not len(origins):
            raise ValueError(
                f"A series must have more rows than the history of {self.history_length} that the "
                f"model reads. Received: {len(series)} rows. Use a longer series, or build a model "
                "with a shorter `history`."
            )
        size = min(batch_size, len(origins))
        values = self.standardize(series.values)
        sizes = (self.history_length, self.horizon, size)
        options = self.window_options(series.times)
        return WindowBatches(values, origins, *sizes, seed=seed, epochs=epochs, **options)
