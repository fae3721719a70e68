"""Tables of forecasting entries: errors by horizon, of the model and of the baselines."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_attn.recipes import Recipe
from keras_attn.recipes.figures import Run, cost_cells, mean_and_deviation, seeds

TITLES = {
    "last_value": "last value",
    "last_season": "last season",
    "nlinear": "NLinear",
    "dlinear": "DLinear",
}
STANDARDIZED = "values standardized by the mean and standard deviation of the training rows"
NOTES = [
    f"Errors are of {STANDARDIZED}, over all variables that are forecast and all windows whose "
    "targets lie in the split."
]


def horizons(metrics: Mapping[str, Any]) -> list[int]:
    """Return the horizons of metrics, in rising order.

    Example:

    >>> horizons({"mse": 0.4, "mse_192": 0.4, "mse_96": 0.4, "mse_by_variable": {}})
    [96, 192]
    """
    names = (key.removeprefix("mse_") for key in metrics if key.startswith("mse_"))
    return sorted(int(name) for name in names if name.isdigit())


def metric_columns(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Return the metrics of a split by title, for `keras-attn evaluate`."""
    steps = horizons(metrics)
    shown = {"mean squared error": f"{metrics['mse']:.3f}"}
    if len(steps) > 1:
        shown |= {f"at {step}": f"{metrics[f'mse_{step}']:.3f}" for step in steps}
    shown["mean absolute error"] = f"{metrics['mae']:.3f}"
    if "coverage" in metrics:
        level = f" ({100 * metrics['interval']:g} %)" if "interval" in metrics else ""
        shown[f"coverage{level}"] = _percent(metrics["coverage"])
    return {**shown, "windows": f"{metrics['examples']:,}"}


def run_columns(run: Run) -> dict[str, str]:
    """Return the cells of a run in the card's table of runs."""
    cells = {
        f"{split} error": f"{run['metrics'][split]['mse']:.4f}" for split in ("validation", "test")
    }
    test = run["metrics"]["test"]
    for step in horizons(test):
        cells[f"test at {step}"] = f"{test[f'mse_{step}']:.4f}"
    if "coverage" in test:  # of the interval that "Results" names
        cells["coverage"] = _percent(test["coverage"])
    return cells


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def results(recipe: Recipe, runs: Mapping[str, Sequence[Run]]) -> list[str]:
    """Return the paragraphs of the "Results" section of a card."""
    published = runs[""]
    test = published[0]["metrics"]["test"]
    windows = ", ".join(f"{test[f'windows_{step}']:,} of {step}" for step in horizons(test))
    paragraphs = [
        f"Data: {recipe.dataset}, split by time. Mean squared error of {_targets(recipe, test)}, "
        f"on {STANDARDIZED}; every window of the test rows is scored: {windows} steps. The "
        "test split was read once a run, at its end; the baselines were fitted on the "
        "training windows of the same run, with their penalty chosen on the validation rows.",
        _table(runs),
    ]
    levels = recipe.settings().get("quantiles", ())
    if "coverage" in test and len(levels) > 1:
        paragraphs.append(
            f"Coverage of the {100 * (levels[-1] - levels[0]):g} % interval, from the quantile "
            f"{levels[0]:g} to {levels[-1]:g}, on the test rows: {100 * test['coverage']:.1f} % "
            f"(seed {published[0]['seed']})."
        )
    return paragraphs


def _targets(recipe: Recipe, metrics: Mapping[str, Any]) -> str:
    """Return the variables whose errors are averaged, in words."""
    names, total = list(metrics["mse_by_variable"]), recipe.settings().get("num_variables", 0)
    if len(names) >= total:
        return f"all {len(names)} variables" if len(names) > 1 else names[0]
    shown = ", ".join(f"`{name}`" for name in names)
    return f"{shown}, forecast from {total} variables"


def _table(runs: Mapping[str, Sequence[Run]]) -> str:
    """Return the table of test errors by horizon, of the models and of the baselines."""
    first = runs[""][0]
    steps = horizons(first["metrics"]["test"])
    keys = [*(f"mse_{step}" for step in steps), "mse"]
    titles = [
        *("model", *(f"test at {step}" for step in steps), "test mean", "validation mean"),
        *("parameters", "MFLOPs forward", "TFLOPs training", "minutes"),
    ]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for variant, rows in runs.items():
        if rows:
            test = [_figure([run["metrics"]["test"][key] for run in rows]) for key in keys]
            validation = _figure([run["metrics"]["validation"]["mse"] for run in rows])
            name = f"{variant or 'as published'} ({seeds(rows)})"
            lines.append(f"| {' | '.join([name, *test, validation, *cost_cells(rows)])} |")
    baselines = first.get("baselines", {})
    for key, errors in baselines.get("test", {}).items():
        cells = [f"{errors[each]:.3f}" for each in keys]
        validation = f"{baselines['validation'][key]['mse']:.3f}"
        title = f"{TITLES[key]}, by ridge regression" if key.endswith("linear") else TITLES[key]
        lines.append(f"| {' | '.join([title, *cells, validation, *['-'] * 4])} |")
    return "\n".join(lines)


def _figure(values: Sequence[float]) -> str:
    return mean_and_deviation(values, ".3f")
