"""Training and validation images with boxes, in batches."""

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from keras_attn._types import Tensor
from keras_attn.batching import EvaluationBatches, ImageBatches, limit_batch_size
from keras_attn.datasets import Dataset, DetectionSplit
from keras_attn.layers import RandomColor, RandomPlacement
from keras_attn.profiling import Cost, cost
from keras_attn.recipes import Recipe
from keras_attn.tasks.detection.description import BoxAugmentation, DetectionRecipe
from keras_attn.tasks.detection.losses import BestFit, DetectionF1, DetectionLoss, split_targets
from keras_attn.tasks.training_data import Objective, TrainingData

if TYPE_CHECKING:
    from keras_attn.tasks.detection.detector import ObjectDetector

EVALUATION_BATCH = 16  # images


class EncodedDetection:
    """Images of the size of a network's input, and their objects.

    Args:
        images: Uint8 array `(N, H, W, 3)`.
        targets: Float32 array `(N, M, 5)`, see `keras_attn.tasks.detection.inputs.encode_objects`.
    """

    def __init__(self, images: np.ndarray, targets: np.ndarray) -> None:
        self.images, self.targets = images, targets

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the images and the targets of some rows, as copies."""
        return self.images[rows], self.targets[rows]


class DetectionObjective(Objective):
    """The objective of a dense detector, whose loss is a mean over objects."""

    def __init__(self, image_size: tuple[int, int]) -> None:
        super().__init__(
            DetectionLoss(image_size), BestFit(image_size), selection=DetectionF1(image_size)
        )

    def size(self, targets: Tensor) -> Tensor:
        """Return the number of objects of a batch, but at least 1."""
        return ops.maximum(ops.sum(split_targets(targets)[2]), 1.0)


class DetectionTrainingData(TrainingData):
    """Images with boxes in batches, with augmentation layers.

    Args:
        detector: The model to train.
        dataset: The data set.
        recipe: The recipe of the run, which sets the augmentation.
    """

    def __init__(
        self, detector: "ObjectDetector", dataset: Dataset[DetectionSplit], recipe: Recipe
    ) -> None:
        assert isinstance(recipe, DetectionRecipe)
        self.network, self.augmentation = detector.network, recipe.augmentation
        self.dataset = dataset
        self.train, self.validation = (
            EncodedDetection(*detector.encode(dataset[split])) for split in ("train", "validation")
        )
        self.objective = DetectionObjective(detector.image_size)

    def batches(self, batch_size: int, seed: int, epochs: int) -> keras.utils.PyDataset:
        return ImageBatches(self.train, batch_size, seed=seed, epochs=epochs)

    def validation_batches(self, replicas: int) -> keras.utils.PyDataset:
        size = limit_batch_size(len(self.validation), EVALUATION_BATCH, replicas)
        return EvaluationBatches(self.validation, size)

    def examples_per_epoch(self, batch_size: int) -> int:
        return len(self.train) // batch_size * batch_size

    def cost(self) -> Cost:
        return cost(self.network)

    def augmentations(self, seed: int) -> list[keras.layers.Layer]:
        return augmentation_layers(self.augmentation, seed)


def augmentation_layers(settings: BoxAugmentation, seed: int) -> list[Any]:
    """Return the layers of a recipe's augmentation, each with a seed of its own."""
    values = settings.model_dump()
    placement = {key: values[key] for key in ("zoom", "stretch", "shift", "turn")}
    color = {key: values[key] for key in ("contrast", "brightness", "balance")}
    layers: list[keras.layers.Layer] = [RandomPlacement(**placement, seed=seed + 1)]
    return [*layers, RandomColor(**color, seed=seed + 2)] if any(color.values()) else layers
