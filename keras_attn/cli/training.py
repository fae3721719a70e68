"""The command `keras-attn train`."""

import os
import pathlib
import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keras_attn import zoo
from keras_attn.cli import output
from keras_attn.cli.data_options import (
    PANEL,
    DataDir,
    check_table_options,
    check_without_table,
    read_table,
    with_data_options,
)
from keras_attn.cli.models import Entry
from keras_attn.recipes import Recipe, TaskDescription, describe_task

if TYPE_CHECKING:
    from keras_attn.datasets import Dataset

MODEL_FILE = "model.keras"
_DISTRIBUTION: dict[str, Any] = {"rich_help_panel": "Several devices and machines"}


@with_data_options
def train(
    name: Entry,
    out: Annotated[
        pathlib.Path | None,
        typer.Option(help="New folder for the run (default: runs/ENTRY-seedN)."),
    ] = None,
    variant: Annotated[
        str | None, typer.Option(help="Variant of the recipe, such as no_attention.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Random seed (default: the first of the recipe).")
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
        typer.Option(min=1, help="Also write a checkpoint every this many steps."),
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            help="none, one_device, mirrored or multi_worker, see TF_CONFIG (default: none).",
            **_DISTRIBUTION,
        ),
    ] = None,
    devices: Annotated[
        str | None,
        typer.Option(
            help="Number of devices, or names: 2, or GPU:0,GPU:1 (default: all).", **_DISTRIBUTION
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=2, help="Start this many workers on this machine.", **_DISTRIBUTION),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write TensorBoard logs.")
    ] = False,
    data_dir: DataDir = None,
    validation: Annotated[
        float | None,
        typer.Option(help="Fraction of rows used for validation (default: 0.1).", **PANEL),
    ] = None,
    test: Annotated[
        float | None,
        typer.Option(help="Fraction of rows used for the final test (default: 0.1).", **PANEL),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Number of epochs (default: by the size of the data).", **PANEL),
    ] = None,
    baseline: Annotated[
        bool,
        typer.Option(
            "--baseline/--no-baseline",
            help="Compare the result with a linear classifier, for texts.",
            **PANEL,
        ),
    ] = True,
    *,
    table: dict[str, Any],
) -> None:
    """Train an entry from scratch by its recipe, and evaluate it once on the test split.

    On SIGTERM it writes a checkpoint and exits with status 75. If another worker is lost, it
    exits with status 75 at once. The same command with --resume continues the run.
    """
    entry = zoo.describe(name)
    recipe, label, dataset = entry.recipe, f"{name}-{variant}" if variant else name, None
    task = describe_task(recipe.task)
    seed = recipe.training.seeds[0] if seed is None else seed
    check_table_options(name, task, table, validation=validation, test=test, epochs=epochs)
    if table["data"] is not None:
        check_without_table(data_dir=data_dir)
        label = f"{table['data'].stem}-{label}"
        fractions = {"validation": validation, "test": test}
        recipe, dataset = _fit_to_table(recipe, task, table, fractions, epochs)
    folder = out or pathlib.Path("runs", f"{label}-seed{seed}")
    if workers is not None:
        _launch(workers, strategy, folder)
        return
    from keras_attn import training

    initial = zoo.build(recipe.initial_entry) if recipe.initial_entry else None
    run = training.train(
        recipe,
        folder,
        initial_model=initial,
        variant=variant,
        seed=seed,
        resume="auto" if auto_resume else resume,
        strategy=strategy or "none",
        devices=_devices(devices),
        checkpoint_steps=checkpoint_steps,
        data_dir=data_dir,
        dataset=dataset,
        tensorboard=tensorboard,
        verbose=1 if sys.stdout.isatty() else 2,
    )
    if not run.record:
        return  # the chief reports
    output.print_metrics(task, run.record["metrics"])
    typer.echo(f"Weights, logs and record: {run.folder}")
    if dataset is not None:
        path = run.folder / MODEL_FILE
        run.model.save(path)
        typer.echo(f'Use it: keras-attn predict {shlex.quote(str(path))} "a text"')
        if baseline and (line := task.compare(run.model, dataset, run.record["metrics"])):
            typer.echo(line)


def _fit_to_table(
    recipe: Recipe,
    task: TaskDescription,
    table: dict[str, Any],
    fractions: dict[str, float | None],
    epochs: int | None,
) -> tuple[Recipe, "Dataset[Any]"]:
    """Read and split a user's table, adapt the recipe to it, and print what was done."""
    from keras_attn import training

    assert task.table is not None
    options = {name: value for name, value in fractions.items() if value is not None}
    dataset = task.table.split(read_table(task, table), **options)
    sizes = ", ".join(f"{len(split):,} {name}" for name, split in dataset.items())
    typer.echo(f"Split: {sizes}.")
    recipe, notes = training.fit_recipe(recipe, dataset, epochs)
    for note in notes:
        typer.echo(f"Note: {note}")
    return recipe, dataset


def leave(error: BaseException) -> None:
    """Exit with the status of an error: 75 if the same command with --resume can continue."""
    # Compared by name, because importing the classes would import Keras.
    can_resume = type(error).__name__ in ("InterruptedTrainingError", "WorkerLostError")
    if not can_resume and "TF_CONFIG" not in os.environ:
        sys.exit(1)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(75 if can_resume else 1)  # at a normal exit TensorFlow waits for other workers


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
