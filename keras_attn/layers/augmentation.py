"""Image augmentation: layers that change a batch of training images at random.

They are written with `keras.ops`, and run on the device that trains. Images are float
`(B, H, W, C)` with values in 0..255 and keep their shape. Outside of training the layers
return their inputs.
"""

import threading
from typing import Any

import keras
from keras import ops

from keras_attn._types import Tensor
from keras_attn.layers._sublayers import PACKAGE, check_positive_integers, check_rank

GREY = 127.5  # the middle of the range of values


class ReplicaSeeds(keras.random.SeedGenerator):
    """A seed generator that gives each replica of a `tf.distribute` strategy its own seeds.

    The state is the same on all replicas. Without a strategy it is Keras's own generator.
    """

    def next(self, ordered: bool = True) -> Tensor:
        seed = super().next(ordered)
        if keras.backend.backend() != "tensorflow":
            return seed
        import tensorflow as tf

        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1:
            return seed
        # The state counts up by one: a large prime keeps the seeds of replicas apart.
        number = tf.cast(context.replica_id_in_sync_group, seed.dtype)
        return seed + tf.stack([number * 1_000_003, tf.zeros_like(number)])


class _Augmentation(keras.layers.Layer):
    """Base class of augmentation layers, which define `augment`."""

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = ReplicaSeeds(seed)

    def build(self, input_shape: Any) -> None:
        check_rank(self, 4, "(batch, height, width, channels)", inputs=input_shape)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        return self.augment(inputs) if training else inputs

    def augment(self, images: Tensor) -> Tensor:
        """Return changed images, of the same shape and dtype."""
        raise NotImplementedError(f"{type(self).__name__} must define `augment`.")

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}


@keras.saving.register_keras_serializable(package=PACKAGE)
class RandomFlip(_Augmentation):
    """Mirror each image left to right with probability one half.

    Args:
        seed: integer that makes the draws repeatable.

    Call arguments:
        inputs: float tensor `(B, H, W, C)`.
        training: whether to change the images; else they are returned as they are.

    Returns:
        Tensor `(B, H, W, C)`.

    Example:

    >>> import numpy as np
    >>> images = np.arange(48.0, dtype="float32").reshape(2, 4, 2, 3)
    >>> tuple(RandomFlip(seed=0)(images, training=True).shape)
    (2, 4, 2, 3)
    """

    def augment(self, images: Tensor) -> Tensor:
        draws = keras.random.uniform((ops.shape(images)[0], 1, 1, 1), seed=self.seed_generator)
        return ops.where(draws < 0.5, ops.flip(images, axis=2), images)


@keras.saving.register_keras_serializable(package=PACKAGE)
class RandomShift(_Augmentation):
    """Shift each image by up to `pixels` along both axes, reflecting at the border.

    Args:
        pixels: largest shift, less than the sides of the images.
        seed: integer that makes the shifts repeatable.

    Call arguments:
        inputs: float tensor `(B, H, W, C)`.
        training: whether to change the images; else they are returned as they are.

    Returns:
        Tensor `(B, H, W, C)`.

    Raises:
        ValueError: `pixels` is not less than the sides of the images.

    Example:

    >>> import numpy as np
    >>> images = np.arange(48.0, dtype="float32").reshape(2, 4, 2, 3)
    >>> tuple(RandomShift(1, seed=0)(images, training=True).shape)
    (2, 4, 2, 3)
    """

    def __init__(self, pixels: int, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed=seed, **kwargs)
        check_positive_integers(self, pixels=pixels)
        self.pixels = pixels

    def augment(self, images: Tensor) -> Tensor:
        batch, height, width, _ = ops.shape(images)
        if self.pixels >= min(height, width):
            raise ValueError(
                "RandomShift: `pixels` must be less than the sides of the images. "
                f"Received: pixels={self.pixels}, images of {height} x {width}."
            )
        rows = self._selection_matrix(batch, height, images.dtype)
        columns = self._selection_matrix(batch, width, images.dtype)
        # Products with one-hot matrices are exact, and faster than gathering.
        shifted = ops.einsum("bij,bjwc->biwc", rows, images)
        return ops.einsum("bij,bhjc->bhic", columns, shifted)

    def _selection_matrix(self, batch: Any, side: int, dtype: str) -> Tensor:
        """Return `(B, side, side)`, whose row `i` is one-hot at the source of shifted row `i`."""
        shift = keras.random.randint(
            (batch, 1), -self.pixels, self.pixels + 1, seed=self.seed_generator
        )
        source = ops.abs(ops.arange(side, dtype="int32")[None, :] + ops.cast(shift, "int32"))
        source = (side - 1) - ops.abs((side - 1) - source)
        return ops.one_hot(source, side, dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pixels": self.pixels}


@keras.saving.register_keras_serializable(package=PACKAGE)
class Cutout(_Augmentation):
    """Replace a random square of each image by grey (DeVries and Taylor, arXiv:1708.04552).

    Args:
        size: side of the square in pixels. Its centre is inside the image, so that near the
            border only a part of the square is.
        seed: integer that makes the squares repeatable.

    Call arguments:
        inputs: float tensor `(B, H, W, C)`.
        training: whether to change the images; else they are returned as they are.

    Returns:
        Tensor `(B, H, W, C)`.

    Example:

    >>> import numpy as np
    >>> images = np.zeros((1, 8, 8, 1), "float32")
    >>> cut = ops.convert_to_numpy(Cutout(2, seed=0)(images, training=True))
    >>> sorted(set(cut.ravel().tolist()))
    [0.0, 127.5]
    """

    def __init__(self, size: int, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed=seed, **kwargs)
        check_positive_integers(self, size=size)
        self.size = size

    def augment(self, images: Tensor) -> Tensor:
        batch, height, width, _ = ops.shape(images)
        inside = ops.logical_and(
            self._interval(batch, height)[:, :, None], self._interval(batch, width)[:, None, :]
        )
        return ops.where(inside[..., None], ops.cast(GREY, images.dtype), images)

    def _interval(self, batch: Any, side: int) -> Tensor:
        return _random_interval(batch, side, self.size, self.seed_generator)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}


class _Mixing(_Augmentation):
    """Base class of layers that mix each image, and its target, with another of the batch.

    A call draws the ratio of each image itself; `mix_targets`, called later in the
    same training step, mixes the targets by the same ratios.
    """

    def __init__(self, alpha: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed=seed, **kwargs)
        if not alpha > 0.0:
            raise ValueError(
                f"{type(self).__name__}: `alpha` must be positive. Received: {alpha!r}."
            )
        self.alpha = alpha
        # One ratio per thread: TensorFlow traces replicas in threads that alternate in a step.
        self._last_call = threading.local()

    def mix_targets(self, targets: Tensor) -> Tensor:
        """Return targets `(B, C)`, such as one-hot labels, mixed as the images of the last call.

        Args:
            targets: float tensor `(B, C)`, in the order of the images.
        """
        ratio = ops.cast(ops.reshape(self._last_call.ratio, (-1, 1)), targets.dtype)
        return _mix(targets, ratio)

    def _draw_ratio(self, images: Tensor) -> Tensor:
        """Return beta-distributed ratios `(B, 1, 1, 1)`."""
        shape = (ops.shape(images)[0], 1, 1, 1)
        return keras.random.beta(shape, self.alpha, self.alpha, seed=self.seed_generator)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha}


@keras.saving.register_keras_serializable(package=PACKAGE)
class Mixup(_Mixing):
    """Average pairs of images, and their targets (Zhang et al., arXiv:1710.09412).

    Args:
        alpha: parameter of the symmetric beta distribution of the ratio of an image.
        seed: integer that makes the ratios repeatable.

    Call arguments:
        inputs: float tensor `(B, H, W, C)`.
        training: whether to change the images; else they are returned as they are.

    Returns:
        Tensor `(B, H, W, C)`. `mix_targets(targets)` mixes the targets likewise.

    Example:

    >>> import numpy as np
    >>> images = np.zeros((2, 4, 4, 3), "float32")
    >>> layer = Mixup(alpha=0.2, seed=0)
    >>> images = layer(images, training=True)
    >>> tuple(layer.mix_targets(np.eye(2, dtype="float32")).shape)
    (2, 2)
    """

    def augment(self, images: Tensor) -> Tensor:
        self._last_call.ratio = ratio = ops.cast(self._draw_ratio(images), images.dtype)
        return _mix(images, ratio)


@keras.saving.register_keras_serializable(package=PACKAGE)
class CutMix(_Mixing):
    """Paste a rectangle of another image, and mix targets by area (arXiv:1905.04899).

    Args:
        alpha: parameter of the symmetric beta distribution of the area of an image.
        seed: integer that makes the rectangles repeatable.

    Call arguments:
        inputs: float tensor `(B, H, W, C)`.
        training: whether to change the images; else they are returned as they are.

    Returns:
        Tensor `(B, H, W, C)`. `mix_targets(targets)` mixes the targets likewise.

    Example:

    >>> import numpy as np
    >>> images = np.zeros((2, 4, 4, 3), "float32")
    >>> layer = CutMix(alpha=1.0, seed=0)
    >>> images = layer(images, training=True)
    >>> tuple(layer.mix_targets(np.eye(2, dtype="float32")).shape)
    (2, 2)
    """

    def augment(self, images: Tensor) -> Tensor:
        batch, height, width, _ = ops.shape(images)
        fraction = ops.sqrt(1.0 - self._draw_ratio(images)[:, :, 0, 0])  # of each side
        rows = _random_interval(batch, height, fraction * height, self.seed_generator)
        columns = _random_interval(batch, width, fraction * width, self.seed_generator)
        inside = ops.logical_and(rows[:, :, None], columns[:, None, :])[..., None]
        pasted_area = ops.mean(ops.cast(inside, "float32"), axis=(1, 2, 3), keepdims=True)
        self._last_call.ratio = 1.0 - pasted_area
        return ops.where(inside, ops.roll(images, 1, axis=0), images)


def _mix(x: Tensor, ratio: Tensor) -> Tensor:
    """Return `x` times `ratio` plus the previous element of the batch times `1 - ratio`."""
    return ratio * x + (1 - ratio) * ops.roll(x, 1, axis=0)


def _random_interval(batch: Any, side: int, length: Any, seed: Any) -> Tensor:
    """Return boolean `(B, side)`, True in an interval of that length around a random centre."""
    centre = keras.random.uniform((batch, 1), 0, side, seed=seed)
    positions = ops.cast(ops.arange(side, dtype="int32"), "float32") + 0.5
    return ops.abs(positions[None] - centre) < length / 2
