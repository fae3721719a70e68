"""Write a task model into a folder that can be uploaded to a hub of models."""

import json
import os
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

import keras

from keras_attn import __version__
from keras_attn import _model_folders as folders
from keras_attn._files import check_disk_space, fsync, write_text
from keras_attn._folders import is_new
from keras_attn.export import unwritten
from keras_attn.tasks._preset_card import check_metadata, model_card
from keras_attn.tasks._preset_weights import check_weights_format, write_weights
from keras_attn.tasks._saving import SaveableModel, without_compilation
from keras_attn.tasks.finite import check_finite


def write_preset(
    model: Any,
    preset_dir: str | os.PathLike[str],
    weights_format: str,
    license: str | None,  # noqa: A002
    tags: Sequence[str],
) -> pathlib.Path:
    """Write a model into a folder, see `Task.save_to_preset`."""
    check_weights_format(weights_format)
    check_metadata(license, tags)
    path = pathlib.Path(preset_dir).absolute()
    if not is_new(path):
        raise FileExistsError(
            f"`save_to_preset` writes a new folder, and {str(path)!r} exists and is not an empty "
            "folder. Choose another path, or remove it first."
        )
    has_vocabulary = type(model)._vocabulary is not SaveableModel._vocabulary
    if has_vocabulary and not model._is_adapted:
        raise ValueError(
            f"This {type(model).__name__} has no vocabulary, and a folder without one cannot be "
            "used. Call `adapt` on your training examples, and `fit`, before `save_to_preset`."
        )
    check_finite(model, f"This {type(model).__name__}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
            unfinished = pathlib.Path(folder, "model")
            unfinished.mkdir()
            # The HDF5 file and its copy as safetensors.
            check_disk_space(unfinished / "space", 2**20 + 2 * 4 * model.count_params())
            _write(model, unfinished, path.name, weights_format, license, tags)
            if path.exists():
                path.rmdir()
            unfinished.rename(path)
    except OSError as error:
        raise unwritten("model", path, error) from error
    return path


def _write(
    model: Any,
    folder: pathlib.Path,
    title: str,
    weights_format: str,
    license: str | None,  # noqa: A002
    tags: Sequence[str],
) -> None:
    # How the model is compiled is not part of it: a loss may be a function of the user's own.
    with without_compilation(model):
        config = {**keras.saving.serialize_keras_object(model), "compile_config": None}
        write_weights(model, folder, weights_format)
    write_text(folder / folders.CONFIG_FILE, json.dumps(config, indent=2, ensure_ascii=False))
    metadata = {
        **model.export_info(),
        "library": "keras_attn",
        "library_version": __version__,
        "keras_version": keras.__version__,
        "initialized_from": model.initialized_from,
    }
    write_text(folder / folders.METADATA_FILE, json.dumps(metadata, indent=2, ensure_ascii=False))
    model.write_assets(folder)
    card = model_card(model, title, license, tags)
    write_text(folder / folders.CARD_FILE, card)
    folders.write_manifest(folder)
    for path in folder.iterdir():
        fsync(path)
