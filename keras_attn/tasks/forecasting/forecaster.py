"""The forecaster: a task that continues time series."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import keras
import numpy as np

from keras_attn import models
from keras_attn._files import read_json_object, write_text
from keras_attn._types import Tensor
from keras_attn._validation import check_positive_integer
from keras_attn.datasets import Dataset, SeriesSplit
from keras_attn.datasets.series import rows_from
from keras_attn.recipes import Recipe, Signature, TaskDescription, TensorInfo
from keras_attn.tasks.compilation import compile_mode
from keras_attn.tasks.forecasting._series_model import SeriesModel
from keras_attn.tasks.forecasting.answers import Forecast
from keras_attn.tasks.forecasting.baselines import evaluate_baselines
from keras_attn.tasks.forecasting.description import DESCRIPTION
from keras_attn.tasks.forecasting.explanation import ForecastExplanation, explain_forecast
from keras_attn.tasks.forecasting.inputs import (
    Series,
)
from keras_attn.tasks.forecasting.losses import ForecastLoss
from keras_attn.tasks.forecasting.metrics import evaluate_windows
from keras_attn.tasks.forecasting.training_data import (
    EVALUATION_BATCH,
    ForecastTrainingData,
)
from keras_attn.tasks.training_data import TrainingData

SERIES_FILE = "series.json"


@keras.saving.register_keras_serializable(package="keras_attn")
class Forecaster(SeriesModel):
    """A network that forecasts the next values of a time series from raw values.

    It is a `keras.Model`: `fit` and `evaluate` take a whole series, an array `(T, V)` or a data
    frame, and read all its windows; or they take windows `(N, L, V)` with targets `(N, H, K)`.
    `T` is the number of time steps, `V` that of the variables that are read, and `K` that of the
    first ones, which are forecast. `save` includes the statistics. A new model needs them: call
    `adapt` with the training series first.

    Missing values are NaN. A history that is shorter than the model reads is filled up with missing
    values at its front; of a longer one the last rows are read.

    Args:
        network: A model from standardized values `(B, L, V)` to `(B, H, T, 1 + Q)`, such as
            `keras_attn.models.build("patch_transformer")`, forecasts of the first `T` variables. Or
            one that also reads the calendar: from a dictionary of `values` and `time`, the number
            of steps from 1970-01-01 to the last row, int32 `(B,)`.
        quantiles: Levels of the `Q` quantiles that it forecasts, in rising order.
        variables: The names of the variables; `adapt` sets them.
        step: The interval between rows in seconds; `adapt` sets it. None if it is not known.
        time_column: Name of the column of times in tables; `adapt` sets it. None if it is not
            known.
        shortcut_penalty: Penalty of the ridge regression by which `adapt` fits the shortcut of a
            network that has one, in units of the mean variance of the history.
        **kwargs: See `keras_attn.tasks.Task`.

    Call arguments:
        inputs: Standardized values `(B, L, V)`, NaN where one is missing; with `time`, if the
            network reads it, in a dictionary.

    Returns:
        Standardized forecasts `(B, H, K, 1 + Q)`: the mean, then the quantiles.

    Raises:
        ValueError: The network has other inputs or outputs, or another number of quantiles.

    Example:

    >>> hours = np.arange(400.0)
    >>> series = np.stack([np.sin(hours / 4), 100.0 + hours], axis=1)
    >>> settings = {"history": 48, "horizon": 24, "quantiles": (0.1, 0.9)}
    >>> forecaster = Forecaster.from_architecture("patch_transformer", num_variables=2, **settings)
    >>> forecaster.adapt(series)
    >>> _ = forecaster.fit(series, epochs=1, verbose=0)
    >>> forecaster.forecast(series, horizon=12).mean.shape
    (12, 2)
    """

    description: ClassVar[TaskDescription] = DESCRIPTION
    asset_files: ClassVar[tuple[str, ...]] = (SERIES_FILE,)

    def __init__(
        self,
        network: keras.Model,
        quantiles: Sequence[float] = (),
        variables: Sequence[str] = (),
        step: int | None = None,
        time_column: str | None = None,
        shortcut_penalty: float = 0.3,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.autocast = False  # standardized values are not exact in every compute dtype
        self.shortcut_penalty = shortcut_penalty
        self.network = network
        self.quantiles = tuple(quantiles)
        values, outputs = network.input, network.output_shape
        self.reads_time = isinstance(values, dict)
        inputs = tuple((values["values"] if self.reads_time else values).shape)
        if len(inputs) != 3 or len(outputs) != 4 or outputs[3] != 1 + len(self.quantiles):
            raise ValueError(
                "`network` must map values (B, L, V) to forecasts (B, H, K, 1 + Q), with a "
                f"quantile for each of {self.quantiles}. Received: inputs {inputs}, outputs "
                f"{outputs}."
            )
        self.history_length, self.num_variables = inputs[1:]
        self.horizon, self.num_targets = outputs[1:3]
        self.variable_names = tuple(variables)
        self.step, self.time_column = step, time_column
        shape = (self.num_variables,)
        self.mean = self.add_weight(
            name="mean", shape=shape, initializer="zeros", dtype="float32", trainable=False
        )
        self.std = self.add_weight(
            name="std", shape=shape, initializer="ones", dtype="float32", trainable=False
        )
        self.built = True
        self.compile(
            optimizer=keras.optimizers.Adam(1e-3),
            loss=ForecastLoss(self.quantiles),
            jit_compile=compile_mode(),
        )

    @classmethod
    def from_architecture(
        cls,
        architecture: str,
        *,
        label_names: Sequence[str] = (),
        preprocessing: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Self:
        """Return a forecaster with fresh weights, see `Task.from_architecture`.

        Args:
            architecture: A registered architecture for forecasting.
            label_names: Must be empty, because a forecaster has no labels.
            preprocessing: `shortcut_penalty`.
            **settings: Settings of the architecture, such as `num_variables`, `history`, `horizon`
                and `quantiles`.

        Raises:
            ValueError: There are labels, or a setting is unknown or out of range.
        """
        if label_names:
            raise ValueError(f"A forecaster has no labels. Received: label_names={label_names!r}.")
        config = models.configure(architecture, **settings)
        network = models.build(architecture, **settings)
        return cls(network, config.quantiles, **dict(preprocessing or {}))

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        return self.network(inputs, training=training)

    # Training

    def training_data(self, dataset: Dataset[Any], recipe: Recipe) -> ForecastTrainingData:
        """Return training and validation windows as batches, see `Task.training_data`."""
        return ForecastTrainingData(self, dataset, recipe)

    def finalize(self, data: TrainingData) -> dict[str, Any]:
        """Fit and score the baselines on the same data, for the record of the run."""
        assert isinstance(data, ForecastTrainingData)
        season = data.settings.season
        return {"baselines": evaluate_baselines(self, data.dataset, data.horizons, season)}

    def checked_horizons(self, horizons: Sequence[int]) -> tuple[int, ...]:
        """Return the horizons to score, in rising order: those passed, or that of the model.

        Raises:
            ValueError: One is longer than the forecast.
        """
        horizons = tuple(sorted(set(horizons))) or (self.horizon,)
        if not all(1 <= horizon <= self.horizon for horizon in horizons):
            raise ValueError(
                f"`horizons` must be from 1 to {self.horizon}, the steps that the model forecasts. "
                f"Received: {horizons}."
            )
        return horizons

    def evaluate_split(
        self, split: SeriesSplit, horizons: Sequence[int] = (), batch_size: int = EVALUATION_BATCH
    ) -> dict[str, Any]:
        """Return the errors of a split, by horizon, over all of its windows.

        See `keras_attn.tasks.forecasting.metrics.evaluate_windows`.
        """
        check_positive_integer("batch_size", batch_size)
        return evaluate_windows(self, split, self.checked_horizons(horizons), batch_size)

    # Answers

    def forecast(self, history: Any, horizon: int | None = None) -> Forecast:
        """Forecast the rows after a history.

        Args:
            history: The last rows of a series, as for `fit`, oldest first. If there are more than
                the model reads, the last ones are read; if there are fewer, the others are missing.
            horizon: Number of steps; None is all that the model forecasts.

        Returns:
            The means, quantiles and times of the next steps.

        Raises:
            TypeError: `history` is nothing of these; several are forecast by `answers`.
            ValueError: `horizon` is out of range, or the history has no values, other variables,
                infinite values or times at unequal intervals.

        Example: see `Forecaster`.
        """
        return self.answers([history], horizon=horizon)[0]

    def answers(
        self, inputs: Sequence[Any], *, horizon: int | None = None, batch_size: int = 256
    ) -> list[Forecast]:
        """Forecast several series, see `forecast`.

        Args:
            inputs: A history each; or an array `(N, T, V)`.
            horizon: Number of steps.
            batch_size: Number of histories in a batch.
        """
        check_positive_integer("batch_size", batch_size)
        horizon = self.horizon if horizon is None else horizon
        if (
            isinstance(horizon, bool)
            or not isinstance(horizon, int | np.integer)
            or not 1 <= horizon <= self.horizon
        ):
            raise ValueError(
                f"`horizon` must be an integer from 1 to {self.horizon}, the steps that the model "
                f"forecasts. Received: {horizon!r}."
            )
        self._check_adapted()
        histories = [self._history(each) for each in inputs]
        if not histories:
            return []
        windows: Any = np.stack([series.values for series in histories])
        if self.reads_time:
            windows = {"values": windows, "times": self._last_times(histories)}
        forecasts = self.predict(windows, batch_size=batch_size, verbose=0)[:, :horizon]
        return [
            self._make_forecast(series, forecast)
            for series, forecast in zip(histories, forecasts, strict=True)
        ]

    def _history(self, x: Any) -> Series:
        """Return the last rows of a series, as many as the network reads."""
        series = self._series(x)
        if np.isnan(series.values[-self.history_length :]).all():
            raise ValueError(
                f"`history` must have a value in its last {self.history_length} rows, those that "
                f"the model reads. Received: {len(series)} rows without one. Pass rows up to the "
                "present."
            )
        first = np.array([len(series) - self.history_length])
        values = rows_from(series.values, first, self.history_length)[0]
        times = series.times
        if times is not None:
            times = self._times_after(times[-1], np.arange(1 - self.history_length, 1), series.step)
        return Series(values, times, series.names)

    def _times_after(
        self, last: np.datetime64, steps: np.ndarray, step: int | None
    ) -> np.ndarray | None:
        """Return times by their distance in steps from the last row of a history.

        Args:
            last: The time of the last row.
            steps: Integer array of numbers of steps.
            step: The interval of the history in seconds, or None.

        Returns:
            `datetime64[s]` array; None if neither the history nor the model has an interval.
        """
        step = self.step or step
        return None if step is None else last + steps * np.timedelta64(step, "s")

    def _last_times(self, histories: Sequence[Series]) -> np.ndarray:
        """Return the seconds from 1970 to the last row of each history, or raise ValueError."""
        for series in histories:
            self.window_options(series.times)  # raises without times
        return np.array(
            [series.times[-1].astype("int64") for series in histories if series.times is not None]
        )

    def _make_forecast(self, series: Series, forecast: np.ndarray) -> Forecast:
        """Return the answer for a history from forecasts `(H, K, 1 + Q)` in units of the series."""
        times = series.times
        if times is not None:
            times = self._times_after(times[-1], np.arange(1, len(forecast) + 1), series.step)
        return Forecast(
            self.target_names,
            forecast[..., 0],
            {level: forecast[..., 1 + i] for i, level in enumerate(self.quantiles)},
            times,
            series.values.astype("float32"),
            series.times,
        )

    @property
    def target_names(self) -> tuple[str, ...]:
        """The names of the variables that are forecast."""
        names = self.variable_names or tuple(f"variable {i}" for i in range(self.num_variables))
        return names[: self.num_targets]

    def explain(self, history: Any, variable: str | None = None) -> ForecastExplanation:
        """Explain a forecast: where in the history it attended, and which parts it depends on.

        Args:
            history: The last rows of a series, as for `forecast`.
            variable: Name of the variable to explain; None is the first one that is forecast.

        Raises:
            TypeError, ValueError: See `forecast`; or there is no such variable.
        """
        return explain_forecast(self, history, variable)

    # Export and files

    @property
    def signature(self) -> Signature:
        """The inputs and outputs of the exported SavedModel; with `times` if they are read."""
        signature = self.description.signature
        if not self.reads_time:
            return signature
        times = TensorInfo("times", "int64", ("B",), "seconds from 1970 to the last row")
        return Signature((*signature.inputs, times), signature.outputs)

    def serving_function(self) -> Callable[..., dict[str, Any]]:
        """Return the function to export, from raw values to forecasts in the same units.

        Of longer histories the last rows are read, and shorter ones are filled up with missing
        values at their front. It raises an error if the number of variables is another one. Raw
        values are float32.
        """
        import tensorflow as tf

        def serve(values: Any, times: Any = None) -> dict[str, Any]:
            values = tf.ensure_shape(values, (None, None, self.num_variables))
            values = values[:, -self.history_length :]
            missing = self.history_length - tf.shape(values)[1]
            values = tf.pad(values, [[0, 0], [missing, 0], [0, 0]], constant_values=float("nan"))
            values = tf.ensure_shape(values, (None, self.history_length, self.num_variables))
            inputs: Any = self._standardized(values)
            if self.reads_time:
                times = tf.ensure_shape(times, (None,))  # a signature does not check it
                inputs = {"values": inputs, "time": tf.cast(times // (self.step or 1), tf.int32)}
            mean, std = (each[: self.num_targets, None] for each in (self.mean, self.std))
            forecast = self(inputs, training=False) * std + mean
            return {"mean": forecast[..., 0], "quantiles": forecast[..., 1:]}

        return serve

    def export_info(self) -> dict[str, Any]:
        """Return also the variables that are read and forecast, the quantiles and the interval."""
        return {**super().export_info(), **self._series_info()}

    def _series_info(self) -> dict[str, Any]:
        return {
            "variables": list(self.variable_names),
            "targets": list(self.target_names),
            "quantiles": list(self.quantiles),
            "step_seconds": self.step,
        }

    def export_files(self) -> dict[str, str | bytes]:
        """Return the files of a SavedModel, see `Task.export_files`.

        `assets.extra/series.json` has the names of the variables that are read and forecast, the
        levels of the quantiles, and the interval.
        """
        content = json.dumps(self._series_info(), indent=2)
        return {**super().export_files(), f"assets.extra/{SERIES_FILE}": f"{content}\n"}

    def export_writers(self) -> dict[str, Callable[..., pathlib.Path]]:
        """Return the functions that write each format, see `Task.export_writers`."""
        return {**super().export_writers(), "onnx": self._write_onnx}

    def onnx_function(self) -> tuple[Callable[..., dict[str, Any]], Signature]:
        values, *times = self.signature.inputs
        axes = ("B", self.history_length, self.num_variables)
        values = dataclasses.replace(values, axes=axes)
        return self.serving_function(), Signature((values, *times), self.signature.outputs)

    def warmup_requests(self) -> Mapping[str, Mapping[str, Any]]:
        shape = (1, self.history_length, self.num_variables)
        request: dict[str, Any] = {"values": np.zeros(shape, "float32")}
        if self.reads_time:
            request["times"] = np.zeros(1, "int64")
        return {"serving_default": request}

    def write_assets(self, folder: str | os.PathLike[str]) -> None:
        """Write the names of the variables, the interval and the column of times."""
        content: dict[str, Any] = {
            "variables": list(self.variable_names),
            "step_seconds": self.step,
        }
        if self.time_column is not None:
            content["time_column"] = self.time_column
        write_text(pathlib.Path(folder, SERIES_FILE), json.dumps(content, indent=2) + "\n")

    def read_assets(self, folder: str | os.PathLike[str]) -> None:
        """Read what `write_assets` wrote.

        Raises:
            ValueError: The file is missing or damaged, or has another number of variables.
        """
        path = pathlib.Path(folder, SERIES_FILE)
        try:
            content = read_json_object(path)
            names, step = tuple(content["variables"]), content["step_seconds"]
        except (OSError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is missing or damaged: {error!r}.") from error
        if len(names) not in (0, self.num_variables):
            raise ValueError(
                f"{path} names {len(names)} variables, and the model reads {self.num_variables}."
            )
        self.variable_names, self.step = names, step
        self.time_column = content.get("time_column")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "quantiles": self.quantiles,
            "variables": self.variable_names,
            "step": self.step,
            "time_column": self.time_column,
            "shortcut_penalty": self.shortcut_penalty,
        }
