"""Tables of detection entries: average precision by label, and counts."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_attn.recipes import Recipe
from keras_attn.recipes.figures import Run, cost_cells, mean_and_deviation, seeds

NOTES = [
    "mAP50 is the mean over labels of the average precision at an IoU of 0.5, as pycocotools "
    "computes it; mAP also averages over IoUs from 0.5 to 0.95. The error of counts is the mean "
    "over images of the difference of detected and annotated objects, divided by the mean number "
    "of the latter."
]


def metric_columns(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Return the metrics of a split by title, for `keras-attn evaluate`."""
    columns = {"mAP50": f"{metrics['map50']:.3f}", "mAP": f"{metrics['map']:.3f}"}
    columns |= {name: _cell(value) for name, value in metrics["ap50_by_label"].items()}
    columns["error of counts"] = _percent(metrics["count_error"])
    return {**columns, "images": f"{metrics['examples']:,}"}


def run_columns(run: Run) -> dict[str, str]:
    """Return the cells of a run in the card's table of runs."""
    test = run["metrics"]["test"]
    return {
        "validation mAP50": f"{run['metrics']['validation']['map50']:.3f}",
        "test mAP50": f"{test['map50']:.3f}",
        "test mAP": f"{test['map']:.3f}",
        "test error of counts": _percent(test["count_error"]),
    }


def results(recipe: Recipe, runs: Mapping[str, Sequence[Run]]) -> list[str]:
    """Return the paragraphs of the "Results" section of a card."""
    published = runs[""]
    first = published[0]
    test = first["metrics"]["test"]
    thresholds = ", ".join(
        f"{label} {value:.2f}" for label, value in first["score_thresholds"].items()
    )
    bias = test["count_bias"]
    return [
        f"Data: {recipe.dataset}, trained on its training split. The test split was read once a "
        f"run, at its end. {NOTES[0]}",
        _table(runs),
        f"Counts (seed {first['seed']}): boxes count from the score on that gave the best counts "
        f"of the validation images, {thresholds}. On the test images the error is "
        f"{_percent(test['count_error'])}; the median over images of the difference relative to "
        f"the objects of the image is {_percent(test['count_median_error'])}. Over all images "
        f"together {abs(100 * bias):.1f} % too {'many' if bias > 0 else 'few'} are counted.",
    ]


def _table(runs: Mapping[str, Sequence[Run]]) -> str:
    """Return the table of metrics of the entry and of its variants."""
    labels = list(runs[""][0]["metrics"]["test"]["ap50_by_label"])
    titles = ["model", "validation mAP50", "test mAP50", "test mAP"]
    titles += [f"AP50 of {label}" for label in labels]
    titles += ["error of counts", "parameters", "MFLOPs forward", "TFLOPs training", "minutes"]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for variant, rows in runs.items():
        if not rows:
            continue
        tests = [run["metrics"]["test"] for run in rows]
        cells = [
            f"{variant or 'as published'} ({seeds(rows)})",
            _mean([run["metrics"]["validation"]["map50"] for run in rows]),
            *(_mean([test[key] for test in tests]) for key in ("map50", "map")),
            *(_mean([test["ap50_by_label"][label] for test in tests]) for label in labels),
            f"{mean_and_deviation([100 * test['count_error'] for test in tests], '.1f')} %",
            *cost_cells(rows),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _mean(values: Sequence[float]) -> str:
    return mean_and_deviation(values, ".3f")


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
