"""Save tasks as `.keras` files."""

import contextlib
import hashlib
import json
import os
import pathlib
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Self

import keras
import numpy as np

from keras_attn._files import check_disk_space
from keras_attn.export import unwritten
from keras_attn.tasks._adaptation import adaptation_config, restore_adaptation, restore_trainable

ORIGIN_FILE = "origin.json"  # among the assets of a `.keras` file
VOCABULARY_DIGEST = "vocabulary_sha256"  # beside the variables of a model
UNUSED_OPTIMIZER = "unused_optimizer"  # in the configuration of `compile`


class SaveableModel(keras.Model):
    """A model that is saved whole: the base class of `Task`.

    The file holds the parts of the model with their weights and assets, the origin of a trained
    backbone, how the model is compiled, and the state of its optimizer if it has taken a step.

    Attributes:
        parts: Names of the constructor arguments that are Keras objects.
        initialized_from: Origin of the backbone's weights, or None.
    """

    parts: ClassVar[tuple[str, ...]] = ("network",)

    def __init__(self, *, initialized_from: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.initialized_from = initialized_from
        self._has_loaded_weights = False
        self._has_loaded_weights_file = False  # which holds no vocabulary
        self._loads_optimizer = False
        self._omits_compilation = False

    def get_config(self) -> dict[str, Any]:
        parts = {
            name: keras.saving.serialize_keras_object(getattr(self, name)) for name in self.parts
        }
        # `initialized_from` describes weights, so it is saved beside them: a model that is built
        # from the configuration has other weights. `frozen_layers` is saved here, because Keras
        # restores whether a layer is trainable, but not its sublayers, such as the
        # normalization in a block.
        layers = enumerate(self._flatten_layers())
        frozen = [index for index, layer in layers if not layer.trainable]
        return {
            **super().get_config(),
            **parts,
            "frozen_layers": frozen,
            **adaptation_config(self),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        parts = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in cls.parts
        }
        settings = {**config, **parts}
        names = ("quantized_layers", "lora_layers", "trainable_weights")
        adaptation = {name: settings.pop(name) for name in names if name in settings}
        frozen_layers = settings.pop("frozen_layers", None)
        model = cls(**settings)
        restore_adaptation(model, adaptation)
        layers = list(model._flatten_layers())
        if frozen_layers is None:  # before version 0.2: without the sublayers
            frozen = [layer for layer in layers if not layer.trainable]
        else:
            frozen = [layers[index] for index in frozen_layers]
        for layer in frozen:
            if hasattr(layer, "operations"):  # a functional model, whose layers have own configs
                continue
            layer.trainable = True  # TensorFlow ignores that False is set to False
            layer.trainable = False
        restore_trainable(model, adaptation)
        return model

    def save(self, filepath: str | os.PathLike[str], overwrite: bool = True, **kwargs: Any) -> None:
        """Save the complete model, as `keras.Model.save` does.

        The file is written beside `filepath` and then renamed, so that `filepath` never holds an
        incomplete model. An optimizer that has taken no step is saved without its state.

        Raises:
            OSError: The file cannot be written, for example because the disk is full. An earlier
                file is not changed.
            ValueError: `filepath` does not end in `.keras`. HDF5 files cannot hold a complete task.
        """
        _check_suffix(filepath)
        self._loads_optimizer = False
        if not _is_local_file(filepath, overwrite):
            super().save(filepath, overwrite=overwrite, **kwargs)
            return
        path = pathlib.Path(filepath).resolve()
        variables = [*self.variables, *(self.optimizer.variables if self._saves_optimizer else ())]
        try:
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as folder:
                unfinished = pathlib.Path(folder, path.name)
                check_disk_space(unfinished, 2**16 + sum(map(_bytes, variables)))
                super().save(unfinished, **kwargs)
                unfinished.replace(path)
        except OSError as error:
            raise unwritten("model", path, error) from error

    def save_assets(self, folder: str) -> None:
        """Write the origin of the backbone's weights, if the model has one."""
        if self.initialized_from is not None:
            origin = json.dumps(self.initialized_from)
            pathlib.Path(folder, ORIGIN_FILE).write_text(origin, encoding="utf-8")

    def load_assets(self, folder: str | None) -> None:
        """Read what `save_assets` wrote."""
        if folder is not None and (path := pathlib.Path(folder, ORIGIN_FILE)).is_file():
            self.initialized_from = json.loads(path.read_text(encoding="utf-8"))

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        if (digest := _digest(self._vocabulary)) is not None:
            store[VOCABULARY_DIGEST] = digest

    def load_own_variables(self, store: Any) -> None:
        names = list(store.keys())  # a store of Keras is no mapping
        variables = {name: store[name] for name in names}
        variables.pop(VOCABULARY_DIGEST, None)  # `load_weights` checks it
        super().load_own_variables(variables)
        self._has_loaded_weights = True

    @property
    def _vocabulary(self) -> Iterable[str]:
        """The words or subwords that the weights depend on, in the order of their ids."""
        return ()

    def load_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Load weights, as `keras.Model.load_weights` does.

        Raises:
            ValueError: The weights are of a model with another vocabulary.
        """
        own, stored = _digest(self._vocabulary), _stored_digest(filepath)
        if own is not None and stored is not None and not np.array_equal(own, stored):
            raise ValueError(
                f"The weights in {os.fspath(filepath)!r} are of a model with another vocabulary: "
                "the rows of the embeddings would be those of other words. Load a .keras file, "
                "which holds the vocabulary; or call `adapt` on the texts that their own model was "
                "adapted to."
            )
        # The state of an optimizer is loaded if there are variables for it.
        optimizer = getattr(self, "optimizer", None)
        self._loads_optimizer = optimizer is not None and optimizer.built
        super().load_weights(filepath, *args, **kwargs)
        self._has_loaded_weights_file = True
        self._loads_optimizer = False

    def get_compile_config(self) -> dict[str, Any]:
        if self._omits_compilation:
            return {}
        config = super().get_compile_config()
        return config if self._saves_optimizer or not config else {**config, UNUSED_OPTIMIZER: True}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        unused = config.get(UNUSED_OPTIMIZER, False)
        super().compile_from_config(
            {key: value for key, value in config.items() if key != UNUSED_OPTIMIZER}
        )
        self._loads_optimizer = not unused

    @property
    def _saves_optimizer(self) -> bool:
        """Return whether the file that is written or read has the state of the optimizer."""
        # Keras calls `dir` before these attributes are set.
        if getattr(self, "_omits_compilation", False):
            return False
        if getattr(self, "_loads_optimizer", False):
            return True
        optimizer = getattr(self, "optimizer", None)
        return optimizer is not None and optimizer.built and int(optimizer.iterations) > 0

    def __dir__(self) -> Iterable[str]:
        # Keras saves and loads the saveable attributes in `dir` by name, and each layer only
        # where it is first met. The layers of the network must be saved under "network", not
        # "backbone".
        hidden = {"backbone", "_backbone"}
        if not self._saves_optimizer:
            hidden.add("optimizer")
        return [name for name in super().__dir__() if name not in hidden]


@contextlib.contextmanager
def without_compilation(model: SaveableModel) -> Iterator[None]:
    """Save a model without how it is compiled, and without the state of its optimizer."""
    model._omits_compilation = True
    try:
        yield
    finally:
        model._omits_compilation = False


def _digest(vocabulary: Iterable[str]) -> np.ndarray | None:
    """Return the SHA-256 of a vocabulary as 32 bytes, or None if it is empty."""
    terms = list(vocabulary)
    if not terms:
        return None
    content = "\n".join(terms).encode("utf-8", errors="surrogatepass")
    return np.frombuffer(hashlib.sha256(content).digest(), "uint8")


def _stored_digest(path: Any) -> np.ndarray | None:
    """Return the digest of the vocabulary in a `.weights.h5` file, or None if it has none."""
    import h5py

    if not str(path).endswith(".h5") or not h5py.is_hdf5(path):  # Keras reports other files
        return None
    with h5py.File(path) as file:
        variables = file.get("vars", {})
        return variables[VOCABULARY_DIGEST][()] if VOCABULARY_DIGEST in variables else None


def _check_suffix(filepath: Any) -> None:
    """Raise ValueError for a path that does not end in `.keras`; other objects are Keras's."""
    if not isinstance(filepath, str | os.PathLike) or os.fspath(filepath).endswith(".keras"):
        return
    remedy = "export(...) writes a SavedModel"
    if os.fspath(filepath).endswith(".weights.h5"):
        remedy = "save_weights(...) writes the weights alone"
    raise ValueError(
        "`filepath` must end in .keras, the only format that holds vocabulary, labels and weights. "
        f"Received: {os.fspath(filepath)!r}. (model.{remedy}.)"
    )


def _is_local_file(filepath: Any, overwrite: bool) -> bool:
    """Return whether Keras would write this file without an error or a question to the user."""
    if not isinstance(filepath, str | os.PathLike):
        return False
    path = pathlib.Path(filepath)
    writable = path.suffix == ".keras" and path.parent.is_dir() and not path.is_dir()
    return writable and (overwrite or not path.exists())


def _bytes(variable: Any) -> int:
    itemsize = {
        "float64": 8,
        "int64": 8,
        "float16": 2,
        "bfloat16": 2,
        "bool": 1,
        "uint8": 1,
        "int8": 1,
    }
    size = 1
    for length in variable.shape:
        size *= length
    return size * itemsize.get(keras.backend.standardize_dtype(variable.dtype), 4)
