"""The command `keras-attn evaluate`."""

import pathlib
from typing import Annotated, Any

import rich
import typer

from keras_attn import zoo
from keras_attn.cli import output
from keras_attn.cli.data_options import (
    DataDir,
    check_table_options,
    check_without_table,
    read_table,
    with_data_options,
)
from keras_attn.cli.models import SUFFIX, Model, Weights, locate
from keras_attn.recipes import describe_task


@with_data_options
def evaluate(
    name: Model,
    split: Annotated[
        str | None,
        typer.Option(help="Split of the entry's data, such as validation (default: test)."),
    ] = None,
    weights: Weights = None,
    data_dir: DataDir = None,
    *,
    table: dict[str, Any],
) -> None:
    """Evaluate an entry on its own data, or a model on your own data."""
    if table["data"] is not None:
        check_without_table(split=split, data_dir=data_dir)
        _evaluate_on_table(name, weights, table)
    elif name.endswith(SUFFIX):
        raise ValueError(
            f"{name} has no data of its own. Give --data: a table of texts and labels, or of "
            "sentences and translations, or a folder with a folder of images for each label."
        )
    else:
        entry = zoo.describe(name)
        check_table_options(name, describe_task(entry.recipe.task), table)
        _evaluate_entry(entry, weights, split or "test", data_dir)


def _evaluate_entry(
    entry: zoo.Entry, weights: pathlib.Path | None, split: str, data_dir: pathlib.Path | None
) -> None:
    from keras_attn import datasets

    task, build = locate(entry.name, weights)
    examples = datasets.load(entry.recipe.dataset, data_dir)[split]
    metrics = build().evaluate_split(examples, **entry.recipe.evaluation)
    output.print_metrics(task, {split: metrics})
    if weights is None and split in entry.runs()[0]["metrics"]:
        seed = entry.results["weights"]["seed"]
        recorded = next(run for run in entry.runs() if run["seed"] == seed)
        summary = task.summary(recorded["metrics"][split])
        rich.print(f"The card says {summary} for these weights (seed {seed}).")


def _evaluate_on_table(name: str, weights: pathlib.Path | None, table: dict[str, Any]) -> None:
    task, build = locate(name, weights)
    check_table_options(name, task, table)
    # An entry is built after its data is read, which then fails at once.
    source = build() if name.endswith(SUFFIX) else zoo.describe(name).recipe
    content = read_table(task, table, source)
    model = build()
    assert task.table is not None
    metrics = model.evaluate_split(task.table.examples(content, model))
    output.print_metrics(task, {content.name: metrics}, of="data")
