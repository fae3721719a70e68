"""Settings, projections and positions of multi-head attention."""

from typing import Any

import keras
from keras import constraints, initializers, ops, regularizers

from keras_attn._types import Tensor
from keras_attn.layers._attention_layer import AttentionLayer
from keras_attn.layers._fast_layers import HeadsDense
from keras_attn.layers._from_keras import check_output_shape, refuse_keras_arguments
from keras_attn.layers._sublayers import (
    check_choice,
    check_positive_integers,
    check_rank,
    check_rates,
    clone_initializer,
)
from keras_attn.layers.positions import RelativePositionBias
from keras_attn.ops import IMPLEMENTATIONS, alibi, normalizers, rotary

POSITIONS = (None, "rotary", "alibi", "relative")


class MultiHeadProjections(AttentionLayer):
    """Base class of `MultiHeadAttention`, which documents the arguments."""

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: int | tuple[int] | None = None,
        normalizer: str = "softmax",
        num_kv_heads: int | None = None,
        qk_norm: bool = False,
        position: str | None = None,
        window: int | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        seed: int | None = None,
        implementation: str = "auto",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**refuse_keras_arguments(type(self).__name__, kwargs))
        self.supports_masking = True
        output_shape = check_output_shape(type(self).__name__, output_shape)
        value_dim = key_dim if value_dim is None else value_dim
        num_kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        check_positive_integers(
            self,
            num_heads=num_heads,
            key_dim=key_dim,
            value_dim=value_dim,
            num_kv_heads=num_kv_heads,
        )
        if num_heads % num_kv_heads:
            raise ValueError(
                f"{type(self).__name__}: `num_kv_heads` must divide `num_heads`. Received: "
                f"num_kv_heads={num_kv_heads}, num_heads={num_heads}."
            )
        check_choice(self, POSITIONS, position=position)
        if position == "rotary" and key_dim % 2:
            raise ValueError(
                f'{type(self).__name__}: position="rotary" needs an even `key_dim`. Received: '
                f"key_dim={key_dim}."
            )
        if output_shape is not None:
            check_positive_integers(self, output_shape=output_shape)
        if window is not None:
            check_positive_integers(self, window=window)
        check_rates(self, dropout=dropout)
        check_choice(self, IMPLEMENTATIONS, implementation=implementation)
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
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        # Keras would apply an `activity_regularizer` of this layer to its output as well.
        self.projection_activity_regularizer = regularizers.get(activity_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.seed = seed
        self.implementation = implementation
        self.seed_generator = keras.random.SeedGenerator(seed) if dropout else None

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        key_shape = value_shape if key_shape is None else key_shape
        check_rank(self, 3, "(batch, length, features)", query=query_shape)
        check_rank(self, 3, "(batch, length, features)", value=value_shape, key=key_shape)
        self._set_input_sizes(query=query_shape, value=value_shape, key=key_shape)
        self.query_dense = self._make_projection("query", self.num_heads, self.key_dim)
        self.key_dense = self._make_projection("key", self.num_kv_heads, self.key_dim)
        self.value_dense = self._make_projection("value", self.num_kv_heads, self.value_dim)
        features = self.output_size or query_shape[-1]
        self.output_dense = self._make_projection(
            "attention_output", self.num_heads, self.value_dim, features
        )
        self.query_dense.build(query_shape)
        self.key_dense.build(key_shape)
        self.value_dense.build(value_shape)
        self.output_dense.build((*query_shape[:2], self.num_heads, self.value_dim))
        self.query_norm, self.key_norm, self.relative_bias = None, None, None
        if self.qk_norm:
            self.query_norm = self._make_normalization("query_norm", self.num_heads)
            self.key_norm = self._make_normalization("key_norm", self.num_kv_heads)
        if self.position == "relative":
            self.relative_bias = RelativePositionBias(
                self.num_heads, name="relative_bias", dtype=self.dtype_policy
            )
            self.relative_bias.build(query_shape, key_shape)

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
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": regularizers.serialize(self.projection_activity_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
            "bias_constraint": constraints.serialize(self.bias_constraint),
            "seed": self.seed,
            "implementation": self.implementation,
        }

    def _project(
        self, value: Tensor, key: Tensor | None, start: int | Tensor = 0
    ) -> tuple[Tensor, Tensor]:
        """Return keys and values, each `(B, S, K, size)`."""
        self._check_sequences(value=value, key=key)
        if key is None:
            self._check_input_size("key", "value", value)
            key = value
        keys = self.key_dense(key)
        keys = keys if self.key_norm is None else self.key_norm(keys)
        return self._rotate(keys, start), self.value_dense(value)

    def _make_projection(
        self, name: str, heads: int, size: int, features: int | None = None
    ) -> HeadsDense:
        return HeadsDense(
            heads,
            size,
            features=features,
            use_bias=self.use_bias,
            name=name,
            **self._common_arguments(),
        )

    def _make_normalization(self, name: str, heads: int) -> keras.layers.RMSNormalization:
        normalization = keras.layers.RMSNormalization(name=name, dtype=self.dtype_policy)
        normalization.supports_masking = True
        normalization.build((None, None, heads, self.key_dim))
        return normalization

    def _common_arguments(self) -> dict[str, Any]:
        return {
            "kernel_initializer": clone_initializer(self.kernel_initializer),
            "bias_initializer": clone_initializer(self.bias_initializer),
            "kernel_regularizer": self.kernel_regularizer,
            "bias_regularizer": self.bias_regularizer,
            "activity_regularizer": self.projection_activity_regularizer,
            "kernel_constraint": self.kernel_constraint,
            "bias_constraint": self.bias_constraint,
            "dtype": self.dtype_policy,
        }

    def _rotate(self, heads: Tensor, start: int | Tensor) -> Tensor:
        """Return queries or keys `(B, T, N, H)`, rotated by their positions from `start` on."""
        if self.position != "rotary":
            return heads
        return rotary(heads, ops.arange(ops.shape(heads)[1], dtype="int32") + start)

    def _bias(self, query: Tensor, keys: Tensor, q_offset: int | Tensor, heads_first: bool) -> Any:
        """Return the bias of the scores, a tensor or a function of positions, or None."""
        if self.relative_bias is not None:
            keys = keys[:, 0] if heads_first else keys  # it reads the length from axis 1
            return self.relative_bias(query, keys, q_offset=q_offset)
        return alibi(self.num_heads) if self.position == "alibi" else None
