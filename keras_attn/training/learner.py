"""The model that `fit` trains: augmentation, a task, and a moving average of its weights."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from keras_attn._types import Tensor
from keras_attn.tasks.item_loss import ItemLossModel
from keras_attn.tasks.training_data import Objective


class Learner(ItemLossModel):
    """A model that applies augmentation before a task, and computes the loss of the objective.

    The weights are those of `task`, which is saved after training. With `ema_decay` the learner
    also keeps an exponential moving average (EMA) of all weights of the task, including the
    statistics of batch normalization. The training step updates the average, so that it works on
    every backend and under every strategy, and checkpoints include it. (`use_ema` of a Keras
    optimizer averages trainable weights alone, and the statistics then do not match them.)

    Under a `tf.distribute` strategy the loss of a step equals the loss of one device with the
    whole batch: the loss of each replica is weighted by its share of the rows, or of the tokens.

    Args:
        task: A built model from the inputs of a batch to logits. It is called by
            `objective.outputs`.
        objective: The loss and the metric, and how targets are prepared for them.
        augmentations: Layers applied to float inputs in training, in order. Where a layer has the
            method `augment_targets`, it changes the targets of the loss and of the metrics
            likewise, such as boxes; `mix_targets` changes those of the loss alone.
        ema_decay: Decay per step of the average, in [0, 1); 0 for no average. The decay is lower
            in the first steps, so that the average does not depend on the initial weights.
        **kwargs: See `keras.Model`.
    """

    def __init__(
        self,
        task: keras.Model,
        objective: Objective,
        augmentations: list[keras.layers.Layer],
        ema_decay: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.task = task
        self.objective = objective
        self.augmentations = augmentations
        self.ema_decay = ema_decay
        self.example: Any = None  # a batch whose shapes the metrics are built from
        # One batch per thread: TensorFlow traces replicas in threads that alternate in a step.
        self._augmented = threading.local()
        if ema_decay:
            self.steps = self.add_weight(
                name="steps", shape=(), initializer="zeros", dtype="float32", trainable=False
            )
            self.ema_weights = [
                self.add_weight(
                    name=f"average_{index}",
                    shape=weight.shape,
                    initializer="zeros",
                    dtype="float32",
                    trainable=False,
                )
                for index, weight in enumerate(self.averaged_weights)
            ]
        self.built = True

    @property
    def averaged_weights(self) -> list[keras.Variable]:
        """The weights that are averaged: those of the task, without random generator states."""
        return self.task.weights

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        if not training:
            return self.objective.outputs(self.task, inputs, training=False)
        if self.ema_decay:
            self._update_ema()
        if self.augmentations:
            inputs = ops.cast(inputs, "float32")
        for layer in self.augmentations:
            inputs = layer(inputs, training=True)
        return self.objective.outputs(self.task, inputs, training=True)

    def exchange(self) -> None:
        """Swap the weights with their averages, without rounding; a second call undoes it."""
        for weight, average in zip(self.averaged_weights, self.ema_weights, strict=True):
            value = ops.convert_to_numpy(weight.value)
            weight.assign(ops.convert_to_numpy(average.value))
            average.assign(value)

    def _update_ema(self) -> None:
        """Update the averages with the weights before this step."""
        decay = ops.minimum(self.ema_decay, self.steps / (self.steps + 9.0))
        for weight, average in zip(self.averaged_weights, self.ema_weights, strict=True):
            value = ops.cast(weight.value, "float32")
            average.assign(decay * average + (1.0 - decay) * value)
        self.steps.assign(self.steps + 1.0)

    def compute_loss(
        self,
        x: Tensor = None,
        y: Tensor = None,
        y_pred: Tensor = None,
        sample_weight: Tensor = None,
        training: bool = True,
    ) -> Tensor:
        if self.objective.one_hot:
            y = ops.one_hot(y, ops.shape(y_pred)[-1], dtype=y_pred.dtype)
        if training and any(hasattr(layer, "augment_targets") for layer in self.augmentations):
            for layer in self.augmentations:
                if hasattr(layer, "augment_targets"):
                    y = layer.augment_targets(y)
            self._augmented.targets = y  # for the metrics of this step
        for layer in self.augmentations:
            if training and hasattr(layer, "mix_targets"):
                y = layer.mix_targets(y)
        if training and self.objective.class_weights is not None:
            sample_weight = self.objective.example_weights(y)
        return super().compute_loss(
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training
        )

    def compute_metrics(
        self, x: Tensor, y: Tensor, y_pred: Tensor, sample_weight: Tensor = None
    ) -> dict[str, Any]:
        y = vars(self._augmented).pop("targets", y)
        if self.objective.loss_updates_metrics:
            if not self._compile_metrics.built:  # its metrics need no shapes, but Keras asks
                self._compile_metrics.build(y, y)
            return self.get_metrics_result()
        return super().compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def loss_size(self, y: Tensor, sample_weight: Any = None) -> Tensor:
        # The weights are those of the classes, in training; the loss is then the weighted mean.
        return self.objective.size(y) if sample_weight is None else ops.sum(sample_weight)

    def loss_penalty(self, y: Tensor, y_pred: Tensor) -> Tensor | float:
        return self.objective.penalty(y, y_pred)

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        # Keras 3.15 builds the metrics from the mean of a distributed batch, which is defined only
        # if all parts have the same shape and one process holds them all.
        if self.replicas == 1 or self.example is None:
            super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)
            return
        with self.distribute_strategy.scope():
            self._symbolic_build(data_batch=keras.tree.map_structure(_spec, self.example))

    def make_train_function(self, force: bool = False) -> Any:
        """Replace the function of Keras if there are several workers, see `_step_function`."""
        if not _several_workers(self):
            return super().make_train_function(force)
        if force or self.train_function is None:
            self.train_function: Any = _step_function(self, self.train_step)
        return self.train_function

    def make_test_function(self, force: bool = False) -> Any:
        """Replace the function of Keras if there are several workers, see `_step_function`."""
        if not _several_workers(self):
            return super().make_test_function(force)
        if force or self.test_function is None:
            self.test_function: Any = _step_function(self, self.test_step)
        return self.test_function


def _spec(array: Any) -> Any:
    return keras.KerasTensor((None, *array.shape[1:]), str(array.dtype))


def _several_workers(learner: Learner) -> bool:
    if learner.replicas == 1:
        return False
    import tensorflow as tf

    return isinstance(learner.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy)


def _step_function(learner: Learner, step: Any) -> Any:
    """Return a function that runs a step on every worker, and returns the mean of its logs.

    Keras 3.15 reduces logs over their first axis, which fails because they are scalars
    (keras-team/keras issue 20585). Here they are averaged over the replicas.

    Args:
        learner: The model.
        step: Its `train_step` or `test_step`.

    Returns:
        A function of an iterator of distributed batches.
    """
    import tensorflow as tf

    strategy = learner.distribute_strategy

    @tf.function(reduce_retracing=True)
    def run(iterator: Any) -> Any:
        logs = strategy.run(step, args=(next(iterator),))
        return {name: strategy.reduce("MEAN", value, axis=None) for name, value in logs.items()}

    return run


class SwapEMAWeights(keras.callbacks.Callback):
    """Swap the averages in for validation, and from the end of an epoch to the next one.

    As Keras's `SwapEMAWeights`, for the averages of a `Learner`. The task holds the averages
    between epochs and after training. A callback that needs the weights being trained at the end
    of an epoch must come before this one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.exchanged = False

    def _use_ema(self, use: bool) -> None:
        if use != self.exchanged:
            self.model.exchange()
            self.exchanged = use

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Restore the weights to train."""
        self._use_ema(False)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Swap the averages in for validation."""
        self._use_ema(True)

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Restore the weights, for the callbacks before this one."""
        self._use_ema(False)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Swap the averages in, for the callbacks after this one and after the last epoch."""
        self._use_ema(True)

    @contextlib.contextmanager
    def trained_weights(self) -> Iterator[None]:
        """Restore the weights being trained, inside a `with` block."""
        before = self.exchanged
        self._use_ema(False)
        try:
            yield
        finally:
            self._use_ema(before)
