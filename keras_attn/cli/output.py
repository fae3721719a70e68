"""Print what commands print: texts, tables, errors and JSON.

All output of commands passes through this module, which writes control characters of inputs, file
names, labels and messages as visible escapes, and ends quietly if the reader has closed the pipe.
A test checks that no other module of this package prints.
"""

import contextlib
import os
import pathlib
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import typer
from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markdown import Markdown
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from keras_attn._printable import printable, printable_json
from keras_attn.cli.options import name_options
from keras_attn.recipes import TaskDescription

MAX_WIDTH = 40  # of a text in a table, in characters
UNLIMITED = 10_000  # columns
CLOSED_PIPE = 141  # exit status: 128 and the number of SIGPIPE, as for other programs


class SafeConsole(Console):
    """A console that escapes control characters, and takes brackets and colons as text."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, highlight=False, emoji=False, **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control is None:
                yield Segment(printable(segment.text, keep="\n"), segment.style)
            else:
                yield segment

    def on_broken_pipe(self) -> NoReturn:
        _end_quietly()


def echo(text: str, *, err: bool = False, end: str = "\n") -> None:
    """Print a text, which may have several lines.

    Args:
        text: The text.
        err: Print on standard error.
        end: Text to print after it.
    """
    with _quiet_end():
        typer.echo(printable(text, keep="\n\t") + end, nl=False, err=err)


def echo_error(message: object) -> None:
    """Print an error message on standard error, with options in place of arguments of Python."""
    with _quiet_end():
        typer.secho("error:", fg="red", bold=True, nl=False, err=True)
    echo(f" {name_options(message)}", err=True)


def echo_json(value: Any) -> None:
    """Print a value as JSON in UTF-8, whatever the encoding of the locale."""
    with _quiet_end():
        typer.echo(printable_json(value).encode())


def show(renderable: RenderableType) -> None:
    """Print a `rich` renderable, as wide as the terminal, or as needed if there is none."""
    console = SafeConsole(width=None if has_width() else UNLIMITED)
    console.print(renderable)


def write_plots(folder: pathlib.Path, answers: Mapping[str, Any]) -> None:
    """Write a picture of each answer into a folder, and print where they are on standard error.

    Args:
        folder: The folder.
        answers: Answers with the method `plot`, by the path of the input. Files have the names of
            the inputs; where two are the same, a number follows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path, answer in answers.items():
        stem = pathlib.PurePath(path).stem
        target, number = folder / f"{stem}.png", 2
        while target.exists():
            target, number = folder / f"{stem}_{number}.png", number + 1
        answer.plot().savefig(target, dpi=120)
    echo(f"Written: {len(answers)} in {folder}", err=True)


def show_markdown(text: str) -> None:
    """Print a page of Markdown."""
    SafeConsole().print(Markdown(text))


def has_width() -> bool:
    """Return whether output has a limited width: that of a terminal, or `COLUMNS`."""
    return sys.stdout.isatty() or "COLUMNS" in os.environ


def cell(text: str) -> Text:
    """Return a text as one line of a table, whose width is known."""
    return Text(printable(" ".join(text.split())))


def print_answers(
    task: TaskDescription, inputs: Iterable[str], answers: Sequence[Any], top: int
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
        table.add_row(cell(example), *(cell(row.get(title, "")) for title in titles))
    show(table)


def print_texts(answers: Sequence[Any]) -> None:
    """Print the text of each answer with its own line breaks, and a line between two of them."""
    for index, answer in enumerate(answers):
        if index:
            echo("-" * MAX_WIDTH)
        echo(answer.text)


def print_json_lines(
    task: TaskDescription,
    inputs: Sequence[str],
    answers: Mapping[int, Any],
    problems: Mapping[int, str],
) -> None:
    """Print a JSON object for each input, one per line: its answer, or why there is none.

    Args:
        task: The task.
        inputs: The inputs.
        answers: The answers by the index of their input.
        problems: Why inputs could not be read, by their index.
    """
    for index, example in enumerate(inputs):
        if index in answers:
            echo_json({**answers[index].to_dict(), task.example: example})
        else:
            echo_json({"error": name_options(problems[index]), task.example: example or None})


def print_coverage(answers: Sequence[Any], first: int = 1) -> None:
    """Print a warning line on standard error for texts of which the model knows little."""
    from keras_attn.tasks.coverage import coverage_warnings

    for warning in coverage_warnings(answers, first):
        echo(f"warning: {warning}", err=True)


def print_metrics(
    task: TaskDescription, metrics: Mapping[str, dict[str, Any]], of: str = "split"
) -> None:
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
        table.add_row(cell(split), *(cells.get(column, "") for column in columns))
    notes = [note for values in metrics.values() for note in task.metric_notes(values)]
    for note in dict.fromkeys(notes):
        echo(note)
    show(table)


@contextlib.contextmanager
def warnings_as_lines(where: str = "") -> Iterator[None]:
    """Print each `UserWarning` of a `with` block as one line on standard error.

    Args:
        where: Text that precedes each message.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        show_other = warnings.showwarning

        def show_warning(message: Any, category: type[Warning], *arguments: Any) -> None:
            if issubclass(category, UserWarning):
                echo(f"warning: {where}{name_options(message)}", err=True)
            else:
                show_other(message, category, *arguments)

        warnings.showwarning = show_warning  # type: ignore[assignment]
        yield


def on_one_line(text: str) -> str:
    """Return a text without line breaks, so that it is printed on one line."""
    return re.sub(r"[\r\n]+", " ", text)


def flush() -> None:
    """Write what is buffered, so that a closed pipe is noticed before the process ends."""
    with _quiet_end():
        sys.stdout.flush()


@contextlib.contextmanager
def _quiet_end() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        _end_quietly()


def _end_quietly() -> NoReturn:
    # Python writes what is still buffered when it ends, which would fail again.
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(CLOSED_PIPE)
