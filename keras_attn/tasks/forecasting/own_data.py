"""User-provided time series: reading tables, and adapting a recipe to the length of the data."""

import pathlib
from typing import TYPE_CHECKING, Any

from keras_attn import datasets
from keras_attn._wording import counted
from keras_attn.recipes import TABLE_OPTIONS, Recipe, parse_recipe

if TYPE_CHECKING:
    from keras_attn.tasks.forecasting.forecaster import Forecaster

MIN_BATCHES = 16  # steps of an epoch, if batches of at least `MIN_BATCH` windows allow it
MIN_BATCH = 8
SHARES = (4, 8)  # largest horizon and history: a quarter and an eighth of the training rows


class SeriesReader:
    """Reader of tables with a column of times, see `keras_attn.datasets.read_series`."""

    options = ("time_column", "variables", "step", *TABLE_OPTIONS)

    def read_options(self, source: Any) -> dict[str, Any]:
        """Return the variables that a trained model reads, if it has names for them."""
        names = getattr(source, "variable_names", ())
        return {"variables": ",".join(names)} if names else {}

    def read(self, path: pathlib.Path, **options: Any) -> datasets.SeriesTable:
        """Read a table, see `keras_attn.datasets.read_series`."""
        options.pop("quoting", None)
        return datasets.read_series(path, **options)

    def split(self, table: datasets.SeriesTable, **options: Any) -> datasets.Dataset[Any]:
        """Split a table by time, see `keras_attn.datasets.split_series`."""
        return datasets.split_series(table, **options)

    def examples(self, table: datasets.SeriesTable, model: "Forecaster") -> datasets.SeriesSplit:
        """Return all rows. Windows are scored from the first whole history on."""
        start = min(model.history_length, max(0, len(table) - model.horizon))
        return datasets.SeriesSplit(table.values, table.times, table.names, start)


def fit_to_series(recipe: Recipe, train: datasets.SeriesSplit) -> tuple[Recipe, list[str]]:
    """Set the number of variables, and shorten history, horizon and batches for shorter series.

    Args:
        recipe: The recipe of an entry for forecasting.
        train: The training split.

    Returns:
        The adapted recipe, and a note on each change.
    """
    from keras_attn import models

    values, notes = recipe.model_dump(), []
    settings, forecast = values["model"], values["forecast"]
    config = models.configure(recipe.architecture, **recipe.settings())
    if len(train.names) != config.num_variables:
        settings["num_variables"] = len(train.names)
        notes.append(f"Forecasts {counted(len(train.names), 'variable')}.")
    rows = len(train)
    horizon = min(config.horizon, max(1, rows // SHARES[1]))
    history = min(config.history, max(2, rows // SHARES[0]))
    if horizon < config.horizon:
        settings["horizon"] = horizon
        notes.append(
            f"{rows:,} training rows are too few for a horizon of {config.horizon}; it is "
            f"{horizon}."
        )
    if history < config.history:
        settings["history"] = history
        settings["patch_length"] = min(config.patch_length, max(1, history // 4))
        settings["patch_stride"] = min(config.patch_stride, settings["patch_length"])
        notes.append(
            f"{rows:,} training rows are too few for a history of {config.history}; it is "
            f"{history}, in patches of {settings['patch_length']}."
        )
    # The user's own horizon is scored, not those of the published table.
    forecast["horizons"], forecast["season"] = [], None
    count = max(1, rows - history)
    batch = min(recipe.training.batch_size, max(MIN_BATCH, count // MIN_BATCHES))
    batch = min(batch, count)
    if batch < recipe.training.batch_size:
        values["training"]["batch_size"] = batch
        notes.append(f"For {counted(count, 'training window')}, batches are lowered to {batch}.")
    return parse_recipe(values), notes
