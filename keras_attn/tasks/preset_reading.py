"""Load a task model from a folder that `Task.save_to_preset` wrote."""

import json
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from keras_attn import __version__
from keras_attn import _model_folders as folders
from keras_attn._files import read_json_object
from keras_attn._warnings import warn_user
from keras_attn.tasks._preset_weights import load_weights
from keras_attn.tasks.finite import check_finite
from keras_attn.tasks.task import Task

# Keras's classes and functions whose configuration holds code, or the path of a file with code.
_CODE = ("Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
_VALUES = re.compile(r"__\w+__")  # such as "__tuple__"


def read_preset(folder: pathlib.Path, sha256: str | None = None) -> Task:
    """Return the model of a folder, after checking its files.

    Nothing is unpickled, and no code of the folder is executed: classes that are neither Keras's
    nor registered are refused, and so are layers whose configuration is code.

    Args:
        folder: The folder.
        sha256: The SHA-256 that its `manifest.json` must have, or None.

    Raises:
        FileNotFoundError: The folder, its manifest or a file is missing.
        ValueError: A file is damaged or does not fit the others, the configuration needs a class
            that is not registered, or weights are not finite.
        ImportError: The weights are in a safetensors file, and safetensors is not installed.
    """
    files = folders.read_manifest(folder / folders.MANIFEST_FILE, sha256)
    folders.check_files(folder, files)
    metadata = read_json_object(folder / folders.METADATA_FILE)
    _warn_if_newer(metadata.get("library_version"), folder)
    model = _build(folder / folders.CONFIG_FILE)
    for file in type(model).asset_files:
        if file not in files:
            raise FileNotFoundError(
                f"{folder / folders.MANIFEST_FILE} does not list {file}, which a "
                f"{type(model).__name__} needs. Save the model again."
            )
    try:
        model.read_assets(folder)
        load_weights(model, folder / folders.weights_file(files))
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(f"{str(folder)!r} cannot be loaded: {error}") from error
    check_finite(model, folder / folders.weights_file(files))
    model.initialized_from = _origin(metadata)
    return model


def _build(path: pathlib.Path) -> Task:
    """Return the model of a configuration, with fresh weights."""
    config = read_json_object(path)
    registered = keras.saving.get_registered_object(config.get("registered_name"))
    if not (isinstance(registered, type) and issubclass(registered, Task)):
        raise ValueError(
            f"{path} is the configuration of {config.get('registered_name') or _name(config)!r}. "
            "It must be that of a task of this package, such as an ImageClassifier, or of a task "
            "of your own whose module is imported before."
        )
    try:
        _check_classes(config, path)
        # Keras's own check of the configuration is that of its safe mode.
        model = keras.models.model_from_json(json.dumps({**config, "compile_config": None}))
    except _UnsafeError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:500]
        raise ValueError(f"{path} cannot be read as the configuration of a model: {reason}") from (
            error
        )
    assert isinstance(model, Task)
    return model


class _UnsafeError(ValueError):
    """A configuration that needs code which is not registered."""


def _check_classes(config: Mapping[str, Any], path: pathlib.Path) -> None:
    """Raise unless all classes and functions of a configuration are Keras's or registered."""
    for entry in _objects(config):
        name = _name(entry)
        if name in _CODE:
            raise _UnsafeError(
                f"{path} holds a {name}, whose configuration is code, or a file with code: it is "
                "not loaded. Use a registered layer in its place, and save the model again."
            )
        if _VALUES.fullmatch(name):
            continue
        module, registered = str(entry.get("module")), entry.get("registered_name")
        if name == "function":
            name = str(entry.get("config"))
        if keras.saving.get_registered_object(registered or name) is not None:
            continue
        if module == "builtins" or module.partition(".")[0] == "keras":
            continue
        raise _UnsafeError(
            f"{path} needs {registered or name!r}, which is not registered here. If you trust the "
            "module that defines it, import the module before loading; its classes and functions "
            "must have the decorator keras.saving.register_keras_serializable. The folder itself "
            "holds no code."
        )


def _objects(config: Any) -> Iterator[Mapping[str, Any]]:
    """Yield what Keras would convert into an object, at any depth."""
    rest = [config]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            if "class_name" in value and "config" in value:
                yield value
            rest.extend(value.values())
        elif isinstance(value, list):
            rest.extend(value)


def _name(config: Mapping[str, Any]) -> str:
    return str(config.get("class_name"))


def _origin(metadata: Mapping[str, Any]) -> dict[str, Any] | None:
    origin = metadata.get("initialized_from")
    return origin if isinstance(origin, dict) else None


def _warn_if_newer(version: Any, folder: pathlib.Path) -> None:
    """Warn if a newer version of the library wrote a folder."""
    own, other = _numbers(__version__), _numbers(version)
    if other > own:
        warn_user(
            f"{str(folder)!r} was written by keras_attn {version}, and this is {__version__}: "
            "answers may differ. Update: pip install -U keras-attn."
        )


def _numbers(version: Any) -> tuple[int, ...]:
    """Return the leading numbers of a version; none if it is not one."""
    parts = re.findall(r"\d+", version)[:3] if isinstance(version, str) else []
    return tuple(map(int, parts))
