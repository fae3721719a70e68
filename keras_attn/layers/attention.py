"""Single-head attention with a choice of scores."""

from typing import Any

import keras
from keras import initializers, ops

from keras_attn._types import Tensor
from keras_attn.layers._attention_layer import AttentionLayer
from keras_attn.layers._masks import (
    check_attention_mask,
    check_key_masks,
    combine_masks,
    select_key_mask,
)
from keras_attn.layers._sublayers import (
    PACKAGE,
    check_choice,
    check_positive_integers,
    check_rank,
    check_rates,
    clone_initializer,
)
from keras_attn.ops import IMPLEMENTATIONS, attend, attention, band_mask, combine, normalizers
from keras_attn.ops._arguments import sizes_match

SCORES = ("scaled_dot", "dot", "additive", "bilinear", "cosine")


@keras.saving.register_keras_serializable(package=PACKAGE)
class Attention(AttentionLayer):
    """Single-head attention with one of five scores.

    The score of a query `q` and a key `k`, before division by `temperature`, is

    - `"scaled_dot"`: `q . k / sqrt(size)` (Vaswani et al., arXiv:1706.03762);
    - `"dot"`: `q . k` (Luong et al., arXiv:1508.04025);
    - `"additive"`: `v . tanh(W q + U k + b)` (Bahdanau et al., arXiv:1409.0473), which
      holds `B x T x S x units` numbers;
    - `"bilinear"`: `q . W k`, the "general" score of Luong et al.;
    - `"cosine"`: `q . k / (|q| |k|)` (Graves et al., arXiv:1410.5401).

    Values are not projected. A query that may attend to no key gives exactly 0.

    Args:
        score: one of the five names.
        units: size of the space in which `"additive"` compares; for that score alone.
        normalizer: `"softmax"` or another of `keras_attn.ops.NORMALIZERS`.
        temperature: positive number that divides the scores.
        dropout: dropout rate of attention weights.
        kernel_initializer: initializer of `W`, `U` and `v`; `b` starts at 0.
        seed: integer that makes the dropout repeatable.
        implementation: path of the attention, one of `keras_attn.ops.IMPLEMENTATIONS`, see
            `keras_attn.ops.attention`. `"additive"` has the full path alone.

    Call arguments:
        query: float tensor `(B, T, D)`.
        value: float tensor `(B, S, V)`.
        key: float tensor `(B, S, D')`; None is `value`. `D'` must be `D`, except for
            `"additive"` and `"bilinear"`.
        padding_mask: `(B, S)`, False at keys that are padding. None uses the mask that Keras
            attached to `key`, or to `value`, if any. Masks are boolean or integer; in eager
            code also float, of 0 and 1 alone.
        attention_mask: `(B, T, S)` or `(B, 1, T, S)`, True = attend. With both masks, a key
            must be allowed by both.
        return_attention_scores: whether to also return the attention weights.
        training: whether to apply dropout.
        use_causal_mask: whether a query attends only to positions up to its own.

    Returns:
        Tensor `(B, T, V)`; with `return_attention_scores` a pair of it and the weights before
        dropout, `(B, T, S)`. The output carries the Keras mask of the query; masks of the
        inputs stay as they are.

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
        implementation: str = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        check_score(self, score, temperature, units=units)
        check_rates(self, dropout=dropout)
        normalizers.get(normalizer)
        check_choice(self, IMPLEMENTATIONS, implementation=implementation)
        if score == "additive" and implementation not in ("auto", "full"):
            raise ValueError(
                'Attention: score="additive" is computed by the full path alone. Received: '
                f'implementation={implementation!r}. Use implementation="auto", or another score.'
            )
        self.score = score
        self.units = units
        self.normalizer = normalizer
        self.temperature = temperature
        self.dropout = dropout
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.seed = seed
        self.implementation = implementation
        self.seed_generator = keras.random.SeedGenerator(seed) if dropout else None

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        key_shape = value_shape if key_shape is None else key_shape
        check_rank(self, 3, "(batch, length, features)", query=query_shape)
        check_rank(self, 3, "(batch, length, features)", value=value_shape, key=key_shape)
        if self.score in ("additive", "bilinear"):
            self._set_input_sizes(query=query_shape, key=key_shape)
        self.query_dense: Any = None
        self.key_dense: Any = None
        if self.score == "additive":
            self.query_dense = self._make_dense("query", self.units)
            self.key_dense = self._make_dense("key", self.units, use_bias=True)
            self.query_dense.build(query_shape)
            self.score_vector = self.add_weight(
                name="score_vector",
                shape=(self.units,),
                initializer=clone_initializer(self.kernel_initializer),
            )
        elif self.score == "bilinear":
            self.key_dense = self._make_dense("key", query_shape[-1])
        else:
            self._check_one_size(query_shape, key_shape)
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
        key_mask: Tensor | None = None,  # Keras passes its implicit masks as these two
        value_mask: Tensor | None = None,
    ) -> Any:
        self._check_inputs(query, value, key)
        padding_mask = select_key_mask(
            self.name,
            _scores_shape(query, value),
            padding_mask,
            None,
            (key, key_mask),
            (value, value_mask),
        )
        return self.attend(
            query,
            self.project_keys(value if key is None else key),
            value,
            padding_mask=padding_mask,
            attention_mask=attention_mask,
            use_causal_mask=use_causal_mask,
            return_attention_scores=return_attention_scores,
            training=training,
        )

    def project_keys(self, key: Tensor) -> Tensor:
        """Return projected keys `(B, S, size)` of keys `(B, S, D')`, for `attend`.

        They do not depend on the query: a decoder computes them once for its memory.
        """
        self._check_sequences(key=key)
        if self.score == "cosine":
            return _normalize_length(key)
        return key if self.key_dense is None else self.key_dense(key)

    def attend(
        self,
        query: Tensor,
        projected_keys: Tensor,
        value: Tensor,
        *,
        padding_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        """Attend to keys from `project_keys`; otherwise the same as a call.

        Args:
            query: float tensor `(B, T, D)`.
            projected_keys: the result of `project_keys`.
            value: float tensor `(B, S, V)`.
            padding_mask: `(B, S)`, False at keys that are padding.
            attention_mask: `(B, T, S)` or `(B, 1, T, S)`, True = attend.
            use_causal_mask: whether a query attends only to positions up to its own.
            return_attention_scores: whether to also return the weights `(B, T, S)`.
            training: whether to apply dropout.

        Returns:
            Tensor `(B, T, V)`, or a pair with `return_attention_scores`.
        """
        self._check_sequences(query=query)
        mask = combine_masks(
            self.name, 1, _scores_shape(query, value), padding_mask, attention_mask
        )
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
            query = _normalize_length(query) if self.score == "cosine" else query
            scale = query.shape[-1] ** -0.5 if self.score == "scaled_dot" else 1.0
            attended = attention(
                query[:, :, None],
                projected_keys[:, :, None],
                value,
                mask=mask,
                scale=scale / self.temperature,
                is_causal=use_causal_mask,
                implementation=self.implementation,
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
        self._check_inputs(query, value, key)
        scores_shape = _scores_shape(query, value)
        check_key_masks(
            self.name,
            scores_shape,
            padding_mask=padding_mask,
            key_mask=key_mask,
            value_mask=value_mask,
        )
        check_attention_mask(self.name, 1, scores_shape, attention_mask)
        shape = self.compute_output_shape(query.shape, value.shape)
        output = keras.KerasTensor(shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return output
        return output, keras.KerasTensor(scores_shape, dtype=self.compute_dtype)

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
            "implementation": self.implementation,
        }

    def _check_inputs(self, query: Any, value: Any, key: Any) -> None:
        self._check_sequences(query=query, value=value, key=key)
        if key is None:
            self._check_input_size("key", "value", value)
            key = value
        if self.score not in ("additive", "bilinear"):
            self._check_one_size(query.shape, key.shape)

    def _check_one_size(self, query_shape: Any, key_shape: Any) -> None:
        if not sizes_match(query_shape[-1], key_shape[-1]):
            raise ValueError(
                f"{self.name}: score={self.score!r} needs queries and keys of one size (last "
                f"axis). Received: query {tuple(query_shape)}, key {tuple(key_shape)}. "
                'score="bilinear" and score="additive" compare two sizes.'
            )

    def _make_dense(self, name: str, units: Any, use_bias: bool = False) -> keras.layers.Dense:
        return keras.layers.Dense(
            units,
            use_bias=use_bias,
            kernel_initializer=clone_initializer(self.kernel_initializer),
            name=name,
            dtype=self.dtype_policy,
        )

    def _additive_scores(self, query: Tensor, projected_keys: Tensor) -> Tensor:
        """Return float32 scores `(B, T, S)` of queries `(B, T, D)` and keys `(B, S, units)`."""
        queries = ops.cast(self.query_dense(query), "float32")[:, :, None]
        keys = ops.cast(projected_keys, "float32")[:, None]
        vector = ops.cast(self.score_vector, "float32") / self.temperature
        return ops.einsum("btsu,u->bts", ops.tanh(queries + keys), vector)


def check_score(
    layer: keras.layers.Layer, score: str, temperature: float, **units: int | None
) -> None:
    """Raise ValueError unless score, temperature and units fit each other.

    `units` is required with `score="additive"`, and must be None with every other score.
    """
    check_choice(layer, SCORES, score=score)
    if not temperature > 0.0:
        raise ValueError(
            f"{type(layer).__name__}: `temperature` must be positive. Received: {temperature!r}."
        )
    if score == "additive":
        check_positive_integers(layer, **units)
    for name, value in units.items():
        if score != "additive" and value is not None:
            raise ValueError(
                f'{type(layer).__name__}: `{name}` is only for score="additive". Received: '
                f"{name}={value!r} with score={score!r}. Leave it out."
            )


def _scores_shape(query: Any, value: Any) -> tuple[int | None, ...]:
    """Return the static shape of the scores, `(B, T, S)`."""
    return (*query.shape[:2], value.shape[1])


def _normalize_length(x: Tensor) -> Tensor:
    """Return `x` divided by its norm along the last axis; a zero vector stays zero."""
    vectors = ops.cast(x, "float32")
    squared_norm = ops.sum(ops.square(vectors), axis=-1, keepdims=True)
    return ops.cast(vectors * ops.rsqrt(ops.maximum(squared_norm, 1e-12)), x.dtype)
