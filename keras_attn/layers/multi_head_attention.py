"""Multi-head attention, self and cross."""

from typing import Any, Self

import keras
from keras import ops

from keras_attn._types import Tensor
from keras_attn.layers._cache import (
    check_cache,
    new_positions_start,
    update_cache,
    updated_length,
)
from keras_attn.layers._from_keras import converted_arguments, projections
from keras_attn.layers._masks import (
    check_attention_mask,
    check_key_masks,
    check_query_mask,
    combine_masks,
    is_implicit,
    select_key_mask,
)
from keras_attn.layers._multi_head_projections import MultiHeadProjections
from keras_attn.layers._sublayers import PACKAGE, check_positive_integers
from keras_attn.layers._types import Tensors
from keras_attn.ops import attention, swap_heads
from keras_attn.ops._arguments import convert_offset


@keras.saving.register_keras_serializable(package=PACKAGE)
class MultiHeadAttention(MultiHeadProjections):
    """Multi-head attention (Vaswani et al., arXiv:1706.03762), self and cross.

    Names of arguments and shapes of variables are those of `keras.layers.MultiHeadAttention`, so
    that weights copy over (see `from_keras`). Its `sliding_window` is `window` here, its
    `flash_attention` is `implementation`; `attention_axes` other than the length, `use_gate`, and
    an `output_shape` of several axes are refused.
    Other differences: the padding mask is an argument of its own; a query that may attend to no key
    gives exactly 0 before the output projection, on every path; long sequences stream, with
    memory linear in the length; no argument is accepted and then ignored.

    To decode step by step, pass a `cache` from `make_cache`, and as `cache_index` the value
    `"end"` or the number of positions in it. For cross-attention, `project` the memory once
    and `attend` to it in each step.

    Args:
        num_heads: number of heads, `N`.
        key_dim: size of each head for queries and keys.
        value_dim: size of each head for values; None is `key_dim`.
        dropout: dropout rate of attention weights.
        use_bias: whether the projections have biases.
        output_shape: size of the output's last axis, or a tuple of it; None is that of the query.
        normalizer: `"softmax"` or another of `keras_attn.ops.NORMALIZERS`.
        num_kv_heads: number of heads of keys and values, `K`, a divisor of `num_heads`; None is
            `num_heads`, 1 is multi-query attention (Ainslie et al., arXiv:2305.13245).
        qk_norm: whether to apply RMS normalization with a learned scale to each head of queries
            and keys (Henry et al., arXiv:2010.04245).
        position: None; `"rotary"` (arXiv:2104.09864), `"alibi"` (arXiv:2108.12409) or
            `"relative"` (`RelativePositionBias`, which holds all `N x T x S` biases).
        window: attend only to near positions, see `keras_attn.ops.attention`.
        kernel_initializer: initializer of the projections' kernels.
        bias_initializer: initializer of the projections' biases.
        seed: integer that makes the dropout repeatable.
        implementation: path of the attention, one of `keras_attn.ops.IMPLEMENTATIONS`, see
            `keras_attn.ops.attention`. In graphs of unknown lengths `"auto"` builds two paths,
            and `"full"` one, which suits sequences that are always short.
        kernel_regularizer: regularizer of the projections' kernels.
        bias_regularizer: regularizer of the projections' biases.
        activity_regularizer: regularizer of the projections' outputs, as in the Keras layer.
        kernel_constraint: constraint of the projections' kernels.
        bias_constraint: constraint of the projections' biases.

    Call arguments:
        query: float tensor `(B, T, D)`.
        value: float tensor `(B, S, D')`.
        key: float tensor `(B, S, D'')`; None is `value`.
        padding_mask: `(B, S)`, False at keys that are padding. None uses the mask that Keras
            attached to `key`, or to `value`, if any. Masks are boolean or integer; in eager
            code also float, of 0 and 1 alone.
        attention_mask: `(B, T, S)` or `(B, N, T, S)`, True = attend; axes may have size 1. With
            both masks, a key must be allowed by both.
        return_attention_scores: whether to also return the attention weights.
        training: whether to apply dropout.
        use_causal_mask: whether a query attends only to positions up to its own. None means True
            if `cache` is passed, and False otherwise. A cache of fixed size has positions that
            are not written yet: with False, pass a mask that excludes them.
        cache: keys and values of earlier positions, as `make_cache` returns them, to which
            those of `value` are added. `padding_mask` then covers all positions of the
            returned cache, `(B, length)`.
        cache_index: number of positions in a cache of fixed size, an integer or integer
            scalar; or `"end"` for a growing cache, which is returned longer by `T`.
        query_mask: `(B, T)`, False at queries that attend to nothing. The mask that Keras
            attached to `query` is not used as this: the output carries it.
        key_mask, value_mask: `(B, S)`, as `padding_mask`; with several of them, a key must be
            allowed by all.

    Returns:
        Tensor `(B, T, output_shape)`; then the weights before dropout, `(B, N, T, S)`, with
        `return_attention_scores`; then the updated cache if `cache` is passed. The output
        carries the Keras mask of the query; masks of the inputs stay as they are.

    Masks, with `B` the batch, `N` the heads, `T` the queries and `S` the keys:

    | argument | shape | True means |
    |---|---|---|
    | `padding_mask`, `key_mask`, `value_mask` | `(B, S)` | the key may be attended to |
    | `attention_mask` | `(B, T, S)`, `(B, N, T, S)` | the query may attend to the key |
    | `query_mask` | `(B, T)` | the query attends |
    | `use_causal_mask` | True or False | a query attends to positions up to its own |

    Example:

    >>> import numpy as np
    >>> layer = MultiHeadAttention(num_heads=2, key_dim=8)
    >>> x = np.ones((3, 5, 16), "float32")
    >>> padding_mask = np.arange(5)[None] < np.array([[5], [2], [3]])
    >>> output, scores = layer(x, x, padding_mask=padding_mask, return_attention_scores=True)
    >>> tuple(output.shape), tuple(scores.shape)
    ((3, 5, 16), (3, 2, 5, 5))

    A causal language model, with the padding mask from its token ids:

    >>> token_ids = keras.Input((None,), dtype="int32")
    >>> x = keras.layers.Embedding(input_dim=9, output_dim=16)(token_ids)
    >>> y = layer(x, x, padding_mask=token_ids != 0, use_causal_mask=True)
    >>> model = keras.Model(token_ids, keras.layers.Dense(9)(y))
    >>> tuple(model(np.array([[3, 1, 2, 4], [2, 1, 0, 0]])).shape)
    (2, 4, 9)
    """

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
        cache: Tensors | None = None,
        cache_index: int | Tensor | str | None = None,
        query_mask: Tensor | None = None,  # Keras passes its implicit masks as these three
        key_mask: Tensor | None = None,
        value_mask: Tensor | None = None,
    ) -> Any:
        self._check_sequences(query=query, value=value)
        check_cache(self.name, cache, cache_index, query.shape[1], value.shape[1])
        keys_and_mask, values_and_mask = (key, key_mask), (value, value_mask)
        keys = updated_length(cache, cache_index, value.shape[1])
        scores_shape = (*query.shape[:2], keys)
        settings: dict[str, Any] = {
            "query_mask": None if is_implicit(query_mask, query) else query_mask,
            "padding_mask": select_key_mask(
                self.name, scores_shape, padding_mask, cache, keys_and_mask, values_and_mask
            ),
            "attention_mask": attention_mask,
            "use_causal_mask": cache is not None if use_causal_mask is None else use_causal_mask,
            "return_attention_scores": return_attention_scores,
            "training": training,
        }
        if cache is None or cache_index is None:
            keys, values = self._project(value, key)
            return self._attend(query, keys, values, **settings)
        start = new_positions_start(cache, cache_index)
        cache = update_cache(cache, cache_index, self.project(value, key, start))
        attended = self._attend(
            query, cache["key"], cache["value"], q_offset=start, heads_first=True, **settings
        )
        return (*attended, cache) if return_attention_scores else (attended, cache)

    def make_cache(self, batch_size: int | Tensor, length: int | Tensor = 0) -> Tensors:
        """Return an empty cache: keys and values `(B, K, length, size)`, heads first.

        Args:
            batch_size: number of rows, `B`.
            length: number of positions of a cache of fixed size; 0 for a growing cache.

        Returns:
            A dict with `"key"` and `"value"`, in the layer's compute dtype.
        """
        if isinstance(length, int) and length:
            check_positive_integers(self, length=length)
        shape = (batch_size, self.num_kv_heads, length)
        sizes = {"key": self.key_dim, "value": self.value_dim}
        return {name: ops.zeros((*shape, size), self.compute_dtype) for name, size in sizes.items()}

    def project(self, value: Tensor, key: Tensor | None = None, start: int | Tensor = 0) -> Tensors:
        """Return projected keys and values for `attend`, each `(B, K, S, size)`.

        A decoder projects the memory of its cross-attention once per sequence. Heads come
        first, the layout in which matrix products read them.

        Args:
            value: float tensor `(B, S, D')`.
            key: float tensor `(B, S, D'')`; None is `value`.
            start: position of the first key, for `position="rotary"`.

        Returns:
            A dict with `"key"` and `"value"`.
        """
        keys, values = self._project(value, key, convert_offset(start))
        return {"key": swap_heads(keys), "value": swap_heads(values)}

    def attend(
        self,
        query: Tensor,
        projected: Tensors,
        *,
        padding_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
        q_offset: int | Tensor = 0,
    ) -> Any:
        """Attend to keys and values from `project`; otherwise the same as a call.

        Args:
            query: float tensor `(B, T, D)`.
            projected: the result of `project`.
            padding_mask: `(B, S)`, False at keys that are padding.
            attention_mask: `(B, T, S)` or `(B, N, T, S)`, True = attend.
            use_causal_mask: whether a query attends only to positions up to its own.
            return_attention_scores: whether to also return the weights `(B, N, T, S)`.
            training: whether to apply dropout.
            q_offset: position of the first query among the keys.

        Returns:
            Tensor `(B, T, output_shape)`, or a pair with `return_attention_scores`.
        """
        return self._attend(
            query,
            projected["key"],
            projected["value"],
            padding_mask=padding_mask,
            attention_mask=attention_mask,
            use_causal_mask=use_causal_mask,
            return_attention_scores=return_attention_scores,
            training=training,
            q_offset=convert_offset(q_offset),
            heads_first=True,
        )

    def _attend(
        self,
        query: Tensor,
        keys: Tensor,
        values: Tensor,
        *,
        padding_mask: Tensor | None,
        attention_mask: Tensor | None,
        use_causal_mask: bool,
        return_attention_scores: bool,
        training: bool | None,
        query_mask: Tensor | None = None,
        q_offset: int | Tensor = 0,
        heads_first: bool = False,
    ) -> Any:
        self._check_sequences(query=query)
        scores_shape = (*query.shape[:2], keys.shape[2 if heads_first else 1])
        check_query_mask(self.name, scores_shape, query_mask)
        mask = combine_masks(self.name, self.num_heads, scores_shape, padding_mask, attention_mask)
        queries = self.query_dense(query)
        queries = queries if self.query_norm is None else self.query_norm(queries)
        attended = attention(
            self._rotate(queries, q_offset),
            keys,
            values,
            mask=mask,
            bias=self._bias(query, keys, q_offset, heads_first),
            is_causal=use_causal_mask,
            window=self.window,
            q_offset=q_offset,
            normalizer=self.normalizer,
            dropout=self.dropout if training else 0.0,
            seed=self.seed_generator,
            implementation=self.implementation,
            return_weights=return_attention_scores,
            heads_first=heads_first,
        )
        output, scores = attended if return_attention_scores else (attended, None)
        if query_mask is not None:
            query_mask = ops.cast(query_mask, "bool")
            output = ops.where(query_mask[:, :, None, None], output, 0.0)
            if return_attention_scores:
                scores = ops.where(query_mask[:, None, :, None], scores, 0.0)
        output = self.output_dense(output)
        return (output, scores) if return_attention_scores else output

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
        query_mask: Any = None,
        key_mask: Any = None,
        value_mask: Any = None,
    ) -> Any:
        self._check_sequences(query=query, value=value, key=key)
        if key is None:
            self._check_input_size("key", "value", value)
        check_cache(self.name, cache, cache_index, query.shape[1], value.shape[1])
        length = updated_length(cache, cache_index, value.shape[1])
        scores_shape = (*query.shape[:2], length)
        explicit = {"padding_mask": padding_mask}
        if not is_implicit(key_mask, key):
            explicit["key_mask"] = key_mask
        if not is_implicit(value_mask, value):
            explicit["value_mask"] = value_mask
        check_key_masks(self.name, scores_shape, **explicit)
        check_attention_mask(self.name, self.num_heads, scores_shape, attention_mask)
        if not is_implicit(query_mask, query):
            check_query_mask(self.name, scores_shape, query_mask)
        shape = self.compute_output_shape(query.shape, value.shape)
        results = [keras.KerasTensor(shape, dtype=self.compute_dtype)]
        if return_attention_scores:
            scores = (query.shape[0], self.num_heads, query.shape[1], length)
            results.append(keras.KerasTensor(scores, dtype=self.compute_dtype))
        if cache is not None:
            shapes = {name: (*x.shape[:2], length, x.shape[3]) for name, x in cache.items()}
            results.append(
                {name: keras.KerasTensor(shapes[name], x.dtype) for name, x in cache.items()}
            )
        return tuple(results) if len(results) > 1 else results[0]

    @classmethod
    def from_keras(cls, layer: keras.layers.MultiHeadAttention) -> Self:
        """Return a layer with the settings and, if it is built, the weights of a Keras layer.

        Raises:
            ValueError: `layer` uses an option that this layer does not have (`attention_axes`,
                `use_gate`, an output of several axes).
        """
        ours = cls(**converted_arguments(layer))
        if layer.built:
            build_config = layer.get_build_config() or {}
            ours.build(**build_config["shapes_dict"])
            ours.built = True
            ours.set_weights([w for dense in projections(layer) for w in dense.get_weights()])
        return ours
