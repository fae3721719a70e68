"""The model that `fit` trains: a task behind its augmentation, with averaged weights."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from keras_attn._types import Tensor
from keras_attn.tasks.training_data import Objective


class Learner(keras.Model):
    """A model as it is trained: augmented inputs in, logits and the objective's loss out.

    Weights are shared with `task`, which is saved in the end. With `ema_decay` it also keeps an
    exponential moving average of all of them, those of normalization included, updated by the
    training step like the statistics of a batch normalization: under every backend and strategy,
    and saved with the rest. (The average of a Keras optimizer leaves the normalization's
    statistics out, and they then do not fit.)

    Args:
        task: A built model from inputs of batches to logits.
        objective: The loss of a step.
        augmentations: Layers applied to float inputs in training, in order.
        ema_decay: Decay per step of the average, in [0, 1); 0 for none. In the first steps it is
            lower, so that the average does not remember the initial weights.
        **kwargs: See `keras.Model`.

    Under a `tf.distribute` strategy the loss of a step is that of one device with the whole
    batch: a replica's counts by its share of the rows, or of the tokens.
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
        self.example: Any = None  # a batch, to build metrics from under a strategy
        if ema_decay:
            self.steps = self.add_weight(
                name="steps", shape=(), initializer="zeros", dtype="float32", trainable=False
            )
            self.averages = [
                self.add_weight(
                    name=f"average_{index}",
                    shape=weight.shape,
                    initializer="zeros",
                    dtype="float32",
                    trainable=False,
                )
                for index, weight in enumerate(self.averaged)
            ]
        self.built = True

    @property
    def averaged(self) -> list[keras.Variable]:
        """The weights that are averaged: all but the states of random generators."""
        return self.task.weights

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        if not training:
            return self.task(inputs, training=False)
        if self.ema_decay:
            self._update_averages()
        if self.augmentations:
            inputs = ops.cast(inputs, "float32")
        for layer in self.augmentations:
            inputs = layer(inputs, training=True)
        return self.task(inputs, training=True)

    def exchange(self) -> None:
        """Exchange the weights with their averages, exactly; a second call undoes it."""
        for weight, average in zip(self.averaged, self.averages, strict=True):
            value = ops.convert_to_numpy(weight.value)
            weight.assign(ops.convert_to_numpy(average.value))
            average.assign(value)

    def _update_averages(self) -> None:
        """Take in the weights as they stand before this step."""
        keep = ops.minimum(self.ema_decay, self.steps / (self.steps + 9.0))
        for weight, average in zip(self.averaged, self.averages, strict=True):
            value = ops.cast(weight.value, "float32")
            average.assign(keep * average + (1.0 - keep) * value)
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
        for layer in self.augmentations:
            if training and hasattr(layer, "mix_targets"):
                y = layer.mix_targets(y)
        loss = super().compute_loss(
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training
        )
        if training:
            return self._share(loss + self.objective.penalty(y, y_pred), y)
        # Where Keras logs the loss, it multiplies by the replicas that it assumes to have divided
        # by.
        return loss if self.objective.is_divided_by_replicas else loss / self.replicas

    @property
    def replicas(self) -> int:
        """Copies of the model that a strategy keeps."""
        strategy = getattr(self, "distribute_strategy", None)
        return 1 if strategy is None else strategy.num_replicas_in_sync

    def _share(self, loss: Tensor, y: Tensor) -> Tensor:
        """Return what this replica's mean adds to that of all."""
        if self.replicas == 1:
            return loss
        import tensorflow as tf

        own = self.objective.size(y)
        if self.objective.is_divided_by_replicas:
            # Keras has divided a mean over rows as if all replicas had as many.
            loss = loss * self.replicas
        total = tf.distribute.get_replica_context().all_reduce("SUM", own)
        return loss * ops.cast(own / ops.maximum(total, 1.0), loss.dtype)

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        # Keras 3.15 builds the metrics from the mean of a distributed batch, which there is only
        # where all parts have one shape, and one process holds them.
        if self.replicas == 1 or self.example is None:
            super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)
            return
        with self.distribute_strategy.scope():
            self._symbolic_build(data_batch=keras.tree.map_structure(_spec, self.example))

    def make_train_function(self, force: bool = False) -> Any:
        """As of Keras, but where it cannot work: with several workers."""
        if not _several_workers(self):
            return super().make_train_function(force)
        if force or self.train_function is None:
            self.train_function: Any = _step_function(self, self.train_step)
        return self.train_function

    def make_test_function(self, force: bool = False) -> Any:
        """As of Keras, but where it cannot work: with several workers."""
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
    """A function of an iterator that makes a step on every worker, and gives its logs.

    Keras 3.15 reduces logs, which are scalars, over their first axis (keras-team/keras issue
    20585). Here they are averaged over the replicas.
    """
    import tensorflow as tf

    strategy = learner.distribute_strategy

    @tf.function(reduce_retracing=True)
    def run(iterator: Any) -> Any:
        logs = strategy.run(step, args=(next(iterator),))
        return {name: strategy.reduce("MEAN", value, axis=None) for name, value in logs.items()}

    return run


class EvaluateAverages(keras.callbacks.Callback):
    """Puts the averages in the weights' place to evaluate, and for what follows an epoch.

    From the end of an epoch to the beginning of the next, and after training, the task holds the
    averages. A callback that needs the weights as they are trained
    must come before this one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.exchanged = False

    def _hold_averages(self, wanted: bool) -> None:
        if wanted != self.exchanged:
            self.model.exchange()
            self.exchanged = wanted

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Train on the weights."""
        self._hold_averages(False)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Evaluate the averages."""
        self._hold_averages(True)

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Show the callbacks before this one the weights."""
        self._hold_averages(False)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Show the callbacks after this one the averages; keep them if this was the end."""
        self._hold_averages(True)

    @contextlib.contextmanager
    def trained_weights(self) -> Iterator[None]:
        """Hold the weights as they are trained within a `with` block."""
        before = self.exchanged
        self._hold_averages(False)
        try:
            yield
        finally:
            self._hold_averages(before)
