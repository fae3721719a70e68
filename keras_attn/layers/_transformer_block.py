"""Base class of the Transformer blocks: constructor arguments, feed-forward network, residuals."""

from collections.abc import Callable
from typing import Any

import keras
from keras import initializers

from keras_attn._types import Tensor
from keras_attn.layers._attention_layer import AttentionLayer
from keras_attn.layers._cache import check_cache, updated_length
from keras_attn.layers._fast_layers import SequenceDense, SequenceLayerNormalization
from keras_attn.layers._masks import check_attention_mask, check_key_masks
from keras_attn.layers._sublayers import (
    check_choice,
    check_positive_integers,
    check_rank,
    check_rates,
    clone_initializer,
)
from keras_attn.layers._types import Tensors
from keras_attn.layers.multi_head_attention import MultiHeadAttention
from keras_attn.ops._activations import apply_activation

NORMALIZATIONS = {
    "layer": SequenceLayerNormalization,
    "rms": keras.layers.RMSNormalization,
}
_PLAIN_ARGUMENTS = (
    *("num_heads", "intermediate_dim", "key_dim", "dropout", "attention_dropout"),
    *("normalization", "epsilon", "normalize_first", "use_bias", "normalizer"),
    *("num_kv_heads", "qk_norm", "position", "window", "seed", "implementation"),
)


class TransformerBlock(AttentionLayer):
    """Base class of both blocks. Its arguments are documented in `TransformerEncoderBlock`."""

    def __init__(
        self,
        num_heads: int,
        intermediate_dim: int,
        key_dim: int | None = None,
        dropout: float = 0.0,
        activation: Any = "gelu",
        normalization: str = "layer",
        epsilon: float = 1e-6,
        normalize_first: bool = True,
        use_bias: bool = True,
        normalizer: str = "softmax",
        num_kv_heads: int | None = None,
        qk_norm: bool = False,
        position: str | None = None,
        window: int | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        seed: int | None = None,
        attention_dropout: float | None = None,
        implementation: str = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        check_positive_integers(self, num_heads=num_heads, intermediate_dim=intermediate_dim)
        if key_dim is not None:
            check_positive_integers(self, key_dim=key_dim)
        check_rates(self, dropout=dropout)
        if attention_dropout is not None:
            check_rates(self, attention_dropout=attention_dropout)
        check_choice(self, NORMALIZATIONS, normalization=normalization)
        self.num_heads = num_heads
        self.intermediate_dim = intermediate_dim
        self.key_dim = key_dim
        self.dropout = dropout
        self.attention_dropout = attention_dropout
        self.activation = keras.activations.get(activation)
        self.normalization = normalization
        self.epsilon = epsilon
        self.normalize_first = normalize_first
        self.use_bias = use_bias
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
        try:  # to raise on wrong arguments now, by the name of this class
            self._make_attention("check", 1, self.key_dim or 2)
        except ValueError as error:
            message = str(error)
            if message.startswith("MultiHeadAttention"):
                message = type(self).__name__ + message.removeprefix("MultiHeadAttention")
            raise ValueError(message) from None

    def make_cache(self, batch_size: int | Tensor, length: int | Tensor = 0) -> Tensors:
        """Return an empty cache of the self-attention, see `MultiHeadAttention.make_cache`."""
        self._check_built("make_cache")
        return self.attention.make_cache(batch_size, length)

    def compute_output_shape(self, inputs_shape: Any, *_: Any) -> tuple[int | None, ...]:
        return tuple(inputs_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in _PLAIN_ARGUMENTS},
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
        }

    def _build_feed_forward(self, shape: Any) -> None:
        self.feed_forward_in = self._make_dense("feed_forward_in", self.intermediate_dim)
        self.feed_forward_out = self._make_dense("feed_forward_out", shape[-1])
        self.feed_forward_norm = self._make_norm("feed_forward_norm", shape)
        self.feed_forward_in.build(shape)
        self.feed_forward_out.build((*shape[:-1], self.intermediate_dim))

    def _add_feed_forward(self, x: Tensor, training: bool | None) -> Tensor:
        """Return `x` plus the feed-forward network of it."""

        def feed_forward(x: Tensor) -> Tensor:
            hidden = apply_activation(self.activation, self.feed_forward_in(x), training)
            return self.feed_forward_out(hidden)

        return self._residual(x, self.feed_forward_norm, feed_forward, training)[0]

    def _residual(
        self, x: Tensor, norm: Any, function: Callable[[Tensor], Any], training: bool | None
    ) -> tuple:
        """Return `x` plus a function of it, normalized, and the function's further results."""
        result = function(norm(x) if self.normalize_first else x)
        update, *more = result if isinstance(result, tuple) else (result,)
        if self.dropout and training:
            update = keras.random.dropout(update, self.dropout, seed=self.seed_generator)
        x = x + update
        return (x if self.normalize_first else norm(x)), *more

    def _make_attention(
        self, name: str, seed_offset: int, key_dim: int, **overrides: Any
    ) -> MultiHeadAttention:
        dropout = self.dropout if self.attention_dropout is None else self.attention_dropout
        settings: dict[str, Any] = {
            "dropout": dropout,
            "use_bias": self.use_bias,
            "normalizer": self.normalizer,
            "num_kv_heads": self.num_kv_heads,
            "qk_norm": self.qk_norm,
            "position": self.position,
            "window": self.window,
            "implementation": self.implementation,
            # The sublayers must not draw the same dropout masks.
            "seed": None if self.seed is None else self.seed + seed_offset,
            **self._cloned_initializers(),
            **overrides,
        }
        return MultiHeadAttention(
            self.num_heads, key_dim, name=name, dtype=self.dtype_policy, **settings
        )

    def _make_norm(self, name: str, shape: Any) -> keras.layers.Layer:
        norm = NORMALIZATIONS[self.normalization](
            epsilon=self.epsilon, name=name, dtype=self.dtype_policy
        )
        norm.supports_masking = True
        norm.build(shape)
        return norm

    def _make_dense(self, name: str, units: int) -> SequenceDense:
        return SequenceDense(
            units,
            use_bias=self.use_bias,
            name=name,
            dtype=self.dtype_policy,
            **self._cloned_initializers(),
        )

    def _cloned_initializers(self) -> dict[str, Any]:
        return {
            "kernel_initializer": clone_initializer(self.kernel_initializer),
            "bias_initializer": clone_initializer(self.bias_initializer),
        }

    def _check_masks(
        self, inputs: Any, cache: Any, cache_index: Any, attention_mask: Any, **padding_mask: Any
    ) -> None:
        """Raise ValueError, by the name of the block, if a mask of its self-attention is wrong."""
        length = inputs.shape[1]
        check_cache(self.name, cache, cache_index, length, length)
        scores_shape = (*inputs.shape[:2], updated_length(cache, cache_index, length))
        check_key_masks(self.name, scores_shape, **padding_mask)
        check_attention_mask(self.name, self.num_heads, scores_shape, attention_mask)

    def _check_built(self, method: str) -> None:
        if not self.built:
            raise ValueError(
                f"{self.name}: `{method}` needs the block's weights. Call the block before, or "
                "`build` it."
            )

    def _head_size(self, shape: Any) -> int:
        """Return the size of each head for inputs of `shape`."""
        check_rank(self, 3, "(batch, length, features)", inputs=shape)
        if self.key_dim is None and shape[-1] % self.num_heads:
            raise ValueError(
                f"{type(self).__name__}: if `key_dim` is None, the features of `inputs` must be "
                f"a multiple of `num_heads`. Received: {shape[-1]} features, "
                f"{self.num_heads} heads."
            )
        return self.key_dim or shape[-1] // self.num_heads
