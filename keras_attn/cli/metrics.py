"""Tables of how good a model is."""

from typing import Any

import rich
from rich import box
from rich.table import Table
from rich.text import Text

_Metrics = dict[str, Any]


def print_metrics(metrics: dict[str, _Metrics], of: str = "split") -> None:
    """Print a row for each split, by what `keras_attn.training.evaluate` tells of it.

    Args:
        metrics: what it tells, by the name of each split.
        of: what the names are of, which titles them.
    """
    rows = {split: _cells(values) for split, values in metrics.items()}
    columns = dict.fromkeys(column for cells in rows.values() for column in cells)
    table = Table(of, *columns, box=box.SIMPLE)
    for split, cells in rows.items():
        table.add_row(Text(split), *(cells.get(column, "") for column in columns))
    rich.print(table)


def in_words(metrics: _Metrics) -> str:
    """What a card says of a split, as the table writes it.

    Example:

    >>> in_words({"accuracy": 0.9114, "loss": 0.3, "examples": 10_000})
    '91.14 %'
    """
    if "bleu" in metrics:
        return ", ".join(f"{value} {title}" for title, value in _translated(metrics).items())
    told = _percent(metrics["accuracy"])
    if "views" in metrics:
        told += f", {_percent(metrics['views_accuracy'])} by {metrics['views']} views"
    return told


def _cells(metrics: _Metrics) -> dict[str, str]:
    loss, examples = f"{metrics['loss']:.4f}", f"{metrics['examples']:,}"
    if "bleu" in metrics:
        return {**_translated(metrics), "loss": loss, "examples": examples}
    cells = {"accuracy": _percent(metrics["accuracy"]), "loss": loss, "examples": examples}
    if "views" in metrics:
        cells[f"by {metrics['views']} views"] = _percent(metrics["views_accuracy"])
    if "calibration_error" in metrics:
        cells["calibration error"] = _percent(metrics["calibration_error"])
    return cells


def _translated(metrics: _Metrics) -> dict[str, str]:
    lowercased = f"BLEU of lower-cased tokens ({metrics['token_language']})"
    return {
        "BLEU": f"{metrics['bleu']:.2f}",
        "chrF": f"{metrics['chrf']:.2f}",
        lowercased: f"{metrics['bleu_lowercased_tokens']:.2f}",
    }


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"
