"""The model that a command names: an entry of the zoo, or a file of your own."""

import pathlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keras_attn import loading, zoo
from keras_attn.recipes import TaskDescription, describe_task

if TYPE_CHECKING:
    from keras_attn.tasks import Task

SUFFIX = ".keras"

Model = Annotated[
    str, typer.Argument(help="An entry of the zoo, or a .keras file that a model's `save` wrote.")
]
Weights = Annotated[
    pathlib.Path | None,
    typer.Option(help="A .weights.h5 file to use in place of the entry's own."),
]


def open_model(name: str, weights: pathlib.Path | None = None) -> "Task":
    """Return the model of an entry, or of a `.keras` file that a model's `save` wrote.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: No entry has that name; the file is not such a model; or `weights` are
            given for it.
    """
    if not name.endswith(SUFFIX):
        return zoo.build(name, weights=weights or "zoo")
    if weights is not None:
        raise ValueError(f"--weights is for entries of the zoo; {name} has weights of its own.")
    return loading.load(name)


def description_of(name: str) -> TaskDescription | None:
    """Return the task of an entry, before its weights are read; None for a file."""
    return None if name.endswith(SUFFIX) else describe_task(zoo.describe(name).recipe.task)


def check_options(
    name: str, task: TaskDescription, accepted: tuple[str, ...], options: dict[str, Any]
) -> dict[str, Any]:
    """Return the options that are given, if the task has them.

    Args:
        name: The model, for messages.
        task: Its task.
        accepted: The names of the options that the task has.
        options: The options by name; None where not given.

    Raises:
        ValueError: An option is given that the task does not have.
    """
    given = {key: value for key, value in options.items() if value is not None}
    for key in given:
        if key not in accepted:
            raise ValueError(
                f"--{key.replace('_', '-')} is not for {name}, which does {task.name}. Leave it "
                "out."
            )
    return given
