"""Attention pooling: learned queries over a sequence or a feature map."""

import math
from typing import Any

import keras
from keras import initializers, ops

from keras_attn._types import Tensor
from keras_attn.layers._attention_layer import AttentionLayer
from keras_attn.layers._sublayers import (
    PACKAGE,
    check_choice,
    check_positive_integers,
    check_rates,
    clone_initializer,
)
from keras_attn.ops import IMPLEMENTATIONS, attention, normalizers
from keras_attn.ops import padding_mask as expand_padding_mask
from keras_attn.ops._arguments import sizes_match
from keras_attn.ops._mask_values import check_mask_values

SCORES = ("scaled_dot", "additive", "uniform")


@keras.saving.register_keras_serializable(package=PACKAGE)
class AttentionPooling(AttentionLayer):
    """Pool all positions by attention with learned queries.

    Multi-head attention whose queries are weights (Lee et al., arXiv:1810.00825; the
    "attention pooling head" of Zhai et al., arXiv:2106.04560), without the feed-forward
    block that both add. With `num_queries=None` it replaces a global average pooling;
    queries start small, so that the initial output is close to the average of the values.

    With `score="additive"`, `project_values=False` it is the word attention of Yang et al.
    (HAN, NAACL 2016): a learned vector times `tanh` of the projected position, with the
    inputs themselves as values. `score="uniform"` has no queries and keys, and averages the
    values: the ablation of either score.

    Args:
        num_queries: number of queries, `Q`; None is one query without an axis in the output.
        num_heads: number of heads, `N`.
        key_dim: size of each head for queries and keys; None is `D // num_heads`, at
            least 1.
        value_dim: size of each head for values; None is `key_dim`.
        output_size: size of the output's last axis; None is that of the inputs.
        score: `"scaled_dot"`, queries times keys over `sqrt(key_dim)`; `"additive"`,
            queries times `tanh` of keys; or `"uniform"`, the same for every position.
        project_values: whether values and output are projected. False pools the inputs
            themselves by one head, and excludes `value_dim` and `output_size`.
        normalizer: `"softmax"` or another of `keras_attn.ops.NORMALIZERS`.
        dropout: dropout rate of attention weights.
        use_bias: whether the projections have biases.
        query_initializer: initializer of the queries `(Q, N, key_dim)`.
        kernel_initializer: initializer of the projections' kernels.
        bias_initializer: initializer of the projections' biases.
        seed: integer that makes the dropout repeatable.
        implementation: path of the attention, one of `keras_attn.ops.IMPLEMENTATIONS`, see
            `keras_attn.ops.attention`.

    Call arguments:
        inputs: float tensor, a sequence `(B, S, D)` or a feature map `(B, H, W, D)`.
        padding_mask: `(B, S)`, or `(B, H, W)` for a map, False at padding. None uses the mask
            that Keras attached to `inputs`, if any. It is boolean or integer; in eager code
            also float, of 0 and 1 alone.
        return_attention_scores: whether to also return the attention weights.
        training: whether to apply dropout.

    Returns:
        Tensor `(B, output_size)`, or `(B, Q, output_size)` with `num_queries`; exactly
        the bias of the output projection where every position is padding. With
        `return_attention_scores` a pair of it and the weights before dropout,
        `(B, N, S)` or `(B, N, H, W)`; with `num_queries`, `(B, N, Q, S)` or
        `(B, N, Q, H, W)`. The output carries no Keras mask, since it has no positions.

    Example:

    >>> import numpy as np
    >>> layer = AttentionPooling(num_heads=2)
    >>> output, scores = layer(np.ones((1, 4, 6, 8), "float32"), return_attention_scores=True)
    >>> tuple(output.shape), tuple(scores.shape)
    ((1, 8), (1, 2, 4, 6))
    """

    def __init__(
        self,
        num_queries: int | None = None,
        num_heads: int = 1,
        key_dim: int | None = None,
        value_dim: int | None = None,
        output_size: int | None = None,
        score: str = "scaled_dot",
        project_values: bool = True,
        normalizer: str = "softmax",
        dropout: float = 0.0,
        use_bias: bool = True,
        query_initializer: Any = "truncated_normal",
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        seed: int | None = None,
        implementation: str = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        check_positive_integers(self, num_heads=num_heads)
        sizes = {"num_queries": num_queries, "key_dim": key_dim, "value_dim": value_dim}
        sizes["output_size"] = output_size
        check_positive_integers(self, **{name: n for name, n in sizes.items() if n is not None})
        check_rates(self, dropout=dropout)
        normalizers.get(normalizer)
        check_choice(self, SCORES, score=score)
        check_choice(self, IMPLEMENTATIONS, implementation=implementation)
        if not project_values and (num_heads != 1 or value_dim or output_size):
            raise ValueError(
                "AttentionPooling: `project_values=False` pools the inputs themselves by one "
                "head, and excludes `value_dim` and `output_size`. Received: "
                f"num_heads={num_heads}, value_dim={value_dim}, output_size={output_size}."
            )
        self.num_queries = num_queries
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.value_dim = value_dim
        self.output_size = output_size
        self.score = score
        self.project_values = project_values
        self.normalizer = normalizer
        self.dropout = dropout
        self.use_bias = use_bias
        self.query_initializer = initializers.get(query_initializer)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.seed = seed
        self.implementation = implementation
        self.seed_generator = keras.random.SeedGenerator(seed) if dropout else None

    def build(self, inputs_shape: Any) -> None:
        self._check_rank(inputs_shape)
        if self.score != "uniform" or self.project_values:
            self._set_input_sizes(inputs=inputs_shape)
        features = inputs_shape[-1]
        key_dim = self.key_dim or max(1, features // self.num_heads)
        value_dim = self.value_dim or key_dim
        if self.score != "uniform":
            self.query = self.add_weight(
                name="query",
                shape=(self.num_queries or 1, self.num_heads, key_dim),
                initializer=clone_initializer(self.query_initializer),
            )
            self.key_dense = self._make_projection(
                "key", "bsd,dnh->bsnh", "nh", (self.num_heads, key_dim)
            )
            self.key_dense.build((None, None, features))
        if self.project_values:
            self.value_dense = self._make_projection(
                "value", "bsd,dnh->bsnh", "nh", (self.num_heads, value_dim)
            )
            self.output_dense = self._make_projection(
                "attention_output", "bqnh,nhd->bqd", "d", (self.output_size or features,)
            )
            self.value_dense.build((None, None, features))
            self.output_dense.build((None, None, self.num_heads, value_dim))

    def call(
        self,
        inputs: Tensor,
        padding_mask: Tensor | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        mask: Tensor | None = None,  # Keras passes its implicit mask as this
    ) -> Any:
        self._check_rank(inputs.shape)
        self._check_input_sizes(inputs=inputs)
        batch, *spatial, features = ops.shape(inputs)
        sequence = ops.reshape(inputs, (batch, math.prod(spatial), features))
        result = attention(
            *self._query_and_key(sequence),
            self.value_dense(sequence) if self.project_values else sequence[:, :, None],
            mask=self._attention_mask(inputs, mask if padding_mask is None else padding_mask),
            scale=1.0 if self.score == "additive" else None,
            normalizer=self.normalizer,
            dropout=self.dropout if training else 0.0,
            seed=self.seed_generator,
            implementation=self.implementation,
            return_weights=return_attention_scores,
        )
        pooled, weights = result if return_attention_scores else (result, None)
        output = self.output_dense(pooled) if self.project_values else pooled[:, :, 0]
        output = output[:, 0] if self.num_queries is None else output
        if not return_attention_scores:
            return output
        queries = () if self.num_queries is None else (self.num_queries,)
        return output, ops.reshape(weights, (batch, self.num_heads, *queries, *spatial))

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        """Return None, since the output has no positions."""

    def compute_output_shape(self, inputs_shape: Any) -> tuple[int | None, ...]:
        queries = () if self.num_queries is None else (self.num_queries,)
        return (inputs_shape[0], *queries, self.output_size or inputs_shape[-1])

    def compute_output_spec(
        self,
        inputs: Any,
        padding_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        mask: Any = None,
    ) -> Any:
        self._check_rank(inputs.shape)
        self._check_input_sizes(inputs=inputs)
        if padding_mask is not None:
            self._check_padding_mask(inputs.shape, padding_mask)
        shape = self.compute_output_shape(inputs.shape)
        output = keras.KerasTensor(shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return output
        scores = (shape[0], self.num_heads, *shape[1:-1], *inputs.shape[1:-1])
        return output, keras.KerasTensor(scores, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_queries": self.num_queries,
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "value_dim": self.value_dim,
            "output_size": self.output_size,
            "score": self.score,
            "project_values": self.project_values,
            "normalizer": self.normalizer,
            "dropout": self.dropout,
            "use_bias": self.use_bias,
            "query_initializer": initializers.serialize(self.query_initializer),
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "seed": self.seed,
            "implementation": self.implementation,
        }

    def _query_and_key(self, sequence: Tensor) -> tuple[Tensor, Tensor]:
        """Return queries `(B, Q, N, H)` and keys `(B, S, N, H)` for a sequence `(B, S, D)`."""
        batch, length, _ = ops.shape(sequence)
        if self.score == "uniform":  # zeros make every score 0
            queries = (batch, self.num_queries or 1, self.num_heads, 1)
            keys = (batch, length, self.num_heads, 1)
            return ops.zeros(queries, sequence.dtype), ops.zeros(keys, sequence.dtype)
        query = ops.cast(self.query, sequence.dtype)[None]
        key = self.key_dense(sequence)
        key = ops.tanh(key) if self.score == "additive" else key
        return ops.broadcast_to(query, (batch, *self.query.shape)), key

    def _make_projection(
        self, name: str, equation: str, bias_axes: str, sizes: tuple[int, ...]
    ) -> keras.layers.EinsumDense:
        projection = keras.layers.EinsumDense(
            equation,
            output_shape=(None, *sizes),
            bias_axes=bias_axes if self.use_bias else None,
            kernel_initializer=clone_initializer(self.kernel_initializer),
            bias_initializer=clone_initializer(self.bias_initializer),
            name=name,
            dtype=self.dtype_policy,
        )
        projection.supports_masking = True  # or Keras warns that it destroys the input's mask
        return projection

    def _attention_mask(self, inputs: Tensor, padding_mask: Tensor | None) -> Tensor | None:
        """Return the mask `(B, 1, 1, S)` of a padding mask of a sequence or a map."""
        if padding_mask is None:
            return None
        self._check_padding_mask(inputs.shape, padding_mask)
        batch, *spatial = ops.shape(padding_mask)
        return expand_padding_mask(ops.reshape(padding_mask, (batch, math.prod(spatial))))

    def _check_padding_mask(self, inputs_shape: Any, padding_mask: Any) -> None:
        check_mask_values(owner=self.name, padding_mask=padding_mask)
        shape, positions = padding_mask.shape, inputs_shape[:-1]
        fits = len(shape) == len(positions) and all(map(sizes_match, shape[1:], positions[1:]))
        if not fits or not (shape[0] == 1 or sizes_match(shape[0], positions[0])):
            raise ValueError(
                f"{self.name}: `padding_mask` must have the shape of `inputs` without the last "
                "axis, (batch, length) or (batch, height, width). Received: padding_mask "
                f"{tuple(shape)}, inputs {tuple(inputs_shape)}."
            )

    def _check_rank(self, shape: Any) -> None:
        if len(shape) not in (3, 4):
            raise ValueError(
                f"{self.name}: `inputs` must have shape (batch, length, features) or (batch, "
                f"height, width, features). Received: shape {tuple(shape)}."
            )
