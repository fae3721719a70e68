"""Training: from a recipe to weights and a record of how they came about."""

from keras_attn import _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    {
        "recipe": ["Recipe", "RecipeError", "load_recipe"],
        "trainer": ["Run", "evaluate", "train"],
        "checkpoint": ["CheckpointError"],
        "augmentation": ["CutMix", "Cutout", "Mixup", "RandomFlip", "RandomShift"],
        "optimizers": ["WarmupDecay"],
    },
)
