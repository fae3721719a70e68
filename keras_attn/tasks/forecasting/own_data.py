"""User-provided time series: reading tables, and adapting a recipe to the length of the data."""

import dataclasses
import pathlib
from typing import TYPE_CHECKING, Any

from keras_attn import datasets
from keras_attn._wording import counted
from keras_attn.recipes import TABLE_OPTIONS, Recipe, parse_recipe

if TYPE_CHECKING:
    from keras_attn.tasks.forecasting.forecaster import Forecaster

MIN_BATCHES = 16  # steps of an epoch, if batches of at least `MIN_BATCH` windows allow it
MIN_BATCH = 8
# Largest horizon and history, as parts of the training rows. The horizon is half of a validation or
# test split of the default size, so that each has as many windows as steps of a window.
HORIZON_PART, HISTORY_PART = 16, 4
FEW_WINDOWS = 100  # training windows below which a note says that they are few
DAY = 86_400  # seconds
INPUT_OPTIONS = ("time_column", "step", "decimal", "day_first", "delimiter", "encoding")


class SeriesReader:
    """Reader of tables with a column of times, see `keras_attn.datasets.read_series`."""

    options = ("time_column", "variables", "step", "decimal", "day_first", *TABLE_OPTIONS)
    input_options = INPUT_OPTIONS

    def read_options(self, source: Any) -> dict[str, Any]:
        """Return the variables, the interval and the column of times of a trained model.

        The model reads a file as it has read the one that it was trained on. Another column of
        times is looked for if the file has none of that name.
        """
        options: dict[str, Any] = {}
        if names := getattr(source, "variable_names", ()):
            options["variables"] = list(names)
            if source.step is not None:
                options["step"] = f"{source.step}s"
            if source.time_column is not None:
                options["usual_time_column"] = source.time_column
        return options

    def read(self, path: pathlib.Path, **options: Any) -> datasets.SeriesTable:
        """Read a table, see `keras_attn.datasets.read_series`."""
        options.pop("quoting", None)
        usual = options.pop("usual_time_column", None)
        if usual is not None and "time_column" not in options:
            try:
                return datasets.read_series(path, time_column=usual, **options)
            except ValueError as error:
                if not str(error).startswith("`time_column`: Unknown"):
                    raise
        return datasets.read_series(path, **options)

    def read_input(
        self, path: pathlib.Path, model: "Forecaster", **options: Any
    ) -> datasets.SeriesTable:
        """Read a history that `keras-attn predict` and `explain` are given."""
        return self.read(path, **{**self.read_options(model), **options})

    def split(self, table: datasets.SeriesTable, **options: Any) -> datasets.Dataset[Any]:
        """Split a table by time, see `keras_attn.datasets.split_series`."""
        return datasets.split_series(table, **options)

    def examples(self, table: datasets.SeriesTable, model: "Forecaster") -> datasets.SeriesSplit:
        """Return all rows. Windows are scored from the first whole history on."""
        start = min(model.history_length, max(0, len(table) - model.horizon))
        return datasets.SeriesSplit(table.values, table.times, table.names, start)


def season_of(step: int | None) -> int | None:
    """Return the number of rows of a day; None if it is not a whole number above 1.

    Example:

    >>> season_of(3600), season_of(86_400)
    (24, None)
    """
    return DAY // step if step and DAY % step == 0 and step < DAY else None


def fit_to_series(recipe: Recipe, train: datasets.SeriesSplit) -> tuple[Recipe, list[str]]:
    """Set the number of variables, and shorten history, horizon and batches for shorter series.

    Each architecture adapts its own settings, by `adapted_to` of its configuration.

    Args:
        recipe: The recipe of an entry for forecasting.
        train: The training split.

    Returns:
        The adapted recipe, and a note on each change.

    Raises:
        ValueError: The architecture cannot read series of this interval.
    """
    from keras_attn import models

    values, notes = recipe.model_dump(), []
    forecast, rows = values["forecast"], len(train)
    config = models.configure(recipe.architecture, **recipe.settings())
    step = int(train.step.astype("timedelta64[s]").astype("int64")) or None
    adapted = config.adapted_to(
        len(train.names), history=rows // HISTORY_PART, horizon=rows // HORIZON_PART, step=step
    )
    before, after = dataclasses.asdict(config), dataclasses.asdict(adapted)
    changed = {key: value for key, value in after.items() if value != before[key]}
    values["model"] |= changed
    if {"num_variables", "num_targets"} & set(changed):
        notes.append(f"Forecasts {counted(len(train.names), 'variable')}.")
    sizes = {key: value for key, value in changed.items() if not key.startswith("num_")}
    if sizes:
        shown = ", ".join(f"model.{key} = {value}" for key, value in sizes.items())
        notes.append(f"Fits the model to {rows:,} training rows: {shown}.")
    # The user's own horizon is scored, not those of the published table.
    forecast["horizons"], forecast["season"] = [], season_of(step)
    count = max(1, rows - adapted.history)
    if count < FEW_WINDOWS:
        notes.append(
            f"{counted(count, 'training window')} overlap and are too few to learn much from: "
            "expect no more than from repeating the last value."
        )
    batch = min(recipe.training.batch_size, max(MIN_BATCH, count // MIN_BATCHES))
    batch = min(batch, count)
    if batch < recipe.training.batch_size:
        values["training"]["batch_size"] = batch
        notes.append(f"For {counted(count, 'training window')}, batches are lowered to {batch}.")
    return parse_recipe(values), notes
