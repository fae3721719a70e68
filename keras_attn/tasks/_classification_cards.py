"""Metrics, outputs and model cards of classification tasks. Imports no Keras."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from keras_attn._wording import counted
from keras_attn.recipes import Metric, Recipe, TaskDescription, TensorInfo
from keras_attn.recipes.figures import (
    Run,
    mean_and_deviation,
    results_table,
    values_of,
    wilson_interval,
)
from keras_attn.recipes.recipe import WITHOUT_ATTENTION

ACCURACY = Metric("accuracy", "accuracy", " %", 100.0)
F1_MACRO = Metric("f1_macro", "F1 (macro)", " %", 100.0)
LOSS = Metric("loss", "loss", digits=4, greater_is_better=False)
VIEWS_ACCURACY = Metric("views_accuracy", "accuracy", " %", 100.0)
CALIBRATION_ERROR = Metric(
    "calibration_error", "calibration error", " %", 100.0, greater_is_better=False
)
OUTPUTS = (
    TensorInfo("label", "string", ("B",), "the most probable label"),
    TensorInfo("score", "float32", ("B",), "its probability"),
    TensorInfo("probabilities", "float32", ("B", "C"), "of all labels, in their order"),
)


class ClassificationDescription(TaskDescription):
    """Base class of the descriptions of image and text classification."""

    primary_metric = ACCURACY
    example_titles = ("label", "answer")
    example_rule = (
        "The first three examples of the validation split with a right answer, and the first two "
        "with a wrong one."
    )
    explanation_options: ClassVar[tuple[str, ...]] = ("label",)

    def metric_columns(self, metrics: Mapping[str, Any]) -> dict[str, str]:
        columns = {
            "accuracy": ACCURACY.format(metrics["accuracy"]),
            **_macro_f1(metrics),
            "loss": LOSS.format(metrics["loss"]),
            "examples": f"{metrics['examples']:,}",
        }
        if "views" in metrics:
            columns[f"by {metrics['views']} views"] = VIEWS_ACCURACY.format(
                metrics["views_accuracy"]
            )
        if "calibration_error" in metrics:
            columns["calibration error"] = CALIBRATION_ERROR.format(metrics["calibration_error"])
        return columns

    def selection_title(self, recipe: Recipe) -> str:
        weights = getattr(recipe.training, "class_weights", None)
        if weights is None:
            return self.primary_metric.title
        return "balanced accuracy" if weights == "balanced" else "accuracy with the class weights"

    def result_notes(self, metrics: Mapping[str, Mapping[str, Any]], dataset: Any) -> list[str]:
        held_out = [name for name in metrics if name.startswith("test")] or ["validation"]
        return [
            note
            for name in held_out
            if name in metrics
            for note in self._result_notes(name, metrics[name], dataset)
        ]

    def _result_notes(self, name: str, metrics: Mapping[str, Any], dataset: Any) -> list[str]:
        """Return lines on the result on a split."""
        targets = np.asarray(dataset[name].targets)
        if not len(targets):
            return []
        several = targets.ndim == 2
        share = metrics["exact_match" if several else "accuracy"]
        low, high = wilson_interval(share, len(targets))
        # For texts of several labels, a label is a set of them.
        kinds, counts = np.unique(targets, axis=0, return_counts=True)
        largest = kinds[counts.argmax()]
        names = np.array(dataset.label_names, dtype=object)
        label = repr(names[largest])
        if several:
            label = " and ".join(map(repr, names[largest > 0])) or "no label"
        constant = counts.max() / len(targets)
        examples = counted(len(targets), f"{name} {self.example}", f"{name} {self.examples}")
        measure, answer = "accuracy", "label"
        if several:
            measure, answer = "exact match", "set of labels"
        macro = f", macro F1 {100 * metrics['f1_macro']:.1f} %" if "f1_macro" in metrics else ""
        notes = [
            f"On the {examples}: {measure} {100 * share:.1f} % (95 % interval {100 * low:.1f} to "
            f"{100 * high:.1f} %){macro}. Always answering the most frequent {answer}, {label}, "
            f"gives {100 * constant:.1f} %."
        ]
        if low <= constant:
            notes.append(
                f"The {measure} is not significantly above this baseline: the model may have "
                "learned nothing, or the split is too small."
            )
        if name == "validation":
            notes.append("The epoch was selected on this split, so its metrics are optimistic.")
        return notes

    def summary(self, metrics: Mapping[str, Any]) -> str:
        text = super().summary(metrics)
        if "views" in metrics:
            accuracy = VIEWS_ACCURACY.format(metrics["views_accuracy"])
            text += f", {accuracy} by {metrics['views']} views"
        return text

    def test_figure(self, runs: Sequence[Run]) -> str:
        views = number_of_views(runs)
        if not views:
            return super().test_figure(runs)
        return f"{super().test_figure(runs)}; by {views} views {_by_views(runs)}"

    def run_columns(self, run: Run) -> dict[str, str]:
        columns = super().run_columns(run)
        if number_of_views([run]):
            test = run["metrics"]["test"]
            columns["by views"] = VIEWS_ACCURACY.format(test["views_accuracy"])
        return columns

    def card_results(self, recipe: Recipe, runs: Mapping[str, Sequence[Run]]) -> list[str]:
        seeds_note = " Mean and sample standard deviation over seeds." if len(runs[""]) > 1 else ""
        return [
            f"Data: {recipe.dataset}, trained on its training split, which excludes the validation "
            f"{self.examples}. The test split was read once a run, at its end.{seeds_note}",
            _results(runs),
            *_interval(runs[""], self.example, self.examples),
            *_further_test_splits(runs),
            *_gain_of_attention(runs),
            *_calibration(runs[""], self.examples),
            *_by_length(runs[""]),
        ]


def _further_test_splits(runs: Mapping[str, Sequence[Run]]) -> list[str]:
    """Return a table of the accuracy on other test splits than the published one, if any."""
    names = [name for name in runs[""][0]["metrics"] if name.startswith("test_")]
    lines = ["| model | split | examples | accuracy |", "|---|---|---|---|"]
    for variant, some in runs.items():
        for name in names if some else ():
            accuracy = mean_and_deviation(values_of(ACCURACY, some, name), ".2f")
            examples = f"{some[0]['metrics'][name]['examples']:,}"
            lines.append(f"| {variant or 'as published'} | {name} | {examples} | {accuracy} % |")
    return ["\n".join(lines)] if names else []


def _macro_f1(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Return the cell of macro F1, which records of earlier versions do not hold."""
    value = metrics.get(F1_MACRO.key)
    return {} if value is None else {F1_MACRO.title: F1_MACRO.format(value)}


def number_of_views(runs: Sequence[Run]) -> int:
    """Return the number of test-time augmentation views of the runs, or 0 if none."""
    return runs[0]["metrics"]["test"].get("views", 0)


def _by_views(runs: Sequence[Run]) -> str:
    return f"{mean_and_deviation(values_of(VIEWS_ACCURACY, runs, 'test'), '.2f')} %"


def _results(runs: Mapping[str, Sequence[Run]]) -> str:
    views = number_of_views(runs[""])
    return results_table(
        ACCURACY, runs, {f"test accuracy by {views} views": _by_views} if views else {}
    )


def _interval(runs: Sequence[Run], example: str, examples: str) -> list[str]:
    """Return a sentence on how far the number of test examples determines the accuracy."""
    count = runs[0]["metrics"]["test"]["examples"]
    return [
        f"95 % interval of the test accuracy (Wilson), for {counted(count, example, examples)}: "
        f"{_percent(_wilson(ACCURACY, runs))}."
    ]


def _wilson(metric: Metric, runs: Sequence[Run]) -> tuple[float, float]:
    """Return the interval of a mean accuracy over runs, which share their test examples."""
    share = statistics.fmean(run["metrics"]["test"][metric.key] for run in runs)
    return wilson_interval(share, runs[0]["metrics"]["test"]["examples"])


def _percent(interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{100 * low:.2f} to {100 * high:.2f} %"


def _gain_of_attention(runs: Mapping[str, Sequence[Run]]) -> list[str]:
    """Return the gain or loss of accuracy against the baseline without attention."""
    baseline = runs.get(WITHOUT_ATTENTION, ())
    if not baseline:
        return []
    lines = [_difference(runs[""], baseline, ACCURACY, "of test accuracy")]
    if views := number_of_views(runs[""]):
        by_views = f"by {views} views of each image"
        lines.append(_difference(runs[""], baseline, VIEWS_ACCURACY, by_views))
    return ["\n".join(lines)]


def _difference(runs: Sequence[Run], baseline: Sequence[Run], metric: Metric, what: str) -> str:
    accuracies = [values_of(metric, group, "test") for group in (runs, baseline)]
    difference = statistics.fmean(accuracies[0]) - statistics.fmean(accuracies[1])
    verb = "gains" if difference > 0 else "loses"
    intervals = [_wilson(metric, group) for group in (runs, baseline)]
    lower, upper = difference_interval(accuracies, intervals)
    parameters = " and ".join(f"{group[0]['parameters']:,}" for group in (runs, baseline))
    number = f"{len(runs)} and {len(baseline)} runs"
    if len(runs) == len(baseline):
        number = f"{counted(len(runs), 'run')} each"
    sentence = (
        f"With attention the network {verb} {abs(difference):.2f} points {what} against "
        f"the baseline without attention ({number}; {parameters} parameters)"
    )
    if min(len(runs), len(baseline)) > 1:
        deviation = max(statistics.stdev(values) for values in accuracies)
        side = "more" if abs(difference) > deviation else "less"
        sentence += f": {side} than the standard deviation over seeds, {deviation:.2f}"
    verdict = "not significant" if lower <= 0.0 <= upper else "significant"
    return (
        f"{sentence}. The 95 % interval of the difference, over test examples, is {lower:+.2f} to "
        f"{upper:+.2f} points: {verdict}."
    )


def difference_interval(
    accuracies: Sequence[Sequence[float]], intervals: Sequence[tuple[float, float]]
) -> tuple[float, float]:
    """Return the 95 % interval of a difference of accuracies, in points, from those of both.

    It is that of Newcombe (Statistics in Medicine 17, 1998, method 10) for independent samples.
    Both models answered the same examples, which makes the true interval smaller.
    """
    (first, second), (a, b) = map(statistics.fmean, accuracies), intervals
    (low, high), (other_low, other_high) = ((100 * x for x in each) for each in (a, b))
    difference = first - second
    lower = difference - math.hypot(first - low, other_high - second)
    upper = difference + math.hypot(high - first, second - other_low)
    return lower, upper


def _calibration(runs: Sequence[Run], examples: str) -> list[str]:
    """Return a paragraph on the calibration of scores, if it was measured."""
    errors = [run["metrics"]["test"].get("calibration_error") for run in runs]
    if None in errors:
        return []
    temperatures = [run["temperature"] for run in runs]
    return [
        f"Scores are calibrated by a temperature fitted on the validation {examples} "
        f"({mean_and_deviation(temperatures, '.2f')}). Their expected calibration error on the "
        f"test split, in 15 bins, is {mean_and_deviation([100 * e for e in errors], '.2f')} %."
    ]


def _by_length(runs: Sequence[Run]) -> list[str]:
    """Return a table of accuracy by text length, if it was measured."""
    rows = [run["metrics"]["test"].get("by_length") for run in runs]
    if None in rows:
        return []
    lines = ["| words | texts | test accuracy |", "|---|---|---|"]
    lower = 0
    for parts in zip(*rows, strict=True):
        bound = parts[0]["up_to"]
        words = f"over {lower}" if bound is None else f"{lower + 1} to {bound}"
        values = mean_and_deviation([100 * part["accuracy"] for part in parts], ".2f")
        lines.append(f"| {words} | {parts[0]['examples']:,} | {values} % |")
        lower = bound
    return ["\n".join(lines)]
