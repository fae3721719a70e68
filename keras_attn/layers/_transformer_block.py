"""What the Transformer blocks share: their arguments, and sublayers beside a shortcut."""

from collections.abc import Callable
from typing import Any

import keras
from keras import initializers

from keras_attn.layers._lean import RowsDense, RowsNormalization
from keras_attn.layers._sublayers import choice, fresh, positive, rank, rate
from keras_attn.layers.multi_head_attention import MultiHeadAttention, Projected

Tensor = Any

NORMALIZATIONS = {
    "layer": RowsNormalization,
    "rms": keras.layers.RMSNormalization,
}
_SIMPLE = (
    *("num_heads", "intermediate_dim", "key_dim", "dropout", "attention_dropout"),
    *("normalization", "epsilon", "normalize_first", "use_bias", "normalizer"),
    *("num_kv_heads", "qk_norm", "position", "window", "seed", "implementation"),
)


class TransformerBlock(keras.layers.Layer):
    """The arguments of both blocks, and the sublayers that both have."""

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
        positive(self, num_heads=num_heads, intermediate_dim=intermediate_dim)
        if key_dim is not None:
            positive(self, key_dim=key_dim)
        rate(self, dropout=dropout)
        if attention_dropout is not None:
            rate(self, attention_dropout=attention_dropout)
        choice(self, NORMALIZATIONS, normalization=normalization)
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
        self._attention("check", 1, self.key_dim or 2)  # refuses its arguments here and now

    def make_cache(self, batch_size: int | Tensor, length: int | Tensor = 0) -> Projected:
        """An empty cache, of fixed size or growing, see `MultiHeadAttention.make_cache`."""
        self._check_built("make_cache")
        return self.attention.make_cache(batch_size, length)

    def compute_output_shape(self, inputs_shape: Any, *_: Any) -> tuple[int | None, ...]:
        return tuple(inputs_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in _SIMPLE},
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
        }

    def _build_feed_forward(self, shape: Any) -> None:
        self.feed_forward_in = self._dense("feed_forward_in", self.intermediate_dim)
        self.feed_forward_out = self._dense("feed_forward_out", shape[-1])
        self.feed_forward_norm = self._norm("feed_forward_norm", shape)
        self.feed_forward_in.build(shape)
        self.feed_forward_out.build((*shape[:-1], self.intermediate_dim))

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self.feed_forward_out(self.activation(self.feed_forward_in(x)))

    def _residual(
        self, x: Tensor, norm: Any, function: Callable[[Tensor], Any], training: bool | None
    ) -> tuple:
        """`x` with a function of it added, and what else that function returns."""
        received = function(norm(x) if self.normalize_first else x)
        added, *more = received if isinstance(received, tuple) else (received,)
        if self.dropout and training:
            added = keras.random.dropout(added, self.dropout, seed=self.seed_generator)
        x = x + added
        return (x if self.normalize_first else norm(x)), *more

    def _attention(self, name: str, number: int, key_dim: int, **changes: Any) -> Any:
        of_weights = self.dropout if self.attention_dropout is None else self.attention_dropout
        settings: dict[str, Any] = {
            "dropout": of_weights,
            "use_bias": self.use_bias,
            "normalizer": self.normalizer,
            "num_kv_heads": self.num_kv_heads,
            "qk_norm": self.qk_norm,
            "position": self.position,
            "window": self.window,
            "implementation": self.implementation,
            "seed": None if self.seed is None else self.seed + number,  # no two drop alike
            **self._initializers(),
            **changes,
        }
        return MultiHeadAttention(
            self.num_heads, key_dim, name=name, dtype=self.dtype_policy, **settings
        )

    def _norm(self, name: str, shape: Any) -> keras.layers.Layer:
        norm = NORMALIZATIONS[self.normalization](
            epsilon=self.epsilon, name=name, dtype=self.dtype_policy
        )
        norm.supports_masking = True
        norm.build(shape)
        return norm

    def _dense(self, name: str, units: int) -> RowsDense:
        return RowsDense(
            units,
            use_bias=self.use_bias,
            name=name,
            dtype=self.dtype_policy,
            **self._initializers(),
        )

    def _initializers(self) -> dict[str, Any]:
        return {
            "kernel_initializer": fresh(self.kernel_initializer),
            "bias_initializer": fresh(self.bias_initializer),
        }

    def _check_built(self, method: str) -> None:
        if not self.built:
            raise ValueError(
                f"{self.name}: `{method}` needs the block's weights. Call the block before, or "
                "`build` it."
            )

    def _head_size(self, shape: Any) -> int:
        rank(self, 3, "(batch, length, features)", inputs=shape)
        if self.key_dim is None and shape[-1] % self.num_heads:
            raise ValueError(
                f"{type(self).__name__}: where `key_dim` is None the features of `inputs` must be "
                f"a multiple of `num_heads`. Received: {shape[-1]} features, "
                f"{self.num_heads} heads."
            )
        return self.key_dim or shape[-1] // self.num_heads
