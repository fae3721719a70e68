"""Figures of runs as the generated pages write them."""

import statistics
from typing import Any


def mean_and_deviation(values: list[float], form: str) -> str:
    """The mean, with the sample standard deviation of several values.

    Example:

    >>> mean_and_deviation([90.0, 91.0], ".1f"), mean_and_deviation([90.0], ".1f")
    ('90.5 ± 0.7', '90.0')
    """
    mean = format(statistics.fmean(values), form)
    return mean if len(values) == 1 else f"{mean} ± {format(statistics.stdev(values), form)}"


def seeds(runs: list[dict[str, Any]]) -> str:
    """How many runs a figure is of: `1 seed`, `3 seeds`."""
    return _count(len(runs), "seed")


def minutes(runs: list[dict[str, Any]]) -> str:
    """The wall time of training."""
    values = [run["train_seconds"] / 60 for run in runs]
    form = ".0f" if statistics.fmean(values) >= 10 else ".1f"
    return f"{mean_and_deviation(values, form)} min"


def minutes_by_hardware(runs: list[dict[str, Any]]) -> str:
    """The wall time of training on each kind of machine that runs were made on."""
    return "; ".join(f"{minutes(some)} on {name}" for name, some in by_hardware(runs).items())


def by_hardware(runs: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Runs by what they ran on."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        kinds.setdefault(hardware(run), []).append(run)
    return kinds


def hardware(run: dict[str, Any]) -> str:
    """What a run ran on: all machines that it went over, all workers of it.

    Example:

    >>> of_cpu = {"accelerators": [], "cores": 2, "processor": "AMD EPYC"}
    >>> hardware({"hardware": of_cpu, "strategy": {"workers": 2}})
    '2 x 2 cores (AMD EPYC)'
    """
    machines = dict.fromkeys(_machine(piece["hardware"]) for piece in pieces(run))
    workers = run.get("strategy", {}).get("workers", 1)
    return f"{workers} x {' then '.join(machines)}" if workers > 1 else " then ".join(machines)


def commits(run: dict[str, Any]) -> str:
    """What code made a run: the commit, or those between which it was stopped and went on."""
    names = dict.fromkeys((piece["commit"] or "unknown")[:10] for piece in pieces(run))
    return ", ".join(f"`{name}`" for name in names)


def pieces(run: dict[str, Any]) -> list[dict[str, Any]]:
    """The records of where and by what code each piece of a run was made."""
    return [*run.get("earlier_pieces", []), run]


def _machine(used: dict[str, Any]) -> str:
    return " + ".join(used["accelerators"]) or (
        f"{_count(used['cores'], 'core')} ({used['processor']})"
    )


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
