"""Training and validation images of a training run."""

from typing import TYPE_CHECKING, Any

import keras

from keras_attn.batching import EvaluationBatches, ImageBatches, limit_batch_size
from keras_attn.datasets import Dataset
from keras_attn.layers import CutMix, Cutout, Mixup, RandomFlip, RandomShift
from keras_attn.profiling import Cost, cost
from keras_attn.recipes import Recipe
from keras_attn.tasks._class_weights import class_weights
from keras_attn.tasks.classification import classification_objective
from keras_attn.tasks.images.description import Augmentation, ImageRecipe
from keras_attn.tasks.selection_metrics import selection_metric
from keras_attn.tasks.training_data import TrainingData

if TYPE_CHECKING:
    from keras_attn.tasks.images.classifier import ImageClassifier

EVALUATION_BATCH = 500  # images


class ImageTrainingData(TrainingData):
    """Images in batches, with augmentation layers.

    Args:
        classifier: The model to train.
        dataset: The data set. Its images must have the size of the network's input.
        recipe: The recipe of the run, which sets the augmentation.
    """

    def __init__(
        self, classifier: "ImageClassifier", dataset: Dataset[Any], recipe: Recipe
    ) -> None:
        self.network = classifier.network
        assert isinstance(recipe, ImageRecipe)
        self.augmentation = recipe.augmentation
        self.train, self.validation = dataset["train"], dataset["validation"]
        setting, names = recipe.training.class_weights, classifier.label_names
        weights = class_weights(setting, self.train.labels, names)
        selection = selection_metric(setting, weights, self.validation.labels, names)
        smoothing = recipe.training.label_smoothing
        self.objective = classification_objective(smoothing, weights, selection)

    def batches(self, batch_size: int, seed: int, epochs: int) -> keras.utils.PyDataset:
        return ImageBatches(
            self.train,
            batch_size,
            seed=seed,
            epochs=epochs,
            alternating_flip=self.augmentation.flip == "alternating",
        )

    def validation_batches(self, replicas: int) -> keras.utils.PyDataset:
        size = limit_batch_size(len(self.validation), EVALUATION_BATCH, replicas)
        return EvaluationBatches(self.validation, size)

    def examples_per_epoch(self, batch_size: int) -> int:
        return len(self.train) // batch_size * batch_size

    def cost(self) -> Cost:
        return cost(self.network)

    def augmentations(self, seed: int) -> list[keras.layers.Layer]:
        return augmentation_layers(self.augmentation, seed)


def augmentation_layers(settings: Augmentation, seed: int) -> list[keras.layers.Layer]:
    """Return the layers of a recipe's augmentation, each with a seed of its own."""
    layers: list[keras.layers.Layer] = []
    if settings.flip is True:  # `ImageBatches` does alternating flips
        layers.append(RandomFlip(seed=seed + 1))
    if settings.shift:
        layers.append(RandomShift(settings.shift, seed=seed + 2))
    if settings.cutout:
        layers.append(Cutout(settings.cutout, seed=seed + 3))
    if settings.mixup:
        layers.append(Mixup(settings.mixup, seed=seed + 4))
    if settings.cutmix:
        layers.append(CutMix(settings.cutmix, seed=seed + 5))
    return layers
