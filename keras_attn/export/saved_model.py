"""SavedModels of plain TensorFlow ops, from any function of raw input.

This room knows nothing of tasks: it is given a function, the layer that owns the
function's variables, and the signature. Tasks call it, and therefore stand above it.
"""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import keras


def write_saved_model(
    path: str | os.PathLike[str],
    function: Callable[..., dict[str, Any]],
    owner: keras.layers.Layer,
    **inputs: Any,
) -> pathlib.Path:
    """Write `function` as a SavedModel with the signatures `serving_default` and `serve`.

    The folder is written beside its final place and moved there when it is whole.

    Args:
        path: folder to write; it may exist if it is empty.
        function: from tensors of raw input to a dictionary of named tensors.
        owner: the layer whose variables `function` uses.
        **inputs: `tf.TensorSpec` of each argument of `function`, by name.

    Returns:
        The folder's path.

    Raises:
        FileExistsError: `path` exists and is not an empty folder.
        RuntimeError: the Keras backend is not TensorFlow.
    """
    tf = import_tensorflow()
    path = pathlib.Path(path).absolute()
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FileExistsError(
            f"Export writes a new folder, and {str(path)!r} exists and is not an empty folder. "
            "Choose another path (serving systems count versions: serving/1, serving/2), or "
            "remove it first."
        )
    module = tf.Module()
    module.variables_ = [variable.value for variable in owner.variables]
    specs = {name: tf.TensorSpec(s.shape, s.dtype, name=name) for name, s in inputs.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        _without_cudnn(owner),
        tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder,
    ):
        concrete = tf.function(function, autograph=False).get_concrete_function(**specs)
        module.serve = concrete  # a `tf.function` would be traced again, and written twice
        whole = pathlib.Path(folder, "model")
        signatures = {"serving_default": concrete, "serve": concrete}
        tf.saved_model.save(module, str(whole), signatures=signatures)
        if path.exists():
            path.rmdir()
        whole.rename(path)
    return path


@contextlib.contextmanager
def _without_cudnn(owner: keras.layers.Layer) -> Iterator[None]:
    """Within it recurrent layers do not use cuDNN, whose operation no CPU can serve."""
    layers = [layer for layer in owner._flatten_layers() if hasattr(layer, "use_cudnn")]
    before = [layer.use_cudnn for layer in layers]
    try:
        for layer in layers:
            layer.use_cudnn = False
        yield
    finally:
        for layer, was in zip(layers, before, strict=True):
            layer.use_cudnn = was


def import_tensorflow() -> Any:
    """The module `tensorflow`, which alone writes SavedModels.

    Raises:
        RuntimeError: the Keras backend is another.
    """
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            "SavedModels are written by TensorFlow, and this process runs Keras on "
            f"{keras.backend.backend()!r}. Save the model, then load and export it in a process "
            "with KERAS_BACKEND=tensorflow."
        )
    import tensorflow as tf

    return tf
