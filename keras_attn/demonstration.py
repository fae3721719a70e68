"""The demo: train, compare, export and serve a small model, in a minute or two."""

import pathlib
import sys
import time
from typing import Any

import rich.box
from rich.console import Console
from rich.table import Table

from keras_attn import datasets, training, zoo
from keras_attn._folders import is_new
from keras_attn.recipes.recipe import WITHOUT_ATTENTION
from keras_attn.training import Run

ENTRY = "shapes_small_attention_cnn"


def run(folder: pathlib.Path, console: Console) -> dict[str, Any]:
    """Train a model and its baseline without attention, compare them, and serve the model.

    Args:
        folder: New or empty folder for all files of the demo.
        console: Console to print to.

    Returns:
        The test accuracy of both models, and one answer of the exported SavedModel.

    Raises:
        FileExistsError: The folder exists and is not empty.
    """
    if not is_new(folder):
        raise FileExistsError(
            f"The demo needs a new folder, and {str(folder)!r} is not empty. Remove it, or choose "
            "another: keras-attn demo --out DIR."
        )
    started = time.monotonic()
    recipe = zoo.describe(ENTRY).recipe
    dataset = datasets.load(recipe.dataset)
    console.print(
        f"[bold]shapes[/]: {len(dataset['train']):,} drawn images of 32x32. Each holds two "
        "colored figures and a white one; the answer is the color of the figure that has the "
        "white one's shape.",
        markup=True,
    )
    runs = {}
    for variant, title in ((None, "with attention"), (WITHOUT_ATTENTION, "without attention")):
        console.print(f"\n[bold]Training[/] {ENTRY}, {title}", markup=True)
        runs[title] = training.train(
            recipe,
            folder / (variant or "attention"),
            variant=variant,
            dataset=dataset,
            verbose=1 if sys.stdout.isatty() else 2,
        )
    _compare(runs, console)

    test = dataset["test"]
    serving = runs["with attention"].model.export(folder / "serving" / "1")
    answer = serve(serving, test.images[:1])
    label = dataset.label_names[test.labels[0]]
    console.print(
        f"[bold]Served[/] by plain TensorFlow from the SavedModel: {answer['label']} "
        f"({answer['score']:.3f}); the correct label is {label}.\n",
        markup=True,
    )
    _print_paths(folder, runs, serving, console)
    console.print(f"Done in {time.monotonic() - started:.0f} s.")
    accuracies = {title: run.record["metrics"]["test"]["accuracy"] for title, run in runs.items()}
    return {"accuracy": accuracies, "answer": answer}


def serve(path: pathlib.Path, images: Any) -> dict[str, Any]:
    """Return the label and score of the first image by a SavedModel, as a server would."""
    import tensorflow as tf

    signature = tf.saved_model.load(str(path)).signatures["serving_default"]
    answers = signature(images=tf.constant(images))
    label: bytes = answers["label"][0].numpy()
    return {"label": label.decode(), "score": float(answers["score"][0])}


def _compare(runs: dict[str, Run], console: Console) -> None:
    table = Table("model", "parameters", "test accuracy", "seconds", box=rich.box.SIMPLE)
    for title, run_ in runs.items():
        record = run_.record
        table.add_row(
            title,
            f"{record['parameters']:,}",
            f"{100 * record['metrics']['test']['accuracy']:.1f} %",
            f"{record['train_seconds']:.0f}",
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
