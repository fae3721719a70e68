"""Multi-head attention, self and cross."""

from typing import Any, Self

import keras
from keras import initializers, ops

from keras_attn.layers._cache import added, check_cache, length_after, start_of
from keras_attn.layers._from_keras import projections, settings_of
from keras_attn.layers._lean import HeadsDense
from keras_attn.layers._masks import check_pairs, joined_mask, padding_of
from keras_attn.layers._sublayers import PACKAGE, choice, fresh, positive, rank, rate
from keras_attn.layers.positions import RelativePositionBias
from keras_attn.ops import (
    IMPLEMENTATIONS,
    alibi,
    attention,
    normalizers,
    rotary,
    swap_heads,
)
from keras_attn.ops._arguments import convert_offset

Tensor = Any
Projected = dict[str, Tensor]

POSITIONS = (None, "rotary", "alibi", "relative")


@keras.saving.register_keras_serializable(package=PACKAGE)
class MultiHeadAttention(keras.layers.Layer):
    """Multi-head attention (Vaswani et al., arXiv:1706.03762), self and cross.

    Arguments, their order and the shapes of the variables are those of
    `keras.layers.MultiHeadAttention`, so that weights copy over (see `from_keras`).
    What differs: padding is an argument of its own; a query that may attend to nothing
    gives exactly 0 before the output projection, on every path; long sequences stream,
    with memory linear in the length; nothing is accepted and then ignored.

    To decode step by step give a call the `cache` of `make_cache`, and `cache_index="end"` or
    the number of positions in it; for cross-attention, `project` the memory once and `attend`
    to it.

    Args:
        num_heads: number of heads, `N`.
        key_dim: size of each head for queries and keys.
        value_dim: size of each head for values; None is `key_dim`.
        dropout: rate at which attention weights are dropped in training.
        use_bias: whether the projections have biases.
        output_shape: size of the output's last axis; None is that of the query.
        normalizer: `"softmax"` or another of `keras_attn.ops.NORMALIZERS`.
        num_kv_heads: number of heads of keys and values, a divisor of `num_heads`; None is
            `num_heads`, 1 is multi-query attention (Ainslie et al., arXiv:2305.13245).
        qk_norm: whether queries and keys are brought to a learned scale by RMS
            normalization of each head (Henry et al., arXiv:2010.04245).
        position: None; `"rotary"` (arXiv:2104.09864), `"alibi"` (arXiv:2108.12409) or
            `"relative"` (`RelativePositionBias`, which holds all `N x T x S` biases).
        window: attend only to near positions, see `keras_attn.ops.attention`.
        kernel_initializer: initializer of the projections' kernels.
        bias_initializer: initializer of the projections' biases.
        seed: integer that makes the dropout repeatable.
        implementation: see `keras_attn.ops.attention`. Where lengths are not known, `"auto"`
            puts two paths into a graph; `"full"` one, for sequences that are never long.

    Call arguments:
        query: float tensor `(B, T, D)`.
        value: float tensor `(B, S, D')`.
        key: float tensor `(B, S, D'')`; None is `value`.
        padding_mask: `(B, S)`, True where a key is real. None takes the mask that
            Keras attached to `key`, or to `value`, if there is one.
        attention_mask: `(B, T, S)` or `(B, N, T, S)`, True = attend. Given both, a key
            must be allowed by both.
        return_attention_scores: also return the weights `(B, N, T, S)`.
        use_causal_mask: a query attends to positions up to its own. None is True with a
            cache, else False. False with a cache of fixed size asks for a mask that leaves out
            what is not written yet.
        cache: keys and values of earlier positions, as `make_cache` makes it, to which
            those of `value` are added. `padding_mask` is about the positions of the cache
            that is returned, `(B, length)`.
        cache_index: how many positions a cache of fixed size holds, an integer or integer
            scalar; or `"end"`, and the cache grows: the one returned is longer by `T`.

    Returns:
        Tensor `(B, T, output_shape)`; the weights before dropout if asked for; the cache
        with the new positions, if one is given. The output carries the query's mask on;
        no mask is altered.

    Example:

    >>> import numpy as np
    >>> layer = MultiHeadAttention(num_heads=2, key_dim=8)
    >>> x = np.ones((3, 5, 16), "float32")
    >>> real = np.arange(5)[None] < np.array([[5], [2], [3]])
    >>> output, scores = layer(x, x, padding_mask=real, return_attention_scores=True)
    >>> tuple(output.shape), tuple(scores.shape)
    ((3, 5, 16), (3, 2, 5, 5))
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: int | None = None,
        normalizer: str = "softmax",
        num_kv_heads: int | None = None,
        qk_norm: bool = False,
        position: str | None = None,
        window: int | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        seed: int | None = None,
        implementation: str = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        value_dim = key_dim if value_dim is None else value_dim
        num_kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        positive(self, num_heads=num_heads, key_dim=key_dim, value_dim=value_dim)
        positive(self, num_kv_heads=num_kv_heads)
        if num_heads % num_kv_heads:
            raise ValueError(
                "MultiHeadAttention: `num_kv_heads` must divide `num_heads`. Received: "
                f"num_kv_heads={num_kv_heads}, num_heads={num_heads}."
            )
        choice(self, POSITIONS, position=position)
        if position == "rotary" and key_dim % 2:
            raise ValueError(
                'MultiHeadAttention: position="rotary" needs an even `key_dim`. Received: '
                f"key_dim={key_dim}."
            )
        if output_shape is not None:
            positive(self, output_shape=output_shape)
        if window is not None:
            positive(self, window=window)
        rate(self, dropout=dropout)
        choice(self, IMPLEMENTATIONS, implementation=implementation)
        normalizers.get(normalizer)
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.value_dim = value_dim
        self.dropout = dropout
        self.use_bias = use_bias
        self.output_size = output_shape
        self.normalizer = normalizer
        self.num_kv_heads = num_kv_heads
        self.qk_norm = qk_norm
        self.position = position
        self.window = window
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.seed = seed
        self.implementation = implementation
        self.seed_generator = keras.random.SeedGenerator(seed) if dropout else None

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        key_shape = value_shape if key_shape is None else key_shape
        rank(self, 3, "(batch, length, features)", query=query_shape)
        rank(self, 3, "(batch, length, features)", value=value_shape, key=key_shape)
        self.query_dense = self._projection("query", self.num_heads, self.key_dim)
        self.key_dense = self._projection("key", self.num_kv_heads, self.key_dim)
        self.value_dense = self._projection("value", self.num_kv_heads, self.value_dim)
        features = self.output_size or query_shape[-1]
        self.output_dense = self._projection(
            "attention_output", self.num_heads, self.value_dim, features
        )
        self.query_dense.build(query_shape)
        self.key_dense.build(key_shape)
        self.value_dense.build(value_shape)
        self.output_dense.build((*query_shape[:2], self.num_heads, self.value_dim))
        self.query_norm, self.key_norm, self.relative_bias = None, None, None
        if self.qk_norm:
            self.query_norm = self._normalization("query_norm", self.num_heads)
            self.key_norm = self._normalization("key_norm", self.num_kv_heads)
        if self.position == "relative":
            self.relative_bias = RelativePositionBias(
                self.num_heads, name="relative_bias", dtype=self.dtype_policy
            )
            self.relative_bias.build(query_shape, key_shape)

    def call(
        self,
        query: Tensor,
        value: Tensor,
        key: Tensor | None = None,
        padding_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool | None = None,
        cache: Projected | None = None,
        cache_index: int | Tensor | str | None = None,
        key_mask: Tensor | None = None,  # Keras fills these two in from the tensors
        value_mask: Tensor | None = None,
    ) -> Any:
        check_cache(self.name, cache, cache_index, query.shape[1], value.shape[1])
        padding_mask = padding_of(self.name, padding_mask, cache, key_mask, value_mask)
        asked: dict[str, Any] = {
            "padding_mask": padding_mask,
            "attention_mask": attention_mask,
            "return_attention_scores": return_attention_scores,
            "training": training,
            "use_causal_mask": cache is not None if use_causal_mask is None else use_causal_mask,
        }
        if cache is None or cache_index is None:
            keys, values = self._projected(value, key)
            return self._attend(query, keys, values, **asked)
        start = start_of(cache, cache_index)
        cache = added(cache, cache_index, self.project(value, key, start))
        attended = self.attend(query, cache, q_offset=start, **asked)
        return (*attended, cache) if return_attention_scores else (attended, cache)

    def make_cache(self, batch_size: int | Tensor, length: int | Tensor = 0) -> Projected:
        """An empty cache: keys and values `(B, K, length, size)`, heads first.

        Args:
            batch_size: number of rows, `B`.
            length: the positions for which it has room; 0 for one that grows.
        """
        if isinstance(length, int) and length:
            positive(self, length=length)
        shape = (batch_size, self.num_kv_heads, length)
        sizes = {"key": self.key_dim, "value": self.value_dim}
        return {name: ops.zeros((*shape, size), self.compute_dtype) for name, size in sizes.items()}

    def project(
        self, value: Tensor, key: Tensor | None = None, start: int | Tensor = 0
    ) -> Projected:
        """Keys and values in their heads, `(B, K, S, size)`, from position `start` on.

        What `attend` takes: a decoder projects the memory of its cross-attention once. Heads
        come first, as the products read them.
        """
        keys, values = self._projected(value, key, convert_offset(start))
        return {"key": swap_heads(keys), "value": swap_heads(values)}

    def attend(
        self,
        query: Tensor,
        projected: Projected,
        *,
        padding_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
        q_offset: int | Tensor = 0,
    ) -> Any:
        """As a call, with keys and values from `project`, and the first query's position."""
        q_offset = convert_offset(q_offset)
        return self._attend(
            query,
            projected["key"],
            projected["value"],
            padding_mask=padding_mask,
            attention_mask=attention_mask,
            return_attention_scores=return_attention_scores,
            training=training,
            use_causal_mask=use_causal_mask,
            q_offset=q_offset,
            of_cache=True,
        )

    def _projected(
        self, value: Tensor, key: Tensor | None, start: int | Tensor = 0
    ) -> tuple[Tensor, Tensor]:
        """Keys and values in their heads, `(B, S, K, size)`."""
        keys = self.key_dense(value if key is None else key)
        keys = keys if self.key_norm is None else self.key_norm(keys)
        return self._rotated(keys, start), self.value_dense(value)

    def _attend(
        self,
        query: Tensor,
        keys: Tensor,
        values: Tensor,
        *,
        padding_mask: Tensor | None,
        attention_mask: Tensor | None,
        return_attention_scores: bool,
        training: bool | None,
        use_causal_mask: bool,
        q_offset: int | Tensor = 0,
        of_cache: bool = False,
    ) -> Any:
        queries = self.query_dense(query)
        queries = queries if self.query_norm is None else self.query_norm(queries)
        attended = attention(
            self._rotated(queries, q_offset),
            keys,
            values,
            mask=joined_mask(self.name, padding_mask, attention_mask),
            bias=self._bias(query, keys, q_offset, of_cache),
            is_causal=use_causal_mask,
            window=self.window,
            q_offset=q_offset,
            normalizer=self.normalizer,
            dropout=self.dropout if training else 0.0,
            seed=self.seed_generator,
            implementation=self.implementation,
            return_weights=return_attention_scores,
            heads_first=of_cache,
        )
        if not return_attention_scores:
            return self.output_dense(attended)
        output, scores = attended
        return self.output_dense(output), scores

    def compute_output_shape(
        self, query_shape: Any, value_shape: Any, key_shape: Any = None
    ) -> tuple[int | None, ...]:
        return (*query_shape[:-1], self.output_size or query_shape[-1])

    def compute_output_spec(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        padding_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool | None = None,
        cache: Any = None,
        cache_index: Any = None,
        key_mask: Any = None,
        value_mask: Any = None,
    ) -> Any:
        check_pairs(self.name, attention_mask)
        check_cache(self.name, cache, cache_index, query.shape[1], value.shape[1])
        shape = self.compute_output_shape(query.shape, value.shape)
        results = [keras.KerasTensor(shape, dtype=self.compute_dtype)]
        if return_attention_scores:
            new = value.shape[1]
            keys = new if cache is None else length_after(cache, cache_index, new)
            scores = (query.shape[0], self.num_heads, query.shape[1], keys)
            results.append(keras.KerasTensor(scores, dtype=self.compute_dtype))
        if cache is not None:
            length = length_after(cache, cache_index, value.shape[1])
            shapes = {name: (*x.shape[:2], length, x.shape[3]) for name, x in cache.items()}
            results.append(
                {name: keras.KerasTensor(shapes[name], x.dtype) for name, x in cache.items()}
            )
        return tuple(results) if len(results) > 1 else results[0]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "value_dim": self.value_dim,
            "dropout": self.dropout,
            "use_bias": self.use_bias,
            "output_shape": self.output_size,
            "normalizer": self.normalizer,
            "num_kv_heads": self.num_kv_heads,
            "qk_norm": self.qk_norm,
            "position": self.position,
            "window": self.window,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "seed": self.seed,
            "implementation": self.implementation,
        }

    @classmethod
    def from_keras(cls, layer: keras.layers.MultiHeadAttention) -> Self:
        """Take over the settings and, if it is built, the weights of a Keras layer.

        Raises:
            ValueError: `layer` uses what has no equal here (`attention_axes`,
                `use_gate`, an output of several axes, regularizers, constraints).
        """
        ours = cls(**settings_of(layer))
        if layer.built:
            build_config = layer.get_build_config() or {}
            ours.build(**build_config["shapes_dict"])
            ours.built = True
            ours.set_weights([w for dense in projections(layer) for w in dense.get_weights()])
        return ours

    def _projection(
        self, name: str, heads: int, size: int, features: int | None = None
    ) -> HeadsDense:
        return HeadsDense(
            heads, size, features=features, use_bias=self.use_bias, name=name, **self._common()
        )

    def _normalization(self, name: str, heads: int) -> keras.layers.RMSNormalization:
        normalization = keras.layers.RMSNormalization(name=name, dtype=self.dtype_policy)
        normalization.supports_masking = True
        normalization.build((None, None, heads, self.key_dim))
        return normalization

    def _common(self) -> dict[str, Any]:
        return {
            "kernel_initializer": fresh(self.kernel_initializer),
            "bias_initializer": fresh(self.bias_initializer),
            "dtype": self.dtype_policy,
        }

    def _rotated(self, heads: Tensor, start: int | Tensor) -> Tensor:
        if self.position != "rotary":
            return heads
        return rotary(heads, ops.arange(ops.shape(heads)[1]) + start)

    def _bias(self, query: Tensor, keys: Tensor, q_offset: int | Tensor, of_cache: bool) -> Any:
        if self.relative_bias is not None:
            keys = keys[:, 0] if of_cache else keys  # of which it reads the length
            return self.relative_bias(query, keys, q_offset=q_offset)
        return alibi(self.num_heads) if self.position == "alibi" else None
