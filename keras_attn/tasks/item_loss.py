"""Models whose loss is a mean over items of their own, such as tokens, instead of rows."""

from typing import Any

import keras
from keras import ops

from keras_attn._types import Tensor

# Reductions of losses that are means, which Keras divides by the number of replicas.
MEANS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")


class ItemLossModel(keras.Model):
    """A model that weighs the loss of each batch by the number of its items.

    Keras weighs the loss of a batch by its rows. The mean over tokens of batches with unequally
    many tokens a row is then another one for each batching. Here `loss` in the logs of `fit`, in
    `evaluate` and for callbacks is the mean over all items, however they are batched, and under a
    `tf.distribute` strategy a training step is that of one device with the whole batch.

    Subclasses define `loss_size`.
    """

    _mean_loss: keras.metrics.Mean

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Keras must not track it, or it would be saved with the weights.
        object.__setattr__(self, "_mean_loss", keras.metrics.Mean(name="loss"))

    def loss_size(self, y: Any, sample_weight: Any = None) -> Tensor:
        """Return the number of items that the loss of a batch is the mean of, as float32.

        Args:
            y: The targets of the batch.
            sample_weight: The weights of `fit`, if there are any; the size is then their sum.
        """
        raise NotImplementedError

    @property
    def replicas(self) -> int:
        """Number of replicas of the model; 1 without a strategy."""
        strategy = getattr(self, "distribute_strategy", None)
        return 1 if strategy is None else strategy.num_replicas_in_sync

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The metrics of Keras, with the mean over items in place of its mean over rows."""
        others = [metric for metric in super().metrics if metric.name != "loss"]
        return [self._mean_loss, *others] if self.compiled else others

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        loss = super().compute_loss(
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training
        )
        if self.replicas > 1:
            loss = self._undivided(loss)
        if training:
            loss = loss + self.loss_penalty(y, y_pred)
        size = self.loss_size(y, sample_weight)
        self._mean_loss.update_state(loss, sample_weight=size)
        return self._share(loss, size) if training else loss

    def loss_penalty(self, y: Any, y_pred: Any) -> Tensor | float:
        """Return a term to add to the loss in training, a mean over the same items."""
        return 0.0

    def _undivided(self, loss: Tensor) -> Tensor:
        """Return the loss of a replica without Keras's division by the number of replicas.

        Keras divides means, which is right only if all replicas have the same number of items, and
        the losses of layers, such as regularization. It does not divide other losses.

        Raises:
            ValueError: The loss is a sum, which cannot be weighted by the number of items.
        """
        # A loss by its name, or a function, has the default reduction.
        reduction = getattr(self.loss, "reduction", MEANS[0])
        if reduction in MEANS:
            return loss * self.replicas
        if reduction == "sum":
            raise ValueError(
                f"{type(self).__name__}: the loss on several replicas must be a mean, which is "
                "weighted by the items of each. Received: a loss with reduction='sum'. Pass "
                "reduction='sum_over_batch_size'."
            )
        of_layers = sum(ops.sum(ops.cast(each, loss.dtype)) for each in self.losses)
        return loss + (1.0 - 1.0 / self.replicas) * of_layers

    def _share(self, loss: Tensor, size: Tensor) -> Tensor:
        """Return the contribution of this replica to the mean loss over the whole batch."""
        if self.replicas == 1:
            return loss
        import tensorflow as tf

        total = tf.distribute.get_replica_context().all_reduce("SUM", size)
        return loss * ops.cast(size / ops.maximum(total, 1e-9), loss.dtype)
