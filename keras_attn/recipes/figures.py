"""Format the figures of recorded runs for generated pages."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keras_attn._wording import counted
from keras_attn.recipes.metrics import Metric

Run = dict[str, Any]  # the record of a finished run, as `results.json` holds it


def mean_and_deviation(values: Sequence[float], form: str) -> str:
    """Return the mean, with the sample standard deviation if there are several values.

    Example:

    >>> mean_and_deviation([90.0, 91.0], ".1f"), mean_and_deviation([90.0], ".1f")
    ('90.5 ± 0.7', '90.0')
    """
    mean = format(statistics.fmean(values), form)
    return mean if len(values) == 1 else f"{mean} ± {format(statistics.stdev(values), form)}"


def wilson_interval(share: float, count: int, deviations: float = 1.96) -> tuple[float, float]:
    """Return the Wilson interval for a share, which also holds for few examples and near 1.

    Args:
        share: The observed share, in [0, 1].
        count: Number of examples.
        deviations: Number of standard deviations; 1.96 gives 95 %.

    Example:

    >>> [round(bound, 3) for bound in wilson_interval(0.9, 100)]
    [0.826, 0.945]
    >>> [round(bound, 3) for bound in wilson_interval(1.0, 6)]
    [0.61, 1.0]
    """
    weight = deviations**2 / max(1, count)
    center = (share + weight / 2) / (1 + weight)
    half = math.sqrt(weight * (share * (1 - share) + weight / 4)) / (1 + weight)
    return max(0.0, center - half), min(1.0, center + half)


def seeds(runs: Sequence[Run]) -> str:
    """Return the number of runs behind a figure: `1 seed`, `3 seeds`."""
    return counted(len(runs), "seed")


def minutes(runs: Sequence[Run]) -> str:
    """Return the median wall time of training in minutes, with the number of runs if several.

    The median, because a run that shares its machine, or is the first to compile, takes longer.

    Example:

    >>> minutes([{"train_seconds": seconds} for seconds in (11, 10, 55)])
    '0.2 min (median of 3 runs)'
    >>> minutes([{"train_seconds": 1043}])
    '17 min'
    """
    median = statistics.median(run["train_seconds"] / 60 for run in runs)
    form = ".0f" if median >= 10 else ".1f"
    note = f" (median of {len(runs)} runs)" if len(runs) > 1 else ""
    return f"{median:{form}} min{note}"


def minutes_by_hardware(runs: Sequence[Run]) -> str:
    """Return the median wall time of training on each kind of hardware."""
    return "; ".join(f"{minutes(group)} on {name}" for name, group in by_hardware(runs).items())


def by_hardware(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Group runs by hardware, see `hardware`."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(hardware(run), []).append(run)
    return groups


def hardware(run: Run) -> str:
    """Return the hardware of a run: the machine of each segment, and the number of workers.

    Example:

    >>> cpu = {"accelerators": [], "cores": 2, "processor": "AMD EPYC"}
    >>> hardware({"hardware": cpu, "strategy": {"workers": 2}})
    '2 x 2 cores (AMD EPYC)'
    """
    machines = dict.fromkeys(_machine(segment["hardware"]) for segment in segments(run))
    workers = run.get("strategy", {}).get("workers", 1)
    return f"{workers} x {' then '.join(machines)}" if workers > 1 else " then ".join(machines)


def commits(run: Run) -> str:
    """Return the commit of each segment of a run, in Markdown."""
    names = dict.fromkeys((segment["commit"] or "unknown")[:10] for segment in segments(run))
    return ", ".join(f"`{name}`" for name in names)


def segments(run: Run) -> list[Run]:
    """Return the provenance of each segment of a run, the last one being the run itself."""
    # The key is that of recorded runs.
    return [*run.get("earlier_pieces", []), run]


def _machine(record: dict[str, Any]) -> str:
    return " + ".join(record["accelerators"]) or (
        f"{counted(record['cores'], 'core')} ({record['processor']})"
    )


def values_of(metric: Metric, runs: Sequence[Run], split: str) -> list[float]:
    """Return a metric of a split for each run, scaled as in tables."""
    return [metric.scale * run["metrics"][split][metric.key] for run in runs]


def figure(metric: Metric, runs: Sequence[Run], split: str, digits: int | None = None) -> str:
    """Return the mean of a metric over runs, with its standard deviation and the number of seeds.

    Example:

    >>> accuracy = Metric("accuracy", "accuracy", " %", 100.0)
    >>> figure(accuracy, [{"metrics": {"test": {"accuracy": 0.9}}}], "test")
    '90.00 % (1 seed)'
    """
    form = f".{metric.digits if digits is None else digits}f"
    mean = mean_and_deviation(values_of(metric, runs, split), form)
    return f"{mean}{metric.unit} ({seeds(runs)})"


def results_table(
    metric: Metric,
    runs: Mapping[str, Sequence[Run]],
    further: Mapping[str, Callable[[Sequence[Run]], str]] | None = None,
) -> str:
    """Return a Markdown table of a metric and the cost of the entry and of its variants.

    Args:
        metric: The metric to show, of the validation and of the test split.
        runs: The runs of the entry itself, under `""`, and of each variant.
        further: Further columns: functions from the runs of a row to a cell, by title.
    """
    columns: dict[str, Callable[[Sequence[Run]], str]] = {
        f"validation {metric.title}": lambda rows: figure(metric, rows, "validation"),
        f"test {metric.title}": lambda rows: figure(metric, rows, "test"),
        **(further or {}),
    }
    titles = ["model", *columns, "parameters", "MFLOPs forward", "TFLOPs training", "minutes"]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for variant, rows in runs.items():
        if rows:
            cells = [
                variant or "as published",
                *(column(rows) for column in columns.values()),
                *cost_cells(rows),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def cost_cells(runs: Sequence[Run]) -> list[str]:
    """Return parameters, MFLOPs of a forward pass, TFLOPs of training, and minutes."""
    return [
        f"{runs[0]['parameters']:,}",
        short(runs[0]["forward_flops"] / 1e6),
        short(runs[0]["train_flops"] / 1e12),
        minutes_by_hardware(runs),
    ]


def short(value: float) -> str:
    """Return a number with three significant digits, or as an integer from 1,000 on."""
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"
