"""Base class of the forecaster: preprocessing, and `fit` on series and on windows."""

import os
import pathlib
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_attn._types import Tensor
from keras_attn._wording import counted
from keras_attn.batching import prepare_batches
from keras_attn.datasets import SeriesSplit
from keras_attn.models.calendar_transformer import SECONDS_PER_DAY
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

ROUNDING = 1e-12  # largest ratio of standard deviation to mean of a constant in float64
MIN_RELATIVE_STD = 1e-5  # smallest ratio of standard deviation to mean of other variables
# Names of layers of a network: its linear map, and that of the offsets of quantiles.
SHORTCUT, QUANTILES = "shortcut", "quantile_head"


class SeriesModel(Task):
    """A network with mean and standard deviation of each variable, fitted on series or windows."""

    network: keras.Model
    history_length: int
    horizon: int
    num_variables: int
    num_targets: int
    reads_time: bool
    variable_names: tuple[str, ...]
    step: int | None
    time_column: str | None
    shortcut_penalty: float
    mean: keras.Variable
    std: keras.Variable

    def standardize(self, values: Any) -> np.ndarray:
        """Return values `(..., V)` standardized by the training rows, float32."""
        mean, std = self._statistics()
        return ((np.asarray(values, "float64") - mean) / std).astype("float32")

    def _restore(self, forecasts: np.ndarray) -> np.ndarray:
        """Return standardized forecasts `(N, H, K, 1 + Q)` in the units of the series, float32."""
        mean, std = (array[: self.num_targets] for array in self._statistics())
        restored = np.asarray(forecasts, "float64") * std[:, None] + mean[:, None]
        return restored.astype("float32")

    def _statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of each variable, float64 `(V,)`."""
        arrays = (ops.convert_to_numpy(each.value) for each in (self.mean, self.std))
        mean, std = (array.astype("float64") for array in arrays)
        return mean, std

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
        return {
            "num_targets": self.num_targets,
            "first_time": int(times[0].astype("int64")) // self.step,
        }

    def preprocess_inputs(self, x: Any, *, training: bool = False) -> Any:
        """Standardize windows `(N, L, V)`, see `fit`."""
        if not self.reads_time:
            return self.standardize(self._windows(x, "x", self.history_length, self.num_variables))
        if not isinstance(x, dict) or set(x) != {"values", "times"}:
            received = f"the keys {sorted(x)}" if isinstance(x, dict) else type(x).__name__
            raise TypeError(
                "This model reads the calendar: `x` must be a dictionary of `values`, windows "
                "(N, L, V), and `times`, the seconds from 1970-01-01 to the last row of each; or "
                f"one series with times. Received: {received}."
            )
        windows = self._windows(x["values"], "x", self.history_length, self.num_variables)
        times = np.asarray(x["times"])
        if times.dtype.kind == "M":
            times = times.astype("datetime64[s]")
        time = times.astype("int64") // (self.step or 1)
        return {"values": self.standardize(windows), "time": time.astype("int32")}

    def preprocess_targets(self, y: Any) -> np.ndarray:
        """Standardize targets `(N, H, K)`, see `fit`."""
        targets = self._windows(y, "y", self.horizon, self.num_targets)
        mean, std = (array[: self.num_targets] for array in self._statistics())
        return ((targets - mean) / std).astype("float32")

    def preprocess_batch(self, x: Tensor, *rest: Tensor, training: bool = False) -> Any:
        """Standardize a batch of windows, and targets if there are any."""
        if self.reads_time:
            import tensorflow as tf

            time = tf.cast(x["times"], tf.int64) // (self.step or 1)
            x = {"values": self._standardized(x["values"]), "time": tf.cast(time, tf.int32)}
        else:
            x = self._standardized(x)
        return (x, *(self._standardized(y) for y in rest[:1]), *rest[1:]) if rest else x

    def _standardized(self, values: Tensor) -> Tensor:
        """Return a tensor of TensorFlow, `(B, N, C)`, standardized by the training rows."""
        import tensorflow as tf

        statistics: Any = (self.mean, self.std)
        if keras.backend.backend() != "tensorflow":  # whose variables no graph of TensorFlow reads
            statistics = (ops.convert_to_numpy(each.value) for each in statistics)
        mean, std = (each[: values.shape[-1]] for each in statistics)
        return (tf.cast(values, tf.float32) - mean) / std

    def _windows(self, x: Any, argument: str, length: int, variables: int) -> np.ndarray:
        """Return windows as a float64 array, or raise ValueError."""
        array = np.asarray(x)
        if array.ndim != 3 or array.shape[1:] != (length, variables):
            raise ValueError(
                f"`{argument}` must be windows of shape (N, {length}, {variables}). Received: "
                f"shape {array.shape}. One series of shape (T, {self.num_variables}) is trained on "
                "by fit(series), scored by evaluate(series) and continued by forecast(series)."
            )
        array = array.astype("float64")
        check_finite(array, argument)
        return array

    def _series(self, x: Any, argument: str = "history") -> Series:
        """Return a series with the variables and the interval of the model, or raise ValueError."""
        if isinstance(x, str | os.PathLike):
            reader: Any = self.description.table
            x = reader.read(pathlib.Path(x), **reader.read_options(self))
        known = x if isinstance(x, Series) else as_series(x, argument)
        if known.names is not None and self.variable_names:
            known = in_order(known, self.variable_names, argument)
        known = as_series(known, argument, self.num_variables)
        check_step(known, self.step, argument)
        return known

    def adapt(self, series: Any, targets: Any = None) -> None:
        """Learn mean and standard deviation of each variable, its name, and the interval.

        If the network has a shortcut, its linear map is fitted too, by ridge regression, and the
        quantiles begin as those of its residuals on the training windows. The other weights do not
        change.

        Call it once on a new model, with the training series, before `fit`.

        Args:
            series: The training series, as for `fit`.
            targets: Not used.

        Raises:
            TypeError, ValueError: See `fit`; or a variable has no value at all, or changes by less
                than float32 can represent beside its mean.
        """
        self._check_adaptable()
        known = as_series(series, "series", self.num_variables)
        rows = known.values[known.start :]
        counts = (~np.isnan(rows)).sum(axis=0)
        names = known.names or tuple(f"variable {i}" for i in range(self.num_variables))
        if not counts.all():
            raise ValueError(
                "`series` must have a value of each variable. Received: none of "
                f"{names[int(counts.argmin())]!r}. Leave it out."
            )
        self._check_calendar(known.step)
        mean, std = np.nanmean(rows, axis=0), np.nanstd(rows, axis=0)
        std[std <= ROUNDING * np.abs(mean)] = 0.0  # a constant, and errors of its rounding
        small = (std > 0.0) & (std < MIN_RELATIVE_STD * np.abs(mean))
        if small.any():
            index = int(small.argmax())
            raise ValueError(
                f"The variable {names[index]!r} must change by more than float32 can represent "
                f"beside its mean. Received: a mean of {mean[index]:.6g} and a standard deviation "
                f"of {std[index]:.3g}. Subtract an offset from it, such as its mean."
            )
        self.mean.assign(mean)
        self.std.assign(np.where(std > 0.0, std, 1.0))
        self.variable_names, self.step, self.time_column = names, known.step, known.time_column
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
                trained on; for a split, those whose targets begin in its rows. Or windows
                `(N, L, V)`, in a dictionary with `times` if the network reads the calendar, the
                seconds from 1970-01-01 to the last row of each; or a data set of batches of windows
                and targets.
            y: Targets `(N, H, K)`, if `x` is an array of windows.
            batch_size: Windows per step; the default is 32.
            epochs: Passes over the windows.
            **kwargs: See `keras.Model.fit`; `validation_data` may be a series too.

        Returns:
            A `keras.callbacks.History`.

        Raises:
            TypeError: `x` is nothing of these.
            ValueError: The model has not been adapted; the series is shorter than a history and a
                target; it has other variables, infinite values, or times at unequal intervals; or
                `validation_split` is passed with a series.
        """
        self._check_adapted()
        self._check_loss()
        validation = kwargs.get("validation_data")
        if validation is not None and is_series(validation):
            series = self._series(validation, "validation_data")
            kwargs["validation_data"] = self._batches(series, EVALUATION_BATCH, held_out=True)
        if not is_series(x):
            return super().fit(x, y, batch_size, epochs, **kwargs)
        if kwargs.get("validation_split"):
            raise ValueError(
                "`validation_split` is for windows. Received: a series. Pass its last rows, with a "
                "history before them, as `validation_data`."
            )
        seed = int(np.random.randint(2**31))  # depends on `keras.utils.set_random_seed`
        batches = self._batches(self._series(x, "x"), batch_size or 32, seed, epochs)
        start = kwargs.get("initial_epoch", 0) * batches.steps
        kwargs = {**kwargs, "steps_per_epoch": batches.steps, "shuffle": False}
        return keras.Model.fit(self, prepare_batches(batches, start=start), epochs=epochs, **kwargs)

    def evaluate(
        self, x: Any = None, y: Any = None, batch_size: int | None = None, **kwargs: Any
    ) -> Any:
        """Return the loss on a series or on windows, as `keras.Model.evaluate` does; see `fit`.

        Targets after the last row are missing, and do not count. `evaluate_split` scores only
        windows whose targets are all in the series.
        """
        self._check_loss()
        if kwargs.get("_use_cached_eval_dataset") or not is_series(x):
            return super().evaluate(x, y, batch_size, **kwargs)
        series = self._series(x, "x")
        batches = self._batches(series, batch_size or EVALUATION_BATCH, held_out=True)
        return keras.Model.evaluate(self, prepare_batches(batches), **kwargs)

    def predict(self, x: Any, batch_size: int | None = None, **kwargs: Any) -> np.ndarray:
        """Return the forecasts of windows, in the units of the series.

        Args:
            x: Windows `(N, L, V)`; or a data set of batches of windows. For one series, see
                `forecast`.
            batch_size: Windows per batch.
            **kwargs: See `keras.Model.predict`.

        Returns:
            float32 array `(N, H, K, 1 + Q)`: the mean, then the quantiles.

        Raises:
            TypeError: `x` is one series.
            ValueError: The windows have another shape.
        """
        if is_series(x) or getattr(x, "ndim", None) == 2:
            shape = getattr(x, "shape", None)
            raise TypeError(
                f"`x` must be windows (N, {self.history_length}, {self.num_variables}). Received: "
                f"one series{'' if shape is None else f' of shape {tuple(shape)}'}. Call "
                "forecast(series), which continues it."
            )
        return self._restore(super().predict(x, batch_size, **kwargs))

    def _check_adapted(self) -> None:
        if not self._is_adapted and not self._has_loaded_weights:
            raise ValueError(
                "A new forecaster has no mean and standard deviation to standardize values by. "
                "Call forecaster.adapt(series) with the training series first."
            )

    def _check_loss(self) -> None:
        """Raise ValueError if the model is compiled with a loss of other shapes."""
        module = type(self.loss).__module__
        if isinstance(self.loss, str) or module.startswith("keras."):
            received = self.loss if isinstance(self.loss, str) else type(self.loss).__name__
            raise ValueError(
                "A forecaster must be compiled with a loss of targets (B, H, K), which may be NaN, "
                f"and forecasts (B, H, K, 1 + Q). Received: loss={received!r}. Use "
                "keras_attn.tasks.ForecastLoss(forecaster.quantiles), or ForecastLoss() for the "
                "squared error of the mean alone."
            )

    def _batches(
        self,
        series: Series,
        batch_size: int,
        seed: int | None = None,
        epochs: int = 1,
        *,
        held_out: bool = False,
    ) -> WindowBatches:
        """Return the windows of a series whose targets begin in its rows from `start` on.

        Args:
            series: The series.
            batch_size: Windows per batch.
            seed: Integer that determines the order, or None.
            epochs: Number of epochs.
            held_out: Whether histories of the first windows of a split may lack rows, so that all
                of its rows are targets; others have a whole history.
        """
        first = max(series.start, self.history_length)
        if held_out and series.start:
            first = series.start
        origins = np.arange(first, len(series))
        if not len(origins):
            raise ValueError(
                f"A series must have more rows than the history of {self.history_length} that the "
                f"model reads. Received: {counted(len(series), 'row')}. Use a longer series, or "
                "build a model with a shorter `history`."
            )
        size = min(batch_size, len(origins))
        values = self.standardize(series.values)
        sizes = (self.history_length, self.horizon, size)
        options = self.window_options(series.times)
        return WindowBatches(values, origins, *sizes, seed=seed, epochs=epochs, **options)
