"""Embedding of the n-grams that begin at each position of a text."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import initializers, ops

from keras_attn._token_ids import FIRST_TERM_ID, PADDING_ID
from keras_attn._types import Tensor
from keras_attn.layers._sublayers import (
    PACKAGE,
    check_positive_integers,
    check_rank,
    clone_initializer,
)


@keras.saving.register_keras_serializable(package=PACKAGE)
class NGramEmbedding(keras.layers.Layer):
    """Embedding of n-grams, with a table for each order (words, pairs, triples, ...).

    The features of a position are those of the word there, of the pair that begins there, of
    the triple, and so on, concatenated (fastText, Joulin et al., arXiv:1607.01759, has one
    table for all orders). Id 0, "no such n-gram", always has features of 0.

    `assign` sets the initial values of tables, such as log-count ratios. With `num_ratios`,
    such ratios are fixed features before those of the table, and are not trained. Ratios
    counted on the training texts leak the labels of these texts, and a large network learns to
    rely on them. Therefore `assign` also takes ratios counted without each of several folds of
    the texts, and in training an id may select the fold to leave out:
    `id + (1 + fold) * (V_g - 2)`, for ids of 2 and more. The ratios without folds are not saved.

    Args:
        vocabulary_sizes: number of ids of each order, `V_g`, with id 0.
        dims: number of learned features of each order, `D_g`.
        gain: constant factor on the tables. A step of plain gradient descent changes the
            output by `gain ** 2` times the learning rate, and one of Adam by `gain` times: a
            larger gain trains the rows of rare n-grams as fast as the rest of a network.
        num_ratios: number of fixed features of each order, `C`.
        embeddings_initializer: initializer of each table; the output is `gain` times its
            values.

    Call arguments:
        inputs: integer tensor `(B, T, G)`: an id for each position and order, 0 for none.

    Returns:
        Tensor `(B, T, sum(C + D_g))`. It carries no mask: pass the padding mask, computed from
        the ids of words, to other layers explicitly.

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
        self.autocast = False  # a cast to half precision would change ids
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
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: len(self.dims)})
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
        self.scales: list[Any] = [None] * len(self.tables)  # of the rows of quantized tables
        if self.quantization_mode is not None:
            self._quantize_tables(None)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        ids = ops.cast(inputs, "int32")
        features = []
        for order, table in enumerate(self.tables):
            column = ids[..., order]
            term_ids = self._remove_fold(order, column)
            is_ngram = ops.cast(column[..., None] != PADDING_ID, self.compute_dtype)
            if self.num_ratios:
                rows = self._lookup_ratios(order, column, term_ids, bool(training))
                features.append(ops.cast(rows, self.compute_dtype) * is_ngram)
            if table is not None:
                rows = self._lookup_features(order, term_ids)
                # Two factors of one feature each: products with all features take memory.
                features.append(ops.cast(rows, self.compute_dtype) * (self.gain * is_ngram))
        return ops.concatenate(features, axis=-1)

    def assign(
        self, order: int, values: np.ndarray, without_folds: np.ndarray | None = None
    ) -> None:
        """Set the ratios of one order, or without `num_ratios` the first columns of its table.

        Args:
            order: index of the order, from 0.
            values: with `num_ratios` a float array `(V_g, C)`. Otherwise one with at most
                `D_g` columns: the first features that the layer outputs; the other columns
                of the table do not change.
            without_folds: float array `(folds, V_g, C)`, ratios counted without each fold.
                None if the network is not trained on the counted texts. A training step that
                is traced already does not see new values.

        Raises:
            ValueError: a shape does not fit.
        """
        if self.num_ratios:
            self._assign_ratios(order, values, without_folds)
            return
        if self.quantization_mode is not None:
            raise ValueError(
                f"{self.name} is quantized, and its table of order {order} cannot be set. Set it "
                "before `quantize`."
            )
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

    def quantize(self, mode: Any = None, type_check: bool = True, config: Any = None) -> None:
        """Quantize the learned features to int8, with a scale for each n-gram.

        Ratios, which are counted and not learned, stay as they are.

        Raises:
            NotImplementedError: `mode` is not `"int8"`, or the layer has no learned features.
        """
        if mode != "int8" or not any(self.dims):
            raise NotImplementedError(
                f"{self.name}: NGramEmbedding quantizes learned features to int8. Received: "
                f"mode={mode!r}, dims={self.dims}."
            )
        self._quantize_tables(config)
        policy: Any = self.dtype_policy  # type: ignore[has-type]
        self.dtype_policy = keras.dtype_policies.get(f"int8_from_{policy.name}")

    def without_folds(self, ids: Tensor) -> Tensor:
        """Return ids `(..., G)` that select no fold, for ids that may select one."""
        ids = ops.cast(ids, "int32")
        columns = [self._remove_fold(order, ids[..., order]) for order in range(len(self.dims))]
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

    def _int8_call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        return self.call(inputs, training=training)  # which reads quantized tables

    def _quantize_tables(self, config: Any) -> None:
        """Replace the learned tables by int8 tables and scales."""
        quantizer = getattr(config, "weight_quantizer", None)
        if quantizer is None:
            quantizer = keras.quantizers.AbsMaxQuantizer(axis=-1)
        for order, table in enumerate(self.tables):
            if table is None:
                continue
            values, scales = quantizer(ops.convert_to_tensor(table), to_numpy=True)
            self._untrack_variable(table)
            name = f"embeddings_{order + 1}"
            self.tables[order] = self.add_weight(
                table.shape, "zeros", dtype="int8", trainable=False, name=name
            )
            self.scales[order] = self.add_weight(
                (table.shape[0], 1), "ones", trainable=False, name=f"{name}_scale"
            )
            self.tables[order].assign(values)
            self.scales[order].assign(scales)
        self._is_quantized = True

    def _lookup_features(self, order: int, term_ids: Tensor) -> Tensor:
        """Return the learned features `(..., D_g)` of one order, before the gain."""
        rows = ops.take(self.tables[order], term_ids, axis=0)
        if self.scales[order] is None:
            return rows
        scales = ops.take(self.scales[order], term_ids, axis=0)
        return ops.cast(rows, scales.dtype) / scales

    def _remove_fold(self, order: int, ids: Tensor) -> Tensor:
        """Return the ids of one order as if they selected no fold."""
        if not self.num_ratios:
            return ids
        num_terms = self.vocabulary_sizes[order] - FIRST_TERM_ID
        term_ids = FIRST_TERM_ID + (ids - FIRST_TERM_ID) % num_terms
        return ops.where(ids < FIRST_TERM_ID, ids, term_ids)

    def _lookup_ratios(self, order: int, ids: Tensor, term_ids: Tensor, training: bool) -> Tensor:
        """Return the ratios `(..., C)` of one order; in training those that `ids` select.

        Args:
            order: index of the order, from 0.
            ids: integers `(...)`, which may select folds.
            term_ids: the same ids without folds.
            training: whether folds are considered.
        """
        folds = self.folds[order]
        if not training or folds is None:
            return ops.take(self.ratios[order], term_ids, axis=0)
        size = self.vocabulary_sizes[order]
        fold = ops.maximum(ids - FIRST_TERM_ID, 0) // (size - FIRST_TERM_ID)
        fold = ops.where(fold < len(folds), fold, 0)
        rows = ops.reshape(folds, (-1, self.num_ratios))
        return ops.take(rows, fold * size + term_ids, axis=0)

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
