"""Data of your own: to train on by an entry's recipe, or to evaluate a model on."""

import math
import pathlib
import shlex
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import pydantic
import typer

from keras_attn.recipes.recipe import Recipe, RecipeError

if TYPE_CHECKING:
    from keras_attn.datasets import Dataset, PairSplit, PairTable, TextTable
    from keras_attn.training import Run

MODEL_FILE = "model.keras"
TEXTS_A_COUNT = 5_000  # texts for each text that an n-gram of the vocabulary stands in
STEPS = 4  # an epoch, where the recipe's batches are larger than the data
# Of pairs. Less text bears fewer subwords (Sennrich and Zhang, arXiv:1905.11901): their number
# grows with the root of the text, as that of its words does; Multi30k comes to 5,000.
SUBWORDS_A_ROOT = 2.5  # subwords for the square root of the characters
CHARACTERS_A_TOKEN = 6
PAIR_STEPS = 32  # an epoch, where batches of `FEWEST_TOKENS` or more allow it
FEWEST_TOKENS = 256
# The options that are of one task alone.
OPTIONS = {
    "text_classification": ("text_column", "label_column"),
    "translation": ("data_target", "source_column", "target_column"),
}

# What `train` and `evaluate` take about data.
PANEL: dict[str, Any] = {"rich_help_panel": "Your own data"}
DataDir = Annotated[
    pathlib.Path | None,
    typer.Option(help="Folder of TensorFlow Datasets, or a .npz array file."),
]
Data = Annotated[
    pathlib.Path | None,
    typer.Option(help="A table of your own texts or pairs: .csv, .tsv or .jsonl.", **PANEL),
]
DataTarget = Annotated[
    pathlib.Path | None,
    typer.Option(help="Of two plain files, the one of translations; --data is the other.", **PANEL),
]
TextColumn = Annotated[
    str | None, typer.Option(help="Its column of texts; default: text.", **PANEL)
]
LabelColumn = Annotated[
    str | None, typer.Option(help="Its column of labels; default: label.", **PANEL)
]
SourceColumn = Annotated[
    str | None, typer.Option(help="That of sentences to translate; default: source.", **PANEL)
]
TargetColumn = Annotated[
    str | None, typer.Option(help="That of translations; default: target.", **PANEL)
]
Delimiter = Annotated[
    str | None, typer.Option(help="What parts its fields; default: by the suffix.", **PANEL)
]
Encoding = Annotated[str | None, typer.Option(help="Default: utf-8.", **PANEL)]


def check_options(name: str, task: str, options: dict[str, Any], own: bool) -> None:
    """Refuse options that say nothing here.

    Args:
        name: the entry, or the file of a model.
        task: what it does.
        options: the options about data of your own, by name; None where not given.
        own: whether data of your own is given at all.

    Raises:
        ValueError: an option is given without data, or for another task.
    """
    given = list(_given(options))
    if not own:
        if given:
            raise ValueError(f"{_flags(given)}: only with --data, a table of your own.")
        return
    if task not in OPTIONS:
        raise ValueError(
            f"--data is a table of texts, and {name} does {task}. For images of your own "
            "use keras_attn.training, from Python."
        )
    others = [key for other, keys in OPTIONS.items() if other != task for key in keys]
    if foreign := [key for key in given if key in others]:
        raise ValueError(
            f"{_flags(foreign)}: not for {name}, which does {task}. Options of its data: "
            f"{_flags(OPTIONS[task])}."
        )


def check_alone(**options: Any) -> None:
    """Refuse options about an entry's own data beside `--data`; None is one not given.

    Raises:
        ValueError: one is given.
    """
    if given := list(_given(options)):
        raise ValueError(
            f"{_flags(given)}: for the data of an entry, and not for --data, of which all rows are "
            "read. Give one or the other, not both."
        )


def read_table(
    task: str,
    path: pathlib.Path,
    *,
    delimiter: str | None,
    data_target: pathlib.Path | None,
    **reading: Any,
) -> "TextTable | PairTable":
    r"""Read a table or two parallel files, and print the account of it.

    Args:
        task: the task that says what is read.
        path: the table, or the file of sources.
        delimiter: see `keras_attn.datasets.read_texts`; a shell's `\t` is a tab.
        data_target: the file of targets, of sources in a file of their own.
        **reading: further arguments of `read_texts` or `read_pairs`; None is a default.
    """
    from keras_attn import datasets

    reading = _given(reading)
    if delimiter is not None:
        reading["delimiter"] = {r"\t": "\t"}.get(delimiter, delimiter)
    table: TextTable | PairTable
    if task == "translation":
        table = datasets.read_pairs(path, data_target, **reading)
    else:
        table = datasets.read_texts(path, **reading)
    typer.echo(str(table.account))
    return table


def open_data(
    recipe: Recipe,
    path: pathlib.Path,
    *,
    validation: float | None,
    test: float | None,
    **reading: Any,
) -> "Dataset[Any]":
    """Read and split a table or two parallel files, and print the account of it.

    Args:
        recipe: whose task says what is read.
        path: the table, or the file of sources.
        validation: see `keras_attn.datasets.split_table` and `split_pairs`; None is the default.
        test: the same.
        **reading: further arguments of `read_table`.
    """
    from keras_attn import datasets

    table = read_table(recipe.task, path, **reading)
    fractions = _given({"validation": validation, "test": test})
    dataset: Dataset[Any]
    if isinstance(table, datasets.PairTable):
        dataset = datasets.split_pairs(table, **fractions)
    else:
        dataset = datasets.split_table(table, **fractions)
    sizes = ", ".join(f"{len(split):,} {name}" for name, split in dataset.items())
    typer.echo(f"Split: {sizes}.")
    return dataset


def fitted(recipe: Recipe, dataset: "Dataset[Any]", epochs: int | None) -> Recipe:
    """The recipe, with other epochs if given, and what shorter or fewer texts ask for.

    Args:
        recipe: an entry's recipe.
        dataset: the data to train on.
        epochs: passes over it; None are as many as the recipe has.

    Raises:
        RecipeError: the recipe cannot have so few epochs.
    """
    values = recipe.model_dump()
    if epochs is not None:
        values["training"]["epochs"] = epochs
    if recipe.task == "translation":
        _fit_pairs(recipe, values, dataset["train"])
    else:
        _fit_texts(recipe, values, dataset["train"].texts)
    try:
        return Recipe.model_validate(values)
    except pydantic.ValidationError as error:
        problem = error.errors()[0]
        reason = problem.get("ctx", {}).get("error", problem["msg"])
        raise RecipeError(f"The recipe does not allow --epochs {epochs}: {reason}.") from error


def write_model(run: "Run") -> None:
    """Write the whole model into the run's folder, and say how to use it."""
    from keras_attn.tasks import Translator

    path = run.folder / MODEL_FILE
    run.classifier.save(path)
    command = "translate" if isinstance(run.classifier, Translator) else "predict"
    typer.echo(f'Use it: keras-attn {command} {shlex.quote(str(path))} "a text"')


def _fit_texts(recipe: Recipe, values: dict[str, Any], texts: Sequence[str]) -> None:
    from keras_attn import models

    examples = len(texts)
    if recipe.training.batch_size > examples:
        fewer = values["training"]["batch_size"] = max(1, examples // STEPS)
        typer.echo(
            f"Note: the recipe's batches of {recipe.training.batch_size} are more than the "
            f"{examples} training examples; they are lowered to {fewer}."
        )
    # Rarer n-grams than the recipe's tell as much where there are fewer texts.
    least = max(1, min(recipe.text.min_count, examples // TEXTS_A_COUNT))
    if least != recipe.text.min_count:
        values["text"]["min_count"] = least
        typer.echo(f"Note: an n-gram joins the vocabulary where {least} text(s) hold it.")
    # An average over n-grams counts in full where a text is half as long as most, or longer.
    words = statistics.median(len(text.split()) for text in texts)
    settings = models.configure(recipe.architecture, **recipe.settings())
    enough = max(1, int(len(settings.vocabulary_sizes) * words / 2))
    if enough < settings.enough:
        values["model"]["enough"] = enough
        typer.echo(f"Note: the average over n-grams counts in full from {enough} of them on.")


def _fit_pairs(recipe: Recipe, values: dict[str, Any], pairs: "PairSplit") -> None:
    from keras_attn import models
    from keras_attn.text.subwords import FIRST_PIECE_ID

    lengths = [tuple(map(len, pair)) for pair in zip(pairs.sources, pairs.targets, strict=True)]
    pieces = max(1, round(SUBWORDS_A_ROOT * math.sqrt(sum(map(sum, lengths)))))
    size = models.configure(recipe.architecture, **recipe.settings()).vocabulary_size
    if FIRST_PIECE_ID + pieces < size:
        fewer = values["model"]["vocabulary_size"] = FIRST_PIECE_ID + pieces
        typer.echo(
            f"Note: the text bears about {pieces:,} subwords, besides {FIRST_PIECE_ID} bytes and "
            f"marks; the recipe's vocabulary of {size:,} is lowered to {fewer:,}."
        )
    longest = recipe.subwords.max_length
    tokens = sum(1 + min(max(pair) // CHARACTERS_A_TOKEN, longest) for pair in lengths)
    batch = min(recipe.training.batch_size, max(FEWEST_TOKENS, tokens // PAIR_STEPS))
    batch = min(batch, max(1, tokens // STEPS))
    if batch < recipe.training.batch_size:
        values["training"]["batch_size"] = batch
        typer.echo(
            f"Note: of about {tokens:,} training tokens, batches of {recipe.training.batch_size} "
            f"make few steps; they are lowered to {batch}."
        )


def _flags(names: Sequence[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def _given(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}
