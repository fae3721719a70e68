"""Load saved models."""

import json
import os
import pathlib
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_attn.recipes import TaskDescription
    from keras_attn.tasks import Task


def load(path: str | os.PathLike[str]) -> "Task":
    """Load a task model from a `.keras` file that its `save` wrote.

    Calls `keras.saving.load_model` after importing all layers, models and tasks of this package,
    so that their classes are registered with Keras.

    Args:
        path: Path of the `.keras` file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file cannot be read, holds a model that is not a `Task`, or holds weights
            that are NaN or infinite.

    Example:

    >>> import pathlib, tempfile
    >>> import keras_attn
    >>> path = pathlib.Path(tempfile.mkdtemp(), "model.keras")
    >>> keras_attn.zoo.build("shapes_small_attention_cnn").save(path)
    >>> keras_attn.load(path).label_names
    ('red', 'green', 'blue', 'yellow')
    """
    path = _check_file(path)
    import keras

    from keras_attn import layers, models, tasks
    from keras_attn.recipes import describe_task, list_tasks
    from keras_attn.tasks.finite import check_finite

    del layers, models  # imported only to register their classes
    for name in list_tasks():
        describe_task(name).model_class()
    try:
        model = keras.saving.load_model(path)
    except (ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise _unreadable(path, error) from error
    if not isinstance(model, tasks.Task):
        raise ValueError(
            f"{path} holds a {type(model).__name__}. It must hold a task of this package, such as "
            "an ImageClassifier, written by its `save`. Load other models with "
            "keras.saving.load_model."
        )
    check_finite(model, path)
    return model


def saved_task(path: str | os.PathLike[str]) -> "TaskDescription | None":
    """Return the task of a `.keras` file from its configuration, without importing Keras.

    Returns:
        The description, or None if no registered task has a model of that class.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file cannot be read.
    """
    from keras_attn.recipes import describe_task, list_tasks

    path = _check_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            saved_class = json.loads(archive.read("config.json"))["class_name"]
    except (ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise _unreadable(path, error) from error
    for name in list_tasks():
        model = describe_task(name).model
        known = model.partition(":")[2] if isinstance(model, str) else model.__name__
        if known == saved_class:
            return describe_task(name)
    return None


def _check_file(path: str | os.PathLike[str]) -> pathlib.Path:
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no model file {str(path)!r}. Give a file that `save` of a model wrote, or "
            "`keras-attn train --data`. Models of `keras-attn list` are built by their name."
        )
    return path


def _unreadable(path: pathlib.Path, error: Exception) -> ValueError:
    reason = " ".join(str(error).split())[:500]
    return ValueError(f"{path} cannot be read as a Keras model: {reason}")
