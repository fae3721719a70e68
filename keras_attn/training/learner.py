"""The model that is fitted: a classifier behind its augmentation."""

from typing import Any

import keras
from keras import ops

from keras_attn.training import augmentation, recipe

Tensor = Any


class Learner(keras.Model):
    """A classifier as it is trained: augmented images in, soft targets for the loss.

    Weights are shared with `classifier`, which is what is kept in the end.

    Args:
        classifier: a model from uint8 images to logits `(B, C)`.
        augmentations: layers applied to float images in training, in order.
    """

    def __init__(
        self, classifier: keras.Model, augmentations: list[keras.layers.Layer], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.classifier = classifier
        self.augmentations = augmentations
        self.built = True

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        if training and self.augmentations:
            inputs = ops.cast(inputs, "float32")
            for layer in self.augmentations:
                inputs = layer(inputs, training=True)
        return self.classifier(inputs, training=training)

    def compute_loss(
        self,
        x: Tensor = None,
        y: Tensor = None,
        y_pred: Tensor = None,
        sample_weight: Tensor = None,
        training: bool = True,
    ) -> Tensor:
        targets = ops.one_hot(y, ops.shape(y_pred)[-1], dtype=y_pred.dtype)
        for layer in self.augmentations:
            if training and hasattr(layer, "mix_targets"):
                targets = layer.mix_targets(targets)
        return super().compute_loss(
            x=x, y=targets, y_pred=y_pred, sample_weight=sample_weight, training=training
        )


def augmentations(settings: recipe.Augmentation, seed: int) -> list[keras.layers.Layer]:
    """The layers of a recipe's augmentation, with seeds of their own."""
    layers: list[keras.layers.Layer] = []
    if settings.flip:
        layers.append(augmentation.RandomFlip(seed=seed + 1))
    if settings.shift:
        layers.append(augmentation.RandomShift(settings.shift, seed=seed + 2))
    if settings.cutout:
        layers.append(augmentation.Cutout(settings.cutout, seed=seed + 3))
    if settings.mixup:
        layers.append(augmentation.Mixup(settings.mixup, seed=seed + 4))
    if settings.cutmix:
        layers.append(augmentation.CutMix(settings.cutmix, seed=seed + 5))
    return layers
