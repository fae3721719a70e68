"""Single-head attention with a choice of scores."""

from typing import Any

import keras
from keras import initializers, ops

from keras_attn.layers._masks import joined_mask
from keras_attn.layers._sublayers import PACKAGE, choice, fresh, positive, rank, rate
from keras_attn.ops import attend, attention, band_mask, combine, normalizers

Tensor = Any

SCORES = ("scaled_dot", "dot", "additive", "bilinear", "cosine")


@keras.saving.register_keras_serializable(package=PACKAGE)
class Attention(keras.layers.Layer):
    """Single-head attention, from scores of five kinds.

    A query `q` and a key `k` score, before division by `temperature`,

    - `"scaled_dot"`: `q . k / sqrt(size)` (Vaswani et al., arXiv:1706.03762);
    - `"dot"`: `q . k` (Luong et al., arXiv:1508.04025);
    - `"additive"`: `v . tanh(W q + U k + b)` (Bahdanau et al., arXiv:1409.0473), which
      holds `B x T x S x units` numbers;
    - `"bilinear"`: `q . W k`, the "general" score of Luong et al.;
    - `"cosine"`: `q . k / (|q| |k|)` (Graves et al., arXiv:1410.5401).

    Values are not projected. A query that may attend to nothing gives exactly 0.

    Args:
        score: one of the five names.
        units: size of the space in which `"additive"` compares; only there.
        normalizer: `"softmax"` or another of `keras_attn.ops.NORMALIZERS`.
        temperature: positive number that divides the scores.
        dropout: rate at which attention weights are dropped in training.
        kernel_initializer: initializer of `W`, `U` and `v`; `b` starts at 0.
        seed: integer that makes the dropout repeatable.

    Call arguments:
        query: float tensor `(B, T, D)`.
        value: float tensor `(B, S, V)`.
        key: float tensor `(B, S, D')`; None is `value`. `D'` is `D`, except for
            `"additive"` and `"bilinear"`.
        padding_mask: `(B, S)`, True where a key is real. None takes the mask that
            Keras attached to `key`, or to `value`, if there is one.
        attention_mask: `(B, T, S)`, True = attend. Given both, a key must be allowed by
            both.
        return_attention_scores: also return the weights `(B, T, S)`.
        use_causal_mask: a query attends to positions up to its own.

    Returns:
        Tensor `(B, T, V)`, and the weights before dropout if asked for. The output
        carries the query's mask on; no mask is altered.

    Example:

    >>> import numpy as np
    >>> layer = Attention("additive", units=8)
    >>> query, memory = np.ones((1, 3, 6), "float32"), np.ones((1, 5, 4), "float32")
    >>> output, scores = layer(query, memory, return_attention_scores=True)
    >>> tuple(output.shape), tuple(scores.shape)
    ((1, 3, 4), (1, 3, 5))
    """

    def __init__(
        self,
        score: str = "scaled_dot",
        units: int | None = None,
        normalizer: str = "softmax",
        temperature: float = 1.0,
        dropout: float = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        check_score(self, score, temperature, units=units)
        rate(self, dropout=dropout)
        normalizers.get(normalizer)
        self.score = score
        self.units = units
        self.normalizer = normalizer
        self.temperature = temperature
        self.dropout = dropout
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed) if dropout else None

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        key_shape = value_shape if key_shape is None else key_shape
        rank(self, 3, "(batch, length, features)", query=query_shape)
        rank(self, 3, "(batch, length, features)", value=value_shape, key=key_shape)
        self.query_dense: Any = None
        self.key_dense: Any = None
        if self.score == "additive":
            self.query_dense = self._projection("query", self.units)
            self.key_dense = self._projection("key", self.units, use_bias=True)
            self.query_dense.build(query_shape)
            self.score_vector = self.add_weight(
                name="score_vector",
                shape=(self.units,),
                initializer=fresh(self.kernel_initializer),
            )
        elif self.score == "bilinear":
            self.key_dense = self._projection("key", query_shape[-1])
        elif query_shape[-1] != key_shape[-1]:
            raise ValueError(
                f"{self.name}: score={self.score!r} needs queries and keys of one size (last "
                f"axis). Received: query {tuple(query_shape)}, key {tuple(key_shape)}. "
                'score="bilinear" and score="additive" compare two sizes.'
            )
        if self.key_dense is not None:
            self.key_dense.build(key_shape)

    def call(
        self,
        query: Tensor,
        value: Tensor,
        key: Tensor | None = None,
        padding_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
        key_mask: Tensor | None = None,  # Keras fills these two in from the tensors
        value_mask: Tensor | None = None,
    ) -> Any:
        if padding_mask is None:
            padding_mask = key_mask if key_mask is not None else value_mask
        return self.attend(
            query,
            self.project_keys(value if key is None else key),
            value,
            mask=self._mask(padding_mask, attention_mask),
            return_attention_scores=return_attention_scores,
            training=training,
            use_causal_mask=use_causal_mask,
        )

    def project_keys(self, key: Tensor) -> Tensor:
        """What `attend` wants to know of the keys `(B, S, D')`: `(B, S, size)`.

        It does not depend on the query: a decoder computes it once for its memory.
        """
        if self.score == "cosine":
            return _unit_length(key)
        return key if self.key_dense is None else self.key_dense(key)

    def attend(
        self,
        query: Tensor,
        projected_keys: Tensor,
        value: Tensor,
        mask: Tensor | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
    ) -> Any:
        """As a call, with the keys from `project_keys` and one mask.

        The mask is boolean, of rank 4, and broadcasts to `(B, 1, T, S)`; True = attend.
        """
        settings: dict[str, Any] = {
            "normalizer": self.normalizer,
            "dropout": self.dropout if training else 0.0,
            "seed": self.seed_generator,
            "return_weights": return_attention_scores,
        }
        value = value[:, :, None]
        if self.score == "additive":
            band = band_mask(ops.shape(query)[1], ops.shape(value)[1], is_causal=use_causal_mask)
            scores = self._additive_scores(query, projected_keys)[:, None]
            attended = attend(scores, value, combine(mask, band), **settings)
        else:
            query = _unit_length(query) if self.score == "cosine" else query
            scale = query.shape[-1] ** -0.5 if self.score == "scaled_dot" else 1.0
            attended = attention(
                query[:, :, None],
                projected_keys[:, :, None],
                value,
                mask=mask,
                scale=scale / self.temperature,
                is_causal=use_causal_mask,
                **settings,
            )
        if not return_attention_scores:
            return attended[:, :, 0]
        output, weights = attended
        return output[:, :, 0], weights[:, 0]

    def compute_output_shape(
        self, query_shape: Any, value_shape: Any, key_shape: Any = None
    ) -> tuple[int | None, ...]:
        return (*query_shape[:-1], value_shape[-1])

    def compute_output_spec(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        padding_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
        key_mask: Any = None,
        value_mask: Any = None,
    ) -> Any:
        self._check_pairs(attention_mask)
        shape = self.compute_output_shape(query.shape, value.shape)
        output = keras.KerasTensor(shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return output
        scores = (*query.shape[:2], value.shape[1])
        return output, keras.KerasTensor(scores, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "score": self.score,
            "units": self.units,
            "normalizer": self.normalizer,
            "temperature": self.temperature,
            "dropout": self.dropout,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "seed": self.seed,
        }

    def _projection(self, name: str, units: Any, use_bias: bool = False) -> keras.layers.Dense:
        return keras.layers.Dense(
            units,
            use_bias=use_bias,
            kernel_initializer=fresh(self.kernel_initializer),
            name=name,
            dtype=self.dtype_policy,
        )

    def _additive_scores(self, query: Tensor, projected_keys: Tensor) -> Tensor:
        """`(B, T, D)` and `(B, S, units)` -> `(B, T, S)` in float32."""
        queries = ops.cast(self.query_dense(query), "float32")[:, :, None]
        keys = ops.cast(projected_keys, "float32")[:, None]
        vector = ops.cast(self.score_vector, "float32") / self.temperature
        return ops.einsum("btsu,u->bts", ops.tanh(queries + keys), vector)

    def _mask(self, padding: Tensor | None, pairs: Tensor | None) -> Tensor | None:
        self._check_pairs(pairs)
        return joined_mask(self.name, padding, pairs)

    def _check_pairs(self, pairs: Tensor | None) -> None:
        if pairs is not None and len(pairs.shape) != 3:
            raise ValueError(
                f"{self.name}: `attention_mask` must have shape (batch, queries, keys). "
                f"Received: shape {tuple(pairs.shape)}. A (batch, keys) mask is a "
                "`padding_mask`: pass it as that."
            )


def check_score(
    layer: keras.layers.Layer, score: str, temperature: float, **units: int | None
) -> None:
    """Refuse an unknown score, a temperature that is not positive, units out of place."""
    choice(layer, SCORES, score=score)
    if not temperature > 0.0:
        raise ValueError(
            f"{type(layer).__name__}: `temperature` must be positive. Received: {temperature!r}."
        )
    if score == "additive":
        positive(layer, **units)
    for name, value in units.items():
        if score != "additive" and value is not None:
            raise ValueError(
                f'{type(layer).__name__}: `{name}` is only for score="additive". Received: '
                f"{name}={value!r} with score={score!r}. Leave it out."
            )


def _unit_length(x: Tensor) -> Tensor:
    """`x` divided by its length along the last axis; a zero vector stays zero."""
    exact = ops.cast(x, "float32")
    squares = ops.sum(ops.square(exact), axis=-1, keepdims=True)
    return ops.cast(exact * ops.rsqrt(ops.maximum(squares, 1e-12)), x.dtype)
