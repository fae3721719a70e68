"""The demo: train, compare, export and serve a small model for a task, in a minute or two."""

import pathlib
import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import rich.box
from rich.console import Console
from rich.table import Table

from keras_attn import training
from keras_attn._folders import is_new
from keras_attn._printable import printable
from keras_attn.recipes import describe_task, list_tasks
from keras_attn.recipes.recipe import WITHOUT_ATTENTION
from keras_attn.training import Run

DEFAULT_TASK = "image_classification"
MAX_SHOWN = 6  # values of an output of the SavedModel


def tasks_with_demo() -> list[str]:
    """Return the names of the tasks that have a demonstration."""
    return [name for name in list_tasks() if describe_task(name).demonstration() is not None]


def run(folder: pathlib.Path, console: Console, task: str = DEFAULT_TASK) -> dict[str, Any]:
    """Train a model and its baseline without attention, compare them, and serve the model.

    A translator has no such baseline.

    Args:
        folder: New or empty folder for all files of the demo.
        console: Console to print to.
        task: Name of the task.

    Returns:
        The primary metric of each model on the test split, and the outputs of the exported
        SavedModel for one example.

    Raises:
        FileExistsError: The folder exists and is not empty.
        ValueError: The task has no demonstration.
    """
    description = describe_task(task)
    shown = description.demonstration()
    if shown is None:
        raise ValueError(
            f"The task {task!r} has no demonstration. Choose one of {', '.join(tasks_with_demo())}."
        )
    if not is_new(folder):
        raise FileExistsError(
            f"The demo needs a new folder, and {str(folder)!r} is not empty. Remove it, or choose "
            "another: keras-attn demo --out DIR."
        )
    started = time.monotonic()
    _print(console, f"[bold]{shown.recipe.dataset}[/]: ", shown.data)
    runs = {}
    titles: dict[str | None, str] = {None: "with attention"}
    if WITHOUT_ATTENTION in shown.recipe.variants:
        titles[WITHOUT_ATTENTION] = "without attention"
    for variant, title in titles.items():
        _print(console, "\n[bold]Training[/] ", f"{shown.recipe.architecture}, {title}")
        runs[title] = training.train(
            shown.recipe,
            folder / (variant or "attention"),
            variant=variant,
            dataset=shown.dataset,
            verbose=1 if sys.stdout.isatty() else 2,
        )
    metric = description.primary_metric
    values = {title: run.record["metrics"]["test"][metric.key] for title, run in runs.items()}
    _compare(
        runs, f"test {metric.title}", {t: metric.format(v) for t, v in values.items()}, console
    )

    serving = runs["with attention"].model.export(folder / "serving" / "1")
    answer = serve(serving, shown.serving_inputs)
    _print(console, "[bold]Served[/] by plain TensorFlow from the SavedModel: ", _listed(answer))
    _print(console, "The right answer: ", shown.target)
    console.print()
    _print_paths(folder, runs, serving, console)
    console.print(f"Done in {time.monotonic() - started:.0f} s.")
    return {metric.key: values, "answer": answer}


def serve(path: pathlib.Path, inputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return the outputs of a SavedModel for the first example, as a server would."""
    import tensorflow as tf

    signature = tf.saved_model.load(str(path)).signatures["serving_default"]
    outputs = signature(**{name: tf.constant(value) for name, value in inputs.items()})
    return {name: value.numpy()[0] for name, value in outputs.items()}


def _listed(answer: Mapping[str, Any]) -> str:
    """Return the outputs of an example as text, large ones by their shape."""
    parts = []
    for name, value in answer.items():
        array = np.asarray(value)
        if isinstance(value, bytes):
            parts.append(f"{name} {value.decode()!r}")
        elif array.dtype.kind in "SO":  # padded by empty strings
            strings = [each.decode() for each in array.ravel() if each]
            parts.append(f"{name} {', '.join(strings[:MAX_SHOWN])}")
        elif array.dtype.kind == "f" and array.size <= MAX_SHOWN:
            parts.append(f"{name} {np.round(array.astype('float64'), 3).tolist()}")
        elif array.size <= MAX_SHOWN and array.dtype.kind in "iub":
            parts.append(f"{name} {array.tolist()}")
        elif array.dtype.kind == "f" and array.ndim:
            first = np.round(array[0].astype("float64"), 1).tolist()
            parts.append(f"{name} of shape {array.shape}, the first {first}")
    return ", ".join(parts)


def _print(console: Console, title: str, text: str) -> None:
    """Print a title with markup, and a text as it is."""
    console.print(title, markup=True, end="")
    console.print(printable(text), markup=False, highlight=False)


def _compare(runs: dict[str, Run], title: str, values: Mapping[str, str], console: Console) -> None:
    table = Table("model", "parameters", title, "seconds", box=rich.box.SIMPLE)
    for name, run_ in runs.items():
        record = run_.record
        table.add_row(
            name, f"{record['parameters']:,}", values[name], f"{record['train_seconds']:.0f}"
        )
    console.print(table)


def _print_paths(
    folder: pathlib.Path, runs: dict[str, Run], serving: pathlib.Path, console: Console
) -> None:
    paths = {
        "weights": runs["with attention"].folder / "model.weights.h5",
        "training log": runs["with attention"].folder / "log.csv",
        "record of the run": runs["with attention"].folder / "record.json",
        "SavedModel": serving,
        "everything": folder,
    }
    for name, path in paths.items():
        console.print(f"  {name:<18} {path}", markup=False, highlight=False, soft_wrap=True)
