"""Embedding of the n-grams that begin at each position of a text."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import initializers, ops

from keras_attn.layers._sublayers import (
    PACKAGE,
    check_positive_integers,
    check_rank,
    clone_initializer,
)

Tensor = Any


@keras.saving.register_keras_serializable(package=PACKAGE)
class NGramEmbedding(keras.layers.Layer):
    """Embeds the n-grams of each order by a table of their own, side by side.

    The features of a position are those of the word there, of the pair that it begins, of
    the triple, and so on (fastText, Joulin et al., arXiv:1607.01759, has one table for
    all). Id 0, "no such n-gram", always gives zeros.

    `assign` says where tables start: at log-count ratios, say. With `num_ratios` such ratios
    are features of their own, before those of the table, that training leaves. Counted on
    the very texts that a network is trained on they tell it the labels, and a large one
    learns to trust them. So `assign` also takes ratios counted without each of some folds
    of these texts, and in training an id may say whose it wants: `id + (1 + fold) *
    (V_g - 2)`, for ids of 2 and more. What is counted without folds is not saved.

    Args:
        vocabulary_sizes: number of ids of each order, `V_g`, 0 included.
        dims: features of each order that are learned, `D_g`.
        gain: constant factor on the tables. A step of plain gradient descent moves what
            the layer gives by `gain ** 2` times the learning rate, one of Adam by `gain`
            times: rows that are seldom seen learn as fast as the rest of a network.
        num_ratios: features of each order that are assigned, `C`.
        embeddings_initializer: initializer of each table, times `gain`.

    Call arguments:
        inputs: integer tensor `(B, T, G)`: for each position and order an id, 0 for none.

    Returns:
        Tensor `(B, T, sum(C + D_g))`. It carries no mask: whether a position is padding is a
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
        num_ratios: int = 0,
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
        if num_ratios:
            check_positive_integers(self, num_ratios=num_ratios)
        for size, dim in zip(vocabulary_sizes, dims, strict=True):
            check_positive_integers(self, vocabulary_sizes=size)
            if num_ratios and size < 3:
                raise ValueError(
                    "NGramEmbedding: ids of 2 and more have ratios, and `vocabulary_sizes` must be "
                    f"3 or more with `num_ratios`. Received: {tuple(vocabulary_sizes)}."
                )
            if dim or not num_ratios:
                check_positive_integers(self, dims=dim)
        if not (math.isfinite(gain) and gain > 0):
            raise ValueError(f"NGramEmbedding: `gain` must be positive. Received: {gain!r}.")
        self.vocabulary_sizes = tuple(vocabulary_sizes)
        self.dims = tuple(dims)
        self.gain = gain
        self.num_ratios = num_ratios
        self.widths = tuple(num_ratios + dim for dim in self.dims)
        self.folds: list[Tensor | None] = [None] * len(self.dims)  # (1 + folds, V_g, C) each
        self.embeddings_initializer = initializers.get(embeddings_initializer)

    def build(self, inputs_shape: Any) -> None:
        check_rank(self, 3, "(batch, length, orders)", inputs=inputs_shape)
        if inputs_shape[-1] != len(self.dims):
            raise ValueError(
                f"{self.name}: `inputs` must have one id for each of {len(self.dims)} orders in "
                f"their last axis. Received: shape {tuple(inputs_shape)}."
            )
        self.tables: list[Any] = []  # None where nothing is learned
        self.ratios: list[Any] = []
        for order, (size, dim) in enumerate(zip(self.vocabulary_sizes, self.dims, strict=True)):
            if dim:
                initializer = clone_initializer(self.embeddings_initializer)
                table = self.add_weight((size, dim), initializer, name=f"embeddings_{order + 1}")
            self.tables.append(table if dim else None)
            if self.num_ratios:
                ratios = self.add_weight(
                    (size, self.num_ratios), "zeros", trainable=False, name=f"ratios_{order + 1}"
                )
                self.ratios.append(ratios)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        ids = ops.cast(inputs, "int32")
        features = []
        for order, table in enumerate(self.tables):
            column = ids[..., order]
            own = self._own(order, column)
            known = ops.cast(column[..., None] != 0, self.compute_dtype)
            if self.num_ratios:
                rows = self._ratios(order, column, own, bool(training))
                features.append(ops.cast(rows, self.compute_dtype) * known)
            if table is not None:
                rows = ops.take(table, own, axis=0)
                features.append(self.gain * ops.cast(rows, self.compute_dtype) * known)
        return ops.concatenate(features, axis=-1)

    def assign(
        self, order: int, values: np.ndarray, without_folds: np.ndarray | None = None
    ) -> None:
        """Set the ratios of one order's n-grams, or where its table starts.

        Args:
            order: index of the order, from 0.
            values: with `num_ratios` a float array `(V_g, C)`. Else one of no more columns
                than `D_g`: these are what the layer gives as its first features, and the
                others stay as they are.
            without_folds: float array `(folds, V_g, C)`, ratios counted without each fold.
                None if texts that were counted are not trained on. A training step that
                was traced before goes on with those of before.

        Raises:
            ValueError: a shape does not fit.
        """
        if self.num_ratios:
            self._assign_ratios(order, values, without_folds)
            return
        table = self.tables[order]
        rows, columns = table.shape
        if values.ndim != 2 or len(values) != rows or values.shape[1] > columns:
            raise ValueError(
                f"{self.name}: the table of order {order} takes values of shape ({rows}, C) with "
                f"C at most {columns}. Received: shape {values.shape}."
            )
        if without_folds is not None:
            raise ValueError(f"{self.name} has no ratios of folds: `num_ratios` is 0.")
        changed = np.array(ops.convert_to_numpy(table))
        changed[:, : values.shape[1]] = values / self.gain
        table.assign(changed)

    def without_folds(self, ids: Tensor) -> Tensor:
        """The ids `(..., G)` of the n-grams, whatever folds they ask for."""
        ids = ops.cast(ids, "int32")
        columns = [self._own(order, ids[..., order]) for order in range(len(self.dims))]
        return ops.stack(columns, axis=-1)

    def compute_output_shape(self, inputs_shape: Any) -> tuple[int | None, ...]:
        return (*inputs_shape[:-1], sum(self.widths))

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_sizes": list(self.vocabulary_sizes),
            "dims": list(self.dims),
            "gain": self.gain,
            "num_ratios": self.num_ratios,
            "embeddings_initializer": initializers.serialize(self.embeddings_initializer),
        }

    def _own(self, order: int, ids: Tensor) -> Tensor:
        if not self.num_ratios:
            return ids
        return ops.where(ids < 2, ids, 2 + (ids - 2) % (self.vocabulary_sizes[order] - 2))

    def _ratios(self, order: int, ids: Tensor, own: Tensor, training: bool) -> Tensor:
        folds = self.folds[order]
        if not training or folds is None:
            return ops.take(self.ratios[order], own, axis=0)
        size = self.vocabulary_sizes[order]
        fold = ops.maximum(ids - 2, 0) // (size - 2)
        fold = ops.where(fold < len(folds), fold, 0)
        return ops.take(ops.reshape(folds, (-1, self.num_ratios)), fold * size + own, axis=0)

    def _assign_ratios(
        self, order: int, ratios: np.ndarray, without_folds: np.ndarray | None
    ) -> None:
        shape = (self.vocabulary_sizes[order], self.num_ratios)
        held_out = ratios[None] if without_folds is None else without_folds
        if ratios.shape != shape or held_out.shape[1:] != shape:
            raise ValueError(
                f"{self.name}: the ratios of order {order} have shape {shape}. Received: "
                f"{ratios.shape}, and without folds {held_out.shape[1:]}."
            )
        self.ratios[order].assign(ratios)
        self.folds[order] = None
        if without_folds is not None:
            both = np.concatenate([ratios[None], without_folds]).astype("float32")
            self.folds[order] = ops.convert_to_tensor(both)
