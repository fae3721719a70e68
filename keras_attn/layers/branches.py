"""Combination of the outputs of several branches of a network."""

from typing import Any

import keras
from keras import ops

from keras_attn._types import Tensor
from keras_attn.layers._sublayers import PACKAGE, check_rank


@keras.saving.register_keras_serializable(package=PACKAGE)
class BranchMean(keras.layers.Layer):
    """Mean of branches; in training one branch, drawn for each example.

    Each branch learns to answer alone from its share of the examples, like the members of an
    ensemble. With a sum or mean in training, the branch that learns faster would leave the
    others little gradient to learn from.

    Args:
        seed: integer that makes the draws reproducible.

    Call arguments:
        inputs: float tensor `(B, K, D)`, the outputs of `K` branches.
        training: whether to draw a branch.

    Returns:
        Tensor `(B, D)`.

    Example:

    >>> import numpy as np
    >>> layer = BranchMean()
    >>> ops.convert_to_numpy(layer(np.array([[[1.0, 2.0], [3.0, 6.0]]]))).tolist()
    [[2.0, 4.0]]
    """

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, inputs_shape: Any) -> None:
        check_rank(self, 3, "(batch, branches, features)", inputs=inputs_shape)
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        batch, branches, _ = ops.shape(inputs)
        if not training:
            return ops.mean(inputs, axis=1)
        drawn = keras.random.randint((batch,), 0, branches, seed=self.seed_generator)
        return ops.sum(inputs * ops.one_hot(drawn, branches, dtype=inputs.dtype)[..., None], axis=1)

    def compute_output_shape(self, inputs_shape: Any) -> tuple[int | None, ...]:
        return (inputs_shape[0], inputs_shape[2])

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}
