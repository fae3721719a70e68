"""What a run takes of its data set: batches, the loss, and what an example costs."""

import abc

import keras
from keras import ops

from keras_attn._types import Tensor
from keras_attn.profiling import Cost


class Objective:
    """The loss of a training step, and how its mean is shared by replicas.

    Args:
        loss: The loss; of a mean over all rows, or a scalar with `reduction=None`.
        metric: The metric that `fit` logs, under its name. The weights of the epoch that is best
            by it on validation data are kept beside the last ones.
        greater_is_better: Whether the greatest value of the metric is the best.
        one_hot: Whether the loss takes class indices as distributions over the classes, which
            augmentation may mix.
    """

    def __init__(
        self,
        loss: keras.losses.Loss,
        metric: keras.metrics.Metric,
        *,
        greater_is_better: bool = True,
        one_hot: bool = False,
    ) -> None:
        self.loss, self.metric, self.one_hot = loss, metric, one_hot
        self.greater_is_better = greater_is_better

    @property
    def is_divided_by_replicas(self) -> bool:
        """Whether Keras divides the loss by the number of replicas."""
        return self.loss.reduction is not None

    def size(self, targets: Tensor) -> Tensor:
        """Return over how many items the loss of a batch is a mean, as a float32 scalar."""
        return ops.cast(ops.shape(targets)[0], "float32")

    def penalty(self, targets: Tensor, predictions: Tensor) -> Tensor | float:
        """Return what is added to the loss in training, besides the layers' own losses."""
        return 0.0


class TrainingData(abc.ABC):
    """The training and validation examples of a run, in the form that its model reads.

    Attributes:
        objective: The loss and the metric of training.
    """

    objective: Objective

    @abc.abstractmethod
    def batches(self, batch_size: int, seed: int, epochs: int) -> keras.utils.PyDataset:
        """Return the training batches of all epochs in a row, as many in each.

        A batch must depend on the seed and its index alone, so that a run that is resumed sees
        the batches that it would have seen.
        """

    @abc.abstractmethod
    def validation_batches(self, replicas: int) -> keras.utils.PyDataset:
        """Return the validation examples, in batches that so many replicas can share."""

    @abc.abstractmethod
    def examples_per_epoch(self, batch_size: int) -> int:
        """Return the number of examples in the batches of an epoch."""

    @abc.abstractmethod
    def cost(self) -> Cost:
        """Return the cost of a forward pass of one example."""

    def augmentations(self, seed: int) -> list[keras.layers.Layer]:
        """Return layers that change training inputs, in their order, with seeds of their own."""
        return []

    def callbacks(self) -> list[keras.callbacks.Callback]:
        """Return callbacks that add to the logs of an epoch, by the model that is saved."""
        return []
