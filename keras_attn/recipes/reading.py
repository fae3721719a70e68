"""Read recipes from TOML files, each as the recipe class of its task."""

import difflib
import os
import pathlib
import tomllib
import typing
from typing import Any

import pydantic
import pydantic_core

from keras_attn._names import unknown
from keras_attn._setting_errors import setting_problems
from keras_attn._wording import counted
from keras_attn.recipes import tasks
from keras_attn.recipes.recipe import Recipe, RecipeError


def parse_recipe(values: dict[str, Any]) -> Recipe:
    """Validate the values of a recipe, and return a recipe of its task's class.

    Args:
        values: The content of a `recipe.toml`, as nested dictionaries.

    Raises:
        RecipeError: A key is unknown or missing, or has an impossible value; the message lists
            all such keys.

    Example:

    >>> from keras_attn import zoo
    >>> recipe = zoo.describe("shapes_small_attention_cnn").recipe
    >>> parse_recipe(recipe.model_dump()) == recipe
    True
    """
    return _parse(values, "The recipe")


def load_recipe(path: str | os.PathLike[str]) -> Recipe:
    """Read and validate a `recipe.toml`.

    Raises:
        FileNotFoundError: There is no such file.
        RecipeError: The file is not TOML in UTF-8; or a key is unknown or missing, or has an
            impossible value; the message lists all such keys.
    """
    path = pathlib.Path(path)
    try:
        # Editors on Windows begin a file with a byte order mark, which is not part of the text.
        values = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise RecipeError(
            f"{path}: not a text in UTF-8: line {line} holds the byte "
            f"{error.object[error.start]:#x} ({error.reason}). Save the file with the encoding "
            "UTF-8."
        ) from error
    except RecursionError as error:
        raise RecipeError(f"{path}: not a recipe: its values are nested too deeply.") from error
    except ValueError as error:
        raise RecipeError(f"{path}: not a TOML file: {error}") from error
    return _parse(values, str(path))


def _parse(values: dict[str, Any], source: str) -> Recipe:
    name = values.get("task")
    known = tasks.list_tasks()
    if name is not None and name not in known:
        raise RecipeError(f"{source}: task: {unknown('task', name, known)}")
    recipe_class = Recipe if name is None else tasks.describe_task(name).recipe
    try:
        recipe = recipe_class.model_validate(values)
        recipe.digest  # noqa: B018 - raises for settings that cannot be recorded
    except pydantic.ValidationError as error:
        raise _refusal(recipe_class, source, error) from error
    except pydantic_core.PydanticSerializationError as error:
        reason = str(error).partition("ValueError: ")[2] or str(error)
        raise RecipeError(f"{source}: a setting cannot be recorded: {reason}.") from error
    return recipe


def _refusal(
    recipe_class: type[Recipe], source: str, error: pydantic.ValidationError
) -> RecipeError:
    """Return the error for values that cannot be used."""
    problems = [
        (
            problem.key,
            _unknown_key(recipe_class, problem.key) if problem.type == "unknown" else problem.text,
        )
        for problem in setting_problems(error, recipe_class)
    ]
    lines = [f"{source}: {counted(len(problems), 'value')} cannot be used:"]
    lines += [f"  {key}: {text}" if key else f"  {text}" for key, text in problems]
    return RecipeError("\n".join(lines), problems)


def _unknown_key(recipe_class: type[Recipe], key: str) -> str:
    """Return the message for an unknown key: similar keys, and those of its section."""
    *parents, last = key.split(".")
    section: Any = recipe_class
    for name in parents:
        if not name.isdecimal():
            section = section.model_fields[name].annotation
            (section,) = typing.get_args(section) or (section,)
    accepted = list(section.model_fields)
    similar = [
        ".".join((*parents, name)) for name in difflib.get_close_matches(last, accepted, n=2)
    ]
    similar = similar or [name for name in _keys(recipe_class) if name.endswith(f".{last}")]
    hint = f" Did you mean {' or '.join(map(repr, similar))}?" if similar else ""
    return f"unknown key.{hint} Accepted here: {', '.join(accepted)}."


def _keys(section: type[pydantic.BaseModel], prefix: str = "") -> list[str]:
    """Return all keys of a section and of the sections in it, with dots."""
    keys: list[str] = []
    for name, field in section.model_fields.items():
        keys.append(f"{prefix}{name}")
        if isinstance(field.annotation, type) and issubclass(field.annotation, pydantic.BaseModel):
            keys += _keys(field.annotation, f"{prefix}{name}.")
    return keys
