"""Recipes of forecasting. Imports no Keras."""

from typing import Annotated, Any

import pydantic
from pydantic import Field

from keras_attn.recipes import Recipe, Section
from keras_attn.recipes.recipe import Count, Positive


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
