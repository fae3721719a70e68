"""The command `keras-attn train`."""

import os
import pathlib
import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keras_attn import zoo
from keras_attn._names import unknown
from keras_attn.cli import framework, output
from keras_attn.cli.data_options import (
    PANEL,
    DataDir,
    OwnSplit,
    check_data_dir,
    check_splits,
    check_table,
    check_table_options,
    check_without_table,
    read_splits,
    read_table,
    split_options,
    with_data_options,
)
from keras_attn.cli.models import MODEL_FILE, Entry
from keras_attn.cli.options import name_options
from keras_attn.cli.recipe_changes import (
    check_architecture,
    check_initial_entry,
    errors_by_option,
    read_changes,
)
from keras_attn.recipes import (
    Recipe,
    TaskDescription,
    change_recipe,
    describe_task,
    shorten_warmup,
)
from keras_attn.training.folder_lock import check_folder
from keras_attn.training.interruption import (
    TERMINATED,
    InterruptedTrainingError,
    handling_signals,
)

if TYPE_CHECKING:
    from keras_attn.datasets import Dataset
    from keras_attn.training import Run

_RECIPE: dict[str, Any] = {"rich_help_panel": "Changes of the recipe"}
_DISTRIBUTION: dict[str, Any] = {"rich_help_panel": "Several devices and machines"}


@with_data_options
@handling_signals(interrupts=True)
def train(
    name: Entry,
    initial_entry: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="ENTRY",
            help="Start from the trained weights of this entry, all but the head, in place of "
            "random ones; often ENTRY itself. With --data, optimizer and epochs for "
            "images and sounds are those of fine-tuning.",
        ),
    ] = None,
    out: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="New folder for the run; one that holds files is refused (default: "
            "runs/ENTRY-seedN; with --data runs/NAME-ENTRY-seedN, by the name of its file or "
            "folder)."
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Random seed (default: the first of the recipe).",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume from the last checkpoint.")
    ] = False,
    auto_resume: Annotated[
        bool,
        typer.Option(
            "--auto-resume", help="Resume if there is a checkpoint, else start a new run."
        ),
    ] = False,
    checkpoint_steps: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Also write a checkpoint every N steps."),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write TensorBoard logs.")
    ] = False,
    data_dir: DataDir = None,
    validation: Annotated[
        float | None,
        typer.Option(
            metavar="FRACTION",
            help="Fraction of examples used for validation (default: 0.1).",
            **PANEL,
        ),
    ] = None,
    test: Annotated[
        float | None,
        typer.Option(
            metavar="FRACTION",
            help="Fraction of examples used for the final test; 0 for none (default: 0.1).",
            **PANEL,
        ),
    ] = None,
    validation_data: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="Data of the validation split, in place of a fraction of --data.", **PANEL
        ),
    ] = None,
    validation_target: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="File of translations, if --validation-data is a file of sentences.", **PANEL
        ),
    ] = None,
    test_data: Annotated[
        pathlib.Path | None,
        typer.Option(help="Data of the test split, in place of a fraction of --data.", **PANEL),
    ] = None,
    test_target: Annotated[
        pathlib.Path | None,
        typer.Option(help="File of translations, if --test-data is a file of sentences.", **PANEL),
    ] = None,
    baseline: Annotated[
        bool | None,
        typer.Option(
            "--baseline/--no-baseline",
            help="Compare the result with a linear model (default: for texts and series, yes).",
            **PANEL,
        ),
    ] = None,
    variant: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Train a variant of the recipe, such as no_attention.", **_RECIPE
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Number of epochs: training.epochs (default for --data: by its size).",
            **_RECIPE,
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Batch size: training.batch_size.", **_RECIPE),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(metavar="RATE", help="Learning rate: optimizer.learning_rate.", **_RECIPE),
    ] = None,
    class_weights: Annotated[
        str | None,
        typer.Option(
            metavar="WEIGHTS",
            help="balanced, so that rare classes count as much, or a table of weights, such as "
            "'{spam = 5.0}': training.class_weights.",
            **_RECIPE,
        ),
    ] = None,
    further_changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Another value of any key of the recipe, such as schedule.decay=linear; can be "
            "repeated.",
            **_RECIPE,
        ),
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Devices that share the training: none or one_device (one), mirrored (all of "
            "this machine), multi_worker (several machines, listed in the environment variable "
            "TF_CONFIG, or --workers) (default: none).",
            **_DISTRIBUTION,
        ),
    ] = None,
    devices: Annotated[
        str | None,
        typer.Option(
            metavar="DEVICES",
            help="Number of devices, or names: 2, or GPU:0,GPU:1 (default: all).",
            **_DISTRIBUTION,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=2, metavar="N", help="Start N workers on this machine.", **_DISTRIBUTION),
    ] = None,
    *,
    table: dict[str, Any],
) -> None:
    """Train an entry by its recipe on its data set, or on your own data with --data.

    Training starts from scratch, or from trained weights with --from. At its end the model is
    evaluated once on the test split. With --data it is saved as model.keras.

    On Ctrl-C and SIGTERM it writes a checkpoint, if a step was completed, and exits with status 130
    and 75; a second Ctrl-C stops at once. If another worker is lost, it exits with status 75 at
    once. The same command with --auto-resume continues.
    """
    entry = zoo.describe(name)
    label, dataset = f"{name}-{variant}" if variant else name, None
    task = describe_task(entry.recipe.task)
    changes = read_changes(
        further_changes or [],
        {
            "training.epochs": epochs,
            "training.batch_size": batch_size,
            "optimizer.learning_rate": learning_rate,
            "training.class_weights": class_weights,
            "initial_entry": initial_entry,
        },
        fixed=("task", "dataset") if table["data"] is not None else ("task",),
    )
    changed = shorten_warmup(entry.recipe, changes.values)
    with errors_by_option(changes.options):
        recipe = change_recipe(entry.recipe, changed)
    recipe.settings(variant)  # raises if there is no such variant
    seed = recipe.training.seeds[0] if seed is None else seed
    splits = {
        "validation": OwnSplit(validation, validation_data, validation_target),
        "test": OwnSplit(test, test_data, test_target),
    }
    check_table_options(name, task, table, **split_options(splits), baseline=baseline)
    check_splits(name, task, table, splits)
    if table["data"] is not None:
        check_without_table(data_dir=data_dir)
        label = f"{table['data'].resolve().stem}-{label}"
    folder = out or pathlib.Path("runs", f"{label}-seed{seed}")
    check_data_dir(data_dir)
    try:
        _check_before_import(folder, strategy, new=not (resume or auto_resume))
    except FileExistsError:
        check_table(task, table, recipe)  # mistakes in the data are reported first
        raise
    if workers is not None:
        _launch(workers, strategy, folder)
        return
    framework.start()
    from keras_attn import training
    from keras_attn.training import strategies

    # A strategy must be created before TensorFlow runs anything, such as the tokenization of texts.
    distribution = strategies.distribution(strategy or "none", _devices(devices)).strategy or "none"
    own_data = table["data"] is not None
    check_architecture(recipe, variant, changes.options)
    initial = None
    if recipe.initial_entry:
        check_initial_entry(name, recipe, variant, changes.options, own_data=own_data)
        initial = zoo.build(recipe.initial_entry)
    if own_data:
        if initial is not None:  # the entry's backbone is that of its own labels
            settings = {f"model.{key}": each for key, each in initial.backbone_settings().items()}
            recipe = change_recipe(recipe, {**settings, **changed})
        with errors_by_option(changes.options):
            recipe, dataset = _fit_to_table(recipe, task, table, splits, changed)
    if not (resume or (auto_resume and folder.exists())):
        _print_start(recipe, variant, own_data=own_data)
    with output.warnings_as_lines():
        run = training.train(
            recipe,
            folder,
            initial_model=initial,
            variant=variant,
            seed=seed,
            resume="auto" if auto_resume else resume,
            strategy=distribution,
            checkpoint_steps=checkpoint_steps,
            data_dir=data_dir,
            dataset=dataset,
            tensorboard=tensorboard,
            verbose=1 if sys.stdout.isatty() else 2,
        )
    if not run.record:
        return  # the chief reports
    with handling_signals(interrupts=True) as stop:
        stop.message = f" after training. The run in {run.folder} is complete."
        _report(run, task, dataset, baseline)


def _print_start(recipe: Recipe, variant: str | None, *, own_data: bool) -> None:
    """Print whether training starts from trained weights or from scratch, if there is a choice."""
    from keras_attn.zoo.initial import initial_entries

    if recipe.initial_entry:
        output.echo(
            f"Starts from the trained weights of {recipe.initial_entry!r}, with a new head."
        )
    elif own_data and initial_entries(recipe, variant, own_data=True):
        output.echo("Trains from scratch; --from ENTRY starts from trained weights.")


def _report(
    run: "Run", task: TaskDescription, dataset: "Dataset[Any] | None", baseline: bool | None
) -> None:
    """Print the results of a run; of a user's own data also save the model."""
    description, metrics = run.model.description, run.record["metrics"]
    output.print_metrics(description, metrics)
    if dataset is not None:
        for note in description.result_notes(metrics, dataset):
            output.echo(note)
    output.echo(f"Weights, logs and record: {run.folder}")
    if dataset is not None:
        _save_model(run, task, dataset, baseline)


def _save_model(
    run: "Run", task: TaskDescription, dataset: "Dataset[Any]", baseline: bool | None
) -> None:
    """Save a model of a user's own data, and compare it with a simpler method."""
    path = run.folder / MODEL_FILE
    with handling_signals() as stop:
        stop.message = (
            f" after training. The run in {run.folder} is complete; the same "
            f"command with --resume writes {MODEL_FILE}."
        )
        run.model.save(path)
        stop.message = f" after training. {path} is complete."
        command = f"keras-attn predict {shlex.quote(str(path))} {task.example_input}"
        output.echo(f"Use it: {command}")
        if baseline is False:
            return
        line = run.model.description.compare(run.model, dataset, run.record["metrics"])
        if line is None and baseline:
            line = f"No comparison: there is no baseline for {task.name}, or no test split."
        if line is not None:
            output.echo(line)


def _check_before_import(folder: pathlib.Path, strategy: str | None, *, new: bool) -> None:
    """Raise errors that `training.train` would raise after seconds of importing TensorFlow."""
    from keras_attn.training.strategies import STRATEGIES

    if strategy is not None and strategy not in STRATEGIES:
        raise ValueError(unknown("strategy", strategy, STRATEGIES))
    # Another worker of the same job may have begun to write.
    check_folder(folder, new=new and "TF_CONFIG" not in os.environ)


def _fit_to_table(
    recipe: Recipe,
    task: TaskDescription,
    table: dict[str, Any],
    splits: dict[str, OwnSplit],
    changes: dict[str, Any],
) -> tuple[Recipe, "Dataset[Any]"]:
    """Read and split a user's data, adapt the recipe to it, and print what was done."""
    from keras_attn import training

    assert task.table is not None
    content = read_table(task, table, recipe)
    options = read_splits(task, table, splits, recipe)
    with output.warnings_as_lines():
        try:
            dataset = task.table.split(content, **options)
        except ValueError as error:  # the account in the message has been printed already
            raise ValueError(str(error).removesuffix(f"\n{content.account}")) from error
    sizes = ", ".join(f"{len(split):,} {name}" for name, split in dataset.items())
    output.echo(f"Split: {sizes}.")
    recipe, notes = training.fit_recipe(recipe, dataset, changes=changes)
    for note in notes:
        output.echo(name_options(f"Note: {note}"))
    return recipe, dataset


def leave(error: BaseException) -> None:
    """Exit with the status of an error: its own if the same command with --resume can continue."""
    status = 1
    if isinstance(error, InterruptedTrainingError):
        status = error.status
    elif type(error).__name__ == "WorkerLostError":  # importing the class would import Keras
        status = TERMINATED
    elif "TF_CONFIG" not in os.environ:
        sys.exit(1)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # at a normal exit TensorFlow waits for other workers


def _launch(workers: int, strategy: str | None, folder: pathlib.Path) -> None:
    """Run this command again in several workers."""
    from keras_attn.training.launcher import launch

    if strategy not in (None, "multi_worker"):
        raise ValueError(
            f"--workers starts the workers of --strategy multi_worker. Received: {strategy!r}. "
            "Leave out one of the two options."
        )
    arguments = []
    remaining = iter(sys.argv[1:])
    for argument in remaining:
        if argument in ("--workers", "--strategy"):
            next(remaining)
        elif not argument.startswith(("--workers=", "--strategy=")):
            arguments.append(argument)
    command = [sys.executable, "-m", "keras_attn", *arguments, "--strategy", "multi_worker"]
    status = launch(command, workers, folder.with_name(f"{folder.name}-workers"))
    if status:
        sys.exit(status)


def _devices(text: str | None) -> int | list[str] | None:
    if text is None or text.isdecimal():
        return None if text is None else int(text)
    return [name.strip() for name in text.split(",")]
