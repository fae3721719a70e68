"""Training: from a recipe to weights and a record of how they came about."""

from typing import TYPE_CHECKING

from keras_attn import _lazy

if TYPE_CHECKING:
    from keras_attn.training.augmentation import (
        CutMix,
        Cutout,
        Mixup,
        RandomFlip,
        RandomShift,
    )
    from keras_attn.training.checkpoint import CheckpointError
    from keras_attn.training.keeping import InterruptedTrainingError
    from keras_attn.training.muon import Muon, ParameterGroup
    from keras_attn.training.optimizers import WarmupDecay
    from keras_attn.training.recipe import Recipe, RecipeError, load_recipe
    from keras_attn.training.strategies import WorkerLostError
    from keras_attn.training.trainer import Run, train

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    {
        "recipe": ["Recipe", "RecipeError", "load_recipe"],
        "trainer": ["Run", "train"],
        "examples": ["evaluate"],
        "checkpoint": ["CheckpointError"],
        "keeping": ["InterruptedTrainingError"],
        "strategies": ["WorkerLostError"],
        "augmentation": ["CutMix", "Cutout", "Mixup", "RandomFlip", "RandomShift"],
        "muon": ["Muon", "ParameterGroup"],
        "optimizers": ["WarmupDecay"],
    },
)
