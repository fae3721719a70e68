"""Transformer blocks: attention and a feed-forward network, each beside a shortcut."""

from typing import Any

import keras
from keras import ops

from keras_attn.layers._cache import LENGTH_AXIS
from keras_attn.layers._masks import padding_of
from keras_attn.layers._sublayers import PACKAGE, rank
from keras_attn.layers._transformer_block import TransformerBlock
from keras_attn.layers.multi_head_attention import Projected

Tensor = Any


@keras.saving.register_keras_serializable(package=PACKAGE)
class TransformerEncoderBlock(TransformerBlock):
    """Self-attention and a feed-forward network (Vaswani et al., arXiv:1706.03762).

    With `use_causal_mask` it is the block of a decoder without memory.

    Args:
        num_heads: number of heads.
        intermediate_dim: size of the hidden layer of the feed-forward network.
        key_dim: size of each head; None is the features divided by `num_heads`.
        dropout: rate for what is added to the shortcuts, and for attention weights.
        activation: activation of the feed-forward network.
        normalization: `"layer"` or `"rms"`.
        epsilon: added to the variance in the normalization.
        normalize_first: whether to normalize what enters attention and feed-forward
            network (pre-norm, Xiong et al., arXiv:2002.04745; a stack then wants one
            normalization at its end), or the sums, as the paper does.
        use_bias: whether projections and dense layers have biases.
        normalizer, num_kv_heads, qk_norm, position, window: see `MultiHeadAttention`.
        kernel_initializer: initializer of all kernels.
        bias_initializer: initializer of all biases.
        seed: integer that makes the dropout repeatable.
        attention_dropout: rate for attention weights; None is `dropout`.
        implementation: see `MultiHeadAttention`.

    Call arguments:
        inputs: float tensor `(B, T, D)`.
        padding_mask: `(B, T)`, True where a position is real. None takes the mask that
            Keras attached to `inputs`, if there is one.
        attention_mask: `(B, T, T)` or `(B, N, T, T)`, True = attend.
        use_causal_mask: a position attends to those up to itself. None is True with a cache,
            else False.
        return_attention_scores: also return the weights `(B, N, T, T)`.
        cache, cache_index: see `MultiHeadAttention`; `make_cache` makes one.

    Returns:
        Tensor `(B, T, D)`; the weights if asked for; the cache if one is given. It
        carries the mask of `inputs` on; no mask is altered.

    Example:

    >>> import numpy as np
    >>> block = TransformerEncoderBlock(num_heads=2, intermediate_dim=32)
    >>> real = np.array([[True, True, True, False, False]])
    >>> tuple(block(np.ones((1, 5, 8), "float32"), padding_mask=real).shape)
    (1, 5, 8)
    """

    def build(self, inputs_shape: Any) -> None:
        size = self._head_size(inputs_shape)
        self.attention = self._attention("attention", 1, size)
        self.attention.build(inputs_shape, inputs_shape)
        self.attention_norm = self._norm("attention_norm", inputs_shape)
        self._build_feed_forward(inputs_shape)

    def call(
        self,
        inputs: Tensor,
        padding_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        use_causal_mask: bool | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        cache: Projected | None = None,
        cache_index: int | Tensor | str | None = None,
        mask: Tensor | None = None,  # Keras fills in one of these two from the tensor
        inputs_mask: Tensor | None = None,
    ) -> Any:
        padding_mask = padding_of(self.name, padding_mask, cache, mask, inputs_mask)

        def attend(x: Tensor) -> Any:
            return self.attention(
                x,
                x,
                padding_mask=padding_mask,
                attention_mask=attention_mask,
                return_attention_scores=return_attention_scores,
                training=training,
                use_causal_mask=use_causal_mask,
                cache=cache,
                cache_index=cache_index,
            )

        x, *more = self._residual(inputs, self.attention_norm, attend, training)
        (x,) = self._residual(x, self.feed_forward_norm, self._feed_forward, training)
        return (x, *more) if more else x

    def compute_output_spec(
        self,
        inputs: Any,
        padding_mask: Any = None,
        attention_mask: Any = None,
        use_causal_mask: bool | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        cache: Any = None,
        cache_index: Any = None,
        mask: Any = None,
        inputs_mask: Any = None,
    ) -> Any:
        return self.attention.compute_output_spec(
            inputs,
            inputs,
            attention_mask=attention_mask,
            return_attention_scores=return_attention_scores,
            cache=cache,
            cache_index=cache_index,
        )


@keras.saving.register_keras_serializable(package=PACKAGE)
class TransformerDecoderBlock(TransformerBlock):
    """Causal self-attention, attention to a memory, and a feed-forward network.

    Vaswani et al., arXiv:1706.03762. `position` and `window` are those of the
    self-attention: positions of a memory are of another sequence.

    To decode step by step: `cache = make_cache(batch)` and `projected =
    project_memory(memory)` once a sequence, then `output, cache = block(inputs,
    projected_memory=projected, memory_padding_mask=real, cache=cache, cache_index="end")`.

    Args:
        num_heads, ..., implementation: as of `TransformerEncoderBlock`.

    Call arguments:
        inputs: float tensor `(B, T, D)`.
        memory: float tensor `(B, S, D')`, such as an encoder's output.
        padding_mask: `(B, T)`, True where a position of `inputs` is real; with a cache
            `(B, length)`. None takes the mask that Keras attached to `inputs`.
        memory_padding_mask: `(B, S)`, True where the memory is real. None takes the mask
            that Keras attached to `memory`.
        attention_mask: `(B, T, T)` or `(B, N, T, T)`, True = attend, for the
            self-attention; with a cache `(B, T, length)`.
        use_causal_mask: whether the self-attention is causal besides; False where
            `attention_mask` says all. None is True.
        return_attention_scores: also return the weights of both attentions, `(B, N, T,
            T)` and `(B, N, T, S)`.
        cache, cache_index: see `MultiHeadAttention`.
        projected_memory: what `project_memory` gave, in place of `memory`.

    Returns:
        Tensor `(B, T, D)`; a pair of weights if asked for; the cache if one is given. It
        carries the mask of `inputs` on; no mask is altered.

    Example:

    >>> import numpy as np
    >>> block = TransformerDecoderBlock(num_heads=2, intermediate_dim=32)
    >>> inputs, memory = np.ones((1, 5, 8), "float32"), np.ones((1, 7, 6), "float32")
    >>> tuple(block(inputs, memory).shape)
    (1, 5, 8)
    """

    def build(self, inputs_shape: Any, memory_shape: Any = None) -> None:
        if memory_shape is None:
            raise ValueError(
                f"{self.name}: `memory` must be given in the first call, which makes the weights. "
                "Received: none. A decoder without memory is a TransformerEncoderBlock with "
                "use_causal_mask=True."
            )
        rank(self, 3, "(batch, length, features)", memory=memory_shape)
        size = self._head_size(inputs_shape)
        self.attention = self._attention("attention", 1, size)
        self.attention.build(inputs_shape, inputs_shape)
        self.attention_norm = self._norm("attention_norm", inputs_shape)
        self.cross_attention = self._attention(
            "cross_attention", 2, size, position=None, window=None
        )
        self.cross_attention.build(inputs_shape, memory_shape)
        self.cross_attention_norm = self._norm("cross_attention_norm", inputs_shape)
        self._build_feed_forward(inputs_shape)

    def call(
        self,
        inputs: Tensor,
        memory: Tensor | None = None,
        padding_mask: Tensor | None = None,
        memory_padding_mask: Tensor | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        cache: Projected | None = None,
        cache_index: int | Tensor | str | None = None,
        projected_memory: Projected | None = None,
        attention_mask: Tensor | None = None,
        use_causal_mask: bool | None = None,
        inputs_mask: Tensor | None = None,  # Keras fills these two in from the tensors
        memory_mask: Tensor | None = None,
    ) -> Any:
        self._check_memory(memory, projected_memory)
        padding_mask = padding_of(self.name, padding_mask, cache, inputs_mask)
        if memory_padding_mask is None:
            memory_padding_mask = memory_mask
        shared = {"return_attention_scores": return_attention_scores, "training": training}

        def attend(x: Tensor) -> Any:
            return self.attention(
                x,
                x,
                padding_mask=padding_mask,
                attention_mask=attention_mask,
                use_causal_mask=True if use_causal_mask is None else use_causal_mask,
                cache=cache,
                cache_index=cache_index,
                **shared,
            )

        def attend_to_memory(x: Tensor) -> Any:
            mask = {"padding_mask": memory_padding_mask}
            if projected_memory is None:
                return self.cross_attention(x, memory, **mask, **shared)
            return self.cross_attention.attend(x, projected_memory, **mask, **shared)

        x, *more = self._residual(inputs, self.attention_norm, attend, training)
        x, *scores = self._residual(x, self.cross_attention_norm, attend_to_memory, training)
        (x,) = self._residual(x, self.feed_forward_norm, self._feed_forward, training)
        if return_attention_scores:
            more = [(more[0], *scores), *more[1:]]
        return (x, *more) if more else x

    def project_memory(self, memory: Tensor) -> Projected:
        """Keys and values of the memory `(B, S, D')`, once a sequence."""
        self._check_built("project_memory")
        return self.cross_attention.project(ops.cast(memory, self.compute_dtype))

    def compute_output_spec(
        self,
        inputs: Any,
        memory: Any = None,
        padding_mask: Any = None,
        memory_padding_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        cache: Any = None,
        cache_index: Any = None,
        projected_memory: Any = None,
        attention_mask: Any = None,
        use_causal_mask: bool | None = None,
        inputs_mask: Any = None,
        memory_mask: Any = None,
    ) -> Any:
        self._check_memory(memory, projected_memory)
        spec = self.attention.compute_output_spec(
            inputs,
            inputs,
            attention_mask=attention_mask,
            return_attention_scores=return_attention_scores,
            cache=cache,
            cache_index=cache_index,
        )
        if not return_attention_scores:
            return spec
        output, scores, *rest = spec
        keys = memory.shape[1] if memory is not None else projected_memory["key"].shape[LENGTH_AXIS]
        shape = (inputs.shape[0], self.num_heads, inputs.shape[1], keys)
        return output, (scores, keras.KerasTensor(shape, dtype=self.compute_dtype)), *rest

    def _check_memory(self, memory: Any, projected: Any) -> None:
        if (memory is None) == (projected is None):
            raise ValueError(
                f"{self.name}: pass either `memory` or `projected_memory`. Received: "
                f"{'neither' if memory is None else 'both'}."
            )
