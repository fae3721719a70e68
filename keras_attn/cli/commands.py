"""The commands of `keras-attn`.

`keras-attn list` and `show` are defined in `keras_attn.cli.listing`, `train` in
`keras_attn.cli.training`, `evaluate` in `keras_attn.cli.evaluation`, `translate` in
`keras_attn.cli.translation`, and `app` in `keras_attn.cli.page`. The entry point is in
`keras_attn.cli.entry_point`.
"""

import functools
import pathlib
from typing import Annotated, Any

import typer

from keras_attn import __version__, zoo
from keras_attn.cli import (
    evaluation,
    export_options,
    framework,
    generation,
    listing,
    output,
    page,
    training,
    translation,
)
from keras_attn.cli.data_options import (
    DataDir,
    check_data_dir,
    with_column_options,
    with_data_options,
)
from keras_attn.cli.inputs import (
    Examples,
    Inputs,
    TextFile,
    as_utf8,
    check_file,
    load_inputs,
    read_inputs,
    report_problems,
    warn_of_file_names,
)
from keras_attn.cli.models import (
    Entry,
    Model,
    Weights,
    check_label,
    check_options,
    check_parent,
    check_plots,
    find_model,
    locate,
)
from keras_attn.cli.options import use_options_of
from keras_attn.recipes import find_task
from keras_attn.zoo import cards

app = typer.Typer(
    name="keras-attn",
    help="Train, evaluate, use, explain and export the attention models of keras_attn.",
    no_args_is_help=True,
    rich_markup_mode="markdown",  # paragraphs of docstrings are filled
    pretty_exceptions_enable=False,
    add_completion=False,
)

settings = {"traceback": False}
MAINTAINERS = "For maintainers"
SERIES_OPTIONS = ("time_column", "step", "decimal", "day_first", "delimiter", "encoding")


def examples(*commands: str) -> str:
    """Return commands as the list of examples that ends the help of a command, in Markdown.

    A command of at most 75 characters is on one line of a terminal with 80 columns.
    """
    return "\n\n".join(["Examples:", *(f"- `{command}`" for command in commands)])


Catalogue = Annotated[
    list[pathlib.Path] | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder of your own entries, to use besides those of the zoo: it holds a folder with "
        "a recipe.toml for each entry; can be repeated.",
    ),
]
Views = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="For images: answer by the mean over N views of each image, shifted and mirrored: 1, "
        "2 or 6 (default: 1).",
    ),
]
ViewsThreshold = Annotated[
    float | None,
    typer.Option(
        metavar="SCORE",
        help="For images: skip the further views of images with at least this score (default: 1, "
        "which skips none).",
    ),
]
MaxPixels = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="For images: largest image to decode, in pixels (default: 100 million).",
    ),
]
BeamSize = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Beam size; 1 is greedy search (default: 4 for translation; text generation samples).",
    ),
]
Horizon = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="For forecasting: number of steps (default: all that the model forecasts).",
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        metavar="SCORE",
        help="For object detection: least score of a box (default: that of each label by which "
        "the counts of the validation images were best).",
    ),
]
MaxBoxes = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="For object detection: largest number of boxes of an image (default: 100).",
    ),
]
Plots = Annotated[
    pathlib.Path | None,
    typer.Option(
        metavar="FOLDER",
        help="For object detection and forecasting: write a picture of each answer into this new "
        "folder.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    catalogue: Catalogue = None,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Show the Python traceback of an error.")
    ] = False,
) -> None:
    settings["traceback"] = traceback
    command: Any = context.command
    if (name := context.invoked_subcommand) is not None:
        use_options_of(command.commands[name])
    if version:
        output.echo(__version__)
        raise typer.Exit
    for folder in catalogue or []:
        zoo.register(folder)


app.command(
    "list",
    epilog=examples(
        "keras-attn list 'cifar10_*'",
        "keras-attn list --task sentiment --pretrained",
    ),
)(listing.list_entries)
app.command(epilog=examples("keras-attn show imdb_ngram_attention"))(listing.show)
app.command(
    epilog=examples(
        "keras-attn train shapes_small_attention_cnn",
        "keras-attn train imdb_ngram_attention --data reviews.csv --epochs 5",
        "keras-attn train imdb_transformer --data a.csv --from imdb_transformer",
    )
)(training.train)
app.command(
    epilog=examples(
        "keras-attn evaluate imdb_ngram_attention",
        "keras-attn evaluate runs/mine --data new.csv --plot confusion.png",
    )
)(evaluation.evaluate)


@app.command(
    epilog=examples(
        'keras-attn predict imdb_ngram_attention "A film to see twice."',
        "keras-attn predict imdb_ngram_attention --file reviews.csv --json",
        "keras-attn predict cifar10_attention_net photo.jpg more_photos/",
        'keras-attn predict shakespeare_character_transformer "ROMEO:" --seed 1',
        "keras-attn predict etth1_patch_transformer history.csv --json",
        "keras-attn predict bccd_attention_detector smear.jpg --plots drawn",
    )
)
@with_column_options("text_column", "source_column", "time_column", "step", "decimal", "day_first")
def predict(
    name: Model,
    inputs: Inputs = None,
    file: TextFile = None,
    top: Annotated[
        int, typer.Option(min=1, metavar="N", help="Number of labels shown in the table.")
    ] = 3,
    as_json: AsJson = False,
    views: Views = None,
    views_threshold: ViewsThreshold = None,
    beam_size: BeamSize = None,
    max_pixels: MaxPixels = None,
    max_length: generation.MaxLength = None,
    temperature: generation.Temperature = None,
    top_k: generation.TopK = None,
    top_p: generation.TopP = None,
    seed: generation.Seed = None,
    stop: generation.Stop = None,
    no_repeat_ngram_size: translation.NoRepeatNgramSize = None,
    horizon: Horizon = None,
    threshold: Threshold = None,
    max_boxes: MaxBoxes = None,
    plots: Plots = None,
    weights: Weights = None,
    *,
    table: dict[str, Any],
) -> None:
    """Label images, sounds or texts, find objects, translate, or continue texts and time series.

    Inputs that cannot be read are reported on standard error; the others are answered, and the exit
    status is 1.
    """
    name = find_model(name)
    task, build = locate(name, weights)
    options = check_options(
        name,
        task,
        task.prediction_options,
        views=views,
        views_threshold=views_threshold,
        beam_size=beam_size,
        max_pixels=max_pixels,
        max_length=max_length,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        stop=stop or None,
        no_repeat_ngram_size=no_repeat_ngram_size,
        horizon=horizon,
        threshold=threshold,
        max_boxes=max_boxes,
    )
    if plots is not None:
        check_plots(name, task, plots)
    examples = read_inputs(name, task, inputs, file, table)
    if "errors" in task.prediction_options and len(examples.inputs) > 1:
        options["errors"] = "return"
    model = build()
    # Rows that cannot be read are empty texts, so that warnings number all rows.
    with output.warnings_as_lines():
        loaded, examples = load_inputs(task, model, examples, table)
        answered = model.answers(list(loaded.values()), **options)
        results = dict(zip(loaded, answered, strict=True))
    errors = {index: str(each) for index, each in results.items() if isinstance(each, Exception)}
    examples = Examples(examples.inputs, {**errors, **examples.problems})
    answers = {index: each for index, each in results.items() if index not in examples.problems}
    if as_json:
        output.print_json_lines(task, examples.inputs, answers, examples.problems)
    elif answers and task.prints_texts:
        output.print_texts(list(answers.values()))
    elif answers:
        output.print_answers(task, examples.readable.values(), list(answers.values()), top)
    output.print_coverage([answers.get(index) for index in range(len(examples.inputs))])
    if plots is not None:
        output.write_plots(plots, {examples.inputs[index]: each for index, each in answers.items()})
    report_problems(task, examples)


app.command(
    epilog=examples(
        'keras-attn translate multi30k_en_de_transformer "A man rides a bike."',
        "keras-attn translate multi30k_en_de_transformer --file captions.txt",
    )
)(translation.translate)


@app.command(
    epilog=examples(
        'keras-attn explain imdb_ngram_attention "A film to see twice."',
        "keras-attn explain cifar10_attention_net photo.jpg --html why.html",
    )
)
@functools.partial(with_data_options, names=SERIES_OPTIONS)
def explain(
    name: Model,
    example: Annotated[
        str,
        typer.Argument(
            metavar="INPUT", help="A text, an image, a WAV file, or a table of a series."
        ),
    ],
    label: Annotated[
        str | None,
        typer.Option(help="For classifiers: label to explain (default: the predicted one)."),
    ] = None,
    variable: Annotated[
        str | None,
        typer.Option(
            help="For forecasting: variable to explain (default: the first one that is forecast)."
        ),
    ] = None,
    html: Annotated[
        pathlib.Path | None, typer.Option(help="Also write the explanation as an HTML page.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
    max_pixels: MaxPixels = None,
    weights: Weights = None,
    *,
    table: dict[str, Any],
) -> None:
    """Explain one answer: where the model attended, and what its answer depends on."""
    name = find_model(name)
    task, build = locate(name, weights)
    options = check_options(
        name,
        task,
        task.explanation_options,
        label=label,
        max_pixels=max_pixels,
        variable=variable,
    )
    if task.reads == "texts":
        warn_of_file_names([example], reads_files=False)
        example = as_utf8(example)
    check_file(task, example)
    check_label(name, label)
    if html is not None:
        check_parent(html)
    received = {key: value for key, value in table.items() if value is not None}
    check_options(name, task, getattr(task.table, "input_options", ()), **received)
    model = build()
    with output.warnings_as_lines():
        loaded, _ = load_inputs(task, model, Examples([example]), table)
        explanation = model.explain(loaded[0], **options)
    if html is not None:
        html.write_text(explanation.to_page(), encoding="utf-8")
    if as_json:
        output.echo_json(explanation.to_dict())
    else:
        output.show(explanation.to_rich())
    output.print_coverage([getattr(explanation, "answer", None)])
    if html is not None:
        output.echo(f"Written: {html}", err=as_json)


@app.command(
    epilog=examples(
        "keras-attn export imdb_ngram_attention serving/1",
        "keras-attn export runs/mine serving/2",
        "keras-attn export cifar10_attention_net cifar.onnx --format onnx",
        "keras-attn export multi30k_en_de_transformer mt --format ctranslate2",
    )
)
def export(
    name: Model,
    path: Annotated[
        pathlib.Path,
        typer.Argument(
            metavar="PATH", help="New folder, such as serving/1; or a file, such as model.onnx."
        ),
    ],
    format_: export_options.Format = "saved_model",
    beam_size: BeamSize = None,
    length_penalty: translation.LengthPenalty = None,
    min_length: translation.MinLength = None,
    no_repeat_ngram_size: translation.NoRepeatNgramSize = None,
    banned_word: translation.BannedWords = None,
    views: Views = None,
    views_threshold: ViewsThreshold = None,
    max_length: generation.MaxLength = None,
    temperature: generation.Temperature = None,
    top_k: generation.TopK = None,
    top_p: generation.TopP = None,
    stop: generation.Stop = None,
    threshold: Threshold = None,
    max_boxes: MaxBoxes = None,
    seconds: export_options.Seconds = None,
    quantization: export_options.Quantization = None,
    calibration: export_options.Calibration = None,
    weights: Weights = None,
) -> None:
    """Export a model that takes raw input and runs without keras_attn."""
    name = find_model(name)
    task, build = locate(name, weights)
    chosen = task.export_format(format_)
    search = translation.search_options(
        length_penalty, min_length, no_repeat_ngram_size, banned_word
    )
    options = check_options(
        name if format_ == "saved_model" else f"{name} in --format {format_}",
        task,
        chosen.options,
        views=views,
        views_threshold=views_threshold,
        beam_size=beam_size,
        max_length=max_length,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        stop=stop or None,
        threshold=threshold,
        max_boxes=max_boxes,
        seconds=seconds,
        quantization=quantization,
        calibration=None if calibration is None else export_options.files(task, calibration),
        **search,
    )
    chosen.check_path(path)
    if chosen.suffix:
        check_parent(path)
    model = build()
    written = model.export(path, format=format_, **options)
    output.echo(export_options.describe(model, format_, written))


app.command(
    "app",
    epilog=examples(
        "keras-attn app",
        "keras-attn app imdb_ngram_attention runs/mine model.keras --open",
    ),
)(page.show_page)


@app.command(epilog=examples("keras-attn demo", "keras-attn demo --task forecasting --out demo"))
def demo(
    task: Annotated[
        str,
        typer.Option(
            metavar="TASK",
            help="Task to show, by its name or a keyword, such as forecasting or sentiment.",
        ),
    ] = "images",
    out: Annotated[pathlib.Path, typer.Option(help="New folder for the files of the demo.")] = (
        pathlib.Path("demo")
    ),
) -> None:
    """Train, compare, export and serve a small attention model: offline, in a minute or two."""
    name = find_task(task)
    framework.start()
    from keras_attn import demonstration

    demonstration.run(out, output.SafeConsole(), name)


@app.command(rich_help_panel=MAINTAINERS)
def publish(
    name: Entry,
    runs: Annotated[
        list[pathlib.Path], typer.Argument(metavar="RUN", help="Folders of finished runs.")
    ],
) -> None:
    """Record finished runs in an entry, copy the best weights into it, and update its card."""
    framework.start()
    from keras_attn.zoo import publishing, registry

    entry = publishing.publish(name, runs)
    output.show_markdown(cards.card(entry))
    if entry.folder.parent == registry.catalogue():
        publishing.stale_pages(write=True)


@app.command(rich_help_panel=MAINTAINERS)
def assess(name: Entry, data_dir: DataDir = None) -> None:
    """Calibrate weights, store them in float16, record examples and explanations."""
    check_data_dir(data_dir)
    framework.start()
    from keras_attn.zoo import assessment, publishing, registry

    entry = assessment.assess(name, data_dir=data_dir)
    output.show_markdown(cards.card(entry))
    if entry.folder.parent == registry.catalogue():
        publishing.stale_pages(write=True)


@app.command("cards", rich_help_panel=MAINTAINERS)
def write_cards(
    check: Annotated[
        bool,
        typer.Option("--check", help="Change nothing; exit with status 1 if a page is stale."),
    ] = False,
) -> None:
    """Update the generated pages: the cards, and the table in the README."""
    framework.start()
    from keras_attn.zoo import publishing

    stale = publishing.stale_pages(write=not check)
    for path in stale:
        output.echo(f"{'stale' if check else 'written'}: {path}")
    if check and stale:
        raise typer.Exit(1)
