"""Training data of a run: batches, the objective, and the cost of an example."""

import abc
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_attn._types import Tensor
from keras_attn.profiling import Cost


class Objective:
    """The loss and metric of a training step, and the normalization of the loss over replicas.

    Args:
        loss: The loss. It is either a mean over all rows, or has `reduction=None` and returns a
            scalar.
        metric: The metric that `fit` logs under its name. The weights of the epoch with the best
            value on validation data are saved in addition to the last ones.
        selection: Another metric that `fit` logs, by which epochs are compared instead. Then also
            define `TaskDescription.selection_title`, which names it in accounts.
        greater_is_better: Whether greater values of the metric that compares epochs are better.
        one_hot: Whether the loss takes labels as distributions over the classes, which
            augmentation may mix, rather than as class indices.
        class_weights: Float array `(C,)`, the weight of each class in training, or None. It needs
            `one_hot`, and a loss with the reduction `"mean_with_sample_weight"`.
    """

    def __init__(
        self,
        loss: keras.losses.Loss,
        metric: keras.metrics.Metric,
        *,
        greater_is_better: bool = True,
        one_hot: bool = False,
        class_weights: np.ndarray | None = None,
        selection: keras.metrics.Metric | None = None,
    ) -> None:
        self.loss, self.metric, self.one_hot = loss, metric, one_hot
        self.selection = metric if selection is None else selection
        self.greater_is_better = greater_is_better
        self.class_weights = class_weights

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The metrics that `fit` logs."""
        return [self.metric] if self.selection is self.metric else [self.metric, self.selection]

    @property
    def loss_updates_metrics(self) -> bool:
        """Whether the loss updates the metrics, which then do not take the outputs."""
        return False

    def outputs(self, task: keras.Model, inputs: Any, training: bool) -> Tensor:
        """Return the outputs of a task that the loss takes: by default those of a call."""
        return task(inputs, training=training)

    def example_weights(self, targets: Tensor) -> Tensor | None:
        """Return the float32 weight of each example in training, or None if all count alike.

        Args:
            targets: Distributions over the classes `(B, C)`, before label smoothing.

        Returns:
            Tensor `(B,)`, the mean of the weights of the classes under each distribution.
        """
        if self.class_weights is None:
            return None
        return ops.matmul(ops.cast(targets, "float32"), self.class_weights)

    def size(self, targets: Tensor) -> Tensor:
        """Return the number of items that the loss of a batch is averaged over, as float32."""
        return ops.cast(ops.shape(targets)[0], "float32")

    def penalty(self, targets: Tensor, predictions: Tensor) -> Tensor | float:
        """Return a term to add to the loss in training, in addition to the layers' losses."""
        return 0.0


class TrainingData(abc.ABC):
    """The training and validation examples of a run, in the form that its model reads.

    Attributes:
        objective: The loss and the metric of training.
    """

    objective: Objective

    @abc.abstractmethod
    def batches(self, batch_size: int, seed: int, epochs: int) -> keras.utils.PyDataset:
        """Return the training batches of all epochs in sequence, equally many in each epoch.

        A batch must depend only on the seed and its index, so that a resumed run trains on the
        same batches as an uninterrupted one.
        """

    @abc.abstractmethod
    def validation_batches(self, replicas: int) -> keras.utils.PyDataset:
        """Return validation batches in which every replica gets at least one example."""

    @abc.abstractmethod
    def examples_per_epoch(self, batch_size: int) -> int:
        """Return the number of examples in the batches of an epoch."""

    @abc.abstractmethod
    def cost(self) -> Cost:
        """Return the cost of a forward pass of one example."""

    def augmentations(self, seed: int) -> list[keras.layers.Layer]:
        """Return the augmentation layers of training inputs in order, each with its own seed."""
        return []

    def callbacks(self) -> list[keras.callbacks.Callback]:
        """Return callbacks that evaluate the model to be saved and add to the epoch's logs."""
        return []
