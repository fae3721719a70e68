"""Entries whose trained backbone fits the model of a recipe, compared without their weights."""

from collections.abc import Mapping
from typing import Any

from keras_attn import datasets, models
from keras_attn.recipes import Recipe, describe_task
from keras_attn.tasks import Task
from keras_attn.zoo import building, registry


def can_start_from_backbone(task: str) -> bool:
    """Return whether models for a task can start from the trained backbone of another."""
    return describe_task(task).model_class().copy_backbone is not Task.copy_backbone


def entries_with_weights(architecture: str) -> list[str]:
    """Return the names of the entries of an architecture that have trained weights."""
    return [
        entry.name
        for entry in registry.entries()
        if entry.recipe.architecture == architecture and entry.pretrained
    ]


def misfit(recipe: Recipe, name: str, variant: str | None = None, *, own_data: bool) -> str | None:
    """Return why the backbone of an entry does not fit the model of a recipe.

    Both networks are built with fresh weights, which takes up to a second.

    Args:
        recipe: The recipe.
        name: An entry of the same architecture.
        variant: A variant of the recipe, or None.
        own_data: Whether the model is for other labels than those of the recipe's data set, and so
            takes the settings that depend on labels from the entry.

    Returns:
        The settings that differ, as a clause, or else the first layer; None if the backbone fits.

    Raises:
        ValueError: The settings of the recipe are impossible.

    Example:

    >>> from keras_attn import zoo
    >>> recipe = zoo.describe("cifar10_attention_net_quick").recipe
    >>> misfit(recipe, "cifar10_attention_net_quick", own_data=True)
    >>> misfit(recipe, "cifar10_attention_net", own_data=True)
    'stage_filters is [64, 256, 248] there, and [64, 128, 128] here'
    """
    source = building.build(name, weights=None)
    settings = recipe.settings(variant)
    labels = datasets.describe_dataset(recipe.dataset).label_names
    if own_data:
        settings, labels = {**source.backbone_settings(), **settings}, source.label_names
    target = models.build(recipe.architecture, num_classes=len(labels), **settings)
    try:
        models.copy_backbone(source.network, target)
    except ValueError as error:
        return _differing_settings(registry.describe(name).recipe.model, settings) or str(error)
    return None


def _differing_settings(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Return the settings in which two models of one architecture differ, as a clause."""
    return "; ".join(
        f"{key} is {there.get(key, 'the default')} there, and {here.get(key, 'the default')} here"
        for key in {**there, **here}
        if there.get(key) != here.get(key) and key not in ("num_classes", "ratio_classes")
    )


def initial_entries(recipe: Recipe, variant: str | None = None, *, own_data: bool) -> list[str]:
    """Return the names of the entries whose trained backbone a model of a recipe can start from.

    Args:
        recipe: The recipe.
        variant: A variant of the recipe, or None.
        own_data: See `misfit`.

    Example:

    >>> from keras_attn import zoo
    >>> recipe = zoo.describe("shapes_small_attention_cnn").recipe
    >>> initial_entries(recipe, own_data=True)
    ['shapes_small_attention_cnn']
    """
    if not can_start_from_backbone(recipe.task):
        return []
    return [
        name
        for name in entries_with_weights(recipe.architecture)
        if misfit(recipe, name, variant, own_data=own_data) is None
    ]
