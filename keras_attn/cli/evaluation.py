"""The command `keras-attn evaluate`."""

import contextlib
import pathlib
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keras_attn import zoo
from keras_attn.cli import framework, output
from keras_attn.cli.data_options import (
    DataDir,
    check_data_dir,
    check_table_options,
    check_without_table,
    read_table,
    with_data_options,
)
from keras_attn.cli.models import (
    Model,
    Weights,
    check_plot,
    check_weights,
    find_model,
    locate,
)
from keras_attn.recipes import TaskDescription, describe_task

if TYPE_CHECKING:
    from keras_attn.tasks import Task


@with_data_options
def evaluate(
    name: Model,
    split: Annotated[
        str | None,
        typer.Option(help="Split of the entry's data, such as validation (default: test)."),
    ] = None,
    weights: Weights = None,
    data_dir: DataDir = None,
    plot: Annotated[
        pathlib.Path | None,
        typer.Option(help="Write a plot of the confusion matrix to this file, such as a.png."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
    *,
    table: dict[str, Any],
) -> None:
    """Evaluate an entry on its own data, or a model on your own data."""
    name = find_model(name)
    if plot is not None:
        check_plot(plot)
    if table["data"] is not None:
        check_without_table(split=split, data_dir=data_dir)
        _evaluate_on_table(name, weights, table, plot, as_json)
    elif zoo.is_saved(name):
        raise ValueError(
            f"{name} has no data of its own. Give --data: a table of texts and labels, of "
            "sentences and translations, or of times and values; or a folder with a folder of "
            "images or sounds for each label."
        )
    else:
        entry = zoo.describe(name)
        check_table_options(name, describe_task(entry.recipe.task), table)
        check_data_dir(data_dir)
        _evaluate_entry(entry, weights, split or "test", data_dir, plot, as_json)


def _evaluate_entry(
    entry: zoo.Entry,
    weights: pathlib.Path | None,
    split: str,
    data_dir: pathlib.Path | None,
    plot: pathlib.Path | None,
    as_json: bool,
) -> None:
    from keras_attn import datasets

    task, build = locate(entry.name, weights)
    check_weights(entry, weights)
    framework.start()
    examples = datasets.load(entry.recipe.dataset, data_dir)[split]
    _evaluate(task, build(), examples, split, "split", plot, as_json, **entry.recipe.evaluation)
    if as_json:
        return
    if weights is None and split in entry.runs()[0]["metrics"]:
        seed = entry.results["weights"]["seed"]
        recorded = next(run for run in entry.runs() if run["seed"] == seed)
        summary = task.summary(recorded["metrics"][split])
        output.echo(f"The card says {summary} for these weights (seed {seed}).")


def _evaluate_on_table(
    name: str,
    weights: pathlib.Path | None,
    table: dict[str, Any],
    plot: pathlib.Path | None,
    as_json: bool,
) -> None:
    task, build = locate(name, weights)
    check_table_options(name, task, table)
    # An entry is built after its data is read, which then fails at once.
    source = build() if zoo.is_saved(name) else zoo.describe(name).recipe
    # With --json the account of the rows is not part of the result.
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        content = read_table(task, table, source)
    model = build()
    assert task.table is not None
    examples = task.table.examples(content, model)
    try:
        _evaluate(task, model, examples, content.name, "data", plot, as_json)
    except ValueError as error:  # the split is the file of the option
        raise ValueError(str(error).replace("`split`", "`data`")) from error


def _evaluate(
    task: TaskDescription,
    model: "Task",
    examples: Any,
    name: str,
    of: str,
    plot: pathlib.Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Evaluate a model, and print its metrics, by class if the task has classes.

    Args:
        task: The task of the model.
        model: The model.
        examples: The examples, as `evaluate_split` takes them.
        name: Name of the examples.
        of: What `name` is a name of.
        plot: File for a plot of the confusion matrix, or None.
        as_json: Print JSON.
        **options: Options of `evaluate_split`.

    Raises:
        ValueError: `plot` is passed, and the task has no classes.
    """
    report = model.report(examples, **options)
    if plot is not None:
        if report is None:
            raise ValueError(f"--plot is for classifiers, and the model does {task.name}.")
        report.plot().savefig(plot)
    metrics = model.evaluate_split(examples, **options) if report is None else report.metrics
    if as_json:
        output.echo_json({of: name, **(metrics if report is None else report.to_dict())})
    else:
        if report is not None:
            output.show(report.to_rich())
        output.print_metrics(task, {name: metrics}, of=of)
    if plot is not None:
        output.echo(f"Written: {plot}", err=as_json)
