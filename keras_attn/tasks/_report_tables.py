"""Tables of reports for terminals."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from keras_attn._printable import printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

NAME_WIDTH = 24  # of a label in a table, in characters


@dataclasses.dataclass(frozen=True)
class IfItFits:
    """A renderable that is replaced by another one if it is wider than the console."""

    wide: Any
    narrow: Any

    def __rich_console__(
        self, console: "Console", options: "ConsoleOptions"
    ) -> "Iterator[RenderableType]":
        from rich.measure import Measurement

        unlimited = options.update(max_width=10_000)
        fits = Measurement.get(console, unlimited, self.wide).maximum <= options.max_width
        yield self.wide if fits else self.narrow


def class_table(report: Any, averages: Mapping[str, Any] | None = None) -> Any:
    """Return a table of precision, recall and F1 by label.

    Args:
        report: A report with `classes`, `macro` and `weighted`.
        averages: Metrics of further averages, by title.
    """
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, collapse_padding=True)
    table.add_column("label", overflow="fold")
    for title in ("precision", "recall", "F1", "examples"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, row in report.classes.items():
        table.add_row(_cell(name), *_metric_cells(row))
    table.add_section()
    for title, metrics in (averages or {}).items():
        table.add_row(title, *_metric_cells(metrics))
    table.add_row("macro average", *_metric_cells(report.macro))
    table.add_row("weighted average", *_metric_cells(report.weighted))
    return table


def _metric_cells(row: Any) -> list[str]:
    shares = (f"{100 * value:.1f} %" for value in (row.precision, row.recall, row.f1))
    return [*shares, f"{row.support:,}"]


def matrix_table(report: Any) -> Any:
    """Return a table of the confusion matrix of a `ClassificationReport`."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    # Columns are numbered, because names as titles would not fit.
    table = Table(box=box.SIMPLE, collapse_padding=True)
    table.add_column("label", no_wrap=True)
    for number in range(1, len(report.label_names) + 1):
        table.add_column(str(number), justify="right", no_wrap=True)
    for index, (name, row) in enumerate(zip(report.label_names, report.confusion, strict=True)):
        cells = [
            Text(str(count) if count else ".", "bold" if column == index else "")
            for column, count in enumerate(row)
        ]
        table.add_row(Text.assemble(f"{index + 1} ", _cell(name)), *cells)
    return table


def confusion_table(report: Any) -> Any:
    """Return a table of the most frequent confusions of a `ClassificationReport`."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE)
    for title in ("label", "answer"):
        table.add_column(title, overflow="fold")
    table.add_column("examples", justify="right", no_wrap=True)
    for label, answer, count in report.most_confused():
        table.add_row(_cell(label), _cell(answer), f"{count:,}")
    return table


def _cell(name: str) -> Any:
    from rich.text import Text

    return Text(short_name(name))


def short_name(name: str) -> str:
    """Return a label in at most `NAME_WIDTH` printable characters."""
    name = printable(" ".join(name.split()))
    return name if len(name) <= NAME_WIDTH else f"{name[: NAME_WIDTH - 1]}…"
