"""Augmentation: random changes to a batch of training images, as layers.

All of it is `keras.ops` on the device that trains. Images are float `(B, H, W, C)` with
values in 0..255, and keep their shape; outside training the layers do nothing.
"""

import threading
from typing import Any

import keras
from keras import ops

Tensor = Any


class ReplicaSeeds(keras.random.SeedGenerator):
    """A generator that gives every replica of a `tf.distribute` strategy seeds of its own.

    The state is the same on all of them. Without a strategy it is Keras's own generator.
    """

    def next(self, ordered: bool = True) -> Tensor:
        seed = super().next(ordered)
        if keras.backend.backend() != "tensorflow":
            return seed
        import tensorflow as tf

        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1:
            return seed
        # A state counts up by ones: a large prime keeps the replicas' seeds apart.
        number = tf.cast(context.replica_id_in_sync_group, seed.dtype)
        return seed + tf.stack([number * 1_000_003, tf.zeros_like(number)])


class _Augmentation(keras.layers.Layer):
    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = ReplicaSeeds(seed)
        self.built = True

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        return self.augment(inputs) if training else inputs

    def augment(self, images: Tensor) -> Tensor:
        raise TypeError(f"{type(self).__name__} must define `augment`.")

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}


@keras.saving.register_keras_serializable(package="keras_attn")
class RandomFlip(_Augmentation):
    """Mirror each image left to right with probability one half."""

    def augment(self, images: Tensor) -> Tensor:
        mirrored = keras.random.uniform((ops.shape(images)[0], 1, 1, 1), seed=self.seed_generator)
        return ops.where(mirrored < 0.5, ops.flip(images, axis=2), images)


@keras.saving.register_keras_serializable(package="keras_attn")
class RandomShift(_Augmentation):
    """Move each image by up to `pixels` along both sides, reflecting at the border.

    Args:
        pixels: the largest shift.
        seed: integer that makes the shifts repeatable.
    """

    def __init__(self, pixels: int, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed=seed, **kwargs)
        self.pixels = pixels

    def augment(self, images: Tensor) -> Tensor:
        batch, height, width, _ = ops.shape(images)
        if self.pixels >= min(height, width):
            raise ValueError(
                "RandomShift must move by less than the images' sides. "
                f"Received: pixels={self.pixels}, images of {height} x {width}."
            )
        rows = self._selection(batch, height, images.dtype)
        columns = self._selection(batch, width, images.dtype)
        # Selecting by products with one-hot rows is exact, and faster than gathering.
        moved = ops.einsum("bij,bjwc->biwc", rows, images)
        return ops.einsum("bij,bhjc->bhic", columns, moved)

    def _selection(self, batch: Any, side: int, dtype: str) -> Tensor:
        """`(B, side, side)`: row `i` is one-hot at the source of the moved row `i`."""
        shift = keras.random.randint(
            (batch, 1), -self.pixels, self.pixels + 1, seed=self.seed_generator
        )
        source = ops.abs(ops.arange(side)[None, :] + ops.cast(shift, "int32"))
        source = (side - 1) - ops.abs((side - 1) - source)
        return ops.one_hot(source, side, dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pixels": self.pixels}


@keras.saving.register_keras_serializable(package="keras_attn")
class Cutout(_Augmentation):
    """Grey out one square in each image (DeVries and Taylor, arXiv:1708.04552).

    Args:
        size: side of the square in pixels; at the border a part of it is outside.
        seed: integer that makes the places repeatable.
    """

    def __init__(self, size: int, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed=seed, **kwargs)
        self.size = size

    def augment(self, images: Tensor) -> Tensor:
        batch, height, width, _ = ops.shape(images)
        inside = ops.logical_and(
            self._near(batch, height)[:, :, None], self._near(batch, width)[:, None, :]
        )
        return ops.where(inside[..., None], ops.cast(127.5, images.dtype), images)

    def _near(self, batch: Any, side: int) -> Tensor:
        centre = keras.random.uniform((batch, 1), 0, side, seed=self.seed_generator)
        positions = ops.cast(ops.arange(side), "float32") + 0.5
        return ops.abs(positions[None] - centre) < self.size / 2

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}


class _Mixing(_Augmentation):
    """Mixes each image, and its target, with the next one of the batch.

    The share that an image keeps is drawn in `call`; `mix_targets`, called later in the
    same training step, mixes the targets by it.
    """

    def __init__(self, alpha: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed=seed, **kwargs)
        self.alpha = alpha
        # Of each replica: TensorFlow traces them in threads that take turns within a step.
        self._drawn = threading.local()

    def mix_targets(self, targets: Tensor) -> Tensor:
        """Mix one-hot targets `(B, C)` as the last call mixed the images."""
        kept = ops.cast(ops.reshape(self._drawn.kept, (-1, 1)), targets.dtype)
        return kept * targets + (1 - kept) * ops.roll(targets, 1, axis=0)

    def _draw(self, images: Tensor) -> Tensor:
        shape = (ops.shape(images)[0], 1, 1, 1)
        return keras.random.beta(shape, self.alpha, self.alpha, seed=self.seed_generator)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha}


@keras.saving.register_keras_serializable(package="keras_attn")
class Mixup(_Mixing):
    """Average pairs of images and targets (Zhang et al., arXiv:1710.09412).

    Args:
        alpha: parameter of the symmetric beta distribution of an image's share.
        seed: integer that makes the shares repeatable.
    """

    def augment(self, images: Tensor) -> Tensor:
        self._drawn.kept = kept = ops.cast(self._draw(images), images.dtype)
        return kept * images + (1 - kept) * ops.roll(images, 1, axis=0)


@keras.saving.register_keras_serializable(package="keras_attn")
class CutMix(_Mixing):
    """Paste a rectangle of another image, and mix targets by area (arXiv:1905.04899).

    Args:
        alpha: parameter of the symmetric beta distribution of an image's share.
        seed: integer that makes shares and places repeatable.
    """

    def augment(self, images: Tensor) -> Tensor:
        batch, height, width, _ = ops.shape(images)
        fraction = ops.sqrt(1.0 - self._draw(images)[:, :, 0, 0])
        inside = ops.logical_and(
            self._within(batch, height, fraction)[:, :, None],
            self._within(batch, width, fraction)[:, None, :],
        )[..., None]
        area = ops.mean(ops.cast(inside, "float32"), axis=(1, 2, 3), keepdims=True)
        self._drawn.kept = 1.0 - area
        return ops.where(inside, ops.roll(images, 1, axis=0), images)

    def _within(self, batch: Any, side: int, fraction: Tensor) -> Tensor:
        centre = keras.random.uniform((batch, 1), 0, side, seed=self.seed_generator)
        positions = ops.cast(ops.arange(side), "float32") + 0.5
        return ops.abs(positions[None] - centre) < fraction * side / 2
