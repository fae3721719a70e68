"""Embedding of the n-grams that begin at each position of a text."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import initializers, ops

from keras_attn.layers._sublayers import PACKAGE, fresh, positive, rank

Tensor = Any


@keras.saving.register_keras_serializable(package=PACKAGE)
class NGramEmbedding(keras.layers.Layer):
    """Embeds the n-grams of each order by a table of their own, side by side.

    The features of a position are those of the word there, of the pair that it begins, of
    the triple, and so on (fastText, Joulin et al., arXiv:1607.01759, has one table for
    all). Id 0, "no such n-gram", always gives zeros.

    Args:
        vocabulary_sizes: number of ids of each order, `V_g`, 0 included.
        dims: features of each order, `D_g`.
        gain: constant factor on the tables. A step of plain gradient descent moves what
            the layer gives by `gain ** 2` times the learning rate, one of Adam by `gain`
            times: rows that are seldom seen learn as fast as the rest of a network.
        embeddings_initializer: initializer of each table, times `gain`.

    Call arguments:
        inputs: integer tensor `(B, T, G)`: for each position and order an id, 0 for none.

    Returns:
        Tensor `(B, T, sum(D_g))`. It carries no mask: whether a position is padding is a
        matter of the ids of its word, and is given to other layers as `padding_mask`.

    Example:

    >>> layer = NGramEmbedding(vocabulary_sizes=(10, 20), dims=(4, 2))
    >>> features = layer(np.array([[[3, 12], [5, 0], [0, 0]]]))
    >>> tuple(features.shape), float(ops.sum(ops.abs(features[0, 2])))
    ((1, 3, 6), 0.0)
    """

    def __init__(
        self,
        vocabulary_sizes: Sequence[int],
        dims: Sequence[int],
        gain: float = 1.0,
        embeddings_initializer: Any = "uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.autocast = False  # ids are numbers to keep
        if not vocabulary_sizes or len(vocabulary_sizes) != len(dims):
            raise ValueError(
                "NGramEmbedding: `vocabulary_sizes` and `dims` must have one value an order. "
                f"Received: {tuple(vocabulary_sizes)} and {tuple(dims)}."
            )
        for size, dim in zip(vocabulary_sizes, dims, strict=True):
            positive(self, vocabulary_sizes=size, dims=dim)
        if not (math.isfinite(gain) and gain > 0):
            raise ValueError(f"NGramEmbedding: `gain` must be positive. Received: {gain!r}.")
        self.vocabulary_sizes = tuple(vocabulary_sizes)
        self.dims = tuple(dims)
        self.gain = gain
        self.embeddings_initializer = initializers.get(embeddings_initializer)

    def build(self, inputs_shape: Any) -> None:
        rank(self, 3, "(batch, length, orders)", inputs=inputs_shape)
        if inputs_shape[-1] != len(self.dims):
            raise ValueError(
                f"{self.name}: `inputs` must have one id for each of {len(self.dims)} orders in "
                f"their last axis. Received: shape {tuple(inputs_shape)}."
            )
        self.tables = [
            self.add_weight(
                name=f"embeddings_{order + 1}",
                shape=shape,
                initializer=fresh(self.embeddings_initializer),
            )
            for order, shape in enumerate(zip(self.vocabulary_sizes, self.dims, strict=True))
        ]

    def call(self, inputs: Tensor) -> Tensor:
        ids = ops.cast(inputs, "int32")
        features = []
        for order, table in enumerate(self.tables):
            rows = ops.take(table, ids[..., order], axis=0)
            known = ops.cast(ids[..., order, None] != 0, self.compute_dtype)
            features.append(self.gain * ops.cast(rows, self.compute_dtype) * known)
        return ops.concatenate(features, axis=-1)

    def assign(self, order: int, values: np.ndarray) -> None:
        """Set the first features of one order's n-grams, as the layer gives them.

        Args:
            order: index of the order, from 0.
            values: float array `(V_g, C)` with `C` at most `D_g`; the other features stay.

        Raises:
            ValueError: the shape does not fit.
        """
        table = self.tables[order]
        rows, columns = table.shape
        if values.ndim != 2 or len(values) != rows or values.shape[1] > columns:
            raise ValueError(
                f"{self.name}: the table of order {order} takes values of shape ({rows}, C) with "
                f"C at most {columns}. Received: shape {values.shape}."
            )
        changed = np.array(ops.convert_to_numpy(table))
        changed[:, : values.shape[1]] = values / self.gain
        table.assign(changed)

    def compute_output_shape(self, inputs_shape: Any) -> tuple[int | None, ...]:
        return (*inputs_shape[:-1], sum(self.dims))

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_sizes": list(self.vocabulary_sizes),
            "dims": list(self.dims),
            "gain": self.gain,
            "embeddings_initializer": initializers.serialize(self.embeddings_initializer),
        }
