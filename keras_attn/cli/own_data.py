"""Training on a table of your own, by an entry's recipe."""

import pathlib
import shlex
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pydantic
import typer

from keras_attn.training.recipe import Recipe, RecipeError

if TYPE_CHECKING:
    from keras_attn.data import Dataset
    from keras_attn.training import Run

MODEL_FILE = "model.keras"
TEXTS_A_COUNT = 5_000  # texts for each text that an n-gram of the vocabulary stands in
STEPS = 4  # an epoch, where the recipe's batches are larger than the data


def open_table(
    path: pathlib.Path,
    *,
    validation: float | None,
    test: float | None,
    delimiter: str | None,
    **reading: Any,
) -> "Dataset[Any]":
    r"""Read and split a table, and print the account of it.

    Args:
        path: the table.
        validation: see `keras_attn.data.split_table`; None is its default.
        test: the same.
        delimiter: see `keras_attn.data.read_texts`; a shell's `\t` is a tab.
        **reading: its other arguments; None is a default.
    """
    from keras_attn import data

    if delimiter is not None:
        reading["delimiter"] = {r"\t": "\t"}.get(delimiter, delimiter)
    table = data.read_texts(path, **_given(reading))
    typer.echo(str(table.account))
    dataset = data.split_table(table, **_given({"validation": validation, "test": test}))
    sizes = ", ".join(f"{len(split):,} {name}" for name, split in dataset.items())
    typer.echo(f"Split: {sizes}.")
    return dataset


def fitted(recipe: Recipe, texts: Sequence[str], epochs: int | None) -> Recipe:
    """The recipe, with other epochs if given, and what shorter or fewer texts ask for.

    Args:
        recipe: an entry's recipe.
        texts: the training texts.
        epochs: passes over them; None are as many as the recipe has.

    Raises:
        RecipeError: the recipe cannot have so few epochs.
    """
    from keras_attn import models

    examples = len(texts)
    changes: dict[str, Any] = {}
    if epochs is not None:
        changes["epochs"] = epochs
    if recipe.training.batch_size > examples:
        changes["batch_size"] = max(1, examples // STEPS)
        typer.echo(
            f"Note: the recipe's batches of {recipe.training.batch_size} are more than the "
            f"{examples} training examples; they are lowered to {changes['batch_size']}."
        )
    values = recipe.model_dump()
    values["training"].update(changes)
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
    try:
        return Recipe.model_validate(values)
    except pydantic.ValidationError as error:
        problem = error.errors()[0]
        reason = problem.get("ctx", {}).get("error", problem["msg"])
        raise RecipeError(f"The recipe does not allow --epochs {epochs}: {reason}.") from error


def write_model(run: "Run") -> None:
    """Write the whole classifier into the run's folder, and say how to use it."""
    path = run.folder / MODEL_FILE
    run.classifier.save(path)
    typer.echo(f'Use it: keras-attn predict {shlex.quote(str(path))} "a text"')


def _given(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}
