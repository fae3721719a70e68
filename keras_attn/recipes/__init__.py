"""Recipes, and descriptions of the tasks they are for. Imports no Keras."""

from keras_attn.recipes.changes import (
    change_recipe,
    differing_settings,
    parse_change,
    recipe_to_toml,
    shorten_warmup,
)
from keras_attn.recipes.demonstrations import Demonstration
from keras_attn.recipes.formats import NO_CTRANSLATE2, ExportFormat
from keras_attn.recipes.metrics import Metric
from keras_attn.recipes.reading import load_recipe, parse_recipe
from keras_attn.recipes.recipe import Recipe, RecipeError, Section, Training
from keras_attn.recipes.signature import Signature, TensorInfo
from keras_attn.recipes.tasks import (
    TABLE_OPTIONS,
    TableReader,
    TaskDescription,
    describe_task,
    find_task,
    list_tasks,
    register_task,
    unregister_task,
)

__all__ = [
    "NO_CTRANSLATE2",
    "TABLE_OPTIONS",
    "Demonstration",
    "ExportFormat",
    "Metric",
    "Recipe",
    "RecipeError",
    "Section",
    "Signature",
    "TableReader",
    "TaskDescription",
    "TensorInfo",
    "Training",
    "change_recipe",
    "describe_task",
    "differing_settings",
    "find_task",
    "list_tasks",
    "load_recipe",
    "parse_change",
    "parse_recipe",
    "recipe_to_toml",
    "register_task",
    "shorten_warmup",
    "unregister_task",
]
