"""Print the results of commands: tables of answers and metrics, and JSON lines."""

import contextlib
import json
import re
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import rich
import typer
from rich import box
from rich.table import Table
from rich.text import Text

from keras_attn.recipes import TaskDescription

MAX_WIDTH = 40  # of a text in a table, in characters


def print_answers(
    task: TaskDescription, inputs: Iterable[str], answers: list[Any], top: int
) -> None:
    """Print a table with a row for each answer."""
    rows = [answer.to_columns(top) for answer in answers]
    titles = dict.fromkeys(title for row in rows for title in row)
    table = Table(box=box.SIMPLE)
    width = MAX_WIDTH if task.reads == "texts" else None
    table.add_column(task.example, no_wrap=width is not None, overflow="ellipsis", max_width=width)
    for title in titles:
        table.add_column(title)
    for example, row in zip(inputs, rows, strict=True):
        # Arguments of a shell may hold bytes that are not UTF-8, which cannot be printed.
        text = example.encode(errors="replace").decode()
        cells = (" ".join(text.split()), *(row.get(title, "") for title in titles))
        table.add_row(*map(Text, cells))  # as `Text`: brackets are not markup
    rich.print(table)


def print_json_lines(task: TaskDescription, inputs: Iterable[str], answers: Iterable[Any]) -> None:
    """Print a JSON object for each answer, one per line."""
    for example, answer in zip(inputs, answers, strict=True):
        typer.echo(json.dumps({**answer.to_dict(), task.example: example}))


def print_coverage(answers: list[Any], first: int = 1) -> None:
    """Print a warning line on standard error for texts of which the model knows little."""
    from keras_attn.tasks.coverage import coverage_warnings

    for warning in coverage_warnings(answers, first):
        typer.echo(f"warning: {warning}", err=True)


def print_metrics(task: TaskDescription, metrics: dict[str, Any], of: str = "split") -> None:
    """Print a table with a row for each split.

    Args:
        task: The task, which formats the metrics.
        metrics: The metrics of each split, by the name of the split.
        of: Title of the column of names.
    """
    rows = {split: task.metric_columns(values) for split, values in metrics.items()}
    columns = dict.fromkeys(column for cells in rows.values() for column in cells)
    table = Table(of, *columns, box=box.SIMPLE)
    for split, cells in rows.items():
        table.add_row(Text(split), *(cells.get(column, "") for column in columns))
    notes = [note for values in metrics.values() for note in task.metric_notes(values)]
    for note in dict.fromkeys(notes):
        typer.echo(note)
    rich.print(table)


@contextlib.contextmanager
def warnings_as_lines(where: str = "") -> Iterator[None]:
    """Print each `UserWarning` of a `with` block as one line on standard error, at its end.

    Args:
        where: Text that precedes each message.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for warning in caught:
        typer.echo(f"warning: {where}{warning.message}", err=True)


def on_one_line(text: str) -> str:
    """Return a text without line breaks, so that it is printed on one line."""
    return re.sub(r"[\r\n]+", " ", text)
