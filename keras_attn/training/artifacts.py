"""Read and write the files of a trained model: its weights and its assets."""

import pathlib
import tempfile
import warnings
from collections.abc import Sequence
from typing import Any

from keras_attn._files import read_json_object, sha256
from keras_attn.tasks import Task
from keras_attn.training.checkpoint import CheckpointError
from keras_attn.training.identity import Identity
from keras_attn.training.weights_files import has_digest, save_weights, values_sha256

WEIGHTS_FILE = "model.weights.h5"
BEST_WEIGHTS_FILE = "best.weights.h5"  # those of the best epoch, once training has ended


def save(model: Task, folder: pathlib.Path) -> dict[str, str]:
    """Write a trained model's weights and assets into a folder.

    Returns:
        Digests under the keys of a record: `weights_sha256`, see `values_sha256`; and the SHA-256
        of each asset file, such as `vocabulary_sha256`.
    """
    save_weights(without_optimizer(model), folder / WEIGHTS_FILE)
    model.write_assets(folder)
    assets = asset_keys(type(model).asset_files)
    return {
        "weights_sha256": values_sha256(folder / WEIGHTS_FILE),
        **{key: sha256(folder / file) for key, file in assets.items()},
    }


def load(model: Task, folder: pathlib.Path) -> Task:
    """Return `model` with the weights and assets that `save` wrote."""
    model.read_assets(folder)
    model.load_weights(folder / WEIGHTS_FILE)
    return model


def best_weights_path(folder: pathlib.Path, epoch: int) -> pathlib.Path:
    """Return the file for the weights of an epoch that is the best of a run in progress."""
    return folder / f"best-{epoch:05d}.weights.h5"


def remove_other_weights(folder: pathlib.Path, epoch: int | None) -> None:
    """Remove the weights of best epochs other than `epoch`; None removes all."""
    for path in folder.glob("best-*.weights.h5"):
        if epoch is None or path != best_weights_path(folder, epoch):
            path.unlink()


def finish_best_weights(folder: pathlib.Path, epoch: int | None) -> None:
    """Give the weights of the best epoch their final name, and remove the others."""
    if epoch is not None and best_weights_path(folder, epoch).is_file():
        best_weights_path(folder, epoch).replace(folder / BEST_WEIGHTS_FILE)
    remove_other_weights(folder, None)


def load_best(model: Task, folder: pathlib.Path) -> None:
    """Load the weights of the best epoch, at the end of training.

    Raises:
        CheckpointError: The file is missing or damaged, because it was removed or changed while
            the run was interrupted.
    """
    path = folder / BEST_WEIGHTS_FILE
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
    """Return the `weights_sha256` that a record of this model would hold."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, WEIGHTS_FILE)
        save_weights(without_optimizer(model), path)
        return values_sha256(path)


def finished_record(
    folder: pathlib.Path, identity: Identity, asset_files: Sequence[str]
) -> dict[str, Any] | None:
    """Return the record of the run with this identity, or None if it has not finished.

    A run whose record, weights or assets are missing or damaged counts as not finished. A warning
    names a damaged record.
    """
    path = folder / "record.json"
    if not path.is_file():
        return None
    try:
        record = read_json_object(path)
        recorded = Identity.from_record(record)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error) if str(path) in str(error) else f"{path} is damaged: {error!r}."
        warnings.warn(
            f"{reason} The run counts as not finished, and is finished from its last checkpoint.",
            stacklevel=2,
        )
        return None
    intact = has_digest(folder / WEIGHTS_FILE, record.get("weights_sha256")) and all(
        (folder / file).is_file() and sha256(folder / file) == record.get(key)
        for key, file in asset_keys(asset_files).items()
    )
    return record if intact and not recorded.differences(identity) else None


def asset_keys(asset_files: Sequence[str]) -> dict[str, str]:
    """Return the asset files by the keys of their digests in a record."""
    return {f"{pathlib.Path(file).stem}_sha256": file for file in asset_files}
