"""Read the inputs of commands: image files, texts, lines of a file or standard input, tables."""

import dataclasses
import os
import pathlib
import re
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from keras_attn._wording import counted
from keras_attn.cli import output
from keras_attn.cli.data_options import passed_options
from keras_attn.cli.options import name_options
from keras_attn.datasets.files._encoding import decode, suggest_encodings_of
from keras_attn.datasets.files.columns import SUFFIXES, read_column
from keras_attn.recipes import TABLE_OPTIONS, TaskDescription

STANDARD_INPUT = pathlib.Path("-")
PLAIN = ".txt"  # suffix of a table, or of a file with one text per line

Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="INPUT...",
        help="Image or WAV files or folders of them, tables of series, or texts.",
    ),
]
TextFile = Annotated[
    pathlib.Path | None,
    typer.Option(
        help='Read the texts from this file: one per line ("-" is standard input), or from a '
        "column of a table: .csv, .tsv or .jsonl."
    ),
]


@dataclasses.dataclass(frozen=True)
class Examples:
    """The inputs of a command.

    Attributes:
        inputs: Texts, or paths of files.
        problems: Why inputs cannot be read, by their index.
    """

    inputs: list[str]
    problems: dict[int, str] = dataclasses.field(default_factory=dict)

    @property
    def readable(self) -> dict[int, str]:
        """The inputs without problems, by their index."""
        return {index: text for index, text in enumerate(self.inputs) if index not in self.problems}


def read_inputs(
    name: str,
    task: TaskDescription,
    inputs: list[str] | None,
    file: pathlib.Path | None,
    table: dict[str, Any] | None = None,
) -> Examples:
    """Return the inputs of a command: paths of files, or texts.

    Args:
        name: The model, for messages.
        task: Its task.
        inputs: Inputs on the command line.
        file: File of texts, or None.
        table: Options about a table by name; None for options that were not passed.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: There are no inputs, inputs from two sources, or options that do not apply.
    """
    passed = passed_options(table or {})
    if task.reads == "texts":
        return read_texts(name, task, inputs or [], file, passed)
    if file is not None or not inputs:
        raise ValueError(
            f"{name} reads {task.examples}: give {task.example} files or folders, and no --file."
        )
    if foreign := [key for key in passed if key not in getattr(task.table, "input_options", ())]:
        raise ValueError(f"{_flags(foreign)}: not for {name}, which reads {task.examples}.")
    return _list_files(task, inputs)


def load_inputs(
    task: TaskDescription, model: Any, examples: Examples, table: dict[str, Any]
) -> tuple[dict[int, Any], Examples]:
    """Return what `model.answers` reads for each input, by its index, and all problems.

    Tables are read with the options of the command, and otherwise as the model has read its own;
    how is printed on standard error. Other inputs stay as they are.

    Args:
        task: The task of the model.
        model: The model.
        examples: The inputs.
        table: Options about a table by name; None for options that were not passed.

    Raises:
        FileNotFoundError, ValueError: The only input cannot be read.
    """
    read: Any = getattr(task.table, "read_input", None)
    if read is None:
        return dict(enumerate(examples.inputs)), examples
    options, loaded, problems = passed_options(table), {}, dict(examples.problems)
    for index, path in enumerate(examples.inputs):
        if index in problems:
            continue
        try:
            loaded[index] = read(pathlib.Path(path), model, **options)
        except (OSError, ValueError) as error:
            if len(examples.inputs) == 1:
                raise
            problems[index] = str(error)
        else:
            output.echo(name_options(loaded[index].account), err=True)
    return loaded, Examples(examples.inputs, problems)


def as_utf8(argument: str) -> str:
    """Return an argument of the command line decoded as UTF-8, in every locale."""
    return os.fsencode(argument).decode("utf-8", errors="surrogateescape")


def check_file(task: TaskDescription, path: str) -> None:
    """Raise FileNotFoundError if the input of a task that reads files is not a file."""
    if task.reads != "files" or pathlib.Path(path).is_file():
        return
    if pathlib.Path(path).is_dir():
        raise FileNotFoundError(f"{path!r} is a folder. Give {task.example} files.")
    raise FileNotFoundError(f"There is no {task.example} file {path!r}.")


def warn_of_file_names(texts: Sequence[str], *, reads_files: bool = True) -> None:
    """Print a warning line on standard error if texts are the names of existing files.

    Args:
        texts: The texts on the command line.
        reads_files: Whether the command has the option `--file`.
    """
    # Unlike `pathlib`, it takes any text, however long.
    names = [text for text in texts if os.path.isfile(text)]  # noqa: PTH113
    if not names:
        return
    remedy = "pass --file to read it" if reads_files else "pass a text from the file instead"
    clause = "is read as a text, but a file has this name"
    if len(names) > 1:
        remedy = "pass --file to read one of them"
        clause = f"and {len(names) - 1:,} more are read as texts, but files have these names"
    output.echo(f"warning: {names[0]!r} {clause}: {remedy}.", err=True)


def _list_files(task: TaskDescription, inputs: Sequence[str]) -> Examples:
    """Return the inputs with the files of folders in place of these.

    A path that does not exist and a folder without such files stay, if there are other inputs: an
    error is reported for each alone.

    Raises:
        FileNotFoundError: No input exists.
        ValueError: The only input is a folder that holds no such file.
    """
    if not any(pathlib.Path(path).exists() for path in inputs):
        check_file(task, inputs[0])
    list_folder = getattr(task.table, "list_files", None)
    files: list[str] = []
    problems: dict[int, str] = {}
    for path in inputs:
        if not pathlib.Path(path).is_dir():
            files.append(path)
        elif list_folder is None:
            check_file(task, path)
        else:
            try:
                found, notes = list_folder(pathlib.Path(path))
            except ValueError as error:
                if len(inputs) == 1:
                    raise
                problems[len(files)] = str(error)
                found, notes = [path], []
            files += found
            for note in notes:
                output.echo(note, err=True)
    return Examples(files, problems)


def read_texts(
    name: str,
    task: TaskDescription,
    inputs: list[str],
    file: pathlib.Path | None,
    table: dict[str, Any],
) -> Examples:
    """Return the texts on the command line, of a table, or the lines of a file or standard input.

    Every line and every row is a text, including empty ones, so that answers match them. Blank
    lines of a table are no rows. How a table was read is printed on standard error.

    Args:
        name: The model, for messages.
        task: Its task.
        inputs: Texts on the command line.
        file: File of texts, `STANDARD_INPUT`, or None; None reads standard input if there are no
            texts on the command line.
        table: The options about a table that were passed, by name.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: There are no texts, texts from two sources, bytes that are not of the encoding,
            or options that do not apply.
    """
    if inputs and file is not None:
        raise ValueError("Give texts, or a file of texts with --file, not both.")
    option, default = getattr(task.table, "input_column", (None, ""))
    if foreign := [key for key in table if key not in (option, *TABLE_OPTIONS)]:
        remedy = f" Give --{option.replace('_', '-')}." if option else ""
        raise ValueError(f"{_flags(foreign)}: not for {name}, which does {task.name}.{remedy}")
    if file is not None and _is_table(file, option in table):
        if option is None:
            raise ValueError(
                f"There is no reader of tables for {task.name}. Received: --file {file}. Give a "
                ".txt file with one text per line."
            )
        column = read_column(
            file, table.get(option, default), argument=option,
            **{key: value for key, value in table.items() if key != option},
        )  # fmt: skip
        output.echo(name_options(column), err=True)
        return Examples(list(column.texts), column.problems)
    encoding = None if inputs else table.pop("encoding", None)
    if table:
        raise ValueError(
            f"{_flags(table)}: only with --file, a table: its name must end in one of "
            f"{', '.join(SUFFIXES)}."
        )
    if inputs:
        warn_of_file_names(inputs)
        return Examples([as_utf8(text) for text in inputs])
    if file is None and sys.stdin.isatty():
        raise ValueError("Give texts, --file, or standard input with one text per line.")
    return Examples(_read_lines(file, encoding))


def _is_table(file: pathlib.Path, has_column: bool) -> bool:
    """Return whether a file is read as a table: by its suffix, or as a column is given."""
    suffix = file.suffix.lower()
    return file != STANDARD_INPUT and (has_column or (suffix in SUFFIXES and suffix != PLAIN))


def _read_lines(file: pathlib.Path | None, encoding: str | None) -> list[str]:
    """Return the lines of a file, or of standard input."""
    if file is None or file == STANDARD_INPUT:
        source, content = "standard input", sys.stdin.buffer.read()
    else:
        if not file.is_file():
            raise FileNotFoundError(
                f"There is no file {str(file)!r}. Give one with one text per line, a table, or - "
                "for standard input."
            )
        source, content = str(file), file.read_bytes()
    if not content.strip():
        raise ValueError(f"There are no texts in {source}. It must hold one text per line.")
    text, codec = decode(content, source, encoding)
    if (damaged := re.search("[\udc80-\udcff]", text)) is not None:
        line = text.count("\n", 0, damaged.start()) + 1
        advice = suggest_encodings_of(content) if encoding is None else "Give another encoding."
        raise ValueError(f"Line {line} of {source} is not {codec.upper()}. {advice}")
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[-1] == "":  # nothing follows the last line break
        del lines[-1]
    if not any(map(str.strip, lines)):
        raise ValueError(f"There are no texts in {source}. It must hold one text per line.")
    return lines


def report_problems(task: TaskDescription, examples: Examples) -> None:
    """Print a line on standard error for each input that could not be read.

    Args:
        task: The task.
        examples: The inputs, with all problems.

    Raises:
        ValueError: There are problems.
    """
    for problem in examples.problems.values():
        output.echo(f"warning: {name_options(problem)}", err=True)
    if examples.problems:
        total = counted(len(examples.inputs), task.example, task.examples)
        others = " The others are answered." * (len(examples.problems) < len(examples.inputs))
        raise ValueError(f"{len(examples.problems):,} of {total} could not be read.{others}")


def _flags(options: Sequence[str] | dict[str, Any]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in options)
