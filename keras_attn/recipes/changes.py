"""Change keys of a recipe, and write recipes as TOML."""

import copy
import re
import tomllib
from collections.abc import Mapping
from typing import Any

from keras_attn._printable import printable_json
from keras_attn._wording import counted
from keras_attn.recipes.reading import parse_recipe
from keras_attn.recipes.recipe import NOT_SETTINGS, Recipe, RecipeError

# What the brackets around a value mean in TOML, and an example.
_BRACKETS = {
    "{}": ("table", "{name = 'adamw', learning_rate = 1e-3}"),
    "[]": ("list", "['a', 'b']"),
}


def parse_change(text: str) -> tuple[str, Any]:
    """Return key and value of a change such as `"training.epochs=3"`.

    Args:
        text: A key of the recipe with its sections, separated by dots, `=`, and a value as in TOML.
            A value that is not TOML is a string.

    Raises:
        RecipeError: There is no key or no `=`, or the value is in the brackets of a table or a
            list, and not TOML.

    Example:

    >>> parse_change("optimizer.learning_rate=1e-3"), parse_change("schedule.decay=linear")
    (('optimizer.learning_rate', 0.001), ('schedule.decay', 'linear'))
    """
    key, separator, value = text.partition("=")
    key, value = key.strip(), value.strip()
    if not separator or not all(key.split(".")):
        raise RecipeError(
            f"A change of the recipe has the form KEY=VALUE, such as training.epochs=3. Received: "
            f"{text!r}."
        )
    if re.fullmatch(r"[+-]?(\d+\.|\.\d+)(e[+-]?\d+)?", value, re.IGNORECASE):
        return key, float(value)  # numbers as Python writes them, which TOML does not accept
    try:
        values = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError as error:
        if value[:1] + value[-1:] in _BRACKETS:
            raise RecipeError(_describe_invalid_toml(key, value)) from error
        return key, value
    return key, values["value"] if len(values) == 1 else value


def _describe_invalid_toml(key: str, value: str) -> str:
    """Return the message for a table or a list that is not TOML, with quotes where they help."""
    kind, example = _BRACKETS[value[:1] + value[-1:]]
    quoted = re.sub(r"(?<=[=\[,\s])(?!true\b|false\b)([A-Za-z_]\w*)(?=\s*[,\]}])", r"'\1'", value)
    try:
        tomllib.loads(f"value = {quoted}")
        example = quoted
    except tomllib.TOMLDecodeError:
        pass
    return (
        f"{key}: {value!r} is not a {kind} in TOML, where strings need quotes. Write it like "
        f'"{key}={example}".'
    )


def change_recipe(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """Return a recipe with other values of some keys, validated as a whole.

    Args:
        recipe: The recipe.
        changes: Values by key, with sections separated by dots, such as `"training.epochs"`.
            Numbers select items of lists: `"optimizer.groups.0.learning_rate"`.

    Raises:
        RecipeError: A key is unknown, or has an impossible value.

    Example:

    >>> from keras_attn import zoo
    >>> recipe = zoo.describe("imdb_transformer").recipe
    >>> change_recipe(recipe, {"training.epochs": 3}).training.epochs
    3
    """
    values = copy.deepcopy(recipe.model_dump())
    for key, value in changes.items():
        section: Any = values
        *parents, last = key.split(".")
        for name in parents:
            section = _open(section, name, key)
        if isinstance(section, list):
            section[_index(section, last, key)] = value
        else:
            section[last] = value
    return parse_recipe(values)


def shorten_warmup(recipe: Recipe, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes with a shorter warm-up, if it would be longer than the training.

    Args:
        recipe: The recipe.
        changes: Values by key, see `change_recipe`. A warm-up in them stays.

    Example:

    >>> from keras_attn import zoo
    >>> recipe = zoo.describe("multi30k_en_de_transformer").recipe
    >>> shorten_warmup(recipe, {"training.epochs": 1})
    {'training.epochs': 1, 'schedule.warmup_epochs': 0.1}
    """
    epochs = changes.get("training.epochs")
    if "schedule.warmup_epochs" in changes or not isinstance(epochs, int):
        return dict(changes)
    if not 0 < epochs < recipe.schedule.warmup_epochs:
        return dict(changes)
    return {**changes, "schedule.warmup_epochs": epochs / 10}


def recipe_to_toml(recipe: Recipe) -> str:
    """Return a recipe as the text of a `recipe.toml`, without keys that equal their defaults."""
    values = recipe.model_dump(exclude_defaults=True)
    return "\n".join(_section(values, ())).lstrip("\n") + "\n"


def differing_settings(first: Recipe, second: Recipe) -> dict[str, tuple[Any, Any]]:
    """Return the settings in which two recipes differ, of those that determine a run.

    Args:
        first: A recipe.
        second: Another recipe.

    Returns:
        The value of each of the two recipes by key, with sections separated by dots, such as
        `"training.epochs"`; None if a recipe does not set the key.

    Example:

    >>> from keras_attn import zoo
    >>> recipe = zoo.describe("imdb_transformer").recipe
    >>> differing_settings(recipe, change_recipe(recipe, {"training.epochs": 9}))
    {'training.epochs': (3, 9)}
    """
    settings = [_flatten(recipe.model_dump(exclude=NOT_SETTINGS)) for recipe in (first, second)]
    pairs = {key: (settings[0].get(key), settings[1].get(key)) for key in settings[0] | settings[1]}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values by keys with dots."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            result |= _flatten(value, f"{prefix}{key}.")
        else:
            result[f"{prefix}{key}"] = list(value) if isinstance(value, tuple) else value
    return result


def _open(section: Any, name: str, key: str) -> Any:
    """Return the section or list under a name, which is created if it does not exist."""
    if isinstance(section, list):
        return section[_index(section, name, key)]
    if section.get(name) is None:
        section[name] = {}
    if not isinstance(section[name], dict | list):
        raise RecipeError(f"{key}: {name!r} is a value, and has no keys.")
    return section[name]


def _index(items: list[Any], name: str, key: str) -> int:
    if not name.isdecimal() or int(name) >= len(items):
        raise RecipeError(
            f"{key}: {name!r} selects no item of a list of {counted(len(items), 'item')}. Items "
            "are numbered from 0."
        )
    return int(name)


def _section(values: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    """Return the lines of a section: its header, its values, and the sections in it."""
    tables = {key: value for key, value in values.items() if isinstance(value, dict)}
    lines = [f"\n[{'.'.join(map(_key, path))}]"] if path else []
    lines += [
        f"{_key(key)} = {_value(value)}"
        for key, value in values.items()
        if key not in tables and value is not None
    ]
    for key, table in tables.items():
        lines += _section(table, (*path, key))
    return lines


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else printable_json(name)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        pairs = (f"{_key(key)} = {_value(v)}" for key, v in value.items() if v is not None)
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return printable_json(value)  # strings, numbers and booleans are written alike
