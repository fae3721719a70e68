"""Input layers that learn statistics of images by `adapt`."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_attn._types import Tensor
from keras_attn.layers._sublayers import PACKAGE, check_positive_integers, check_rank


@keras.saving.register_keras_serializable(package=PACKAGE)
class ImageNormalization(keras.layers.Layer):
    """Normalize each channel, `(images - mean) / standard deviation`, by statistics from `adapt`.

    Before `adapt`, mean and standard deviation are the middle and a quarter of the range of uint8,
    so that the inputs of an untrained model have a reasonable scale.

    Call arguments:
        inputs: images `(B, H, W, C)` in 0..255, integer or float.

    Returns:
        Float tensor `(B, H, W, C)`.

    Example:

    >>> layer = ImageNormalization()
    >>> layer.adapt(np.array([0, 100], "uint8").reshape(2, 1, 1, 1))
    >>> np.asarray(layer(np.array([[[[100]]]], "uint8"))).item()
    1.0
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.autocast = False  # 0..255 are not exact in every compute dtype

    def build(self, input_shape: Any) -> None:
        check_rank(self, 4, "(batch, height, width, channels)", inputs=input_shape)
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={-1: input_shape[-1]})
        for name, start in (("mean", 127.5), ("deviation", 63.75)):
            weight = self.add_weight(
                name=name,
                shape=(input_shape[-1],),
                initializer=keras.initializers.Constant(start),
                dtype="float32",
                trainable=False,
            )
            setattr(self, name, weight)

    def adapt(self, images: np.ndarray) -> None:
        """Set mean and standard deviation to those of an array of images `(N, H, W, C)`."""
        _ensure_built(self, images.shape)
        axes = (0, 1, 2)
        self.mean.assign(images.mean(axes, dtype="float64").astype("float32"))
        deviation = images.std(axes, dtype="float64").astype("float32")
        self.deviation.assign(np.maximum(deviation, 1e-3))

    def call(self, inputs: Tensor) -> Tensor:
        normalized = (ops.cast(inputs, "float32") - self.mean) / self.deviation
        return ops.cast(normalized, self.compute_dtype)

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)


@keras.saving.register_keras_serializable(package=PACKAGE)
class PatchWhitening(keras.layers.Layer):
    """Whiten image patches by a frozen convolution (Jordan, arXiv:2404.00498).

    The filters are the eigenvectors of the covariance of the images' patches, scaled to
    unit variance, and their negatives, so that a rectifier loses no information. `adapt`
    computes them; before, they are a random orthonormal basis and its negative. Only the
    bias is trained.

    Args:
        kernel_size: side of the square patches, `k`.
        epsilon: added to the eigenvalues before dividing by their square root.
        seed: seed of the random basis.

    Call arguments:
        inputs: float tensor `(B, H, W, C)`, normalized.

    Returns:
        Tensor `(B, H - k + 1, W - k + 1, 2 * k * k * C)`.

    Example:

    >>> layer = PatchWhitening(kernel_size=2)
    >>> images = np.random.default_rng(0).normal(size=(64, 9, 8, 3)).astype("float32")
    >>> layer.adapt(images)
    >>> tuple(layer(images).shape)
    (64, 8, 7, 24)
    """

    def __init__(
        self, kernel_size: int = 2, epsilon: float = 5e-4, seed: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integers(self, kernel_size=kernel_size)
        self.kernel_size = kernel_size
        self.epsilon = epsilon
        self.seed = seed

    def build(self, input_shape: Any) -> None:
        check_rank(self, 4, "(batch, height, width, channels)", inputs=input_shape)
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={-1: input_shape[-1]})
        size = self.kernel_size**2 * input_shape[-1]
        random = np.random.default_rng(self.seed).normal(size=(size, size))
        basis = np.linalg.qr(random)[0]
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.kernel_size, self.kernel_size, input_shape[-1], 2 * size),
            initializer=lambda shape, dtype: ops.cast(self._filters(basis, shape), dtype),
            trainable=False,
        )
        self.bias = self.add_weight(name="bias", shape=(2 * size,), initializer="zeros")

    def adapt(self, images: np.ndarray) -> None:
        """Set the filters to whiten the patches of an array of images, float `(N, H, W, C)`."""
        _ensure_built(self, images.shape)
        size = self.kernel_size
        patches = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(1, 2))
        patches = patches.transpose(0, 1, 2, 4, 5, 3).reshape(-1, size * size * images.shape[-1])
        covariance = np.cov(patches, rowvar=False, dtype="float64")
        values, vectors = np.linalg.eigh(covariance)
        whitening = (vectors / np.sqrt(values + self.epsilon)).T[::-1]
        self.kernel.assign(self._filters(whitening, self.kernel.shape))

    def call(self, inputs: Tensor) -> Tensor:
        return ops.conv(inputs, self.kernel, padding="valid", data_format="channels_last") + (
            ops.cast(self.bias, inputs.dtype)
        )

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        batch, *spatial, channels = input_shape
        border = self.kernel_size - 1
        spatial = [None if side is None else side - border for side in spatial]
        return (batch, *spatial, 2 * self.kernel_size**2 * channels)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "epsilon": self.epsilon,
            "seed": self.seed,
        }

    @staticmethod
    def _filters(basis: np.ndarray, shape: Any) -> np.ndarray:
        """Return a kernel whose filters are the rows of `basis` and their negatives."""
        both = np.concatenate([basis, -basis]).astype("float32")
        return both.T.reshape(shape)


def _ensure_built(layer: Any, shape: Any) -> None:
    if not layer.built:
        layer.build(shape)
        layer.built = True
