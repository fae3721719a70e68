"""The command line: `keras-attn list | show | train | evaluate | predict | export | demo`."""

import os
import pathlib
import sys
from typing import Annotated, Any

import rich
import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

from keras_attn import __version__, zoo
from keras_attn.zoo import cards

app = typer.Typer(
    name="keras-attn",
    help="Attention models for Keras, trained from scratch, from the command line.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

_settings = {"traceback": False}

Name = Annotated[str, typer.Argument(help="An entry of the zoo, see `keras-attn list`.")]
DataDir = Annotated[
    pathlib.Path | None,
    typer.Option(help="Folder of TensorFlow Datasets, or a .npz array file."),
]
Weights = Annotated[
    pathlib.Path | None,
    typer.Option(help="A .weights.h5 file to use in place of the entry's own."),
]
Catalogue = Annotated[
    list[pathlib.Path] | None,
    typer.Option(help="A further folder of entries; may be given more than once."),
]


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    catalogue: Catalogue = None,
    traceback: Annotated[bool, typer.Option(help="Show where an error arose.")] = False,
) -> None:
    _settings["traceback"] = traceback
    if version:
        typer.echo(__version__)
        raise typer.Exit
    for folder in catalogue or []:
        zoo.register(folder)


@app.command("list")
def list_entries(
    pattern: Annotated[str, typer.Argument(help="Shell pattern on names.")] = "*",
    task: Annotated[str | None, typer.Option(help="Only entries of this task.")] = None,
) -> None:
    """List the entries of the zoo."""
    table = Table("entry", "task", "data", "parameters", "test accuracy", box=rich.box.SIMPLE)
    for name in zoo.list(pattern, task=task):
        entry = zoo.describe(name)
        runs = entry.runs()
        table.add_row(
            name,
            entry.recipe.task,
            entry.recipe.dataset,
            f"{runs[0]['parameters']:,}" if runs else "-",
            cards.accuracy(runs, "test") if runs else "not trained",
        )
    rich.print(table)


@app.command()
def show(name: Name) -> None:
    """Show an entry's card and recipe."""
    entry = zoo.describe(name)
    rich.print(Markdown(cards.card(entry)))
    typer.echo((entry.folder / "recipe.toml").read_text(encoding="utf-8"))


@app.command()
def train(
    name: Name,
    out: Annotated[
        pathlib.Path | None, typer.Option(help="Folder of the run; default runs/NAME-seedN.")
    ] = None,
    variant: Annotated[str | None, typer.Option(help="Train this variant of the recipe.")] = None,
    seed: Annotated[int | None, typer.Option(help="Default: the recipe's first.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the run's last checkpoint.")] = False,
    strategy: Annotated[
        str, typer.Option(help="tf.distribute strategy: none, one_device or mirrored.")
    ] = "none",
    tensorboard: Annotated[bool, typer.Option(help="Also write TensorBoard logs.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Train an entry from scratch by its recipe, and evaluate it once on the test split."""
    from keras_attn import training

    entry = zoo.describe(name)
    seed = entry.recipe.training.seeds[0] if seed is None else seed
    label = f"{name}-{variant}" if variant else name
    folder = out or pathlib.Path("runs", f"{label}-seed{seed}")
    run = training.train(
        entry.recipe,
        folder,
        variant=variant,
        seed=seed,
        resume=resume,
        strategy=strategy,
        data_dir=data_dir,
        tensorboard=tensorboard,
        verbose=1 if sys.stdout.isatty() else 2,
    )
    _metrics_table(run.record["metrics"])
    typer.echo(f"Weights, logs and record: {run.folder}")


@app.command()
def evaluate(
    name: Name,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    weights: Weights = None,
    data_dir: DataDir = None,
) -> None:
    """Evaluate an entry on the real data, beside the figure in its card."""
    from keras_attn import data, training

    entry = zoo.describe(name)
    dataset = data.load(entry.recipe.dataset, data_dir)
    examples = dataset[split]
    model = zoo.build(name, weights=weights or "zoo")
    _metrics_table({split: training.evaluate(model, examples)})
    if weights is None and split in entry.runs()[0]["metrics"]:
        kept = entry.results["weights"]["seed"]
        recorded = next(run for run in entry.runs() if run["seed"] == kept)
        figure = 100 * recorded["metrics"][split]["accuracy"]
        rich.print(f"The card says {figure:.2f} % for these weights (seed {kept}).")


@app.command()
def predict(
    name: Name,
    images: Annotated[list[pathlib.Path], typer.Argument(help="Image files.")],
    top: Annotated[int, typer.Option(min=1, help="How many labels to print.")] = 3,
    weights: Weights = None,
) -> None:
    """Label image files."""
    model = zoo.build(name, weights=weights or "zoo")
    table = Table("image", "label", "score", "also", box=rich.box.SIMPLE)
    for path, answer in zip(images, model.classify(images), strict=True):
        ranked = sorted(answer.probabilities.items(), key=lambda item: -item[1])[1:top]
        also = ", ".join(f"{label} {score:.3f}" for label, score in ranked)
        table.add_row(str(path), answer.label, f"{answer.score:.3f}", also)
    rich.print(table)


@app.command()
def export(
    name: Name,
    folder: Annotated[pathlib.Path, typer.Argument(help="A new folder, such as serving/1.")],
    weights: Weights = None,
) -> None:
    """Write a SavedModel that takes raw input and needs TensorFlow alone."""
    path = zoo.build(name, weights=weights or "zoo").export(folder)
    typer.echo(f"SavedModel: {path}  (signature serving_default: images uint8 (B, H, W, 3))")


@app.command()
def demo(
    out: Annotated[pathlib.Path, typer.Option(help="Folder for what the demo makes.")] = (
        pathlib.Path("demo")
    ),
) -> None:
    """Train, compare, export and serve a small attention model: offline, in about a minute."""
    from keras_attn import demonstration

    demonstration.run(out, Console())


@app.command()
def publish(
    name: Name,
    runs: Annotated[list[pathlib.Path], typer.Argument(help="Folders of finished runs.")],
) -> None:
    """Record runs in an entry, ship the best weights, and write its card anew."""
    from keras_attn.zoo import publishing, registry

    entry = publishing.publish(name, runs)
    rich.print(Markdown(cards.card(entry)))
    if entry.folder.parent == registry.catalogue():
        publishing.stale_pages(write=True)


@app.command("cards")
def write_cards(
    check: Annotated[bool, typer.Option(help="Change nothing; fail if a page is stale.")] = False,
) -> None:
    """Write the generated pages anew: the cards, and the table in the README."""
    from keras_attn.zoo import publishing

    stale = publishing.stale_pages(write=not check)
    for path in stale:
        typer.echo(f"{'stale' if check else 'written'}: {path}")
    if check and stale:
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; expected errors end it with one message and status 1."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        app()
    except (ValueError, TypeError, OSError, RuntimeError, ImportError, KeyError) as error:
        if _settings["traceback"]:
            raise
        message = error.args[0] if isinstance(error, KeyError) else error
        typer.secho("error:", fg="red", bold=True, nl=False, err=True)
        typer.echo(f" {message}", err=True)
        sys.exit(1)


def _metrics_table(metrics: dict[str, dict[str, Any]]) -> None:
    table = Table("split", "accuracy", "loss", "examples", box=rich.box.SIMPLE)
    for split, values in metrics.items():
        accuracy, loss = f"{100 * values['accuracy']:.2f} %", f"{values['loss']:.4f}"
        table.add_row(split, accuracy, loss, f"{values['examples']:,}")
    rich.print(table)
