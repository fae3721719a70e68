"""Optimizers and learning-rate schedules, from a recipe."""

import math
from typing import Any

import keras
from keras import ops

from keras_attn.training.muon import Muon, ParameterGroup
from keras_attn.training.recipe import Optimizer, Recipe


@keras.saving.register_keras_serializable(package="keras_attn")
class WarmupDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A linear warm-up, then a decay that ends after the last step.

    Args:
        peak: the learning rate after the warm-up.
        warmup_steps: steps to it; the first step is at `peak / warmup_steps`.
        total_steps: number of steps of the whole training.
        decay: `"linear"`, `"cosine"` or `"constant"`.
        final_fraction: the rate at `total_steps`, which is after the last step, over the peak.

    Example:

    >>> schedule = WarmupDecay(1.0, warmup_steps=2, total_steps=6, decay="linear")
    >>> [round(float(schedule(step)), 2) for step in range(6)]
    [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    """

    def __init__(
        self,
        peak: float,
        warmup_steps: int,
        total_steps: int,
        decay: str = "cosine",
        final_fraction: float = 0.0,
    ) -> None:
        super().__init__()
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps
        self.decay = decay
        self.final_fraction = final_fraction

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        done = (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)
        done = ops.clip(done, 0.0, 1.0)
        if self.decay == "linear":
            left = 1.0 - done
        elif self.decay == "cosine":
            left = (1.0 + ops.cos(math.pi * done)) / 2
        else:
            left = ops.ones_like(done)
        rate = self.final_fraction + (1.0 - self.final_fraction) * left
        warm = ops.minimum((step + 1.0) / max(1, self.warmup_steps), 1.0)
        return self.peak * warm * rate

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
            "decay": self.decay,
            "final_fraction": self.final_fraction,
        }


def build_optimizer(recipe: Recipe, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """The recipe's optimizer, with its schedule over the whole training."""
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
    """Muon with its groups, whose rates keep their proportion to its own."""
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
