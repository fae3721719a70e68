"""What a run takes of its data set: images, texts and pairs come to `fit` each in their way."""

from typing import Any, Protocol

import keras
import numpy as np

from keras_attn import batching, datasets
from keras_attn.profiling import Cost, cost
from keras_attn.recipes.recipe import Recipe
from keras_attn.tasks import (
    ImageClassifier,
    Task,
    TextClassifier,
    Translator,
    expected_calibration_error,
)
from keras_attn.tasks.calibration import softmax
from keras_attn.training.translations import PairExamples, evaluate_translations

Classifier = Task
EVALUATION_BATCH = 500  # images
TEXT_BATCH = 128
LENGTH_BOUNDS = (100, 200, 400, 800)  # words, of the shares that accuracy is told by


class Examples(Protocol):
    """The training and validation examples of a run, in the form that its model reads."""

    one_hot: bool  # whether the loss takes labels written out over the classes

    def seen(self, batch_size: int) -> int:
        """The number of examples in the batches of an epoch."""

    def loss(self, label_smoothing: float) -> keras.losses.Loss:
        """What training makes small."""

    def accuracy(self) -> keras.metrics.Metric:
        """What is told of each epoch as `accuracy`."""

    def callbacks(self, classifier: Any) -> list[keras.callbacks.Callback]:
        """What else is told of each epoch, of the model that is kept."""

    def batches(self, batch_size: int, seed: int, epochs: int) -> keras.utils.PyDataset:
        """The training batches of all epochs in a row, of each as many."""

    def held_out_batches(self, replicas: int) -> keras.utils.PyDataset:
        """The validation examples, in batches that so many replicas can share."""

    def finish(self, classifier: Any) -> dict[str, Any]:
        """What is left to do with a trained model; what a record says of it."""

    def cost(self, network: Any) -> Cost:
        """What one example costs."""


class _Classified:
    """What images and texts with labels have in common."""

    one_hot = True
    training: Any

    def seen(self, batch_size: int) -> int:
        return len(self.training) // batch_size * batch_size

    def loss(self, label_smoothing: float) -> keras.losses.Loss:
        return keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=label_smoothing
        )

    def accuracy(self) -> keras.metrics.Metric:
        return keras.metrics.SparseCategoricalAccuracy(name="accuracy")

    def callbacks(self, classifier: Any) -> list[keras.callbacks.Callback]:
        return []


class ImageExamples(_Classified):
    """Images as they are; the model learns their statistics.

    Args:
        classifier: the new model.
        dataset: the data set.
        recipe: what is trained, for its augmentation.
    """

    def __init__(
        self,
        classifier: ImageClassifier,
        dataset: datasets.Dataset[datasets.ImageSplit],
        recipe: Recipe,
    ) -> None:
        self.alternating_flip = recipe.augmentation.flip == "alternating"
        self.training, self.held_out = dataset["train"], dataset["validation"]
        classifier.adapt(self.training.images)

    def batches(self, batch_size: int, seed: int, epochs: int) -> keras.utils.PyDataset:
        return batching.ImageBatches(
            self.training,
            batch_size,
            seed=seed,
            epochs=epochs,
            alternating_flip=self.alternating_flip,
        )

    def held_out_batches(self, replicas: int) -> keras.utils.PyDataset:
        size = batching.shareable_size(len(self.held_out), EVALUATION_BATCH, replicas)
        return batching.ImageEvaluationBatches(self.held_out, size)

    def finish(self, classifier: Any) -> dict[str, Any]:
        return {}

    def cost(self, network: Any) -> Cost:
        return cost(network)


class TextExamples(_Classified):
    """Texts as ids, encoded once; the model learns its vocabulary of the training texts.

    Args:
        classifier: the new model.
        dataset: the data set.
    """

    def __init__(
        self, classifier: TextClassifier, dataset: datasets.Dataset[datasets.TextSplit]
    ) -> None:
        training, held_out = dataset["train"], dataset["validation"]
        self.training = classifier.adapt(training.texts, training.labels)
        self.held_out = classifier.encode(held_out.texts, held_out.labels)

    def batches(self, batch_size: int, seed: int, epochs: int) -> keras.utils.PyDataset:
        return batching.TextBatches(self.training, batch_size, seed=seed, epochs=epochs)

    def held_out_batches(self, replicas: int) -> keras.utils.PyDataset:
        size = batching.shareable_size(len(self.held_out), TEXT_BATCH, replicas)
        return batching.EvaluationBatches(self.held_out, size)

    def finish(self, classifier: Any) -> dict[str, Any]:
        return {"temperature": classifier.calibrate(self.held_out)}

    def cost(self, network: Any) -> Cost:
        """The cost of a text of the mean length."""
        length = max(1, round(float(self.training.lengths.mean())))
        return cost(network, (1, length, self.training.ids.shape[1]))


def read(classifier: Any, dataset: datasets.Dataset[Any], recipe: Recipe) -> Examples:
    """The examples of a data set, for a new model, as a recipe wants them."""
    if isinstance(classifier, Translator):
        return PairExamples(classifier, dataset, recipe)
    if isinstance(classifier, TextClassifier):
        return TextExamples(classifier, dataset)
    return ImageExamples(classifier, dataset, recipe)


def evaluate(
    classifier: Classifier,
    split: datasets.ImageSplit | datasets.TextSplit | datasets.PairSplit,
    views: int = 1,
) -> dict[str, Any]:
    """Accuracy and cross-entropy of a model on a split, in its own precision.

    It does not matter how the model is compiled.

    Args:
        classifier: the model.
        split: the examples.
        views: of images, also tell the accuracy by the mean of so many views.

    Returns:
        `accuracy` in [0, 1], `loss` in nats, and the number of `examples`. Of images with
        views also `views`, their number, and `views_accuracy`. Of texts also
        `calibration_error`, see `keras_attn.tasks.expected_calibration_error`, and
        `by_length`: the accuracy of texts of up to so many words, with their number. Of
        pairs what `keras_attn.training.translations.evaluate_translations` tells.
    """
    if isinstance(split, datasets.PairSplit):
        return evaluate_translations(classifier, split)
    if isinstance(split, datasets.TextSplit):
        return _evaluate_texts(classifier, split)
    return _evaluate_images(classifier, split, views)


def _evaluate_images(classifier: Any, split: datasets.ImageSplit, views: int) -> dict[str, Any]:
    logits = classifier.logits(split.images)
    told = {
        "accuracy": float((logits.argmax(axis=-1) == split.labels).mean()),
        "loss": _cross_entropy(softmax(logits.astype("float64")), split.labels),
        "examples": len(split),
    }
    if views > 1:
        right = classifier.logits(split.images, views=views).argmax(axis=-1) == split.labels
        told |= {"views": views, "views_accuracy": float(right.mean())}
    return told


def _cross_entropy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The mean, in nats, of `(N, C)` probabilities."""
    chances = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(chances, 1e-12)).mean())


def _evaluate_texts(classifier: Any, split: datasets.TextSplit) -> dict[str, Any]:
    encoded = classifier.encode(split.texts, split.labels)
    logits, labels = classifier.logits(encoded)
    probabilities = softmax(logits.astype("float64"))
    right = probabilities.argmax(axis=-1) == labels
    # `logits` go by length; a text that was cut counts as long as it was left.
    lengths = np.sort(encoded.lengths)
    by_length, shortest = [], 0.0
    for bound in (*LENGTH_BOUNDS, np.inf):
        chosen = (lengths > shortest) & (lengths <= bound)
        if chosen.any():
            by_length.append(
                {
                    "up_to": None if bound == np.inf else bound,
                    "accuracy": float(right[chosen].mean()),
                    "examples": int(chosen.sum()),
                }
            )
        shortest = bound
    return {
        "accuracy": float(right.mean()),
        "loss": _cross_entropy(probabilities, labels),
        "examples": len(split),
        "calibration_error": expected_calibration_error(probabilities, labels),
        "by_length": by_length,
    }
