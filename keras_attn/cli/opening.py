"""The model that a command names: an entry of the zoo, or a file of your own."""

import pathlib
import zipfile
from typing import TYPE_CHECKING

from keras_attn import zoo

if TYPE_CHECKING:
    from keras_attn.tasks import ImageClassifier, TextClassifier

SUFFIX = ".keras"


def open_model(
    name: str, weights: pathlib.Path | None = None
) -> "ImageClassifier | TextClassifier":
    """The model of an entry, or of a `.keras` file that a classifier's `save` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no entry has that name; the file is not such a model; or `weights` are
            given for it.
    """
    if not name.endswith(SUFFIX):
        return zoo.build(name, weights=weights or "zoo")
    if weights is not None:
        raise ValueError(f"--weights is for entries of the zoo; {name} has weights of its own.")
    path = pathlib.Path(name)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no model file {name!r}. Give a file that `save` wrote, or an entry of "
            "`keras-attn list`."
        )
    import keras

    from keras_attn.tasks import ImageClassifier, TextClassifier

    try:
        model = keras.saving.load_model(path)
    except (ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"{name} cannot be read as a Keras model: {reason}") from error
    if not isinstance(model, ImageClassifier | TextClassifier):
        raise ValueError(
            f"{name} holds a {type(model).__name__}. It must be an ImageClassifier or a "
            "TextClassifier of this package, as its `save` writes it."
        )
    return model
