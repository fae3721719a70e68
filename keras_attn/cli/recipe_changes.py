"""Changes of a recipe by options of `keras-attn train`, and errors that name these options."""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from keras_attn import zoo
from keras_attn.recipes import Recipe, RecipeError, parse_change

SHORTCUTS = {
    "training.epochs": "--epochs",
    "training.batch_size": "--batch-size",
    "optimizer.learning_rate": "--learning-rate",
    "training.class_weights": "--class-weights",
    "initial_entry": "--from",
}


class Changes(NamedTuple):
    """Changed keys of a recipe: the value of each key, and the option that set it, as typed."""

    values: dict[str, Any]
    options: dict[str, str]


def read_changes(
    changes: Sequence[str], shortcuts: Mapping[str, Any], fixed: Sequence[str]
) -> Changes:
    """Return the changes of a recipe.

    Args:
        changes: The values of `--set`.
        shortcuts: The values of the options in `SHORTCUTS` by key; None for options that were not
            passed.
        fixed: Keys that cannot be changed.

    Raises:
        RecipeError: A change has no key, a key is set twice, or it cannot be changed.
    """
    values = {key: value for key, value in shortcuts.items() if value is not None}
    options = {key: SHORTCUTS[key] for key in values}
    for change in changes:
        try:
            key, value = parse_change(change)
        except RecipeError as error:
            raise RecipeError(f"--set: {error}") from error
        if key in fixed:
            raise RecipeError(f"--set {key}: the entry and --data decide it. Leave it out.")
        if key in values:
            raise RecipeError(
                f"{options[key]} and --set {key} set the same key, to {values[key]!r} and "
                f"{value!r}. Give one."
            )
        values[key], options[key] = value, f"--set {key}"
    if isinstance(weights := shortcuts.get("training.class_weights"), str):
        # A table is written as in TOML, as with --set; the recipe refuses other strings.
        with contextlib.suppress(RecipeError):
            values["training.class_weights"] = parse_change(f"weights={weights}")[1]
    return Changes(values, options)


@contextlib.contextmanager
def errors_by_option(options: Mapping[str, str]) -> Iterator[None]:
    """Name options in place of keys in errors about a recipe that are raised inside the block.

    Args:
        options: The option that set each key.
    """
    try:
        yield
    except RecipeError as error:
        if not error.problems:
            raise RecipeError(_with_options(str(error), options)) from error
        lines = []
        for key, text in error.problems:
            subject = f"{_option(key, options)}: " if key else ""
            lines.append(f"{subject}{_with_options(text, options)}")
        raise RecipeError("\n".join(lines)) from error


def check_architecture(recipe: Recipe, variant: str | None, options: Mapping[str, str]) -> None:
    """Raise RecipeError if changed settings of the architecture are wrong. It imports Keras.

    Args:
        recipe: The changed recipe.
        variant: The variant to train, or None.
        options: The option that set each key.
    """
    from keras_attn import models

    try:
        models.configure(recipe.architecture, **recipe.settings(variant))
    except ValueError as error:
        changed = [option for key, option in options.items() if key.startswith("model")]
        raise RecipeError(
            ": ".join([*([", ".join(changed)] if changed else []), str(error)])
        ) from error


def check_initial_entry(
    name: str, recipe: Recipe, variant: str | None, options: Mapping[str, str], *, own_data: bool
) -> None:
    """Raise RecipeError unless a model can start from the trained backbone of the initial entry.

    The networks are compared before data is read or weights are loaded. It imports Keras.

    Args:
        name: The entry to train.
        recipe: Its changed recipe, with an initial entry.
        variant: The variant to train, or None.
        options: The option that set each key.
        own_data: Whether the data is the user's own.
    """
    from keras_attn.zoo import initial

    option = options.get("initial_entry", "initial_entry")
    if not initial.can_start_from_backbone(recipe.task):
        raise RecipeError(
            f"{option}: models for {recipe.task} cannot start from the backbone of another. Leave "
            "it out."
        )
    try:
        entry = zoo.describe(str(recipe.initial_entry))
    except ValueError as error:
        raise RecipeError(f"{option}: {error}") from error
    if not entry.pretrained:
        reason = "has no trained weights"
    elif entry.recipe.architecture != recipe.architecture:
        reason = f"has the architecture {entry.recipe.architecture}"
    else:
        difference = initial.misfit(recipe, entry.name, variant, own_data=own_data)
        if difference is None:
            return
        reason = f"has other settings: {difference.removesuffix('.')}"
    model = f"{name!r}, variant {variant!r}" if variant else repr(name)
    fitting = initial.initial_entries(recipe, variant, own_data=own_data)
    message = (
        f"{option}: the model of {model} can start only from an entry with trained weights whose "
        f"architecture and settings are its own. Received: {entry.name!r}, which {reason}. "
        f"Accepted: {', '.join(map(repr, fitting)) or 'none'}."
    )
    if entry.pretrained and entry.recipe.task == recipe.task:
        message += (
            f" Or train that entry itself: keras-attn train {entry.name} --from {entry.name}."
        )
    raise RecipeError(message)


def _option(key: str, options: Mapping[str, str]) -> str:
    """Return the option that set a key, its section or a key in it; else the key itself."""
    if key in options:
        return options[key]
    for changed, option in options.items():
        if changed.startswith(f"{key}."):
            return option
        if key.startswith(f"{changed}."):
            return f"{option}: {key.removeprefix(f'{changed}.')}"
    return key


def _with_options(text: str, options: Mapping[str, str]) -> str:
    """Return a text with options in place of the keys that they set."""
    for key, option in options.items():
        text = re.sub(rf"(?<![\w.'\"-]){re.escape(key)}(?![\w]|\.\w)", option, text)
    return text
