"""Read the inputs of commands: image files, texts, lines of a file or of standard input."""

import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from keras_attn.recipes import TaskDescription

STANDARD_INPUT = pathlib.Path("-")

Inputs = Annotated[
    list[str] | None, typer.Argument(metavar="INPUT...", help="Image files, or texts.")
]
TextFile = Annotated[
    pathlib.Path | None,
    typer.Option(help='Read one text per line from this file; "-" is standard input.'),
]


def read_inputs(
    name: str, task: TaskDescription, inputs: list[str] | None, file: pathlib.Path | None
) -> list[str]:
    """Return the inputs of a command: paths of files, or texts.

    Args:
        name: The model, for messages.
        task: Its task.
        inputs: Inputs on the command line.
        file: File of texts, or None.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: There are no inputs, or inputs from two sources.
    """
    if task.reads == "texts":
        return read_texts(inputs or [], file)
    if file is not None or not inputs:
        raise ValueError(f"{name} reads {task.examples}: give {task.example} files, and no --file.")
    check_files(task, inputs)
    return inputs


def as_utf8(argument: str) -> str:
    """Return an argument of the command line decoded as UTF-8, in every locale."""
    return os.fsencode(argument).decode("utf-8", errors="surrogateescape")


def check_files(task: TaskDescription, inputs: Sequence[str]) -> None:
    """Raise FileNotFoundError if an input of a task that reads files is not a file."""
    if task.reads != "files":
        return
    for path in inputs:
        if not pathlib.Path(path).is_file():
            raise FileNotFoundError(f"There is no {task.example} file {path!r}.")


def read_texts(inputs: list[str], file: pathlib.Path | None) -> list[str]:
    """Return the texts on the command line, or the lines of a file or of standard input.

    Every line is a text, including empty lines, so that answers match the lines of the file.

    Args:
        inputs: Texts on the command line.
        file: File of texts, `STANDARD_INPUT`, or None; None reads standard input if there are no
            texts on the command line.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: There are no texts, texts from two sources, or bytes that are not UTF-8.
    """
    if inputs and file is not None:
        raise ValueError("Give texts, or a file of texts with --file, not both.")
    if inputs:
        return [as_utf8(text) for text in inputs]
    if file is None and sys.stdin.isatty():
        raise ValueError("Give texts, --file with one text per line, or standard input.")
    if file is None or file == STANDARD_INPUT:
        source, content = "standard input", sys.stdin.buffer.read()
    else:
        if not file.is_file():
            raise FileNotFoundError(
                f"There is no file {str(file)!r}. Give one with one text per line, or - for "
                "standard input."
            )
        source, content = str(file), file.read_bytes()
    try:
        lines = content.decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"Line {line} of {source} is not UTF-8. Convert it first, for example with "
            "iconv -f latin1 -t utf-8."
        ) from error
    if lines[-1] == "":  # nothing follows the last line break
        del lines[-1]
    if not any(map(str.strip, lines)):
        raise ValueError(f"There are no texts in {source}. It must hold one text per line.")
    return lines
