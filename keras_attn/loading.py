"""Load saved models: `.keras` files, folders, and models of the Hugging Face Hub."""

import json
import os
import pathlib
import zipfile
from typing import TYPE_CHECKING

from keras_attn import _hub, _model_folders
from keras_attn._files import read_json_object

if TYPE_CHECKING:
    from keras_attn.recipes import TaskDescription
    from keras_attn.tasks import Task

SUFFIX = ".keras"


def is_saved(name: str | os.PathLike[str]) -> bool:
    """Return whether `load` would read a name: a file, a folder or a repository of a hub.

    Example:

    >>> is_saved("model.keras"), is_saved("hf://owner/name"), is_saved("cifar10_attention_net")
    (True, True, False)
    """
    return isinstance(name, str | os.PathLike) and (
        _hub.is_hub_name(name)
        or os.fspath(name).endswith(SUFFIX)
        or _model_folders.is_model_folder(pathlib.Path(name))
    )


def load(path: str | os.PathLike[str], *, sha256: str | None = None) -> "Task":
    """Load a task model from a `.keras` file, a folder, or the Hugging Face Hub.

    All layers, models and tasks of this package are imported, so that their classes are
    registered with Keras. Nothing is unpickled, and no code that was saved is executed.

    Args:
        path: A `.keras` file that `save` of a model wrote; a folder that `save_to_preset` wrote;
            or `"hf://owner/name"` for such a folder on the Hugging Face Hub, with `@revision` for
            a commit, a tag or a branch. Without a revision it is the newest commit; the log
            names it, and how to load the same again.
        sha256: The SHA-256 that the `.keras` file, or `manifest.json` of the folder, must have.
            The manifest has the digests of all other files.

    Raises:
        FileNotFoundError: There is no such file, folder, repository or revision.
        ValueError: A file is damaged, cannot be read or has another SHA-256, holds a model that is
            not a `Task` or a class that is not registered, or holds weights that are NaN or
            infinite.
        ImportError: `huggingface_hub` or `safetensors` is needed and not installed.
        OSError: The model cannot be downloaded.

    Example:

    >>> import pathlib, tempfile
    >>> import keras_attn
    >>> path = pathlib.Path(tempfile.mkdtemp(), "model.keras")
    >>> keras_attn.zoo.build("shapes_small_attention_cnn").save(path)
    >>> keras_attn.load(path).label_names
    ('red', 'green', 'blue', 'yellow')
    """
    folder = _local_folder(path, sha256)
    if folder is None:
        path = _check_file(path)
        if sha256 is not None:
            _model_folders.check_digest(path, sha256)
    import keras

    from keras_attn import layers, models, tasks
    from keras_attn.recipes import describe_task, list_tasks
    from keras_attn.tasks._adaptation import restart_lora
    from keras_attn.tasks.finite import check_finite
    from keras_attn.tasks.preset_reading import read_preset

    del layers, models  # imported only to register their classes
    for name in list_tasks():
        describe_task(name).model_class()
    if folder is not None:
        model = read_preset(folder, sha256)
        restart_lora(model)
        return model
    path = pathlib.Path(path)
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
    restart_lora(model)
    return model


def saved_task(path: str | os.PathLike[str]) -> "TaskDescription | None":
    """Return the task of a saved model from its configuration, without importing Keras.

    Args:
        path: See `load`.

    Returns:
        The description, or None if no registered task has a model of that class.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file cannot be read. For models of a hub see `load`.
    """
    from keras_attn.recipes import describe_task, list_tasks

    if (folder := _local_folder(path)) is not None:
        file = folder / _model_folders.CONFIG_FILE
        saved_class = read_json_object(file).get("class_name")
    else:
        file = _check_file(path)
        try:
            with zipfile.ZipFile(file) as archive:
                saved_class = json.loads(archive.read("config.json"))["class_name"]
        except (ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile) as error:
            raise _unreadable(file, error) from error
    for name in list_tasks():
        model = describe_task(name).model
        known = model.partition(":")[2] if isinstance(model, str) else model.__name__
        if known == saved_class:
            return describe_task(name)
    return None


def _local_folder(path: str | os.PathLike[str], sha256: str | None = None) -> pathlib.Path | None:
    """Return the folder of a model, downloaded if it is one of a hub; None for a file."""
    if isinstance(path, str) and _hub.is_hub_name(path):
        return _hub.download(path, sha256)
    folder = pathlib.Path(path)
    return folder if folder.is_dir() else None


def _check_file(path: str | os.PathLike[str]) -> pathlib.Path:
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no model file {str(path)!r}. Give a file that `save` of a model wrote, or "
            "`keras-attn train --data`; a folder that `save_to_preset` wrote; or hf://owner/name. "
            "Models of `keras-attn list` are built by their name."
        )
    return path


def _unreadable(path: pathlib.Path, error: Exception) -> ValueError:
    reason = " ".join(str(error).split())[:500]
    return ValueError(f"{path} cannot be read as a Keras model: {reason}")
