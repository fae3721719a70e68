"""Transformer blocks: attention and a feed-forward network, each with a residual connection."""

from typing import Any

import keras
from keras import ops

from keras_attn._types import Tensor
from keras_attn.layers._cache import LENGTH_AXIS
from keras_attn.layers._masks import check_key_masks, select_padding_mask
from keras_attn.layers._sublayers import PACKAGE, check_rank
from keras_attn.layers._transformer_block import TransformerBlock
from keras_attn.layers._types import Tensors


@keras.saving.register_keras_serializable(package=PACKAGE)
class TransformerEncoderBlock(TransformerBlock):
    """Self-attention and a feed-forward network (Vaswani et al., arXiv:1706.03762).

    With `use_causal_mask=True` it is the block of a decoder-only Transformer.

    Args:
        num_heads: number of heads, `N`.
        intermediate_dim: size of the hidden layer of the feed-forward network.
        key_dim: size of each head; None is the features divided by `num_heads`.
        dropout: rate for the outputs of attention and of the feed-forward network, before
            they are added to their inputs.
        activation: activation of the feed-forward network.
        normalization: `"layer"` or `"rms"`.
        epsilon: added to the variance in the normalization.
        normalize_first: True normalizes the inputs of attention and feed-forward network
            (pre-norm, Xiong et al., arXiv:2002.04745; normalize the output of a stack once
            more); False normalizes the sums, as Vaswani et al. do (post-norm).
        use_bias: whether projections and dense layers have biases.
        normalizer, num_kv_heads, qk_norm, position, window: see `MultiHeadAttention`.
        kernel_initializer: initializer of all kernels.
        bias_initializer: initializer of all biases.
        seed: integer that makes the dropout repeatable.
        attention_dropout: dropout rate of attention weights; None is `dropout`.
        implementation: path of the attention, see `MultiHeadAttention`.

    Call arguments:
        inputs: float tensor `(B, T, D)`.
        padding_mask: `(B, T)`, False at padding; with a cache `(B, length)`. None uses the
            mask that Keras attached to `inputs`, if any.
        attention_mask: `(B, T, T)` or `(B, N, T, T)`, True = attend; with a cache
            `(B, T, length)` or `(B, N, T, length)`.
        use_causal_mask: whether each position attends only to positions up to itself. None is
            True with a cache, else False.
        return_attention_scores: whether to also return the attention weights.
        training: whether to apply dropout.
        cache, cache_index: see `MultiHeadAttention`; `make_cache` returns an empty cache.

    Returns:
        Tensor `(B, T, D)`; then the weights `(B, N, T, T)` with `return_attention_scores`; then
        the updated cache if `cache` is passed. The output carries the Keras mask of `inputs`,
        which stays as it is.

    Example:

    >>> import numpy as np
    >>> block = TransformerEncoderBlock(num_heads=2, intermediate_dim=32)
    >>> padding_mask = np.array([[True, True, True, False, False]])
    >>> tuple(block(np.ones((1, 5, 8), "float32"), padding_mask=padding_mask).shape)
    (1, 5, 8)
    """

    def build(self, inputs_shape: Any) -> None:
        self._set_input_sizes(inputs=inputs_shape)
        self.attention = self._make_attention("attention", 1, self._head_size(inputs_shape))
        self.attention.build(inputs_shape, inputs_shape)
        self.attention_norm = self._make_norm("attention_norm", inputs_shape)
        self._build_feed_forward(inputs_shape)

    def call(
        self,
        inputs: Tensor,
        padding_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        use_causal_mask: bool | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        cache: Tensors | None = None,
        cache_index: int | Tensor | str | None = None,
        mask: Tensor | None = None,  # Keras passes its implicit mask as one of these two
        inputs_mask: Tensor | None = None,
    ) -> Any:
        self._check_sequences(inputs=inputs)
        argument, padding_mask = select_padding_mask(
            self.name, padding_mask, cache, mask=mask, inputs_mask=inputs_mask
        )
        self._check_masks(inputs, cache, cache_index, attention_mask, **{argument: padding_mask})

        def attend(x: Tensor) -> Any:
            return self.attention(
                x,
                x,
                padding_mask=padding_mask,
                attention_mask=attention_mask,
                use_causal_mask=use_causal_mask,
                return_attention_scores=return_attention_scores,
                training=training,
                cache=cache,
                cache_index=cache_index,
            )

        x, *more = self._residual(inputs, self.attention_norm, attend, training)
        x = self._add_feed_forward(x, training)
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
        self._check_sequences(inputs=inputs)
        self._check_masks(inputs, cache, cache_index, attention_mask, padding_mask=padding_mask)
        return self.attention.compute_output_spec(
            inputs,
            inputs,
            padding_mask=padding_mask,
            attention_mask=attention_mask,
            return_attention_scores=return_attention_scores,
            cache=cache,
            cache_index=cache_index,
        )


@keras.saving.register_keras_serializable(package=PACKAGE)
class TransformerDecoderBlock(TransformerBlock):
    """Causal self-attention, cross-attention and a feed-forward network.

    Vaswani et al., arXiv:1706.03762. `position` and `window` apply to the self-attention
    alone, since the memory has positions of its own.

    To decode step by step, call `cache = block.make_cache(batch_size)` and `projected =
    block.project_memory(memory)` once per sequence, then `output, cache = block(inputs,
    projected_memory=projected, memory_padding_mask=memory_padding_mask, cache=cache,
    cache_index="end")` for each step.

    Args:
        num_heads, ..., implementation: see `TransformerEncoderBlock`.

    Call arguments:
        inputs: float tensor `(B, T, D)`.
        memory: float tensor `(B, S, D')`, such as an encoder's output.
        padding_mask: `(B, T)`, False at padding of `inputs`; with a cache `(B, length)`. None
            uses the mask that Keras attached to `inputs`, if any.
        memory_padding_mask: `(B, S)`, False at padding of the memory. None uses the mask that
            Keras attached to `memory`, if any.
        attention_mask: for the self-attention, `(B, T, T)` or `(B, N, T, T)`, True = attend;
            with a cache `(B, T, length)` or `(B, N, T, length)`.
        use_causal_mask: whether the self-attention is causal. None is True; False is for an
            `attention_mask` that already excludes the future.
        return_attention_scores: whether to also return the weights of both attentions.
        training: whether to apply dropout.
        cache, cache_index: of the self-attention, see `MultiHeadAttention`; `make_cache` returns
            an empty cache.
        projected_memory: the result of `project_memory`, in place of `memory`.

    Returns:
        Tensor `(B, T, D)`; then a pair of weights `(B, N, T, T)` and `(B, N, T, S)` with
        `return_attention_scores`; then the updated cache if `cache` is passed. The output
        carries the Keras mask of `inputs`; the masks of `inputs` and `memory` stay as they are.

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
        check_rank(self, 3, "(batch, length, features)", memory=memory_shape)
        self._set_input_sizes(inputs=inputs_shape, memory=memory_shape)
        size = self._head_size(inputs_shape)
        self.attention = self._make_attention("attention", 1, size)
        self.attention.build(inputs_shape, inputs_shape)
        self.attention_norm = self._make_norm("attention_norm", inputs_shape)
        self.cross_attention = self._make_attention(
            "cross_attention", 2, size, position=None, window=None
        )
        self.cross_attention.build(inputs_shape, memory_shape)
        self.cross_attention_norm = self._make_norm("cross_attention_norm", inputs_shape)
        self._build_feed_forward(inputs_shape)

    def call(
        self,
        inputs: Tensor,
        memory: Tensor | None = None,
        padding_mask: Tensor | None = None,
        memory_padding_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        use_causal_mask: bool | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        cache: Tensors | None = None,
        cache_index: int | Tensor | str | None = None,
        projected_memory: Tensors | None = None,
        inputs_mask: Tensor | None = None,  # Keras passes its implicit masks as these two
        memory_mask: Tensor | None = None,
    ) -> Any:
        self._check_memory(memory, projected_memory)
        self._check_sequences(inputs=inputs, memory=memory)
        argument, padding_mask = select_padding_mask(
            self.name, padding_mask, cache, inputs_mask=inputs_mask
        )
        self._check_masks(inputs, cache, cache_index, attention_mask, **{argument: padding_mask})
        if memory_padding_mask is None:
            memory_padding_mask = memory_mask
        self._check_memory_mask(inputs, memory, projected_memory, memory_padding_mask)
        shared: dict[str, Any] = {
            "return_attention_scores": return_attention_scores,
            "training": training,
        }

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
            settings = {"padding_mask": memory_padding_mask, **shared}
            if projected_memory is None:
                return self.cross_attention(x, memory, **settings)
            return self.cross_attention.attend(x, projected_memory, **settings)

        x, *more = self._residual(inputs, self.attention_norm, attend, training)
        x, *scores = self._residual(x, self.cross_attention_norm, attend_to_memory, training)
        x = self._add_feed_forward(x, training)
        if return_attention_scores:
            more = [(more[0], *scores), *more[1:]]
        return (x, *more) if more else x

    def project_memory(self, memory: Tensor) -> Tensors:
        """Return the keys and values of a memory `(B, S, D')`, for `projected_memory`."""
        self._check_built("project_memory")
        self._check_sequences(memory=memory)
        return self.cross_attention.project(ops.cast(memory, self.compute_dtype))

    def compute_output_spec(
        self,
        inputs: Any,
        memory: Any = None,
        padding_mask: Any = None,
        memory_padding_mask: Any = None,
        attention_mask: Any = None,
        use_causal_mask: bool | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        cache: Any = None,
        cache_index: Any = None,
        projected_memory: Any = None,
        inputs_mask: Any = None,
        memory_mask: Any = None,
    ) -> Any:
        self._check_memory(memory, projected_memory)
        self._check_sequences(inputs=inputs, memory=memory)
        self._check_masks(inputs, cache, cache_index, attention_mask, padding_mask=padding_mask)
        self._check_memory_mask(inputs, memory, projected_memory, memory_padding_mask)
        spec = self.attention.compute_output_spec(
            inputs,
            inputs,
            padding_mask=padding_mask,
            attention_mask=attention_mask,
            return_attention_scores=return_attention_scores,
            cache=cache,
            cache_index=cache_index,
        )
        if not return_attention_scores:
            return spec
        output, scores, *rest = spec
        keys = _memory_length(memory, projected_memory)
        shape = (inputs.shape[0], self.num_heads, inputs.shape[1], keys)
        return output, (scores, keras.KerasTensor(shape, dtype=self.compute_dtype)), *rest

    def _check_memory_mask(
        self, inputs: Any, memory: Any, projected_memory: Any, memory_padding_mask: Any
    ) -> None:
        scores_shape = (*inputs.shape[:2], _memory_length(memory, projected_memory))
        check_key_masks(self.name, scores_shape, memory_padding_mask=memory_padding_mask)

    def _check_memory(self, memory: Any, projected_memory: Any) -> None:
        if (memory is None) == (projected_memory is None):
            raise ValueError(
                f"{self.name}: pass either `memory` or `projected_memory`. Received: "
                f"{'neither' if memory is None else 'both'}."
            )


def _memory_length(memory: Any, projected_memory: Any) -> int | None:
    """Return the number of positions of a memory; None if unknown."""
    return projected_memory["key"].shape[LENGTH_AXIS] if memory is None else memory.shape[1]
