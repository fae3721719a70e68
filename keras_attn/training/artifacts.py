"""Read and write the files of a trained model: its weights and its assets."""

import hashlib
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_attn.tasks import Task
from keras_attn.training.checkpoint import CheckpointError, Identity, save_weights, sha256

WEIGHTS_FILE = "model.weights.h5"
BEST_WEIGHTS_FILE = "best.weights.h5"  # those of the best epoch so far


def save(model: Task, folder: pathlib.Path) -> dict[str, str]:
    """Write a trained model's weights and assets into a folder.

    Returns:
        The SHA-256 of each file, under the keys of a record: `weights_sha256`, and the stem of
        each asset, such as `vocabulary_sha256`.
    """
    save_weights(without_optimizer(model), folder / WEIGHTS_FILE)
    model.write_assets(folder)
    return {key: sha256(folder / file) for key, file in _digest_keys(type(model).asset_files)}


def load(model: Task, folder: pathlib.Path) -> Task:
    """Return `model` with the weights and assets that `save` wrote."""
    model.read_assets(folder)
    model.load_weights(folder / WEIGHTS_FILE)
    return model


def load_best(model: Task, path: pathlib.Path) -> None:
    """Load the weights of the best epoch, at the end of training.

    Raises:
        CheckpointError: The file is missing or damaged, because it was removed or changed while
            the run was interrupted.
    """
    try:
        copy = without_optimizer(model)
        copy.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{path}, the weights of the best epoch, are missing or damaged: {error}. Restore the "
            "file, or start a new run."
        ) from error
    model.set_weights(copy.get_weights())


def copy_into(target: Task, source: Task, folder: pathlib.Path) -> Task:
    """Copy the weights and assets of `source` into `target`, and return `target`.

    The assets are written to `folder` on the way.
    """
    source.write_assets(folder)
    target.read_assets(folder)
    target.set_weights(source.get_weights())
    return target


def without_optimizer(model: Task) -> Task:
    """Return a copy without optimizer, so that the weights file holds the model's weights alone."""
    copy = type(model).from_config(model.get_config())
    copy.set_weights(model.get_weights())
    return copy


def weights_digest(model: Task) -> str:
    """Return the SHA-256 of the names, shapes, dtypes and values of a model's weights."""
    digest = hashlib.sha256()
    for weight in model.weights:
        value = np.asarray(weight)
        digest.update(f"{weight.path} {value.shape} {value.dtype.str}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def finished_record(
    folder: pathlib.Path, identity: Identity, asset_files: Sequence[str]
) -> dict[str, Any] | None:
    """Return the record of the run with this identity, or None if it has not finished.

    A run whose weights or assets are missing or damaged counts as not finished.
    """
    path = folder / "record.json"
    if not path.is_file():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    recorded = Identity(
        record["recipe_digest"], record["variant"], record["seed"], record["data"]["train_sha256"]
    )
    intact = all(
        (folder / file).is_file() and sha256(folder / file) == record.get(key)
        for key, file in _digest_keys(asset_files)
    )
    return record if recorded == identity and intact else None


def _digest_keys(asset_files: Sequence[str]) -> list[tuple[str, str]]:
    assets = [(f"{pathlib.Path(file).stem}_sha256", file) for file in asset_files]
    return [("weights_sha256", WEIGHTS_FILE), *assets]
