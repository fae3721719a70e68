"""The commands `keras-attn list` and `keras-attn show`."""

import difflib
import re
import shutil
import statistics
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table

from keras_attn import zoo
from keras_attn.cli import output
from keras_attn.cli.models import Entry
from keras_attn.recipes import describe_task
from keras_attn.recipes.figures import figure
from keras_attn.zoo import cards

Row = dict[str, str]  # cells by title


def list_entries(
    pattern: Annotated[
        str, typer.Argument(metavar="PATTERN", help="Shell pattern, such as 'cifar10_*'.")
    ] = "*",
    task: Annotated[
        str | None,
        typer.Option(help="Only entries for this task, such as translation, images or sentiment."),
    ] = None,
    pretrained: Annotated[
        bool | None,
        typer.Option(
            "--pretrained/--untrained", help="Only entries with, or without, trained weights."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per line.")
    ] = False,
) -> None:
    """List the entries of the zoo."""
    names = zoo.list(pattern, task=task, pretrained=pretrained)
    if not names:
        raise ValueError(_nothing_found(pattern, task, pretrained))
    entries = [zoo.describe(name) for name in names]
    if as_json:
        for entry in entries:
            output.echo_json(_summary(entry))
    else:
        _print_rows([_row(entry) for entry in entries])


def show(
    name: Entry,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Show the card and the recipe of an entry."""
    entry = zoo.describe(name)
    if as_json:
        recipe = entry.recipe.model_dump(mode="json")
        output.echo_json({**_summary(entry), "recipe": recipe, "results": entry.results})
        return
    output.show_markdown(cards.card(entry))
    output.echo((entry.folder / "recipe.toml").read_text(encoding="utf-8"))


def _row(entry: zoo.Entry) -> Row:
    runs = entry.runs()
    metric = describe_task(entry.recipe.task).primary_metric
    return {
        "entry": entry.name,
        "task": entry.recipe.task,
        "parameters": f"{runs[0]['parameters']:,}" if runs else "-",
        "test": figure(metric, runs, "test") if runs else "not trained",
    }


def _print_rows(rows: Sequence[Row]) -> None:
    """Print a table, or two lines an entry where a table would be too wide. No cell is cut."""
    table = Table(box=box.SIMPLE)
    for title in rows[0]:
        table.add_column(title, no_wrap=True)
    for row in rows:
        table.add_row(*map(output.cell, row.values()))
    widths = [max(len(title), *(len(row[title]) for row in rows)) for title in rows[0]]
    width = sum(widths) + 3 * len(widths) + 1  # with the gaps
    if not output.has_width() or width <= shutil.get_terminal_size().columns:
        output.show(table)
        return
    for row in rows:
        parameters = f"{row['parameters']} parameters, " if row["parameters"] != "-" else ""
        output.echo(f"{row['entry']}\n    {row['task']}, {parameters}{row['test']}")


def _summary(entry: zoo.Entry) -> dict[str, Any]:
    """Return an entry as a dictionary that can be written as JSON."""
    recipe, runs = entry.recipe, entry.runs()
    metric = describe_task(recipe.task).primary_metric
    test: dict[str, Any] | None = None
    if runs:
        values = [run["metrics"]["test"][metric.key] for run in runs]
        deviation = statistics.stdev(values) if len(values) > 1 else None
        test = {
            "metric": metric.key,
            "mean": statistics.fmean(values),
            "standard_deviation": deviation,
            "seeds": len(runs),
        }
    return {
        "name": entry.name,
        "task": recipe.task,
        "description": recipe.description,
        "dataset": recipe.dataset,
        "architecture": recipe.architecture,
        "pretrained": entry.pretrained,
        "parameters": runs[0]["parameters"] if runs else None,
        "test": test,
    }


def _nothing_found(pattern: str, task: str | None, pretrained: bool | None) -> str:
    """Return a message with the filters that match no entry, and names that are similar."""
    filters = [repr(pattern)]
    if task is not None:
        filters.append(f"--task {task}")
    if pretrained is not None:
        filters.append("--pretrained" if pretrained else "--untrained")
    literal = re.sub(r"[*?\[\]!]+", "", pattern)
    parts = {"_".join(words[:n]) for words in map(_words, zoo.list()) for n in range(1, len(words))}
    similar = difflib.get_close_matches(literal, parts, n=1)
    if zoo.list(pattern):
        hint = "Leave out a filter."
    elif literal and zoo.list(f"*{literal}*"):
        hint = f"Did you mean '*{literal}*'?"
    elif similar:
        hint = f"Did you mean '{similar[0]}*'?"
    else:
        hint = "A pattern matches whole names, such as 'cifar10_*'."
    return f"No entry matches {', '.join(filters)}. {hint} See all entries: keras-attn list."


def _words(name: str) -> list[str]:
    return name.split("_")
