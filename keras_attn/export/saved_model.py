"""SavedModels of plain TensorFlow ops, from any function of raw input.

This package does not depend on tasks: it takes a function, the layer that owns the function's
variables, and the signature. Tasks import it.
"""

import contextlib
import errno
import logging
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras

from keras_attn._errors import tensorflow_reason
from keras_attn._folders import check_new_folder
from keras_attn.export._tracing import changed_settings


def write_saved_model(
    path: str | os.PathLike[str],
    function: Callable[..., dict[str, Any]],
    owner: keras.layers.Layer,
    *,
    further: Mapping[str, tuple[Callable[..., dict[str, Any]], Mapping[str, Any]]] | None = None,
    files: Mapping[str, str | bytes] | None = None,
    **inputs: Any,
) -> pathlib.Path:
    """Write `function` as a SavedModel with the signatures `serving_default` and `serve`.

    The model is written to a temporary folder in the same directory, then renamed, so that
    `path` never holds an incomplete model.

    Args:
        path: Folder to write. It may exist if it is empty.
        function: Function from tensors of raw input to a dictionary of named tensors.
        owner: The layer whose variables the functions use.
        further: Functions of further signatures by name, each with the `tf.TensorSpec` of its
            arguments by name.
        files: Contents of further files of the folder, by their path in it, such as
            `"assets/model.json"`. TensorFlow ignores them.
        **inputs: `tf.TensorSpec` of each argument of `function`, by name.

    Returns:
        The folder's path.

    Raises:
        FileExistsError: `path` exists and is not an empty folder.
        OSError: The model cannot be written, for example because the disk is full. Nothing is
            left of it.
        RuntimeError: The Keras backend is not TensorFlow.
    """
    tf = import_tensorflow()
    path = pathlib.Path(path).absolute()
    check_new_folder(path)
    module = tf.Module()
    module.variables_ = [variable.value for variable in owner.variables]

    def trace(function: Callable[..., dict[str, Any]], inputs: Mapping[str, Any]) -> Any:
        specs = {name: tf.TensorSpec(s.shape, s.dtype, name=name) for name, s in inputs.items()}
        return tf.function(function, autograph=False).get_concrete_function(**specs)

    # The operation of cuDNN cannot be served on a CPU.
    with changed_settings(owner, use_cudnn=False):
        concrete = trace(function, inputs)
        others = {name: trace(*each) for name, each in (further or {}).items()}
        module.serve = concrete  # a `tf.function` would be traced and written a second time
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            prefix = f".{path.name}-"
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=prefix) as folder:
                unfinished = pathlib.Path(folder, "model")
                signatures = {"serving_default": concrete, "serve": concrete, **others}
                with _disable_information(tf.get_logger()):
                    tf.saved_model.save(module, str(unfinished), signatures=signatures)
                _write_files(unfinished, files or {})
                if path.exists():
                    path.rmdir()
                unfinished.rename(path)
        except (OSError, tf.errors.OpError) as error:
            raise unwritten("SavedModel", path, error) from error
    return path


def _write_files(folder: pathlib.Path, files: Mapping[str, str | bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


def unwritten(what: str, path: pathlib.Path, error: BaseException) -> OSError:
    """Return the error to raise where a file or folder cannot be written.

    Args:
        what: Noun for what was to be written.
        path: Where it was to be written.
        error: The error of the operating system, or of TensorFlow.
    """
    reason = getattr(error, "strerror", None) or tensorflow_reason(error)
    number = getattr(error, "errno", None)
    if not number and os.strerror(errno.ENOSPC) in reason:  # an error of TensorFlow
        number, reason = errno.ENOSPC, os.strerror(errno.ENOSPC)
    number = number or errno.EIO
    return OSError(
        number,
        f"The {what} could not be written to {str(path)!r}, and nothing is left of it: {reason}. "
        "Free disk space, or choose another path.",
    )


@contextlib.contextmanager
def _disable_information(logger: logging.Logger) -> Iterator[None]:
    """Disable messages below warnings.

    In notebooks TensorFlow logs the folder that it writes, which is temporary here.
    """
    saved = logger.level
    try:
        logger.setLevel(max(saved, logging.WARNING))
        yield
    finally:
        logger.setLevel(saved)


def import_tensorflow() -> Any:
    """Import TensorFlow and return the module.

    Raises:
        RuntimeError: The Keras backend is not TensorFlow, which is needed to write SavedModels.
    """
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            "SavedModels are written by TensorFlow, and this process runs Keras on "
            f"{keras.backend.backend()!r}. Save the model, then load and export it in a process "
            "with KERAS_BACKEND=tensorflow."
        )
    import tensorflow as tf

    return tf
