"""Initializers that Keras does not have."""

from typing import Any

import keras
from keras import ops

from keras_attn.layers._sublayers import PACKAGE


@keras.saving.register_keras_serializable(package=PACKAGE)
class Dirac(keras.initializers.Initializer):
    """Identity initializer of convolutions (Jordan, arXiv:2404.00498).

    The first `channels` filters of a kernel `(height, width, channels, filters)` copy one
    channel each: 1 at its centre, 0 elsewhere. Further filters are uniform in
    `± 1 / sqrt(height * width * channels)`.

    Args:
        seed: integer or `keras.random.SeedGenerator`, for the further filters.

    Raises:
        ValueError: the kernel is not of rank 4.

    Example:

    >>> import numpy as np
    >>> convolution = keras.layers.Conv2D(4, 3, padding="same", kernel_initializer=Dirac())
    >>> x = np.random.default_rng(0).normal(size=(1, 5, 6, 2)).astype("float32")
    >>> bool(np.allclose(convolution(x)[..., :2], x))
    True
    """

    def __init__(self, seed: Any = None) -> None:
        self.seed = seed
        self._uniform = keras.initializers.VarianceScaling(
            scale=1 / 3, mode="fan_in", distribution="uniform", seed=seed
        )

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        if len(shape) != 4:
            raise ValueError(
                "Dirac is for kernels of shape (height, width, channels, filters). Received: "
                f"shape {tuple(shape)}."
            )
        height, width, channels, filters = shape
        copies = min(channels, filters)
        identity = ops.pad(
            ops.eye(channels, copies, dtype=dtype)[None, None],
            (
                ((height - 1) // 2, height // 2),
                ((width - 1) // 2, width // 2),
                (0, 0),
                (0, 0),
            ),
        )
        uniform = self._uniform(shape, dtype=dtype)
        return ops.concatenate([identity, uniform[..., copies:]], axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed}
