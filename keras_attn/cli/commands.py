"""The commands: `keras-attn list | show | train | evaluate | predict | explain | export | demo`.

`keras-attn train` is defined in `keras_attn.cli.training`, `evaluate` in
`keras_attn.cli.evaluation`, and `translate` in `keras_attn.cli.translation`.
"""

import json
import os
import pathlib
import traceback
from typing import Annotated

import rich
import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

from keras_attn import __version__, zoo
from keras_attn.cli import evaluation, output, training, translation
from keras_attn.cli.inputs import Inputs, TextFile, read_inputs
from keras_attn.cli.models import Model, Weights, check_options, description_of, open_model
from keras_attn.recipes import describe_task
from keras_attn.recipes.figures import figure
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
    int | None,
    typer.Option(help="For images: average over so many augmented views of each, 1, 2 or 6."),
]
BeamSize = Annotated[
    int | None, typer.Option(min=1, help="For translation: beams of the search (default: 4).")
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
    task: Annotated[str | None, typer.Option(help="Only entries for this task.")] = None,
    pretrained: Annotated[
        bool | None,
        typer.Option(
            "--pretrained/--untrained", help="Only entries with trained weights, or without."
        ),
    ] = None,
) -> None:
    """List the entries of the zoo."""
    table = Table("entry", "task", "data", "parameters", "test", box=rich.box.SIMPLE)
    for name in zoo.list(pattern, task=task, pretrained=pretrained):
        entry = zoo.describe(name)
        recipe, runs = entry.recipe, entry.runs()
        metric = describe_task(recipe.task).primary_metric
        table.add_row(
            name,
            recipe.task,
            recipe.dataset,
            f"{runs[0]['parameters']:,}" if runs else "-",
            figure(metric, runs, "test") if runs else "not trained",
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
    inputs: Inputs = None,
    file: TextFile = None,
    top: Annotated[int, typer.Option(min=1, help="Labels that the table shows.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")] = False,
    views: Views = None,
    beam_size: BeamSize = None,
    weights: Weights = None,
) -> None:
    """Answer inputs: label images or texts, translate sentences."""
    task = description_of(name)
    options = {"views": views, "beam_size": beam_size}
    if task is not None:  # before the model is built
        check_options(name, task, task.prediction_options, options)
    model = open_model(name, weights)
    task = model.description
    given = check_options(name, task, task.prediction_options, options)
    texts = read_inputs(name, task, inputs, file)
    answers = model.answers(texts, **given)
    if as_json:
        output.print_json_lines(task, texts, answers)
    else:
        output.print_answers(task, texts, answers, top)


app.command()(translation.translate)


@app.command()
def explain(
    name: Model,
    example: Annotated[str, typer.Argument(metavar="INPUT", help="A text, or an image file.")],
    label: Annotated[
        str | None, typer.Option(help="Label to explain (default: that of the answer).")
    ] = None,
    html: Annotated[
        pathlib.Path | None, typer.Option(help="Also write an HTML page to this file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
    weights: Weights = None,
) -> None:
    """Explain an answer: what the model attended to, beside what changes the answer."""
    model = open_model(name, weights)
    options = check_options(
        name, model.description, model.description.explanation_options, {"label": label}
    )
    explanation = model.explain(example, **options)
    if html is not None:
        html.write_text(explanation.to_page(), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(explanation.to_dict()))
    else:
        rich.print(explanation.to_rich())
    if html is not None:
        typer.echo(f"Written: {html}", err=as_json)


@app.command()
def export(
    name: Model,
    folder: Annotated[pathlib.Path, typer.Argument(help="A new folder, such as serving/1.")],
    beam_size: BeamSize = None,
    views: Views = None,
    weights: Weights = None,
) -> None:
    """Write a SavedModel that takes raw input and needs TensorFlow alone."""
    options = {"views": views, "beam_size": beam_size}
    task = description_of(name)
    if task is not None:  # before the model is built
        check_options(name, task, task.export_options, options)
    model = open_model(name, weights)
    task = model.description
    given = check_options(name, task, task.export_options, options)
    path = model.export(folder, **given)
    typer.echo(f"SavedModel: {path}  (signature serving_default: {task.signature})")


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
