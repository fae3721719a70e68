"""Description of forecasting. Imports no Keras."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import pydantic
from pydantic import Field

from keras_attn.recipes import (
    Metric,
    Recipe,
    Section,
    Signature,
    TaskDescription,
    TensorInfo,
    register_task,
)
from keras_attn.recipes.figures import Run
from keras_attn.recipes.recipe import Count, Positive
from keras_attn.tasks.forecasting import _card
from keras_attn.tasks.forecasting.own_data import SeriesReader, fit_to_series

MSE = Metric("mse", "mean squared error", digits=3, greater_is_better=False)


class ForecastSettings(Section):
    """The windows of a series that are trained on and scored, and the fit of the shortcut.

    Attributes:
        horizons: Numbers of steps that are scored, each from the first one on, in rising order.
            Empty for the horizon of the model alone.
        season: Number of steps after which the series is expected to repeat itself, for the
            baseline that repeats the last season.
        windows_per_epoch: Number of training windows of an epoch, drawn anew for each; None is all.
        validation_windows: Largest number of validation windows that are scored after every epoch,
            at equal distances; None is all. The metrics of the record are always those of all.
        shortcut_penalty: Penalty of the ridge regression that fits the shortcut of a network, see
            `keras_attn.tasks.Forecaster`.
    """

    horizons: list[Count] = Field(default_factory=list)
    season: Annotated[int, Field(ge=1)] | None = None
    windows_per_epoch: Count | None = None
    validation_windows: Count | None = None
    shortcut_penalty: Positive = 0.3


class ForecastRecipe(Recipe):
    """A recipe with settings of the windows, see `keras_attn.recipes.Recipe`."""

    forecast: ForecastSettings = ForecastSettings()

    @pydantic.model_validator(mode="after")
    def _check_horizons(self) -> "ForecastRecipe":
        horizons, longest = self.forecast.horizons, self.model.get("horizon")
        if horizons != sorted(set(horizons)):
            raise ValueError("forecast.horizons: they must differ and rise")
        if horizons and longest is not None and horizons[-1] > longest:
            raise ValueError(
                f"forecast.horizons: {horizons[-1]} exceeds model.horizon, which is {longest}"
            )
        return self

    @property
    def preprocessing(self) -> dict[str, Any]:
        """Settings of `Forecaster`: the penalty of the shortcut."""
        return {"shortcut_penalty": self.forecast.shortcut_penalty}

    @property
    def evaluation(self) -> dict[str, Any]:
        """Options of `Forecaster.evaluate_split`: the horizons."""
        return {"horizons": tuple(self.forecast.horizons)}


class Forecasting(TaskDescription):
    """Forecasts of the next values of a time series, with quantiles."""

    name = "forecasting"
    model = "keras_attn.tasks.forecasting.forecaster:Forecaster"
    example, examples = "series", "series"
    keywords = ("forecast", "time series")
    primary_metric = MSE
    recipe: ClassVar[type[Recipe]] = ForecastRecipe
    signature = Signature(
        (TensorInfo("values", "float32", ("B", "L", "V"), "history, NaN where missing"),),
        (
            TensorInfo("mean", "float32", ("B", "H", "V"), "forecast, in the units of the values"),
            TensorInfo("quantiles", "float32", ("B", "H", "V", "Q"), "quantiles, by rising level"),
        ),
    )
    usage = 'forecast("history.csv")  # mean, quantiles, times'
    reads: ClassVar[Literal["texts", "files"]] = "files"
    example_input = "history.csv"
    prediction_options = ("horizon",)
    explanation_options = ("variable",)
    table = SeriesReader()

    def check_options(self, options: Mapping[str, Any]) -> None:
        horizon = options.get("horizon")
        if horizon is not None and horizon < 1:
            raise ValueError(f"`horizon` must be at least 1. Received: {horizon!r}.")

    def metric_columns(self, metrics: Mapping[str, Any]) -> dict[str, str]:
        return _card.metric_columns(metrics)

    def metric_notes(self, metrics: Mapping[str, Any]) -> list[str]:
        return _card.NOTES

    def run_columns(self, run: Run) -> dict[str, str]:
        return _card.run_columns(run)

    def card_results(self, recipe: Recipe, runs: Mapping[str, Sequence[Run]]) -> list[str]:
        return _card.results(recipe, runs)

    def fit_to_data(self, recipe: Recipe, train: Any) -> tuple[Recipe, list[str]]:
        return fit_to_series(recipe, train)

    def selection_title(self, recipe: Recipe) -> str:
        return "mean squared error"

    def compare(self, model: Any, dataset: Any, metrics: Mapping[str, Any]) -> str | None:
        from keras_attn.tasks.forecasting.baselines import compare_with_baselines

        return compare_with_baselines(model, dataset, metrics)


DESCRIPTION: TaskDescription = register_task(Forecasting())
