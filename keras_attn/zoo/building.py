"""Build the task model of an entry, with its weights."""

import logging
import numbers
import os
import pathlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from keras_attn import datasets, loading
from keras_attn._files import sha256
from keras_attn._names import refuse_renamed, unknown
from keras_attn.recipes import Recipe, describe_task
from keras_attn.tasks import Task, from_architecture
from keras_attn.tasks._labels import LABEL_ARGUMENTS, normalize_label_names
from keras_attn.tasks.finite import check_finite
from keras_attn.zoo import registry

_log = logging.getLogger("keras_attn")


class WeightsError(ValueError):
    """Weights are damaged or do not fit; the message says which, and what to do."""


def build(
    name: str | os.PathLike[str],
    weights: str | os.PathLike[str] | None = "zoo",
    *,
    label_names: Sequence[str] | None = None,
    num_classes: int | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    new_head: bool | None = None,
    multi_label: bool = False,
    sha256: str | None = None,
    **overrides: Any,
) -> Task:
    """Build the model of an entry: a Keras model to fit, evaluate, save and export.

    It also loads models of the Hugging Face Hub, as `keras_attn.load` does:
    `build("hf://owner/name@revision")`.

    With your own labels and trained weights, the model keeps the trained backbone and its
    preprocessing, and gets a new head: fine-tune it with `fit`. The log names the new layers, and
    `model.initialized_from` records the origin of the backbone.

    A model with fresh weights has no vocabulary or statistics: call `adapt` first.

    Args:
        name: An entry, see `keras_attn.zoo.list`; or `"hf://owner/name"`, a folder or a file that
            `keras_attn.load` reads, with no argument but `sha256`.
        weights: `"zoo"` for the weights of the entry; the path of a `.weights.h5` file, for texts
            with its `vocabulary.txt` beside it; or None for fresh weights.
        label_names: Your own labels; None for those of the data set. A translator has no labels.
        num_classes: Number of labels, in place of `label_names`; they are named `"0"`, `"1"`, ...
        preprocessing: Settings of the preprocessing to change, such as `{"max_length": 200}` for
            texts: those of `keras_attn.text.NGramEncoder` and `initial_ratios`, see
            `keras_attn.tasks.TextClassifier`; or those of `keras_attn.tasks.Translator`.
        new_head: Whether the head is new, if there are labels of your own and `weights` is a
            path. None decides by the number of labels of the head in the file, which does not
            say their names: as many as `label_names`, or as the labels of the data set.
        multi_label: Whether a text may have several of your `label_names`, or none, see
            `keras_attn.tasks.MultiLabelTextClassifier`.
        sha256: See `keras_attn.load`. The files of entries are always checked.
        **overrides: Settings of the architecture to change, such as `attention="none"`.

    Returns:
        A model of the entry's task, such as a `keras_attn.tasks.ImageClassifier`.

    Raises:
        ValueError: No entry has that name; a setting is unknown or impossible; or labels are
            passed for a task that has none.
        WeightsError: The weights are missing, damaged, not finite, or do not fit the overrides.
        MemoryError: There is not enough memory for the weights.
        FileNotFoundError, OSError, ImportError: See `keras_attn.load`.

    Example:

    >>> from keras_attn import zoo
    >>> model = zoo.build("cifar10_attention_net")
    >>> model.label_names[:2]
    ('airplane', 'automobile')
    >>> mine = zoo.build("cifar10_attention_net", label_names=["cat", "dog"])
    >>> mine.initialized_from["entry"], mine.initialized_from["new_layers"]
    ('cifar10_attention_net', ['head'])
    """
    if registry.is_saved(name):
        arguments = {
            **({"weights": weights} if weights != "zoo" else {}),
            **{"label_names": label_names, "num_classes": num_classes},
            **{"preprocessing": preprocessing, "new_head": new_head},
            **({"multi_label": multi_label} if multi_label else {}),
            **overrides,
        }
        return _load_saved(name, sha256, arguments)
    name = os.fspath(name)
    if sha256 is not None:
        raise ValueError(
            "`sha256` is for models that are loaded from a folder or a hub; the files of entries "
            f"are always checked against their results.json. Received: sha256={sha256!r} for "
            f"{name!r}. Leave it out."
        )
    if new_head is not None and weights in ("zoo", None):
        raise ValueError(
            "`new_head` says what to do with the head in a weights file. Received: "
            f"new_head={new_head!r} with weights={weights!r}. Leave it out."
        )
    entry = registry.describe(name)
    refuse_renamed("build", overrides, LABEL_ARGUMENTS)
    labels = _requested_labels(entry, label_names, num_classes)
    if multi_label and labels is None:
        raise ValueError(
            "`multi_label` is for labels of your own: pass `label_names` too. Received: "
            f"multi_label={multi_label!r} without `label_names`."
        )
    recipe = entry.recipe
    settings = recipe.preprocessing if weights is not None else recipe.fresh_preprocessing
    arguments = _arguments(entry, settings, preprocessing or {}, overrides)
    dataset_labels = datasets.describe_dataset(entry.recipe.dataset).label_names
    own = {**arguments, "multi_label": True} if multi_label else arguments  # for own labels
    if labels is None or (labels == dataset_labels and not multi_label) or weights is None:
        model = _new(entry.recipe, dataset_labels if labels is None else labels, own)
        if weights is not None:
            _load(model, entry, weights, overrides)
        if weights == "zoo" and not (overrides or preprocessing):
            card = entry.folder / "README.md"
            model.set_published(
                entry.name, card.read_text(encoding="utf-8") if card.is_file() else ""
            )
        return model
    if weights != "zoo":
        whole = _with_own_head(entry, weights, dataset_labels, labels, own, new_head)
        if whole is not None:
            return whole
    trained = _new(entry.recipe, dataset_labels, arguments)
    digest = _load(trained, entry, weights, overrides)
    return _with_new_head(trained, entry, digest, labels, own)


def _load_saved(
    name: str | os.PathLike[str], sha256: str | None, arguments: Mapping[str, Any]
) -> Task:
    """Return a saved model, and raise ValueError if arguments for entries are passed."""
    if passed := [key for key, value in arguments.items() if value is not None]:
        raise ValueError(
            f"{str(name)!r} is a saved model, which is loaded as it is. Received: "
            f"{', '.join(passed)}. Leave them out; they are for entries, see "
            "keras_attn.list_models()."
        )
    return loading.load(name, sha256=sha256)


def _with_own_head(
    entry: registry.Entry,
    weights: str | os.PathLike[str],
    dataset_labels: Sequence[str],
    labels: Sequence[str],
    arguments: Mapping[str, Any],
    new_head: bool | None,
) -> Task | None:
    """Return a model with the backbone and the head of a file; None if the head must be new.

    Raises:
        WeightsError: The file may hold the weights of either model, or `new_head` is False and
            it does not fit.
    """
    if new_head:
        return None
    # A new head on the backbone of the entry keeps settings of that backbone.
    settings = _new(entry.recipe, dataset_labels, arguments).backbone_settings()
    error: WeightsError | None = None
    for backbone in [settings, {}] if settings else [{}]:
        model = _new(entry.recipe, labels, {**backbone, **arguments})
        try:
            with warnings.catch_warnings(action="ignore"):  # Keras's, of layers that do not fit
                _load(model, entry, weights, {"label_names": labels})
        except WeightsError as misfit:
            error = error or misfit
            continue
        if new_head is None and len(labels) == len(dataset_labels):
            raise WeightsError(
                f"The head in {weights} is for {len(labels)} labels, which may be yours or those "
                f"of {entry.recipe.dataset!r}: the file does not say their names. Pass "
                "new_head=False to use it for your labels, or new_head=True to keep the backbone "
                "alone."
            )
        return model
    if new_head is False and error is not None:
        raise error
    return None


def _with_new_head(
    trained: Task,
    entry: registry.Entry,
    digest: str,
    label_names: Sequence[str],
    arguments: Mapping[str, Any],
) -> Task:
    """Return a model with the backbone of a trained one, and a new head for other labels.

    Args:
        trained: The trained model.
        entry: Its entry.
        digest: SHA-256 of its weights file.
        label_names: The labels of the new model.
        arguments: The arguments of `from_architecture` that the trained model was built with.
    """
    model = _new(entry.recipe, label_names, {**trained.backbone_settings(), **arguments})
    new_layers = model.copy_backbone(trained)
    model.initialized_from = {
        "entry": entry.name,
        "weights_sha256": digest,
        "new_layers": new_layers,
    }
    _log.warning(
        "%s: the trained backbone is kept, and the head is new for %d labels (layers: %s). "
        "Train it with fit before use.",
        entry.name,
        len(label_names),
        ", ".join(new_layers),
    )
    return model


def _requested_labels(
    entry: registry.Entry, label_names: Sequence[str] | None, num_classes: int | None
) -> tuple[str, ...] | None:
    """Return the labels that the user requests, or None for those of the data set."""
    if label_names is None and num_classes is None:
        return None
    if label_names is not None and num_classes is not None:
        raise ValueError(
            "Give `label_names` or `num_classes`, not both. Received: "
            f"label_names={label_names!r}, num_classes={num_classes!r}."
        )
    if not datasets.describe_dataset(entry.recipe.dataset).label_names:
        task = entry.recipe.task
        raise ValueError(
            f"{entry.name!r} is for {task}, and has no labels. Leave `label_names` and "
            f"`num_classes` out. Received: {label_names!r}, {num_classes!r}."
        )
    if num_classes is not None:
        integer = isinstance(num_classes, numbers.Integral) and not isinstance(num_classes, bool)
        least = describe_task(entry.recipe.task).min_labels
        if not integer or num_classes < least:
            raise ValueError(
                f"`num_classes` must be an integer of at least {least}. Received: {num_classes!r}."
            )
        return tuple(map(str, range(num_classes)))
    return normalize_label_names(label_names)


def _arguments(
    entry: registry.Entry,
    settings: Mapping[str, Any],
    preprocessing: Mapping[str, Any],
    overrides: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the arguments of `from_architecture`, without the labels."""
    for key in preprocessing:
        if key not in settings:
            kind = f"setting in `preprocessing` of {entry.name!r}"
            raise ValueError(unknown(kind, key, settings))
    return {
        **entry.recipe.model,
        **overrides,
        "preprocessing": {**settings, **preprocessing},
    }


def _new(recipe: Recipe, label_names: Sequence[str], arguments: Mapping[str, Any]) -> Task:
    return from_architecture(recipe.architecture, label_names, **arguments)


def _load(
    model: Task,
    entry: registry.Entry,
    weights: str | os.PathLike[str],
    overrides: Mapping[str, Any],
) -> str:
    """Load the weights and assets of an entry, or those at a path.

    Returns:
        The SHA-256 of the weights file.
    """
    from_zoo = weights == "zoo"
    path = entry.weights if from_zoo else pathlib.Path(weights)
    if not path.is_file():
        raise WeightsError(f"There is no weights file {path}.")
    for file in type(model).asset_files:
        if not path.with_name(file).is_file():
            raise WeightsError(
                f"The weights of {entry.name!r} need {file} beside them: there is no "
                f"{path.with_name(file)}."
            )
        if from_zoo:
            _check_digest(path.with_name(file), _asset_digest(entry, file))
    if from_zoo:
        _check_digest(path, entry.results["weights"]["sha256"])
    try:
        model.read_assets(path.parent)
    except ValueError as error:
        files = ", ".join(type(model).asset_files)
        raise WeightsError(f"{files} does not fit the model: {error}") from error
    expected = entry.results["weights"]["parameters"] if from_zoo else model.network.count_params()
    try:
        if model.network.count_params() != expected:
            raise ValueError(
                f"{model.network.count_params():,} parameters, where the file has {expected:,}"
            )
        model.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        reason = f"with {', '.join(overrides)} changed" if overrides else "as it is built"
        raise WeightsError(
            f"The weights {path} do not fit the model {entry.name!r} {reason}: {error}. Pass "
            "weights=None for fresh weights, or leave its settings as they are."
        ) from error
    try:
        check_finite(model, f"The weights file {path}")
    except ValueError as error:
        raise WeightsError(str(error)) from error
    model.use_dataset_info(datasets.describe_dataset(entry.recipe.dataset))
    return sha256(path)


def _asset_digest(entry: registry.Entry, file: str) -> str:
    """Return the SHA-256 of an asset file that `results.json` holds."""
    stem = pathlib.Path(file).stem
    if stem not in entry.results:
        raise WeightsError(
            f"{entry.folder / 'results.json'} has no entry {stem!r}, for the file {file} that the "
            "weights need. Restore it (git checkout, or install the package again)."
        )
    return entry.results[stem]["sha256"]


def _check_digest(path: pathlib.Path, expected: str) -> None:
    received = sha256(path)
    if received != expected:
        raise WeightsError(
            f"The file {path} is damaged: its SHA-256 is {received}, and results.json says "
            f"{expected}. Restore the file (git checkout, or install the package again)."
        )
