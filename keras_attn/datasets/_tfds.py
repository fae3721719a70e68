"""Reading of TensorFlow Datasets (TFDS) that are on disk."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np


class DatasetNotFoundError(FileNotFoundError):
    """A data set is not on disk. The message says where it was sought and how to get it."""


def tfds_folder(data_dir: str | os.PathLike[str] | None) -> pathlib.Path:
    """Return `data_dir`, or else the environment's `TFDS_DATA_DIR`, or `~/tensorflow_datasets`."""
    return pathlib.Path(
        data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    ).expanduser()


def find_file(
    title: str,
    folder: str,
    names: Sequence[str],
    data_dir: str | os.PathLike[str] | None,
    url: str = "",
) -> pathlib.Path:
    """Return the first of several files, or folders, that is on disk.

    Args:
        title: What the file holds, for the message.
        folder: Name of its folder, in `data_dir` or the folder of TensorFlow Datasets.
        names: Names of the file.
        data_dir: Folder of the file, or of its folder; None is that of TensorFlow Datasets.
        url: Address where it is published, for the message.

    Raises:
        DatasetNotFoundError: None of the files is on disk.
    """
    root = tfds_folder(data_dir)
    candidates = [root / folder] if data_dir is None else [root, root / folder]
    for candidate in candidates:
        for name in names:
            if (candidate / name).exists():
                return candidate / name
    source = f"Fetch the file from\n\n    {url}\n\ninto" if url else "Put the published file into"
    raise DatasetNotFoundError(
        f"{title} is not on disk. Looked for {', '.join(names)} in "
        f"{' and '.join(map(str, candidates))}. {source} {root / folder}, or give the folder that "
        "holds it as `data_dir`, or in TFDS_DATA_DIR."
    )


def is_prepared(name: str, folder: pathlib.Path) -> bool:
    """Return True if a folder of TFDS contains a prepared data set of that name."""
    # TFDS itself would query the network for a data set that is absent.
    return any(folder.glob(f"{name}/*/dataset_info.json")) or any(
        folder.glob(f"{name}/*/*/dataset_info.json")  # a data set with configurations
    )


def read_tfds(
    name: str,
    data_dir: str | os.PathLike[str] | None,
    split: str,
    *,
    alternative: str = "",
) -> dict[str, np.ndarray]:
    """Read a split. Nothing is ever downloaded.

    Args:
        name: Name of the data set in TFDS.
        data_dir: Folder of TFDS; None means `TFDS_DATA_DIR`, or `~/tensorflow_datasets`.
        split: Name of the split in TFDS.
        alternative: What `data_dir` may be instead of a folder, for the error message.

    Returns:
        The array of each feature, by name.

    Raises:
        DatasetNotFoundError: The data set is not in the folder.
        ImportError: The package tensorflow-datasets is not installed.
    """
    folder = tfds_folder(data_dir)
    if not is_prepared(name, folder):
        where = f", data_dir={str(folder)!r}" if data_dir is not None else ""
        raise DatasetNotFoundError(
            f"The data set {name!r} is not in {folder}. On a machine with internet access "
            f"fetch it once, with\n\n"
            f"    python -c \"import tensorflow_datasets as t; t.load('{name}'{where})\"\n\n"
            f"and copy {folder / name} to this machine if it is another one; or give the "
            "folder that holds it as `data_dir`, or in TFDS_DATA_DIR"
            f"{alternative and ', '}{alternative}."
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
