"""Evaluation of a model on a split, and fitting a recipe to a user's own data."""

from typing import Any

import pydantic

from keras_attn.datasets import Dataset
from keras_attn.recipes import Recipe, RecipeError, describe_task
from keras_attn.tasks import Task

MIN_PATIENCE = 2  # epochs without improvement


def evaluate(model: Task, split: Any, **options: Any) -> dict[str, Any]:
    """Return all metrics of a model on a split, computed in the precision of the model.

    The model need not be compiled, and how it is compiled does not matter.

    Args:
        model: The model.
        split: A split of a data set for its task, such as `dataset["test"]`.
        **options: Options of `evaluate_split` of the model's class, such as `views` for images.

    Returns:
        Metrics by key, see `evaluate_split` of the model's class.

    Example:

    >>> from keras_attn import datasets, zoo
    >>> model = zoo.build("shapes_small_attention_cnn")
    >>> evaluate(model, datasets.load("shapes")["test"])["examples"]
    2000
    """
    return model.evaluate_split(split, **options)


def fit_recipe(
    recipe: Recipe, dataset: Dataset[Any], epochs: int | None = None
) -> tuple[Recipe, list[str]]:
    """Adapt an entry's recipe to your own data, which may have fewer or shorter examples.

    A run of the adapted recipe keeps the weights of the epoch that is best on the validation split,
    and stops early.

    Args:
        recipe: The recipe of an entry.
        dataset: The data to train on; its training split is read.
        epochs: Number of epochs; None is that of the recipe, or what the task sets for
            this much data.

    Returns:
        The adapted recipe, and a note on each setting that was changed.

    Raises:
        RecipeError: The recipe does not allow this number of epochs.

    Example:

    >>> from keras_attn import datasets, zoo
    >>> recipe = zoo.describe("imdb_ngram_attention").recipe
    >>> texts = datasets.remarks.draw_remarks(sizes={"train": 90, "validation": 9, "test": 9})
    >>> fitted, notes = fit_recipe(recipe, texts, epochs=3)
    >>> fitted.training.epochs
    3
    """
    recipe, notes = describe_task(recipe.task).fit_to_data(recipe, dataset["train"])
    length = recipe.training.epochs if epochs is None else epochs
    values = recipe.model_dump()
    patience = max(MIN_PATIENCE, round(length / 3))
    values["training"] |= {"epochs": length, "keep": "best", "patience": patience}
    try:
        recipe = type(recipe).model_validate(values)
    except pydantic.ValidationError as error:
        problem = error.errors()[0]
        reason = problem.get("ctx", {}).get("error", problem["msg"])
        raise RecipeError(
            f"The recipe cannot be trained with epochs={epochs}: {reason}."
        ) from error
    notes.append(
        f"Of up to {length} epochs the one that is best on the validation split is kept; training "
        f"stops after {patience} without improvement."
    )
    return recipe, notes
