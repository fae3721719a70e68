"""The Transformer for translation: an encoder, and a causal decoder that attends to it."""

from typing import Annotated, Any

import keras
from annotated_types import Gt
from keras import ops

from keras_attn.layers import (
    SinusoidalPositionEncoding,
    TransformerDecoderBlock,
    TransformerEncoderBlock,
)
from keras_attn.models._config import Positive, Rate, StreamingNormalizer, frozen_config
from keras_attn.models._translation import State, Tensor, TranslationModel, caches_grow
from keras_attn.models.registry import register_architecture
from keras_attn.ops import gather_beams, sinusoidal


@frozen_config
class TranslationTransformerConfig:
    """Configuration of a `translation_transformer`.

    Attributes:
        vocabulary_size: Number of ids, shared by source and target, `V`.
        model_dim: Number of features of a position, `D`, an even number.
        encoder_layers: Number of encoder blocks.
        decoder_layers: Number of decoder blocks.
        num_heads: Heads of each attention, which divide `model_dim`.
        intermediate_dim: Hidden size of the feed-forward networks.
        attention: Normalizer of all attention.
        activation: Activation of the feed-forward networks.
        dropout: Dropout rate of embeddings, and of the outputs of sublayers.
        attention_dropout: Dropout rate of attention weights.
    """

    vocabulary_size: Annotated[int, Gt(3)] = 8_000
    model_dim: Positive = 128
    encoder_layers: Positive = 4
    decoder_layers: Positive = 4
    num_heads: Positive = 4
    intermediate_dim: Positive = 256
    attention: StreamingNormalizer = "softmax"
    activation: str = "relu"
    dropout: Rate = 0.3
    attention_dropout: Rate = 0.0

    def __post_init__(self) -> None:
        if self.model_dim % self.num_heads or self.model_dim % 2:
            raise ValueError(
                "`model_dim` must be even, and a multiple of `num_heads`. Received: "
                f"{self.model_dim} features, {self.num_heads} heads."
            )


@keras.saving.register_keras_serializable(package="keras_attn")
class TranslationTransformer(TranslationModel):
    """Encoder and decoder of Vaswani et al. (arXiv:1706.03762), pre-norm, tied embeddings.

    Normalization comes before each sublayer and once at the end of each stack (Xiong et
    al., arXiv:2002.04745). Padding masks are computed from ids and passed to each block.

    In a search the `K` beams of a row share one cache, with `K` slots for each step. When beams
    are reordered the cache does not move: only a mask `(B, K, slots)` of the slots that belong
    to each beam's past changes.

    Args:
        config: A `TranslationTransformerConfig`, or a dict of its fields.

    Call arguments, returns: see `keras_attn.models.TranslationModel`.

    Example:

    >>> import numpy as np
    >>> model = TranslationTransformer({"vocabulary_size": 50, "model_dim": 16})
    >>> source, target = np.array([[5, 6, 7, 2]]), np.array([[1, 8, 9]])
    >>> model({"source": source, "target": target}).shape
    TensorShape([1, 3, 50])
    """

    config_class = TranslationTransformerConfig

    def __init__(self, config: Any, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        settings = self.config
        self.positions = SinusoidalPositionEncoding(name="positions", dtype=self.dtype_policy)
        self.encoder = [
            TransformerEncoderBlock(**self._block_arguments(), name=f"encoder_{index + 1}")
            for index in range(settings.encoder_layers)
        ]
        self.decoder = [
            TransformerDecoderBlock(**self._block_arguments(), name=f"decoder_{index + 1}")
            for index in range(settings.decoder_layers)
        ]
        self.encoder_norm, self.decoder_norm = (
            keras.layers.LayerNormalization(epsilon=1e-6, name=name, dtype=self.dtype_policy)
            for name in ("encoder_norm", "decoder_norm")
        )
        shape = (None, None, settings.model_dim)
        for layer in (self.positions, *self.encoder, self.encoder_norm, self.decoder_norm):
            layer.build(shape)
        for block in self.decoder:
            block.build(shape, shape)
        self.built = True

    def encode(self, source: Tensor, training: bool | None = None) -> tuple[Tensor, Tensor]:
        """Return the memory `(B, S, D)` of a source `(B, S)`, and its padding mask `(B, S)`."""
        padding_mask = self.padding_mask(source)
        x = self._embed(source, training)  # (B, S, D)
        for block in self.encoder:
            x = block(x, padding_mask=padding_mask, training=training)
        return self.encoder_norm(x), padding_mask

    def decode(
        self,
        target: Tensor,
        memory: Tensor,
        memory_padding_mask: Tensor,
        training: bool | None = None,
    ) -> Tensor:
        """Return states `(B, T, D)` after each position of a target `(B, T)`."""
        padding_mask = self.padding_mask(target)
        x = self._embed(target, training)  # (B, T, D)
        for block in self.decoder:
            x = block(
                x,
                memory,
                padding_mask=padding_mask,
                memory_padding_mask=memory_padding_mask,
                training=training,
            )
        return self.decoder_norm(x)

    def attention_scores(self, inputs: dict[str, Tensor]) -> dict[str, list[Tensor]]:
        """Return the weights of every attention.

        Args:
            inputs: See the call.

        Returns:
            A dict of lists with one tensor for each block: `"encoder"`, each `(B, N, S, S)`;
            `"decoder"`, each `(B, N, T, T)`; and `"cross"`, each `(B, N, T, S)`.
        """
        source, target = inputs["source"], inputs["target"]
        scores: dict[str, list[Tensor]] = {"encoder": [], "decoder": [], "cross": []}
        source_mask, target_mask = self.padding_mask(source), self.padding_mask(target)
        x = self._embed(source, False)
        for block in self.encoder:
            x, weights = block(x, padding_mask=source_mask, return_attention_scores=True)
            scores["encoder"].append(weights)
        memory, x = self.encoder_norm(x), self._embed(target, False)
        for block in self.decoder:
            x, (self_weights, cross) = block(
                x,
                memory,
                padding_mask=target_mask,
                memory_padding_mask=source_mask,
                return_attention_scores=True,
            )
            scores["decoder"].append(self_weights)
            scores["cross"].append(cross)
        return scores

    def start(self, source: Tensor, num_beams: int, length: int | Tensor) -> State:
        """Return the state before the first step of `num_beams` beams and `length` positions."""
        memory, memory_padding_mask = self.encode(source, training=False)
        batch, slots = ops.shape(source)[0], 0 if caches_grow() else num_beams * length
        return {
            "memory_padding_mask": memory_padding_mask,
            "memory": [block.project_memory(memory) for block in self.decoder],
            "cache": [block.make_cache(batch, slots) for block in self.decoder],
            "past_mask": ops.zeros((batch, num_beams, slots), "bool"),
        }

    def step(self, ids: Tensor, state: State, index: Tensor) -> tuple[Tensor, State]:
        """Return logits `(B, K, V)` after ids `(B, K)` at position `index`, and the new state."""
        past_mask, cache_index = self._add_own_slots(state["past_mask"], index)
        x = self.embed(ids)  # (B, K, D)
        position = sinusoidal(ops.reshape(index, (1, 1)), x.shape[-1])  # the same for all beams
        x = x + ops.cast(position, x.dtype)
        caches = []
        for block, memory, cache in zip(self.decoder, state["memory"], state["cache"], strict=True):
            x, written = block(
                x,
                projected_memory=memory,
                memory_padding_mask=state["memory_padding_mask"],
                attention_mask=past_mask,
                use_causal_mask=False,  # `past_mask` is causal
                cache=cache,
                cache_index=cache_index,
            )
            caches.append(written)
        state = {**state, "cache": caches, "past_mask": past_mask}
        return self.logits(self.decoder_norm(x)), state

    def reorder(self, state: State, parents: Tensor) -> State:
        """Return the state of beams that continue the beams `parents` `(B, K)` of their row."""
        return {**state, "past_mask": gather_beams(state["past_mask"], parents)}

    def flops(self, source_length: float, target_length: float) -> int:
        """Count the floating-point operations of a call for one pair.

        They are those that `keras_attn.profiling.cost` counts: two for each multiplication
        and addition of a matrix product.
        """
        s, t, settings = source_length, target_length, self.config
        d, ff = settings.model_dim, settings.intermediate_dim
        encoder = s * (4 * d * d + 2 * d * ff) + 2 * s * s * d
        decoder = t * (6 * d * d + 2 * d * ff) + s * 2 * d * d + 2 * (t * t + t * s) * d
        macs = settings.encoder_layers * encoder + settings.decoder_layers * decoder
        return round(2 * (macs + t * d * settings.vocabulary_size))

    def _add_own_slots(self, past_mask: Tensor, index: Tensor) -> tuple[Tensor, Tensor | str]:
        """Add the slot of each beam's new key to its past.

        Args:
            past_mask: Booleans `(B, K, slots)`, the slots that belong to each beam's past.
            index: Position of the new tokens.

        Returns:
            The new mask, and the `cache_index` at which the blocks write the `K` new keys.
        """
        batch, num_beams, slots = ops.shape(past_mask)
        own = ops.arange(num_beams, dtype="int32")[:, None]
        if caches_grow():
            own = ops.equal(own, ops.arange(num_beams, dtype="int32"))
            own = ops.broadcast_to(own[None], (batch, num_beams, num_beams))
            return ops.concatenate([past_mask, own], axis=2), "end"
        first = index * num_beams
        return ops.logical_or(
            past_mask, ops.equal(first + own, ops.arange(slots, dtype="int32"))
        ), first

    def _embed(self, ids: Tensor, training: bool | None) -> Tensor:
        """Return embeddings `(B, T, D)` of ids `(B, T)` with positions, after dropout."""
        x = self.positions(self.embed(ids))
        return self.embedding_dropout(x, training=training)

    def _block_arguments(self) -> dict[str, Any]:
        """Return the arguments that all blocks share."""
        settings = self.config
        return {
            "num_heads": settings.num_heads,
            "intermediate_dim": settings.intermediate_dim,
            "normalizer": settings.attention,
            "activation": settings.activation,
            "dropout": settings.dropout,
            "attention_dropout": settings.attention_dropout,
            "implementation": "full",  # sentences are short; two paths in one graph trace slowly
            "dtype": self.dtype_policy,
        }


@register_architecture("translation_transformer", task="translation")
def build_translation_transformer(config: TranslationTransformerConfig) -> TranslationTransformer:
    """Build a `TranslationTransformer` with fresh weights.

    Example:

    >>> model = build_translation_transformer(TranslationTransformerConfig(vocabulary_size=5_000))
    >>> model.count_params()
    1965568
    """
    return TranslationTransformer(config, name="translation_transformer")
