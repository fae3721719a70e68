"""Data options shared by `train` and `evaluate`."""

import functools
import inspect
import pathlib
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import typer

from keras_attn.cli import output
from keras_attn.cli.options import name_options
from keras_attn.recipes import TABLE_OPTIONS, TaskDescription

PANEL: dict[str, Any] = {"rich_help_panel": "Your own data"}
DataDir = Annotated[
    pathlib.Path | None,
    typer.Option(help="Folder of TensorFlow Datasets, or an .npz file of arrays."),
]


def _declarations(
    data: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="Your own data. For texts or pairs of sentences, a table: .csv, .tsv, .txt or "
            ".jsonl; for series, a table with a row per time; for documents, a file or a folder of "
            "texts. For images and sounds, a folder with a folder for each label. For object "
            "detection, a folder of Pascal VOC, or a JSON file of COCO.",
            **PANEL,
        ),
    ] = None,
    data_target: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="File of translations, one per line, if --data is a file of sentences.", **PANEL
        ),
    ] = None,
    text_column: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column of texts: its name, or its number, from 1 (default: text).",
            **PANEL,
        ),
    ] = None,
    label_column: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column of labels: its name, or its number, from 1 (default: label).",
            **PANEL,
        ),
    ] = None,
    label_separator: Annotated[
        str | None,
        typer.Option(
            metavar="SEPARATOR",
            help="Separator of labels in a cell, such as '|': a text may then have several labels, "
            "or none (default: one label per text).",
            **PANEL,
        ),
    ] = None,
    keep_na_labels: Annotated[
        bool | None,
        typer.Option(
            "--keep-na-labels",
            help="Labels such as NA, None and nan are labels like others (default: their rows are "
            "skipped, as rows without a label).",
            **PANEL,
        ),
    ] = None,
    source_column: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column of sentences to translate: its name, or its number, from 1 (default: "
            "source).",
            **PANEL,
        ),
    ] = None,
    target_column: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column of translations: its name, or its number, from 1 (default: target).",
            **PANEL,
        ),
    ] = None,
    target_language: Annotated[
        str | None,
        typer.Option(
            metavar="CODE",
            help="Language of the translations, such as zh, by whose rules the BLEU score splits "
            "words (default: guessed from the script).",
            **PANEL,
        ),
    ] = None,
    time_column: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="For forecasting: column of times (default: the one called time, date, datetime, "
            "date_time, timestamp or ds, or the first).",
            **PANEL,
        ),
    ] = None,
    variables: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMNS",
            help="For forecasting: columns of the variables, with commas between them (default: "
            "all columns of numbers).",
            **PANEL,
        ),
    ] = None,
    step: Annotated[
        str | None,
        typer.Option(
            metavar="STEP",
            help="For forecasting: interval between rows, such as 15min, 1h or 1d (default: the "
            "most frequent one, or that of the model).",
            **PANEL,
        ),
    ] = None,
    decimal: Annotated[
        str | None,
        typer.Option(
            metavar="SIGN",
            help="For forecasting: decimal sign of numbers, '.' or ',' (default: '.').",
            **PANEL,
        ),
    ] = None,
    day_first: Annotated[
        bool | None,
        typer.Option(
            help="For forecasting: whether dates such as 1/2/2024 begin with the day (default: by "
            "a number above 12).",
            **PANEL,
        ),
    ] = None,
    image_folder: Annotated[
        pathlib.Path | None,
        typer.Option(
            metavar="FOLDER",
            help="For object detection: folder of the images of a COCO file (default: beside it).",
            **PANEL,
        ),
    ] = None,
    delimiter: Annotated[
        str | None,
        typer.Option(
            metavar="CHARACTER",
            help="Field separator (default: from the file extension).",
            **PANEL,
        ),
    ] = None,
    quoting: Annotated[
        bool | None,
        typer.Option(
            help="Whether fields may be in quotes, as in CSV (default: yes; in files with tabs "
            "only if all texts are).",
            **PANEL,
        ),
    ] = None,
    header: Annotated[
        bool | None,
        typer.Option(
            help="Whether the first row names the columns (default: yes, unless columns are given "
            "by number alone).",
            **PANEL,
        ),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Encoding of the file, such as gb18030 (default: utf-8, or by the byte order "
            "mark).",
            **PANEL,
        ),
    ] = None,
) -> None:
    """Declare the options; `with_data_options` adds them to a command."""


OPTIONS = tuple(inspect.signature(_declarations).parameters)


def with_data_options(
    command: Callable[..., None], names: Sequence[str] = OPTIONS
) -> Callable[..., None]:
    """Add data options to a command, which receives them as one dictionary, `table`.

    Args:
        command: A function with a keyword argument `table: dict[str, Any]`: the data options by
            name, with None for options that were not passed.
        names: The data options to add.

    Returns:
        A function whose signature has the data options in place of `table`, for Typer.
    """
    hints = typing.get_type_hints(_declarations, include_extras=True)
    shared = [
        parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(_declarations).parameters.items()
        if name in names
    ]
    own_hints = typing.get_type_hints(command, include_extras=True)
    own = [
        parameter.replace(annotation=own_hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(command).parameters.items()
        if name != "table"
    ]
    # They come first in their panel of the help.
    place = next((index for index, each in enumerate(own) if _is_in_panel(each)), len(own))
    parameters = [*own[:place], *shared, *own[place:]]

    @functools.wraps(command)
    def wrapper(**arguments: Any) -> None:
        table = {name: arguments.pop(name) for name in names}
        command(**arguments, table=table)

    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    del wrapper.__wrapped__  # Typer would read its signature
    return wrapper


def _is_in_panel(parameter: inspect.Parameter) -> bool:
    """Return whether the option of a parameter is in the panel of data options."""
    _, *options = typing.get_args(parameter.annotation)
    return any(option.rich_help_panel == PANEL["rich_help_panel"] for option in options)


def with_column_options(*columns: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the options of a column of a table to a command, see `with_data_options`.

    Args:
        *columns: Options that select the column.
    """
    return functools.partial(with_data_options, names=(*columns, *TABLE_OPTIONS))


def passed_options(table: dict[str, Any]) -> dict[str, Any]:
    r"""Return the data options that were passed; the delimiter `\t` is a tab."""
    options = {key: value for key, value in table.items() if value is not None}
    if options.get("delimiter") == r"\t":
        options["delimiter"] = "\t"
    return options


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
        FileNotFoundError: There is no such file of data.
    """
    received = [key for key, value in {**table, **further}.items() if value is not None]
    if "data" not in received:
        if received:
            raise ValueError(f"{_flags(received)}: only with --data, data of your own.")
        return
    if task.table is None:
        raise ValueError(
            f"--data is not for {name}: there is no reader of tables for {task.name}. For your own "
            f"{task.examples} use `fit`, or keras_attn.training, from Python."
        )
    accepted = ("data", *task.table.options, *further)
    if foreign := [key for key in received if key not in accepted]:
        raise ValueError(
            f"{_flags(foreign)}: not for {name}, which does {task.name}. Options for its data: "
            f"{_flags(('data', *task.table.options))}."
        )
    check_paths(data=table["data"], data_target=table["data_target"])


def check_data_dir(data_dir: pathlib.Path | None) -> None:
    """Raise FileNotFoundError if the folder or file of `--data-dir` does not exist."""
    if data_dir is not None and not data_dir.exists():
        raise FileNotFoundError(
            f"There is no folder or file {str(data_dir)!r}. --data-dir takes a folder of "
            "tensorflow_datasets, or an .npz file of arrays."
        )


def check_paths(**paths: pathlib.Path | None) -> None:
    """Raise FileNotFoundError if a file or folder of the user's own data does not exist.

    Args:
        **paths: Paths by the name of the option; None for options that were not passed.
    """
    for name, path in paths.items():
        if path is not None and not path.exists():
            raise FileNotFoundError(
                f"{_flags([name])}: there is no file or folder {str(path)!r}. The current folder "
                f"is {str(pathlib.Path.cwd())!r}."
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


def read_table(task: TaskDescription, table: dict[str, Any], source: Any) -> Any:
    """Read the user's table, parallel files or folder, and print a summary of the rows.

    Args:
        task: The task; it must have a `table`.
        table: The data options.
        source: The recipe to train, or the recipe or model to evaluate.

    Returns:
        The table, see `keras_attn.recipes.TableReader`.
    """
    assert task.table is not None
    options = passed_options(table)
    path = options.pop("data")
    with output.warnings_as_lines():
        content = task.table.read(path, **{**task.table.read_options(source), **options})
    output.echo(name_options(content.account))
    return content


def check_table(task: TaskDescription, table: dict[str, Any], source: Any) -> None:
    """Raise the errors of `read_table`, for tables alone: folders of images need TensorFlow.

    Args:
        task: The task.
        table: The data options.
        source: The recipe to train.
    """
    if table["data"] is None or not hasattr(task.table, "input_column"):
        return
    assert task.table is not None
    options = passed_options(table)
    path = options.pop("data")
    task.table.read(path, **{**task.table.read_options(source), **options})


class OwnSplit(NamedTuple):
    """A validation or test split of a user's own data, as the options give it.

    Attributes:
        fraction: Fraction of the examples of `--data` that is cut off for it.
        data: File or folder of the split.
        target: File of translations, if `data` is a file of sentences.
    """

    fraction: float | None
    data: pathlib.Path | None
    target: pathlib.Path | None


def split_options(splits: Mapping[str, OwnSplit]) -> dict[str, Any]:
    """Return the values of the options of splits by name, for `check_table_options`."""
    options: dict[str, Any] = {}
    for name, split in splits.items():
        options |= {
            name: split.fraction,
            f"{name}_data": split.data,
            f"{name}_target": split.target,
        }
    return options


def check_splits(
    name: str, task: TaskDescription, table: dict[str, Any], splits: Mapping[str, OwnSplit]
) -> None:
    """Raise ValueError if the options of splits do not go together.

    Args:
        name: The entry.
        task: Its task.
        table: The data options by name.
        splits: The options of the validation and test splits.

    Raises:
        FileNotFoundError: There is no such file of data.
    """
    for part, split in splits.items():
        if split.fraction is not None and split.data is not None:
            raise ValueError(
                f"--{part} is the fraction of --data to cut off, and --{part}-data the whole "
                "split. Give one or the other, not both."
            )
        if split.target is not None and not _reads_two_files(task):
            raise ValueError(f"--{part}-target: not for {name}, which does {task.name}.")
        if split.target is not None and split.data is None:
            raise ValueError(f"--{part}-target: only with --{part}-data, a file of sentences.")
        if split.data is not None and (split.target is None) != (table["data_target"] is None):
            raise ValueError(
                f"--data and --{part}-data must have one format: either both are tables, or both "
                f"are files of sentences, with --data-target and --{part}-target."
            )
        check_paths(**{f"{part}_data": split.data, f"{part}_target": split.target})


def read_splits(
    task: TaskDescription, table: dict[str, Any], splits: Mapping[str, OwnSplit], source: Any
) -> dict[str, Any]:
    """Return the options of `TableReader.split`: the fractions, or the tables that are read.

    Args:
        task: The task; it must have a `table`.
        table: The data options, which also apply to the tables of splits.
        splits: The options of the validation and test splits.
        source: The recipe to train.
    """
    options: dict[str, Any] = {}
    for name, split in splits.items():
        if split.fraction is not None:
            options[name] = split.fraction
        if split.data is not None:
            own = {**table, "data": split.data, "data_target": split.target}
            options[f"{name}_data"] = read_table(task, own, source)
    return options


def _reads_two_files(task: TaskDescription) -> bool:
    return task.table is not None and "data_target" in task.table.options


def _flags(names: Sequence[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)
