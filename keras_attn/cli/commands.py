"""The commands of `keras-attn`.

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
from keras_attn.cli.models import Entry, Model, Weights, check_options, locate
from keras_attn.recipes import describe_task
from keras_attn.recipes.figures import figure
from keras_attn.zoo import cards

app = typer.Typer(
    name="keras-attn",
    help="Train, evaluate, use, explain and export the attention models of keras_attn.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

EXPECTED_ERRORS = (
    ValueError,
    TypeError,
    OSError,
    RuntimeError,
    ImportError,
    KeyError,
    MemoryError,
)
_settings = {"traceback": False}

Catalogue = Annotated[
    list[pathlib.Path] | None,
    typer.Option(help="Further folder of entries; can be repeated."),
]
Views = Annotated[
    int | None,
    typer.Option(
        help="For images: number of test-time augmentation views, 1, 2 or 6 (default: 1)."
    ),
]
MaxPixels = Annotated[
    int | None,
    typer.Option(
        min=1, help="For images: largest image to decode, in pixels (default: 100 million)."
    ),
]
BeamSize = Annotated[
    int | None,
    typer.Option(min=1, help="For translation: beam size; 1 is greedy search (default: 4)."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    catalogue: Catalogue = None,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Show the Python traceback of an error.")
    ] = False,
) -> None:
    _settings["traceback"] = traceback
    if version:
        typer.echo(__version__)
        raise typer.Exit
    for folder in catalogue or []:
        zoo.register(folder)


@app.command("list")
def list_entries(
    pattern: Annotated[
        str, typer.Argument(metavar="PATTERN", help="Shell pattern, such as 'cifar10_*'.")
    ] = "*",
    task: Annotated[
        str | None, typer.Option(help="Only entries for this task, such as translation.")
    ] = None,
    pretrained: Annotated[
        bool | None,
        typer.Option(
            "--pretrained/--untrained", help="Only entries with, or without, trained weights."
        ),
    ] = None,
) -> None:
    """List the entries of the zoo."""
    names = zoo.list(pattern, task=task, pretrained=pretrained)
    table = Table(box=rich.box.SIMPLE)
    # Names are never truncated, so that they can be copied.
    table.add_column("entry", no_wrap=True, min_width=max(map(len, names), default=0))
    table.add_column("task", overflow="fold")
    table.add_column("parameters", no_wrap=True)
    table.add_column("test", overflow="fold")
    for name in names:
        entry = zoo.describe(name)
        recipe, runs = entry.recipe, entry.runs()
        metric = describe_task(recipe.task).primary_metric
        table.add_row(
            name,
            recipe.task,
            f"{runs[0]['parameters']:,}" if runs else "-",
            figure(metric, runs, "test") if runs else "not trained",
        )
    rich.print(table)


@app.command()
def show(name: Entry) -> None:
    """Show the card and the recipe of an entry."""
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
    top: Annotated[int, typer.Option(min=1, help="Number of labels shown in the table.")] = 3,
    as_json: AsJson = False,
    views: Views = None,
    beam_size: BeamSize = None,
    max_pixels: MaxPixels = None,
    weights: Weights = None,
) -> None:
    """Label images or texts, or translate sentences."""
    task, build = locate(name, weights)
    options = check_options(
        name,
        task,
        task.prediction_options,
        views=views,
        beam_size=beam_size,
        max_pixels=max_pixels,
    )
    examples = read_inputs(name, task, inputs, file)
    model = build()
    with output.warnings_as_lines():
        answers = model.answers(examples, **options)
    if as_json:
        output.print_json_lines(task, examples, answers)
    else:
        output.print_answers(task, examples, answers, top)
    output.print_coverage(answers)


app.command()(translation.translate)


@app.command()
def explain(
    name: Model,
    example: Annotated[str, typer.Argument(metavar="INPUT", help="A text, or an image file.")],
    label: Annotated[
        str | None,
        typer.Option(help="For classifiers: label to explain (default: the predicted one)."),
    ] = None,
    html: Annotated[
        pathlib.Path | None, typer.Option(help="Also write the explanation as an HTML page.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
    max_pixels: MaxPixels = None,
    weights: Weights = None,
) -> None:
    """Explain one answer: where the model attended, and what changes a label's log-odds."""
    task, build = locate(name, weights)
    options = check_options(
        name, task, task.explanation_options, label=label, max_pixels=max_pixels
    )
    with output.warnings_as_lines():
        explanation = build().explain(example, **options)
    if html is not None:
        html.write_text(explanation.to_page(), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(explanation.to_dict()))
    else:
        rich.print(explanation.to_rich())
    output.print_coverage([getattr(explanation, "answer", None)])
    if html is not None:
        typer.echo(f"Written: {html}", err=as_json)


@app.command()
def export(
    name: Model,
    folder: Annotated[
        pathlib.Path, typer.Argument(metavar="FOLDER", help="New folder, such as serving/1.")
    ],
    beam_size: BeamSize = None,
    min_length: translation.MinLength = None,
    no_repeat_ngram_size: translation.NoRepeatNgramSize = None,
    banned_word: translation.BannedWords = None,
    views: Views = None,
    weights: Weights = None,
) -> None:
    """Export a SavedModel that takes raw input and needs only TensorFlow."""
    task, build = locate(name, weights)
    search = translation.search_options(min_length, no_repeat_ngram_size, banned_word)
    options = check_options(
        name, task, task.export_options, views=views, beam_size=beam_size, **search
    )
    path = build().export(folder, **options)
    typer.echo(f"SavedModel: {path}  (signature serving_default: {task.signature})")


@app.command()
def demo(
    out: Annotated[pathlib.Path, typer.Option(help="New folder for the files of the demo.")] = (
        pathlib.Path("demo")
    ),
) -> None:
    """Train, compare, export and serve a small attention model: offline, in a minute or two."""
    from keras_attn import demonstration

    demonstration.run(out, Console())


@app.command()
def publish(
    name: Entry,
    runs: Annotated[
        list[pathlib.Path], typer.Argument(metavar="RUN", help="Folders of finished runs.")
    ],
) -> None:
    """Record finished runs in an entry, copy the best weights into it, and update its card."""
    from keras_attn.zoo import publishing, registry

    entry = publishing.publish(name, runs)
    rich.print(Markdown(cards.card(entry)))
    if entry.folder.parent == registry.catalogue():
        publishing.stale_pages(write=True)


@app.command("cards")
def write_cards(
    check: Annotated[
        bool,
        typer.Option("--check", help="Change nothing; exit with status 1 if a page is stale."),
    ] = False,
) -> None:
    """Update the generated pages: the cards, and the table in the README."""
    from keras_attn.zoo import publishing

    stale = publishing.stale_pages(write=not check)
    for path in stale:
        typer.echo(f"{'stale' if check else 'written'}: {path}")
    if check and stale:
        raise typer.Exit(1)


def main() -> None:
    """Run the command line. Expected errors are reported as one message and a nonzero status."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        app()
    except EXPECTED_ERRORS as error:
        if _settings["traceback"]:
            traceback.print_exc()
            training.leave(error)
        message = error.args[0] if isinstance(error, KeyError) else error
        typer.secho("error:", fg="red", bold=True, nl=False, err=True)
        typer.echo(f" {message}", err=True)
        training.leave(error)
