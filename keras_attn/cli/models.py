"""Locate the model of a command: an entry of the zoo, or a saved model."""

import functools
import importlib.util
import pathlib
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keras_attn import _hub, datasets, loading, zoo
from keras_attn._folders import is_new
from keras_attn._names import unknown
from keras_attn.cli import framework
from keras_attn.recipes import TaskDescription, describe_task

if TYPE_CHECKING:
    from keras_attn.tasks import Task

MODEL_FILE = "model.keras"  # in the folder of a run on a user's own data
WEIGHTS_SUFFIX = ".h5"
_FLAGS = {"banned_words": "--banned-word"}  # options with another name than their argument
PLOT_SUFFIXES = (".png", ".svg", ".pdf", ".jpg")

Entry = Annotated[
    str, typer.Argument(metavar="ENTRY", help="Entry of the zoo, see `keras-attn list`.")
]
Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="Entry of the zoo, a .keras file that `save` of a model wrote, a folder that "
        "`save_to_preset` wrote, the folder of a run of `train --data`, or hf://OWNER/NAME of the "
        "Hugging Face Hub, with @REVISION for a commit, a tag or a branch.",
    ),
]
Weights = Annotated[
    pathlib.Path | None,
    typer.Option(help="Weights file (.weights.h5) to use instead of the entry's own."),
]


def find_model(name: str) -> str:
    """Return the name of an entry, or of a saved model, also for the folder of a run.

    For a model of a hub, the name has the commit.

    Args:
        name: The argument MODEL of a command.

    Raises:
        FileNotFoundError: It is a folder without a model, or a path to nothing.
        ValueError: It is a file of weights.
    """
    path = pathlib.Path(name)
    if zoo.is_saved(name):
        return _hub.pin(name) if _hub.is_hub_name(name) else name
    if _is_entry(name):
        return name
    if name.endswith(WEIGHTS_SUFFIX):
        raise ValueError(
            f"{name!r} holds weights alone, no model. Give the entry that they belong to, and use "
            f"--weights with it: ENTRY --weights {shlex.quote(name)}."
        )
    if not path.is_dir():
        if len(path.parts) > 1:
            raise FileNotFoundError(
                f"There is no model {name!r}. Give an entry, a .keras file, or a folder that "
                "`save_to_preset` or `train --data` wrote. The current folder is "
                f"{str(pathlib.Path.cwd())!r}."
            )
        return name
    if (path / MODEL_FILE).is_file():
        return str(path / MODEL_FILE)
    remedy = (
        "Give a .keras file, a folder that `save_to_preset` or `train --data` wrote, or an entry."
    )
    if (weights := path / "model.weights.h5").is_file():
        remedy = (
            "Its run was on the data of an entry: give this entry, and use --weights with it: "
            f"ENTRY --weights {shlex.quote(str(weights))}."
        )
    raise FileNotFoundError(f"The folder {name!r} holds no {MODEL_FILE}. {remedy}")


def _is_entry(name: str) -> bool:
    try:
        zoo.describe(name)
    except ValueError:
        return False
    return True


def locate(
    name: str, weights: pathlib.Path | None = None
) -> "tuple[TaskDescription, Callable[[], Task]]":
    """Return the task of a model, and a function that returns the model.

    The task is known from the recipe of an entry, or from the configuration of a saved model, so
    that mistakes are reported before TensorFlow is imported. A model of a task that is not
    registered must be loaded first.

    Args:
        name: An entry, or what `keras_attn.load` reads.
        weights: Weights file to use instead of the entry's own.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: No entry has that name; the file holds no task model; or `weights` are passed
            for a file. The returned function raises the errors of `keras_attn.zoo.build`.
    """
    if not zoo.is_saved(name):
        entry = zoo.describe(name)
        return describe_task(entry.recipe.task), lambda: _build(name, weights)
    if weights is not None:
        raise ValueError(f"--weights is for entries of the zoo; {name} has weights of its own.")
    if (task := loading.saved_task(name)) is not None:
        return task, functools.cache(lambda: _load(name))
    model = _load(name)
    return model.description, lambda: model


def check_weights(entry: zoo.Entry, weights: pathlib.Path | None) -> None:
    """Raise an error if an entry has no trained weights, or the file `weights` does not exist."""
    path = entry.weights if weights is None else weights
    if not path.is_file():
        raise FileNotFoundError(f"There is no weights file {str(path)!r}.")


def _build(name: str, weights: pathlib.Path | None) -> "Task":
    check_weights(zoo.describe(name), weights)
    with framework.loading(name):
        return zoo.build(name, weights=weights or "zoo")


def _load(name: str) -> "Task":
    with framework.loading(name):
        return loading.load(name)


def check_label(name: str, label: str | None) -> None:
    """Raise ValueError if an entry has labels, and `label` is not one of them."""
    if label is None or zoo.is_saved(name):
        return
    label_names = datasets.describe_dataset(zoo.describe(name).recipe.dataset).label_names
    if label_names and label not in label_names:
        raise ValueError(unknown("label", label, label_names))


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
        ValueError: An option is passed that the task does not accept, or its value is impossible.
    """
    passed = {key: value for key, value in options.items() if value is not None}
    for key in passed:
        if key not in accepted:
            flag = _FLAGS.get(key, f"--{key.replace('_', '-')}")
            raise ValueError(f"{flag} is not for {name}, which does {task.name}. Leave it out.")
    task.check_options(passed)
    return passed


def check_plot(path: pathlib.Path) -> None:
    """Raise unless a plot can be written to a file.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: The name of the file does not end in that of a format.
        FileNotFoundError: The folder of the file does not exist.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError("Plots need matplotlib: pip install 'keras-attn[plots]'.")
    if path.suffix.lower() not in PLOT_SUFFIXES:
        raise ValueError(
            f"The name of a plot must end in {', '.join(PLOT_SUFFIXES)}. Received: {str(path)!r}."
        )
    check_parent(path)


def check_plots(name: str, task: TaskDescription, folder: pathlib.Path) -> None:
    """Raise unless pictures of the answers of a model can be written into a folder.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: The task has no pictures of answers.
        FileExistsError: The folder exists and is not empty.
    """
    if not task.draws_answers:
        raise ValueError(f"--plots is not for {name}, which does {task.name}. Leave it out.")
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError("Plots need matplotlib: pip install 'keras-attn[plots]'.")
    if not is_new(folder):
        raise FileExistsError(
            f"--plots writes a new folder, and {str(folder)!r} exists and is not an empty folder."
        )


def check_parent(path: pathlib.Path) -> None:
    """Raise FileNotFoundError unless the folder of a file to be written exists."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {str(path.parent)!r} for {path.name!r}.")
