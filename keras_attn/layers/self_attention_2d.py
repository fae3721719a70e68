"""Self-attention over the positions of a feature map."""

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
    check_rank,
    check_rates,
    clone_initializer,
)
from keras_attn.ops import IMPLEMENTATIONS, attention, normalizers

LAYOUT = "(batch, height, width, channels)"


@keras.saving.register_keras_serializable(package=PACKAGE)
class SelfAttention2D(AttentionLayer):
    """Self-attention over a feature map, added with a learned scale that starts at 0 (SAGAN).

    Every position attends to all `H x W` positions: queries, keys and values are 1x1
    convolutions of the map, and the output is `x + gamma * attended`, with a learned scalar
    `gamma` that starts at 0 (Zhang et al., arXiv:1805.08318). As in the authors' code, values
    have half the channels and a 1x1 convolution restores them; unlike there, scores are
    scaled by `1 / sqrt(key size)`, and keys and values are pooled only with `downsample`.
    Large maps stream, with memory linear in `H x W`.

    Args:
        key_channels: channels of queries, and of keys, over all heads; None is
            `max(1, C // 8)`, rounded up to a multiple of `num_heads`.
        value_channels: channels of the values; None is `max(1, C // 2)`, rounded likewise.
        num_heads: number of heads, a divisor of both.
        downsample: side of the square windows by which keys and values are max-pooled; 2 in
            the authors' code. Incomplete windows at the lower and right border are dropped.
        normalizer: `"softmax"` or another of `keras_attn.ops.NORMALIZERS`.
        dropout: dropout rate of attention weights.
        use_bias: whether the 1x1 convolutions have biases.
        kernel_initializer: initializer of the convolutions' kernels.
        gamma_initializer: initializer of `gamma`.
        seed: integer that makes the dropout repeatable.
        implementation: path of the attention, one of `keras_attn.ops.IMPLEMENTATIONS`, see
            `keras_attn.ops.attention`.

    Call arguments:
        inputs: float tensor `(B, H, W, C)`.
        return_attention_scores: whether to also return the attention weights.
        training: whether to apply dropout.

    Returns:
        Tensor `(B, H, W, C)`; with `return_attention_scores` a pair of it and the
        weights `(B, num_heads, H * W, H' * W')`, positions in row-major order, with `H' =
        H // downsample` and `W'` likewise.

    Example:

    >>> import numpy as np
    >>> layer = SelfAttention2D(num_heads=2)
    >>> output, scores = layer(np.ones((1, 4, 6, 32), "float32"), return_attention_scores=True)
    >>> tuple(output.shape), tuple(scores.shape)
    ((1, 4, 6, 32), (1, 2, 24, 24))
    """

    def __init__(
        self,
        key_channels: int | None = None,
        value_channels: int | None = None,
        num_heads: int = 1,
        downsample: int = 1,
        normalizer: str = "softmax",
        dropout: float = 0.0,
        use_bias: bool = False,
        kernel_initializer: Any = "glorot_uniform",
        gamma_initializer: Any = "zeros",
        seed: int | None = None,
        implementation: str = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integers(self, num_heads=num_heads, downsample=downsample)
        for name, value in (("key_channels", key_channels), ("value_channels", value_channels)):
            if value is not None:
                check_positive_integers(self, **{name: value})
                if value % num_heads:
                    raise ValueError(
                        f"SelfAttention2D: `{name}` must be a multiple of `num_heads`. "
                        f"Received: {name}={value}, num_heads={num_heads}."
                    )
        check_rates(self, dropout=dropout)
        normalizers.get(normalizer)
        check_choice(self, IMPLEMENTATIONS, implementation=implementation)
        self.key_channels = key_channels
        self.value_channels = value_channels
        self.num_heads = num_heads
        self.downsample = downsample
        self.normalizer = normalizer
        self.dropout = dropout
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.seed = seed
        self.implementation = implementation
        self.seed_generator = keras.random.SeedGenerator(seed) if dropout else None

    def build(self, input_shape: Any) -> None:
        check_rank(self, 4, LAYOUT, inputs=input_shape)
        self._set_input_sizes(inputs=input_shape)
        channels = input_shape[-1]
        if channels is None:
            raise ValueError(
                f"SelfAttention2D: the channels of `inputs` must be known. Received: {input_shape}."
            )
        if any(side is not None and side < self.downsample for side in input_shape[1:3]):
            raise ValueError(
                f"SelfAttention2D: downsample={self.downsample} needs sides of at least that many "
                f"positions. Received: inputs {tuple(input_shape)}. Use a smaller `downsample`."
            )
        key = self.key_channels or self._multiple_of_heads(channels // 8)
        value = self.value_channels or self._multiple_of_heads(channels // 2)
        self.query_conv = self._make_convolution("query", key)
        self.key_conv = self._make_convolution("key", key)
        self.value_conv = self._make_convolution("value", value)
        self.output_conv = self._make_convolution("attention_output", channels)
        for convolution in (self.query_conv, self.key_conv, self.value_conv):
            convolution.build(input_shape)
        self.output_conv.build((*input_shape[:-1], value))
        self.gamma = self.add_weight(
            name="gamma", shape=(), initializer=clone_initializer(self.gamma_initializer)
        )

    def call(
        self,
        inputs: Tensor,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        check_rank(self, 4, LAYOUT, inputs=inputs.shape)
        self._check_input_sizes(inputs=inputs)
        result = attention(
            self._sequence(self.query_conv(inputs)),
            self._sequence(self._downsample(self.key_conv(inputs))),
            self._sequence(self._downsample(self.value_conv(inputs))),
            normalizer=self.normalizer,
            dropout=self.dropout if training else 0.0,
            seed=self.seed_generator,
            implementation=self.implementation,
            return_weights=return_attention_scores,
        )
        attended, scores = result if return_attention_scores else (result, None)
        channels = attended.shape[-1] * self.num_heads
        attended = self.output_conv(ops.reshape(attended, (*ops.shape(inputs)[:3], channels)))
        output = inputs + ops.cast(self.gamma, attended.dtype) * attended
        return (output, scores) if return_attention_scores else output

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def compute_output_spec(
        self, inputs: Any, return_attention_scores: bool = False, training: bool | None = None
    ) -> Any:
        check_rank(self, 4, LAYOUT, inputs=inputs.shape)
        self._check_input_sizes(inputs=inputs)
        output = keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return output
        sides = inputs.shape[1:3]
        queries = keys = None
        if None not in sides:
            queries = math.prod(sides)
            keys = math.prod(side // self.downsample for side in sides)
        scores = (inputs.shape[0], self.num_heads, queries, keys)
        return output, keras.KerasTensor(scores, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "key_channels": self.key_channels,
            "value_channels": self.value_channels,
            "num_heads": self.num_heads,
            "downsample": self.downsample,
            "normalizer": self.normalizer,
            "dropout": self.dropout,
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "gamma_initializer": initializers.serialize(self.gamma_initializer),
            "seed": self.seed,
            "implementation": self.implementation,
        }

    def _sequence(self, x: Tensor) -> Tensor:
        """Return a map `(B, H, W, N * size)` as a sequence of heads `(B, H * W, N, size)`."""
        batch, height, width, channels = ops.shape(x)
        heads = (self.num_heads, channels // self.num_heads)
        return ops.reshape(x, (batch, height * width, *heads))

    def _downsample(self, x: Tensor) -> Tensor:
        side = self.downsample
        return x if side == 1 else ops.max_pool(x, side, side, data_format="channels_last")

    def _multiple_of_heads(self, channels: int) -> int:
        """Return the smallest positive multiple of `num_heads` that is at least `channels`."""
        return max(1, math.ceil(channels / self.num_heads)) * self.num_heads

    def _make_convolution(self, name: str, filters: int) -> keras.layers.Conv2D:
        return keras.layers.Conv2D(
            filters,
            kernel_size=1,
            use_bias=self.use_bias,
            kernel_initializer=clone_initializer(self.kernel_initializer),
            data_format="channels_last",
            name=name,
            dtype=self.dtype_policy,
        )
