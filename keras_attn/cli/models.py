"""Locate the model of a command: an entry of the zoo, or a `.keras` file."""

import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keras_attn import loading, zoo
from keras_attn.recipes import TaskDescription, describe_task

if TYPE_CHECKING:
    from keras_attn.tasks import Task

SUFFIX = ".keras"

Entry = Annotated[
    str, typer.Argument(metavar="ENTRY", help="Entry of the zoo, see `keras-attn list`.")
]
Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="Entry of the zoo, or a .keras file that `save` of a model wrote."
    ),
]
Weights = Annotated[
    pathlib.Path | None,
    typer.Option(help="Weights file (.weights.h5) to use instead of the entry's own."),
]


def locate(
    name: str, weights: pathlib.Path | None = None
) -> "tuple[TaskDescription, Callable[[], Task]]":
    """Return the task of a model, and a function that returns the model.

    The task of an entry is known from its recipe, so that mistakes are reported before weights
    are loaded. The task of a `.keras` file is known only after loading it.

    Args:
        name: An entry, or the path of a `.keras` file that `save` of a model wrote.
        weights: Weights file to use instead of the entry's own.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: No entry has that name; the file holds no task model; or `weights` are passed
            for a file. The returned function raises the errors of `keras_attn.zoo.build`.
    """
    if not name.endswith(SUFFIX):
        task = describe_task(zoo.describe(name).recipe.task)
        return task, lambda: zoo.build(name, weights=weights or "zoo")
    if weights is not None:
        raise ValueError(f"--weights is for entries of the zoo; {name} has weights of its own.")
    model = loading.load(name)
    return model.description, lambda: model


def check_options(
    name: str, task: TaskDescription, accepted: tuple[str, ...], **options: Any
) -> dict[str, Any]:
    """Return the options that were passed, and raise if the task does not accept one.

    Args:
        name: The model, for messages.
        task: Its task.
        accepted: Names of the options that the task accepts.
        **options: The options by name; None for options that were not passed.

    Raises:
        ValueError: An option is passed that the task does not accept.
    """
    passed = {key: value for key, value in options.items() if value is not None}
    for key in passed:
        if key not in accepted:
            raise ValueError(
                f"--{key.replace('_', '-')} is not for {name}, which does {task.name}. Leave it "
                "out."
            )
    return passed
