"""What `predict` and `translate` read, and `predict` prints."""

import json
import pathlib
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import rich
import typer
from rich import box
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from keras_attn.tasks import Classification

STANDARD_INPUT = pathlib.Path("-")
_SHOWN = 40  # characters of a text in a table


def texts_of(inputs: list[str], file: pathlib.Path | None) -> list[str]:
    """The texts to answer: those given, or the lines of a file or of standard input.

    Every line is a text, so that answers stand beside the lines; an empty one as well.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: there are no texts, texts of two sources, or bytes that are not UTF-8.
    """
    if inputs and file is not None:
        raise ValueError("Give texts, or a file of them by --file, not both.")
    if inputs:
        return inputs
    if file is None and sys.stdin.isatty():
        raise ValueError("Give texts, --file with a text a line, or standard input.")
    if file is None or file == STANDARD_INPUT:
        source, content = "standard input", sys.stdin.buffer.read()
    else:
        if not file.is_file():
            raise FileNotFoundError(
                f"There is no file {str(file)!r}. Give one with a text a line, or - for standard "
                "input."
            )
        source, content = str(file), file.read_bytes()
    try:
        lines = content.decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"Line {line} of {source} is not UTF-8. Convert it first, such as by "
            "iconv -f latin1 -t utf-8."
        ) from error
    if lines[-1] == "":  # what follows the last line's end is no line
        del lines[-1]
    if not any(map(str.strip, lines)):
        raise ValueError(f"There are no texts in {source}; one a line is read.")
    return lines


def print_table(
    kind: str, inputs: Iterable[str], answers: Iterable["Classification"], top: int
) -> None:
    """Print a row for each answer."""
    table = Table(box=box.SIMPLE)
    width = _SHOWN if kind == "text" else None
    table.add_column(kind, no_wrap=width is not None, overflow="ellipsis", max_width=width)
    for title in ("label", "score", "also"):
        table.add_column(title)
    for shown, answer in zip(inputs, answers, strict=True):
        ranked = sorted(answer.probabilities.items(), key=lambda item: -item[1])[1:top]
        also = ", ".join(f"{label} {score:.3f}" for label, score in ranked)
        text = shown.encode(errors="replace").decode()  # bytes of a shell that are no UTF-8
        cells = (" ".join(text.split()), answer.label, f"{answer.score:.3f}", also)
        table.add_row(*map(Text, cells))  # brackets in a text are no markup
    rich.print(table)


def print_json(kind: str, inputs: Iterable[str], answers: Iterable["Classification"]) -> None:
    """Print a JSON object a line."""
    for shown, answer in zip(inputs, answers, strict=True):
        typer.echo(json.dumps({**answer._asdict(), kind: shown}))
