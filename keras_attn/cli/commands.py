"""The commands: `keras-attn list | show | train | evaluate | predict | explain | export | demo`.

`keras-attn train` stands in `keras_attn.cli.training`, `evaluate` in `keras_attn.cli.evaluation`,
and `translate` in `keras_attn.cli.translation`.
"""

import json
import os
import pathlib
import traceback
from typing import Annotated, Any

import rich
import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

from keras_attn import __version__, zoo
from keras_attn.cli import answers, evaluation, training, translation
from keras_attn.cli.opening import Model, TextFile, Weights, open_classifier, open_model
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
Catalogue = Annotated[
    list[pathlib.Path] | None,
    typer.Option(help="A further folder of entries; may be given more than once."),
]

Views = Annotated[
    int | None, typer.Option(help="Of images: average so many views of each, 1, 2 or 6.")
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
    table = Table("entry", "task", "data", "parameters", "test", box=rich.box.SIMPLE)
    for name in zoo.list(pattern, task=task):
        entry = zoo.describe(name)
        runs = entry.runs()
        table.add_row(
            name,
            entry.recipe.task,
            entry.recipe.dataset,
            f"{runs[0]['parameters']:,}" if runs else "-",
            cards.figure(runs, "test") if runs else "not trained",
        )
    rich.print(table)


@app.command()
def show(name: Name) -> None:
    """Show an entry's card and recipe."""
    entry = zoo.describe(name)
    rich.print(Markdown(cards.card(entry)))
    typer.echo((entry.folder / "recipe.toml").read_text(encoding="utf-8"))


app.command()(training.train)
app.command()(evaluation.evaluate)


@app.command()
def predict(
    name: Model,
    inputs: Annotated[
        list[str] | None, typer.Argument(metavar="INPUT...", help="Image files, or texts.")
    ] = None,
    file: TextFile = None,
    top: Annotated[int, typer.Option(min=1, help="How many labels the table shows.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")] = False,
    views: Views = None,
    weights: Weights = None,
) -> None:
    """Label image files, or texts."""
    model = open_classifier(name, weights, "predict")
    kind, given = _kind(model), inputs or []
    if kind == "text":
        _refuse_views(name, views)
        given = answers.texts_of(given, file)
    elif file is not None or not given:
        raise ValueError(f"{name} reads images: give image files, and no --file.")
    more: dict[str, Any] = {} if views is None else {"views": views}
    found = model.classify(given, **more)
    if as_json:
        answers.print_json(kind, given, found)
    else:
        answers.print_table(kind, given, found, top)


app.command()(translation.translate)


@app.command()
def explain(
    name: Model,
    text: Annotated[str, typer.Argument(help="The text.")],
    label: Annotated[str | None, typer.Option(help="The label; default: the answer.")] = None,
    html: Annotated[
        pathlib.Path | None, typer.Option(help="Write an HTML page here as well.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
    weights: Weights = None,
) -> None:
    """Show what each word of a text did to the answer, and where attention lay."""
    from keras_attn.tasks import TextClassifier

    model = open_classifier(name, weights, "explain")
    if not isinstance(model, TextClassifier):
        raise ValueError(
            f"{name} reads images, and `explain` is for texts. For images see "
            "keras_attn.tasks.attention_maps."
        )
    explanation = model.explain(text, label)
    if html is not None:
        html.write_text(explanation.to_page(), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(explanation.to_dict()))
    else:
        rich.print(explanation)
    if html is not None:
        typer.echo(f"Written: {html}", err=as_json)


@app.command()
def export(
    name: Model,
    folder: Annotated[pathlib.Path, typer.Argument(help="A new folder, such as serving/1.")],
    beam: Annotated[
        int | None, typer.Option(min=1, help="Beams of a translator's search; default: 4.")
    ] = None,
    views: Views = None,
    weights: Weights = None,
) -> None:
    """Write a SavedModel that takes raw input and needs TensorFlow alone."""
    from keras_attn.tasks import ImageClassifier, Translator

    model = open_model(name, weights)
    if not isinstance(model, ImageClassifier):
        _refuse_views(name, views)
    if isinstance(model, Translator):
        path = model.export(folder, **({} if beam is None else {"beam_size": beam}))
        signature = "texts string (B,) -> text string (B,), score float32 (B,)"
    elif beam is not None:
        raise ValueError(f"--beam is for translators, and {name} gives labels. Leave it out.")
    else:
        path = model.export(folder, **({} if views is None else {"views": views}))
        takes = "texts string (B,)" if _kind(model) == "text" else "images uint8 (B, H, W, 3)"
        signature = f"{takes} -> label string (B,), score float32 (B,), probabilities"
    typer.echo(f"SavedModel: {path}  (signature serving_default: {signature})")


@app.command()
def demo(
    out: Annotated[pathlib.Path, typer.Option(help="Folder for what the demo makes.")] = (
        pathlib.Path("demo")
    ),
) -> None:
    """Train, compare, export and serve a small attention model: offline, in a minute or two."""
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
            traceback.print_exc()
            training.leave(error)
        message = error.args[0] if isinstance(error, KeyError) else error
        typer.secho("error:", fg="red", bold=True, nl=False, err=True)
        typer.echo(f" {message}", err=True)
        training.leave(error)


def _refuse_views(name: str, views: int | None) -> None:
    if views is not None:
        raise ValueError(f"--views is for images, and {name} reads texts. Leave it out.")


def _kind(model: Any) -> str:
    from keras_attn.tasks import TextClassifier

    return "text" if isinstance(model, TextClassifier) else "image"
