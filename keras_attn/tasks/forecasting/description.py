"""Description of forecasting. Imports no Keras."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from keras_attn.recipes import (
    NO_CTRANSLATE2,
    Demonstration,
    ExportFormat,
    Metric,
    Recipe,
    Signature,
    TaskDescription,
    TensorInfo,
    register_task,
)
from keras_attn.recipes.figures import Run
from keras_attn.tasks.forecasting import _card
from keras_attn.tasks.forecasting.own_data import SeriesReader, fit_to_series
from keras_attn.tasks.forecasting.recipe import ForecastRecipe

MSE = Metric("mse", "mean squared error", digits=3, greater_is_better=False)


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
            TensorInfo("mean", "float32", ("B", "H", "K"), "forecast, in the units of the values"),
            TensorInfo("quantiles", "float32", ("B", "H", "K", "Q"), "quantiles, by rising level"),
        ),
    )
    further_formats: ClassVar[dict[str, ExportFormat]] = {
        "onnx": ExportFormat(
            "ONNX", "the inputs of the SavedModel, of the history of the model", suffix=".onnx"
        )
    }
    refused_formats: ClassVar[dict[str, str]] = {
        "litert": "missing values and the calendar are not tested there. Use 'onnx'.",
        "ctranslate2": NO_CTRANSLATE2,
    }
    usage = 'forecast("history.csv")  # mean, quantiles, times'
    pipeline_tag = "time-series-forecasting"
    reads: ClassVar[Literal["texts", "files"]] = "files"
    example_input = "history.csv"
    draws_answers = True
    prediction_options = ("horizon",)
    explanation_options = ("variable",)
    table = SeriesReader()

    def demonstration(self) -> Demonstration:
        from keras_attn.tasks.forecasting.demonstration import demonstration

        return demonstration()

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
