"""Training and validation texts of a training run."""

from typing import TYPE_CHECKING, Any

import keras

from keras_attn.batching import EvaluationBatches, TextBatches, limit_batch_size
from keras_attn.datasets import Dataset
from keras_attn.profiling import Cost, cost
from keras_attn.recipes import Recipe
from keras_attn.tasks._class_weights import ClassificationTraining
from keras_attn.tasks.training_data import TrainingData

if TYPE_CHECKING:
    from keras_attn.tasks.texts.classifier import TextClassifier

EVALUATION_BATCH = 128  # texts


class TextTrainingData(TrainingData):
    """Texts in batches of ids, which are encoded once.

    Args:
        classifier: The model to train, with its vocabulary.
        dataset: The data set.
        recipe: The recipe of the run.
    """

    def __init__(self, classifier: "TextClassifier", dataset: Dataset[Any], recipe: Recipe) -> None:
        train, validation = dataset["train"], dataset["validation"]
        self.network = classifier.network
        self.train = classifier.encode_split(train, training=True)
        self.validation = classifier.encode_split(validation)
        assert isinstance(recipe.training, ClassificationTraining)
        self.objective = classifier.objective(
            recipe.training, self.train.labels, self.validation.labels
        )

    def batches(self, batch_size: int, seed: int, epochs: int) -> keras.utils.PyDataset:
        return TextBatches(self.train, batch_size, seed=seed, epochs=epochs)

    def validation_batches(self, replicas: int) -> keras.utils.PyDataset:
        size = limit_batch_size(len(self.validation), EVALUATION_BATCH, replicas)
        return EvaluationBatches(self.validation, size)

    def examples_per_epoch(self, batch_size: int) -> int:
        return len(self.train) // batch_size * batch_size

    def cost(self) -> Cost:
        """Return the cost of a text of mean length."""
        length = max(1, round(float(self.train.lengths.mean())))
        return cost(self.network, (1, length, self.train.ids.shape[1]))
