"""Weights of a model as an HDF5 or a safetensors file, checked before they are loaded."""

import pathlib
import tempfile
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_attn._model_folders import WEIGHTS_FILES
from keras_attn._wording import counted, listed

MAX_NAMES = 3  # of weights in a message


class ArrayInfo(NamedTuple):
    """Shape and dtype of an array in a file.

    Attributes:
        shape: The shape.
        dtype: The dtype as NumPy writes it, such as `"<f4"`.
    """

    shape: tuple[int, ...]
    dtype: str


def check_weights_format(weights_format: str) -> None:
    """Raise unless weights can be written in a format.

    Raises:
        ValueError: No such format is known.
        ImportError: safetensors is not installed.
    """
    if weights_format not in WEIGHTS_FILES:
        raise ValueError(
            f"`weights_format` must be {' or '.join(map(repr, WEIGHTS_FILES))}. Received: "
            f"{weights_format!r}."
        )
    if weights_format == "safetensors":
        _import_safetensors()


def write_weights(model: keras.Model, folder: pathlib.Path, weights_format: str) -> None:
    """Write the weights of a model into a folder.

    The arrays of a safetensors file have the names that Keras gives them in an HDF5 file, such as
    `layers/functional/layers/dense/vars/0`: places in the model, not names of layers.

    Raises:
        ValueError: safetensors cannot hold the dtype of a weight.
    """
    path = folder / WEIGHTS_FILES["h5"]
    model.save_weights(path)
    if weights_format == "h5":
        return
    arrays = _read_hdf5(path)
    if unnamed := [name for name, array in arrays.items() if array.dtype.kind not in "biuf"]:
        raise ValueError(
            "weights_format='safetensors' is for weights of NumPy's dtypes. Received: "
            f"{listed(unnamed[:MAX_NAMES], 'weights')} in bfloat16. Pass weights_format='h5'."
        )
    _import_safetensors().save_file(
        arrays, folder / WEIGHTS_FILES["safetensors"], metadata={"format": "np"}
    )
    path.unlink()


def load_weights(model: keras.Model, path: pathlib.Path) -> None:
    """Load a file that `write_weights` wrote, after comparing all names, shapes and dtypes.

    Raises:
        ValueError: The file cannot be read, or does not fit the model, which is then unchanged.
        ImportError: The file is a safetensors file, and safetensors is not installed.
    """
    with tempfile.TemporaryDirectory() as folder:
        own = pathlib.Path(folder, WEIGHTS_FILES["h5"])
        model.save_weights(own)
        expected = _layout(own)
        if path.name == WEIGHTS_FILES["h5"]:
            _check_layout(expected, _layout(path), path)
            model.load_weights(path)
            return
        arrays = _read_safetensors(path)
        received = {name: ArrayInfo(a.shape, a.dtype.str) for name, a in arrays.items()}
        _check_layout(expected, received, path)
        _fill(own, arrays)
        model.load_weights(own)


def _check_layout(
    expected: dict[str, ArrayInfo], received: dict[str, ArrayInfo], path: pathlib.Path
) -> None:
    problems = []
    if missing := sorted(expected.keys() - received.keys()):
        problems.append(f"{_names(missing)} of the model missing")
    if further := sorted(received.keys() - expected.keys()):
        problems.append(f"{_names(further)} that the model does not have")
    for name in sorted(expected.keys() & received.keys()):
        if expected[name] != received[name]:
            problems.append(
                f"{name} of shape {received[name].shape} and dtype {received[name].dtype}, where "
                f"the model has {expected[name].shape} and {expected[name].dtype}"
            )
    if problems:
        more = f"; and {len(problems) - MAX_NAMES} more" if len(problems) > MAX_NAMES else ""
        raise ValueError(
            f"{path} does not fit the model of config.json beside it: "
            f"{'; '.join(problems[:MAX_NAMES])}{more}. Nothing was loaded. Save the model again."
        )


def _names(names: list[str]) -> str:
    more = ", ..." if len(names) > MAX_NAMES else ""
    return f"{counted(len(names), 'weight')} ({', '.join(names[:MAX_NAMES])}{more})"


def _layout(path: pathlib.Path) -> dict[str, ArrayInfo]:
    """Return the shape and dtype of every array in an HDF5 file, without reading any.

    Links to other files are not followed, and arrays whose values are in other files are refused.
    """
    import h5py

    layout: dict[str, ArrayInfo] = {}

    def add(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset):
            return
        if item.external or item.is_virtual:
            raise ValueError(f"{path} is refused: the values of {name} are in another file.")
        layout[name] = ArrayInfo(item.shape, item.dtype.str)

    try:
        with h5py.File(path, "r") as file:
            file.visititems(add)
    except (OSError, RuntimeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} cannot be read as an HDF5 file: {error}") from error
    return layout


def _read_hdf5(path: pathlib.Path) -> dict[str, np.ndarray]:
    import h5py

    with h5py.File(path, "r") as file:
        return {name: np.asarray(file[name][()]) for name in sorted(_layout(path))}


def _read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    library = _import_safetensors()
    from safetensors import SafetensorError

    try:
        return dict(library.load_file(path))
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as a safetensors file: {error}") from error


def _fill(path: pathlib.Path, arrays: dict[str, np.ndarray]) -> None:
    """Replace the values in an HDF5 file that has the same arrays."""
    import h5py

    with h5py.File(path, "r+") as file:
        for name, array in arrays.items():
            file[name][()] = array


def _import_safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "Weights in the format 'safetensors' need safetensors: pip install 'keras-attn[hub]'. "
            "weights_format='h5' needs no further package."
        ) from error
    return safetensors.numpy
