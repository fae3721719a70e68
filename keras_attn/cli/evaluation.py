"""The command `keras-attn evaluate`."""

import pathlib
from typing import TYPE_CHECKING, Annotated, Any

import rich
import typer

from keras_attn import zoo
from keras_attn._names import unknown
from keras_attn.cli import metrics, own_data
from keras_attn.cli.opening import SUFFIX, TASKS, Model, Weights, open_model

if TYPE_CHECKING:
    from keras_attn.datasets import PairSplit, PairTable, TextSplit, TextTable
    from keras_attn.tasks import Task


def evaluate(
    name: Model,
    split: Annotated[
        str | None, typer.Option(help="train, validation or test, or another; default: test.")
    ] = None,
    weights: Weights = None,
    data_dir: own_data.DataDir = None,
    data: own_data.Data = None,
    data_target: own_data.DataTarget = None,
    text_column: own_data.TextColumn = None,
    label_column: own_data.LabelColumn = None,
    source_column: own_data.SourceColumn = None,
    target_column: own_data.TargetColumn = None,
    delimiter: own_data.Delimiter = None,
    encoding: own_data.Encoding = None,
) -> None:
    """Evaluate an entry on the real data, beside the figure in its card; or a model on your own."""
    own: dict[str, Any] = {
        "data_target": data_target,
        "text_column": text_column,
        "label_column": label_column,
        "source_column": source_column,
        "target_column": target_column,
        "delimiter": delimiter,
        "encoding": encoding,
    }
    if data is not None:
        own_data.check_alone(split=split, data_dir=data_dir)
        _evaluate_on_own(name, weights, data, own)
    elif name.endswith(SUFFIX):
        raise ValueError(
            f"{name} has no data of its own. Give --data, a table of texts and labels, or of "
            "sentences and translations. For images see keras_attn.training.evaluate."
        )
    else:
        entry = zoo.describe(name)
        own_data.check_options(name, entry.recipe.task, own, False)
        _evaluate_entry(entry, weights, split or "test", data_dir)


def _evaluate_entry(
    entry: zoo.Entry, weights: pathlib.Path | None, split: str, data_dir: pathlib.Path | None
) -> None:
    from keras_attn import datasets, training

    examples = datasets.load(entry.recipe.dataset, data_dir)[split]
    model = open_model(entry.name, weights)
    views = entry.recipe.training.views
    metrics.print_metrics({split: training.evaluate(model, examples, views)})
    if weights is None and split in entry.runs()[0]["metrics"]:
        kept = entry.results["weights"]["seed"]
        recorded = next(run for run in entry.runs() if run["seed"] == kept)
        told = metrics.in_words(recorded["metrics"][split])
        rich.print(f"The card says {told} for these weights (seed {kept}).")


def _evaluate_on_own(
    name: str, weights: pathlib.Path | None, path: pathlib.Path, own: dict[str, Any]
) -> None:
    from keras_attn import training

    # An entry's recipe says what it does, before its weights are read; of a file they do.
    model = open_model(name, weights) if name.endswith(SUFFIX) else None
    task = zoo.describe(name).recipe.task if model is None else TASKS[type(model).__name__]
    own_data.check_options(name, task, own, True)
    table = own_data.read_table(task, path, **own)
    model = open_model(name, weights) if model is None else model
    found = training.evaluate(model, _examples(table, model, _language(name)))
    metrics.print_metrics({table.name: found}, of="data")


def _language(name: str) -> str | None:
    """The code of the language that an entry translates into; None where it is not known."""
    recipe = None if name.endswith(SUFFIX) else zoo.describe(name).recipe
    if recipe is None or recipe.task != "translation":
        return None
    return recipe.dataset.rpartition("_")[2]  # such as multi30k_en_fr


def _examples(
    table: "TextTable | PairTable", model: "Task", language: str | None
) -> "TextSplit | PairSplit":
    """All rows of a table; those of one source are translations of it that all count as right."""
    import numpy as np

    from keras_attn.datasets import PairTable, TextSplit
    from keras_attn.datasets.pairs import referenced_pairs

    if isinstance(table, PairTable):
        return referenced_pairs(table.pairs, language)
    names = model.label_names
    if others := [label for label in table.label_names if label not in names]:
        first, *further = others
        more = f" Also unknown: {', '.join(map(repr, further))}." if further else ""
        raise ValueError(
            f"{unknown(f'label in {table.account.path}', first, names)}{more} Give the rows the "
            "model's labels, or choose another column by --label-column."
        )
    labels = np.array([names.index(label) for label in table.labels], "int32")
    return TextSplit(np.array(table.texts, dtype=object), labels)
