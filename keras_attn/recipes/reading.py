"""Read recipes from TOML files, each as the recipe class of its task."""

import os
import pathlib
import tomllib
import typing
from typing import Any

import pydantic
import pydantic_core

from keras_attn._names import unknown
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
        raise RecipeError(_explanation(recipe_class, source, error)) from error
    except pydantic_core.PydanticSerializationError as error:
        reason = str(error).partition("ValueError: ")[2] or str(error)
        raise RecipeError(f"{source}: a setting cannot be recorded: {reason}.") from error
    return recipe


def _explanation(recipe_class: type[Recipe], source: str, error: pydantic.ValidationError) -> str:
    lines = [f"{source}: {counted(error.error_count(), 'value')} cannot be used:"]
    for problem in error.errors():
        *parents, last = problem["loc"] or ("recipe",)
        key = ".".join(map(str, (*parents, last)))
        if problem["type"] == "extra_forbidden":
            section: Any = recipe_class
            for name in parents:
                if isinstance(name, int):  # an index of a list of sections
                    (section,) = typing.get_args(section)
                else:
                    section = section.model_fields[name].annotation
            lines.append(f"  {key}: unknown key. Accepted here: {', '.join(section.model_fields)}.")
        elif problem["type"] == "missing":
            lines.append(f"  {key}: missing.")
        elif problem["type"] == "value_error":
            lines.append(f"  {problem['ctx']['error']}.")
        else:
            lines.append(f"  {key}: {problem['msg']}. Received: {problem['input']!r}.")
    return "\n".join(lines)
