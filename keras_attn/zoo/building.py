"""From an entry to a task model with its weights."""

import hashlib
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from keras_attn import datasets
from keras_attn._names import unknown
from keras_attn.recipes.recipe import Recipe
from keras_attn.tasks import ImageClassifier, Task, TextClassifier, Translator, from_architecture
from keras_attn.training.checkpoint import VOCABULARY_FILE
from keras_attn.zoo import registry


class WeightsError(ValueError):
    """Weights that are damaged or do not fit; the message says which, and what to do."""


def build(
    name: str,
    weights: str | os.PathLike[str] | None = "zoo",
    *,
    label_names: Sequence[str] | None = None,
    text: Mapping[str, Any] | None = None,
    **overrides: Any,
) -> Task:
    """Build an entry's model: a Keras model, ready to fit, evaluate, save and export.

    A model of texts with fresh weights has no vocabulary, and a translator no subwords: give
    them by `adapt`.

    Args:
        name: an entry, see `keras_attn.zoo.list`.
        weights: `"zoo"` for those that come with the entry; a path of a `.weights.h5`
            file, of texts with its `vocabulary.txt` beside it; or None for fresh ones.
        label_names: labels of your own, for fresh weights; None are those of the data set.
            A translator has none.
        text: settings of how texts are read to change, such as `{"max_length": 200}`, see
            `keras_attn.text.NGramEncoder`; of a translator those of its recipe's `subwords`,
            see `keras_attn.recipes.recipe.Subwords`.
        **overrides: settings of the architecture to change, such as `attention="none"`.

    Returns:
        An `ImageClassifier`, a `TextClassifier` or a `Translator`, as the entry's task is.

    Raises:
        ValueError: no entry has that name; a setting is unknown or impossible; labels are
            given for the trained weights, or for a translator.
        WeightsError: the weights are missing, damaged, or do not fit the overrides.

    Example:

    >>> from keras_attn import zoo
    >>> model = zoo.build("cifar10_attention_net")
    >>> model.label_names[:2]
    ('airplane', 'automobile')
    """
    entry = registry.describe(name)
    recipe = entry.recipe
    if label_names is not None:
        _check_labels(name, recipe, label_names, weights)
    model = from_architecture(
        recipe.architecture,
        datasets.describe_dataset(recipe.dataset).label_names
        if label_names is None
        else label_names,
        text=_text_settings(name, recipe, text or {}),
        **{**recipe.model, **overrides},
    )
    if weights is None:
        return model
    own = weights == "zoo"
    path = entry.weights if own else pathlib.Path(weights)
    if not path.is_file():
        raise WeightsError(f"There is no weights file {path}.")
    if own:
        _check_digest(path, entry.results["weights"]["sha256"])
    if not isinstance(model, ImageClassifier):
        _read_vocabulary(model, path.with_name(VOCABULARY_FILE), entry.results if own else None)
    changed = [*overrides, *(["label_names"] if label_names else [])]
    expected = entry.results["weights"]["parameters"] if own else model.network.count_params()
    try:
        if model.network.count_params() != expected:
            raise ValueError(
                f"{model.network.count_params():,} parameters, where the file has {expected:,}"
            )
        model.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        reason = f"with {', '.join(changed)} changed" if changed else "as it is built"
        raise WeightsError(
            f"The weights {path} do not fit the model {name!r} {reason}: {error}. Pass "
            "weights=None for fresh weights, or leave its settings as they are."
        ) from error
    return model


def _check_labels(name: str, recipe: Recipe, label_names: Sequence[str], weights: Any) -> None:
    if recipe.task == "translation":
        raise ValueError(
            f"{name!r} translates, and has no labels. Leave `label_names` out. Received: "
            f"label_names={label_names!r}."
        )
    if weights == "zoo":
        raise ValueError(
            f"The trained weights of {name!r} know the labels of its data set. Pass weights=None "
            f"to train for labels of your own. Received: label_names={label_names!r}."
        )


def _text_settings(name: str, recipe: Recipe, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe's settings of how texts are read, with changes."""
    settings = recipe.encoder_settings
    if settings is None:
        return dict(changes)  # which a model of images refuses
    for key in changes:
        if key not in settings:
            raise ValueError(unknown(f"setting in `text` of {name!r}", key, settings))
    return {**settings, **changes}


def _read_vocabulary(
    model: TextClassifier | Translator, path: pathlib.Path, results: Mapping[str, Any] | None
) -> None:
    if not path.is_file():
        raise WeightsError(
            f"The weights of a model of texts need its vocabulary beside them: there is no {path}."
        )
    if results is not None:
        _check_digest(path, results["vocabulary"]["sha256"])
    try:
        model.read_vocabulary(path)
    except ValueError as error:
        raise WeightsError(f"The vocabulary does not fit the model: {error}") from error


def _check_digest(path: pathlib.Path, expected: str) -> None:
    with path.open("rb") as file:
        received = hashlib.file_digest(file, "sha256").hexdigest()
    if received != expected:
        raise WeightsError(
            f"The file {path} is damaged: its SHA-256 is {received}, and results.json says "
            f"{expected}. Restore the file (git checkout, or install the package again)."
        )
