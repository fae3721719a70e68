"""The model that a command names: an entry of the zoo, or a file of your own."""

import pathlib
import zipfile
from typing import TYPE_CHECKING, Annotated

import typer

from keras_attn import zoo

if TYPE_CHECKING:
    from keras_attn.tasks import ImageClassifier, Task, TextClassifier, Translator

SUFFIX = ".keras"
TASKS = {
    "ImageClassifier": "image_classification",
    "TextClassifier": "text_classification",
    "Translator": "translation",
}

Model = Annotated[
    str, typer.Argument(help="An entry of the zoo, or a .keras file that a model's `save` wrote.")
]
Weights = Annotated[
    pathlib.Path | None,
    typer.Option(help="A .weights.h5 file to use in place of the entry's own."),
]
TextFile = Annotated[
    pathlib.Path | None, typer.Option(help='A file with a text a line; "-": standard input.')
]


def open_model(name: str, weights: pathlib.Path | None = None) -> "Task":
    """The model of an entry, or of a `.keras` file that a model's `save` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no entry has that name; the file is not such a model; or `weights` are
            given for it.
    """
    if not name.endswith(SUFFIX):
        return zoo.build(name, weights=weights or "zoo")
    if weights is not None:
        raise ValueError(f"--weights is for entries of the zoo; {name} has weights of its own.")
    path = pathlib.Path(name)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no model file {name!r}. Give a file that `save` wrote, or an entry of "
            "`keras-attn list`."
        )
    import keras

    from keras_attn.tasks import ImageClassifier, TextClassifier, Translator

    try:
        model = keras.saving.load_model(path)
    except (ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"{name} cannot be read as a Keras model: {reason}") from error
    if not isinstance(model, ImageClassifier | TextClassifier | Translator):
        raise ValueError(
            f"{name} holds a {type(model).__name__}. It must be an ImageClassifier, a "
            "TextClassifier or a Translator of this package, as its `save` writes it."
        )
    return model


def open_classifier(
    name: str, weights: pathlib.Path | None, command: str
) -> "ImageClassifier | TextClassifier":
    """The model as `open_model` opens it, if it gives labels.

    Raises:
        FileNotFoundError, ValueError: as `open_model`; or it is a translator, which
            `command` is not for.
    """
    from keras_attn.tasks import Translator

    model = None if _task(name) == "translation" else open_model(name, weights)
    if model is None or isinstance(model, Translator):
        raise ValueError(
            f"{name} is a translator, and `{command}` is for models that give labels. See "
            "`keras-attn translate`, with --alignments for what it attends to."
        )
    return model


def open_translator(name: str, weights: pathlib.Path | None) -> "Translator":
    """The model as `open_model` opens it, if it translates.

    Raises:
        FileNotFoundError, ValueError: as `open_model`; or it does something else.
    """
    task = _task(name)
    if task in (None, "translation"):
        from keras_attn.tasks import Translator

        model = open_model(name, weights)
        if isinstance(model, Translator):
            return model
        task = TASKS[type(model).__name__]
    raise ValueError(
        f"{name} is no translator; it does {task}. See `keras-attn predict`, or choose one of "
        "`keras-attn list --task translation`."
    )


def _task(name: str) -> str | None:
    """What an entry does, before its weights are read; None of a file."""
    return None if name.endswith(SUFFIX) else zoo.describe(name).recipe.task
