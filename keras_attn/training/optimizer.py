"""Build the optimizer of a recipe."""

import keras

from keras_attn.optimizers import Muon, ParameterGroup, WarmupDecay
from keras_attn.recipes import Recipe
from keras_attn.recipes.recipe import Optimizer


def build_optimizer(recipe: Recipe, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """Return the optimizer of a recipe, with the schedule of its learning rate.

    Args:
        recipe: The recipe.
        steps_per_epoch: Number of steps per epoch, to convert epochs of the schedule into steps.
    """
    settings, schedule, training = recipe.optimizer, recipe.schedule, recipe.training
    rate = WarmupDecay(
        settings.learning_rate,
        warmup_steps=round(schedule.warmup_epochs * steps_per_epoch),
        total_steps=training.epochs * steps_per_epoch,
        decay=schedule.decay,
        final_fraction=schedule.final_fraction,
    )
    if settings.name == "muon":
        return _muon(settings, rate)
    if settings.name == "sgd":
        optimizer = keras.optimizers.SGD(
            learning_rate=rate,
            momentum=settings.momentum,
            nesterov=settings.momentum > 0,
            weight_decay=settings.weight_decay or None,
        )
    else:
        optimizer = keras.optimizers.AdamW(
            learning_rate=rate,
            beta_1=settings.momentum,
            beta_2=settings.beta_2,
            weight_decay=settings.weight_decay,
        )
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer


def _muon(settings: Optimizer, rate: WarmupDecay) -> Muon:
    """Return Muon with its groups, whose learning rates follow the same schedule, scaled."""
    return Muon(
        learning_rate=rate,
        momentum=settings.momentum,
        ns_steps=settings.iterations,
        weight_decay=settings.weight_decay,
        update_rms=settings.update_rms,
        normalize=settings.normalize,
        groups=[
            ParameterGroup(
                match=group.match,
                rule=group.name,
                factor=group.learning_rate / settings.learning_rate,
                momentum=group.momentum,
                beta_2=group.beta_2,
                weight_decay=group.weight_decay,
            )
            for group in settings.groups
        ],
    )
