"""Evaluation of a model on a split, and fitting a recipe to a user's own data."""

from collections.abc import Mapping
from typing import Any

from keras_attn._wording import counted
from keras_attn.datasets import Dataset
from keras_attn.recipes import Recipe, change_recipe, describe_task, shorten_warmup
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
    recipe: Recipe,
    dataset: Dataset[Any],
    epochs: int | None = None,
    *,
    changes: Mapping[str, Any] | None = None,
) -> tuple[Recipe, list[str]]:
    """Adapt an entry's recipe to your own data, which may have fewer or shorter examples.

    A run of the adapted recipe keeps the weights of the epoch that is best on the validation split,
    and stops early.

    Args:
        recipe: The recipe of an entry.
        dataset: The data to train on; its training split is read.
        epochs: Number of epochs; None is that of the recipe, or what the task sets for
            this much data.
        changes: Values of keys that are not adapted, see `keras_attn.recipes.change_recipe`. With
            `initial_entry`, the recipe is adapted to trained weights, which
            `keras_attn.training.train` takes as `initial_model`.

    Returns:
        The adapted recipe, and a note on each setting that was changed.

    Raises:
        RecipeError: The recipe does not allow this number of epochs, or one of the changes.

    Example:

    >>> from keras_attn import datasets, zoo
    >>> recipe = zoo.describe("imdb_ngram_attention").recipe
    >>> texts = datasets.remarks.draw_remarks(sizes={"train": 90, "validation": 9, "test": 9})
    >>> fitted, notes = fit_recipe(recipe, texts, epochs=3)
    >>> fitted.training.epochs
    3
    """
    changes, starts = dict(changes or {}), []
    task = describe_task(recipe.task)
    if changes.get("initial_entry") is not None:
        recipe = change_recipe(
            recipe, {"initial_entry": changes["initial_entry"], **task.fine_tuning}
        )
        if task.fine_tuning:
            values = ", ".join(f"{key} = {value}" for key, value in task.fine_tuning.items())
            starts = [
                f"Fine-tunes trained weights: {values} replace the recipe's values, which are for "
                "training from scratch."
            ]
    recipe, notes = task.fit_to_data(recipe, dataset["train"])
    notes = [*starts, *notes]
    if epochs is not None:
        changes["training.epochs"] = epochs
    changes = shorten_warmup(recipe, changes)
    length = change_recipe(recipe, changes).training.epochs
    patience = max(MIN_PATIENCE, round(length / 3))
    selection = {"training.keep": "best", "training.patience": patience}
    recipe = change_recipe(recipe, {**selection, **changes})
    if recipe.training.keep == "best" and recipe.training.patience == patience:
        if getattr(dataset, "multi_label", False) and task.multi_label_task is not None:
            task = describe_task(task.multi_label_task)
        measure = task.selection_title(recipe)
        notes.append(
            f"Trains at most {counted(length, 'epoch')}, keeps the one whose {measure} is best on "
            f"the validation split, and stops after {patience} without improvement."
        )
    requested = {key: value for key, value in changes.items() if key != "initial_entry"}
    if requested:
        values = ", ".join(f"{key} = {value}" for key, value in requested.items())
        notes.append(f"Set as requested: {values}.")
    return recipe, notes
