"""The command `keras-attn train`."""

import os
import pathlib
import sys
from typing import Annotated, Any

import typer

from keras_attn import zoo
from keras_attn.cli import metrics, own_data

_SPREAD: dict[str, Any] = {"rich_help_panel": "Several devices and machines"}


def train(
    name: Annotated[str, typer.Argument(help="An entry of the zoo, see `keras-attn list`.")],
    out: Annotated[
        pathlib.Path | None, typer.Option(help="Folder of the run; default runs/NAME-seedN.")
    ] = None,
    variant: Annotated[str | None, typer.Option(help="Train this variant of the recipe.")] = None,
    seed: Annotated[int | None, typer.Option(help="Default: the recipe's first.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the run's last checkpoint.")] = False,
    auto_resume: Annotated[
        bool, typer.Option(help="Go on if there is a checkpoint, start afresh if not.")
    ] = False,
    checkpoint_steps: Annotated[
        int | None,
        typer.Option(min=1, help="Also write a checkpoint after so many steps; default: epochs."),
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            help="none, one_device, mirrored, or multi_worker (by TF_CONFIG); default: none.",
            **_SPREAD,
        ),
    ] = None,
    devices: Annotated[
        str | None,
        typer.Option(help="How many, or which: 2, or GPU:0,GPU:1; default: all.", **_SPREAD),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=2, help="Start so many workers on this machine, for trial.", **_SPREAD),
    ] = None,
    tensorboard: Annotated[bool, typer.Option(help="Also write TensorBoard logs.")] = False,
    data_dir: own_data.DataDir = None,
    data: own_data.Data = None,
    data_target: own_data.DataTarget = None,
    text_column: own_data.TextColumn = None,
    label_column: own_data.LabelColumn = None,
    source_column: own_data.SourceColumn = None,
    target_column: own_data.TargetColumn = None,
    delimiter: own_data.Delimiter = None,
    encoding: own_data.Encoding = None,
    validation: Annotated[
        float | None, typer.Option(help="Fraction to choose by; default: 0.1.", **own_data.PANEL)
    ] = None,
    test: Annotated[
        float | None,
        typer.Option(help="Fraction to measure by at the end; default: 0.1.", **own_data.PANEL),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Default: those of the recipe.", **own_data.PANEL)
    ] = None,
) -> None:
    """Train an entry from scratch by its recipe, and evaluate it once on the test split.

    On SIGTERM it writes a checkpoint, and ends with status 75; so it does without one where
    another worker is lost. The same command with --resume goes on.
    """
    own: dict[str, Any] = {
        "data_target": data_target,
        "text_column": text_column,
        "label_column": label_column,
        "source_column": source_column,
        "target_column": target_column,
        "delimiter": delimiter,
        "encoding": encoding,
        "validation": validation,
        "test": test,
    }
    entry = zoo.describe(name)
    recipe, label, dataset = entry.recipe, f"{name}-{variant}" if variant else name, None
    seed = recipe.training.seeds[0] if seed is None else seed
    own_data.check_options(name, recipe.task, {**own, "epochs": epochs}, data is not None)
    if data is not None:
        own_data.check_alone(data_dir=data_dir)
        label = f"{data.stem}-{label}"
        dataset = own_data.open_data(recipe, data, **own)
        recipe = own_data.fitted(recipe, dataset, epochs)
    folder = out or pathlib.Path("runs", f"{label}-seed{seed}")
    if workers is not None:
        _launch(workers, strategy, folder)
        return
    from keras_attn import training

    run = training.train(
        recipe,
        folder,
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
        return  # the chief tells
    metrics.print_metrics(run.record["metrics"])
    typer.echo(f"Weights, logs and record: {run.folder}")
    if data is not None:
        own_data.write_model(run)


def leave(error: BaseException) -> None:
    """End the process with the status of an error: 75 where the same command may go on."""
    # By name: nothing here should wait for Keras, or fail where it is missing.
    again = type(error).__name__ in ("InterruptedTrainingError", "WorkerLostError")
    if not again and "TF_CONFIG" not in os.environ:
        sys.exit(1)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(75 if again else 1)  # TensorFlow would wait for the other workers


def _launch(workers: int, strategy: str | None, folder: pathlib.Path) -> None:
    """Run this command again, as so many workers."""
    from keras_attn.training.launcher import launch

    if strategy not in (None, "multi_worker"):
        raise ValueError(
            f"--workers starts the workers of --strategy multi_worker. Received: {strategy!r}. "
            "Leave one of the two out."
        )
    arguments = []
    given = iter(sys.argv[1:])
    for argument in given:
        if argument in ("--workers", "--strategy"):
            next(given)
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
