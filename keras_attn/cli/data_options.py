"""Data options shared by `train` and `evaluate`."""

import functools
import inspect
import pathlib
import typing
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from keras_attn.cli import output
from keras_attn.recipes import TaskDescription

PANEL: dict[str, Any] = {"rich_help_panel": "Your own data"}
DataDir = Annotated[
    pathlib.Path | None,
    typer.Option(help="Folder of TensorFlow Datasets, or an .npz file of arrays."),
]


def _declarations(
    data: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="Table of your own texts, or pairs of sentences: .csv, .tsv or .jsonl.", **PANEL
        ),
    ] = None,
    data_target: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="File of translations, one per line, if --data is a file of sentences.", **PANEL
        ),
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(help="Column of texts (default: text).", **PANEL)
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Column of labels (default: label).", **PANEL)
    ] = None,
    source_column: Annotated[
        str | None,
        typer.Option(help="Column of sentences to translate (default: source).", **PANEL),
    ] = None,
    target_column: Annotated[
        str | None, typer.Option(help="Column of translations (default: target).", **PANEL)
    ] = None,
    delimiter: Annotated[
        str | None,
        typer.Option(help="Field separator (default: from the file extension).", **PANEL),
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Encoding of the file (default: utf-8).", **PANEL)
    ] = None,
) -> None:
    """Declare the options; `with_data_options` adds them to a command."""


OPTIONS = tuple(inspect.signature(_declarations).parameters)
COMMON = ("delimiter", "encoding")  # options that apply to every table


def with_data_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the data options to a command, which receives them as one dictionary, `table`.

    Args:
        command: A function with a keyword argument `table: dict[str, Any]`: the data options by
            name, with None for options that were not passed.

    Returns:
        A function whose signature has the data options in place of `table`, for Typer.
    """
    hints = typing.get_type_hints(_declarations, include_extras=True)
    shared = [
        parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(_declarations).parameters.items()
    ]
    own_hints = typing.get_type_hints(command, include_extras=True)
    own = [
        parameter.replace(annotation=own_hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(command).parameters.items()
        if name != "table"
    ]

    @functools.wraps(command)
    def wrapper(**arguments: Any) -> None:
        table = {name: arguments.pop(name) for name in OPTIONS}
        command(**arguments, table=table)

    wrapper.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in [*own, *shared]}
    del wrapper.__wrapped__  # Typer would read its signature
    return wrapper


def check_table_options(
    name: str, task: TaskDescription, table: dict[str, Any], **further: Any
) -> None:
    """Raise if data options are passed that do not apply.

    Args:
        name: The entry, or the file of a model.
        task: Its task.
        table: The data options by name; None for options that were not passed.
        **further: Further options that need `--data`.

    Raises:
        ValueError: An option is passed without `--data`, or is for another task.
    """
    received = [key for key, value in {**table, **further}.items() if value is not None]
    if "data" not in received:
        if received:
            raise ValueError(f"{_flags(received)}: only with --data, a table of your own.")
        return
    if task.table is None:
        raise ValueError(
            f"--data is a table of texts, and {name} does {task.name}. For your own "
            f"{task.examples} use `fit`, or keras_attn.training, from Python."
        )
    accepted = ("data", *task.table.options, *COMMON, *further)
    if foreign := [key for key in received if key not in accepted]:
        raise ValueError(
            f"{_flags(foreign)}: not for {name}, which does {task.name}. Options for its data: "
            f"{_flags(task.table.options)}."
        )


def check_data_dir(data_dir: pathlib.Path | None) -> None:
    """Raise FileNotFoundError if the folder or file of `--data-dir` does not exist."""
    if data_dir is not None and not data_dir.exists():
        raise FileNotFoundError(
            f"There is no folder or file {str(data_dir)!r}. --data-dir takes a folder of "
            "tensorflow_datasets, or an .npz file of arrays."
        )


def check_without_table(**options: Any) -> None:
    """Raise if options about the data of an entry are combined with `--data`.

    Args:
        **options: These options by name; None for options that were not passed.

    Raises:
        ValueError: An option is not None.
    """
    if received := [key for key, value in options.items() if value is not None]:
        raise ValueError(
            f"{_flags(received)}: for the data of an entry, and not for --data, of which all rows "
            "are read. Give one or the other, not both."
        )


def read_table(task: TaskDescription, table: dict[str, Any]) -> Any:
    r"""Read the user's table or parallel files, and print a summary of the rows.

    Args:
        task: The task; it must have a `table`.
        table: The data options; the delimiter `\t` is a tab.

    Returns:
        The table, see `keras_attn.recipes.TableReader`.
    """
    assert task.table is not None
    options = {key: value for key, value in table.items() if value is not None}
    path = options.pop("data")
    if options.get("delimiter") == r"\t":
        options["delimiter"] = "\t"
    content = task.table.read(path, **options)
    output.echo(str(content.account))
    return content


def _flags(names: Sequence[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)
