"""Weights files: write them atomically, and digest their values."""

import hashlib
import math
import pathlib
from typing import Any

import keras
import numpy as np

from keras_attn._files import check_disk_space, replacing, sha256


def save_weights(model: keras.Model, path: pathlib.Path) -> None:
    """Write a `.weights.h5` file atomically.

    Raises:
        OSError: There is not enough disk space, or another error; the file is as it was before.
    """
    needed = 2**20 + 8 * sum(math.prod(variable.shape) for variable in model.weights)
    with replacing(path) as partial:
        check_disk_space(partial, needed)
        model.save_weights(partial)


def store_as_float16(path: pathlib.Path) -> None:
    """Convert the matrices and kernels in a weights file to float16, atomically.

    Arrays of fewer than two axes, such as biases and statistics of normalizations, keep their
    dtype, and so do arrays with values outside the range of float16. Keras loads the file into
    float32 variables.

    Raises:
        OSError: There is not enough disk space, or another error; the file is as it was before.
    """
    import h5py

    def copy(source: Any, target: Any) -> None:
        for key, value in source.attrs.items():
            target.attrs[key] = value
        for key, item in source.items():
            if isinstance(item, h5py.Group):
                copy(item, target.create_group(key))
                continue
            stored = target.create_dataset(key, data=_rounded(np.asarray(item[()])))
            for name, value in item.attrs.items():
                stored.attrs[name] = value

    with replacing(path) as partial:
        check_disk_space(partial, path.stat().st_size)
        with h5py.File(path, "r") as source, h5py.File(partial, "w") as target:
            copy(source, target)


def _rounded(array: np.ndarray) -> np.ndarray:
    """Return an array as float16 if `store_as_float16` converts it, otherwise unchanged."""
    if array.dtype != np.float32 or array.ndim < 2:
        return array
    largest = np.abs(array).max(initial=0.0)
    return array.astype("float16") if largest <= np.finfo("float16").max else array


def values_sha256(path: pathlib.Path) -> str:
    """Return the SHA-256 of the names, shapes, dtypes and values of the arrays in an HDF5 file.

    It is equal for equal weights. The SHA-256 of the file is not: HDF5 also stores the names of
    layers, which count the layers that the process has created.

    Raises:
        OSError: The file is missing, or is not an HDF5 file.
        ValueError: An array is not of numbers.
    """
    digest = hashlib.sha256()
    for name, value in _arrays(path).items():
        # In one byte order, so that the digest is the same on every machine.
        little_endian = value.astype(value.dtype.newbyteorder("<"))
        digest.update(f"{name} {value.shape} {little_endian.dtype.str}\n".encode())
        digest.update(little_endian.tobytes())
    return digest.hexdigest()


def has_digest(path: pathlib.Path, digest: object) -> bool:
    """Return whether a weights file has the `weights_sha256` of a record.

    Records of version 0.1 hold the SHA-256 of the file, later ones that of its values. Either is
    accepted. A file that is missing or damaged has neither.
    """
    try:
        return digest in (sha256(path), values_sha256(path))
    except (OSError, ValueError, KeyError, RuntimeError):
        return False


def non_finite(path: pathlib.Path) -> list[str]:
    """Return the names of the arrays of an HDF5 file that hold NaN or infinity."""
    return [name for name, value in _arrays(path).items() if not np.isfinite(value).all()]


def _arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Return the arrays of an HDF5 file by name, sorted."""
    import h5py

    arrays: dict[str, np.ndarray] = {}

    def add(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            if item.dtype.kind not in "biuf":
                raise ValueError(f"{path}: {name} is not an array of numbers.")
            arrays[name] = np.asarray(item[()])

    with h5py.File(path, "r") as file:
        file.visititems(add)
    return dict(sorted(arrays.items()))
