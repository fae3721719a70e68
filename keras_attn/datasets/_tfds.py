"""Reading a split of TensorFlow Datasets that is on disk, and saying so when it is not."""

import os
import pathlib
from typing import Any

import numpy as np


class DatasetNotFoundError(FileNotFoundError):
    """A data set is not on disk; the message says where it was sought and how to get it."""


def tfds_folder(data_dir: str | os.PathLike[str] | None) -> pathlib.Path:
    """`data_dir`, or else `TFDS_DATA_DIR` of the environment, or `~/tensorflow_datasets`."""
    return pathlib.Path(
        data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    ).expanduser()


def is_prepared(name: str, folder: pathlib.Path) -> bool:
    """Whether a data set is in a folder of TFDS.

    Looked for by hand: asked for a data set that is absent, tfds goes to the network.
    """
    return any(folder.glob(f"{name}/*/dataset_info.json")) or any(
        folder.glob(f"{name}/*/*/dataset_info.json")  # a data set with configurations
    )


def read_tfds(
    name: str,
    data_dir: str | os.PathLike[str] | None,
    split: str,
    *,
    otherwise: str = "",
) -> dict[str, np.ndarray]:
    """The arrays of a split, by the names of its features. Never downloads.

    Args:
        name: the data set's name in TFDS.
        data_dir: folder of TFDS; None is `TFDS_DATA_DIR`, or `~/tensorflow_datasets`.
        split: the split's name in TFDS.
        otherwise: what else may be given as `data_dir`, for the advice.

    Raises:
        DatasetNotFoundError: the data set is not in the folder.
        ImportError: tensorflow-datasets is not installed.
    """
    folder = tfds_folder(data_dir)
    if not is_prepared(name, folder):
        where = f", data_dir={str(folder)!r}" if data_dir is not None else ""
        raise DatasetNotFoundError(
            f"The data set {name!r} is not in {folder}. On a machine with internet access "
            f"fetch it once, with\n\n"
            f"    python -c \"import tensorflow_datasets as t; t.load('{name}'{where})\"\n\n"
            f"and copy {folder / name} to this machine if it is another one; or give the "
            "folder that holds it as `data_dir` (--data-dir, TFDS_DATA_DIR)"
            f"{otherwise and ', '}{otherwise}."
        )
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ImportError(
            f"Reading {name!r} needs tensorflow-datasets: pip install 'keras-attn[train]'. "
            f"The import failed with: {error}"
        ) from error
    arrays: Any = tfds.as_numpy(
        tfds.load(name, split=split, data_dir=str(folder), batch_size=-1, download=False)
    )
    return dict(arrays)
