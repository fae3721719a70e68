"""Simple forecasts that a model must surpass: repetitions, and linear maps of the history."""

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_attn._wording import counted
from keras_attn.datasets import Dataset, SeriesSplit
from keras_attn.tasks.forecasting import linear
from keras_attn.tasks.forecasting._card import TITLES
from keras_attn.tasks.forecasting.own_data import season_of
from keras_attn.tasks.forecasting.training_data import all_origins

if TYPE_CHECKING:
    from keras_attn.tasks.forecasting.forecaster import Forecaster

Errors = dict[str, dict[str, dict[str, float]]]  # by split, baseline and metric

MIN_COMPARED = 8  # test windows from which a model and a baseline are compared
MIN_DIFFERENCE = 0.01  # relative difference below which neither is called better


def repeat_last(histories: np.ndarray, horizon: int, season: int = 1) -> np.ndarray:
    """Repeat the last `season` values of histories `(N, L)` for `horizon` steps.

    Example:

    >>> repeat_last(np.array([[1.0, 2.0, 3.0]]), 3, season=2).tolist()
    [[2.0, 3.0, 2.0]]
    """
    steps = np.arange(horizon) % season
    return histories[:, histories.shape[1] - season + steps]


def evaluate_baselines(
    forecaster: "Forecaster",
    dataset: Dataset[SeriesSplit],
    horizons: Sequence[int],
    season: int | None = None,
) -> Errors:
    """Return the mean squared errors of the baselines by split, baseline and horizon.

    They read histories of the length that the model reads, standardized as for the model, and are
    scored on the same windows. A linear map is fitted for each horizon, to the training windows;
    its penalty is the one with the least error on validation windows.

    Args:
        forecaster: The model.
        dataset: The data set.
        horizons: The numbers of steps that are scored.
        season: Number of steps of the season, or None for no baseline of the last season.

    Returns:
        For each split other than that of training, and each baseline, the errors by metric:
        `"mse_96"` and so on, and their mean, `"mse"`.
    """
    history = forecaster.history_length
    names = [name for name in dataset if name == "validation" or name.startswith("test")]
    targets = slice(forecaster.num_targets)
    values = {name: forecaster.standardize(dataset[name].values)[:, targets] for name in names}
    train = dataset["train"]
    train_values = forecaster.standardize(train.values)[:, targets]

    def error(predict: Any, name: str, horizon: int, limit: int | None = None) -> float:
        origins = all_origins(dataset[name], horizon)
        origins = origins if limit is None else linear.at_equal_distances(origins, limit)
        return linear.squared_error(predict, values[name], origins, history, horizon)

    errors: Errors = {name: {} for name in names}
    for horizon in horizons:
        predictors: dict[str, Any] = {"last_value": functools.partial(repeat_last, horizon=horizon)}
        if season is not None and season <= history:
            predictors["last_season"] = functools.partial(
                repeat_last, horizon=horizon, season=season
            )
        origins = train.origins(history, horizon)
        moments = linear.Moments.of(train_values, origins, history, horizon)
        if moments.count:
            for key, fit in (("nlinear", linear.nlinear), ("dlinear", linear.dlinear)):
                maps = [fit(moments, penalty) for penalty in linear.PENALTIES]
                selection = [
                    error(each, "validation", horizon, linear.MAX_SELECTION) for each in maps
                ]
                predictors[key] = maps[int(np.argmin(selection))]
        for key, predict in predictors.items():
            for name in names:
                by_metric = errors[name].setdefault(key, {})
                by_metric[f"mse_{horizon}"] = error(predict, name, horizon)
    for by_baseline in errors.values():
        for figures in by_baseline.values():
            figures["mse"] = float(np.mean(list(figures.values())))
    return errors


def compare_with_baselines(
    model: "Forecaster", dataset: Dataset[SeriesSplit], metrics: Mapping[str, Any]
) -> str | None:
    """Return a line that compares a model of a user's data with the best baseline on the test rows.

    Returns:
        The line; None without a test split.
    """
    if "test" not in dataset or "test" not in metrics:
        return None
    errors = evaluate_baselines(model, dataset, (model.horizon,), season_of(model.step))
    best = min(errors["validation"], key=lambda key: errors["validation"][key]["mse"])
    own, theirs = metrics["test"]["mse"], errors["test"][best]["mse"]
    count = len(all_origins(dataset["test"], model.horizon))
    windows = counted(count, "test window")
    line = (
        f"Mean squared error over {windows} of {counted(model.horizon, 'step')}: the model "
        f"{own:.4g}; {TITLES[best]}, the best baseline on the validation rows, {theirs:.4g}."
    )
    difference = (own - theirs) / theirs if theirs else 0.0
    if count < MIN_COMPARED:
        return f"{line} {windows} {'is' if count == 1 else 'are'} too few to tell which is better."
    if abs(difference) < MIN_DIFFERENCE:
        return f"{line} They differ by {100 * abs(difference):.2g} %, too little to tell."
    more = "larger" if difference > 0 else "smaller"
    line = f"{line} The error of the model is {100 * abs(difference):.2g} % {more}."
    return f"{line} The baseline is better here." if difference > 0 else line
