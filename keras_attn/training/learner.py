"""The model that is fitted: a classifier behind its augmentation, and its average."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from keras_attn.layers import augmentation
from keras_attn.recipes import recipe
from keras_attn.tasks import divergence_of_copies
from keras_attn.tasks.translation.sequence_loss import PADDING_ID

Tensor = Any


class Learner(keras.Model):
    """A model as it is trained: augmented images or ids in, targets for the loss.

    Weights are shared with `classifier`, which is what is kept in the end. With `average`
    it also keeps an exponential moving average of all of them, those of normalization
    included, updated by the training step like the statistics of a batch normalization:
    under every backend and strategy, and saved with the rest. (The average of a Keras
    optimizer leaves the normalization's statistics out, and they then do not fit.)

    Args:
        classifier: a built model from uint8 images, or ids of texts, to logits `(B, C)`.
        augmentations: layers applied to float images in training, in order.
        average: how much the average keeps a step, in [0, 1); 0 for none. In the first
            steps it keeps less, so that it does not remember the initial weights.
        one_hot: whether the loss takes labels written out over the classes, for augmentations
            to mix.
        r_drop: weight of the divergence between the answers to the two copies of each row of
            which training batches consist; 0 where they do not.

    Under a `tf.distribute` strategy the loss of a step is that of one device with the whole
    batch: a replica's counts by its share of the rows, or of the tokens.
    """

    def __init__(
        self,
        classifier: keras.Model,
        augmentations: list[keras.layers.Layer],
        average: float = 0.0,
        one_hot: bool = True,
        r_drop: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.classifier = classifier
        self.augmentations = augmentations
        self.average = average
        self.one_hot = one_hot
        self.r_drop = r_drop
        self.example: Any = None  # a batch, to build metrics from under a strategy
        if average:
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
        """The classifier's weights that are averaged: all but random generators' states."""
        return self.classifier.weights

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        if not training:
            return self.classifier(inputs, training=False)
        if self.average:
            self._update_averages()
        if self.augmentations:
            inputs = ops.cast(inputs, "float32")
        for layer in self.augmentations:
            inputs = layer(inputs, training=True)
        return self.classifier(inputs, training=True)

    def exchange(self) -> None:
        """Exchange the weights with their averages, exactly; a second call undoes it."""
        for weight, average in zip(self.averaged, self.averages, strict=True):
            value = ops.convert_to_numpy(weight.value)
            weight.assign(ops.convert_to_numpy(average.value))
            average.assign(value)

    def _update_averages(self) -> None:
        """Take in the weights as they stand before this step."""
        keep = ops.minimum(self.average, self.steps / (self.steps + 9.0))
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
        if self.one_hot:
            y = ops.one_hot(y, ops.shape(y_pred)[-1], dtype=y_pred.dtype)
        for layer in self.augmentations:
            if training and hasattr(layer, "mix_targets"):
                y = layer.mix_targets(y)
        loss = super().compute_loss(
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training
        )
        if training and self.r_drop:
            loss = loss + self.r_drop * divergence_of_copies(y, y_pred)
        if training:
            return self._share(loss, y)
        # Where it tells the loss, Keras multiplies by the replicas that it thinks it divided by.
        return loss if self.one_hot else loss / self.replicas

    @property
    def replicas(self) -> int:
        """Copies of the model that a strategy keeps."""
        strategy = getattr(self, "distribute_strategy", None)
        return 1 if strategy is None else strategy.num_replicas_in_sync

    def _share(self, loss: Tensor, y: Tensor) -> Tensor:
        """What this replica's mean adds to that of all."""
        if self.replicas == 1:
            return loss
        import tensorflow as tf

        if self.one_hot:
            own = ops.cast(ops.shape(y)[0], "float32")
            # Keras has divided a mean over rows by the number of replicas, as if all had as many.
            loss = loss * self.replicas
        else:
            own = ops.sum(ops.cast(ops.not_equal(y, PADDING_ID), "float32"))
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

    From the end of an epoch to the beginning of the next, and after training, the
    classifier holds the averages. A callback that needs the weights as they are trained
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
    def holding_weights(self) -> Iterator[None]:
        """A context in which the classifier holds the weights as they are trained."""
        before = self.exchanged
        self._hold_averages(False)
        try:
            yield
        finally:
            self._hold_averages(before)


def augmentations(settings: recipe.Augmentation, seed: int) -> list[keras.layers.Layer]:
    """The layers of a recipe's augmentation, with seeds of their own."""
    layers: list[keras.layers.Layer] = []
    if settings.flip is True:  # else images come flipped
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
