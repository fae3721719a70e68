"""The Transformer for translation: an encoder, and a causal decoder that attends to it."""

from typing import Annotated, Any, Literal

import keras
from annotated_types import Ge, Gt, Lt
from keras import ops

from keras_attn.layers import (
    SinusoidalPositionEncoding,
    TransformerDecoderBlock,
    TransformerEncoderBlock,
)
from keras_attn.models._config import frozen_config
from keras_attn.models._translation import State, Tensor, TranslationModel, caches_grow
from keras_attn.models.registry import register_architecture
from keras_attn.ops import gather_beams, sinusoidal

Rate = Annotated[float, Ge(0), Lt(1)]
Positive = Annotated[int, Gt(0)]


@frozen_config
class TranslationTransformerConfig:
    """What a `translation_transformer` is made of.

    Attributes:
        vocabulary_size: number of ids of source and target together, `V`.
        model_dim: features of a position, `D`, an even number.
        encoder_layers: blocks of the encoder.
        decoder_layers: blocks of the decoder.
        num_heads: heads of each attention, which divide `model_dim`.
        intermediate_dim: width of the feed-forward networks.
        attention: normalizer of all attention.
        activation: activation of the feed-forward networks.
        dropout: rate for embeddings, and for what is added to the shortcuts.
        attention_dropout: rate for attention weights.
    """

    vocabulary_size: Annotated[int, Gt(3)] = 8_000
    model_dim: Positive = 128
    encoder_layers: Positive = 4
    decoder_layers: Positive = 4
    num_heads: Positive = 4
    intermediate_dim: Positive = 256
    attention: Literal["softmax", "softmax1", "sigmoid", "normalized_sigmoid"] = "softmax"
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
    al., arXiv:2002.04745). Masks are made of the ids and handed to each block.

    In a search all beams of a row share its cache, of `K` keys a step: nothing moves when
    beams are reordered but a mask `(B, K, slots)` of which slots are whose past.

    Args:
        config: a `TranslationTransformerConfig`, or a dict of its fields.

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
            TransformerEncoderBlock(**self._block(), name=f"encoder_{index + 1}")
            for index in range(settings.encoder_layers)
        ]
        self.decoder = [
            TransformerDecoderBlock(**self._block(), name=f"decoder_{index + 1}")
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
        """The memory `(B, S, D)` of a source `(B, S)`, and its padding mask `(B, S)`."""
        real = self.real(source)
        x = self._read(source, training)
        for block in self.encoder:
            x = block(x, padding_mask=real, training=training)
        return self.encoder_norm(x), real

    def decode(
        self, target: Tensor, memory: Tensor, memory_real: Tensor, training: bool | None = None
    ) -> Tensor:
        """Logits `(B, T, V)` of a target `(B, T)`, all of it at once."""
        real = self.real(target)
        x = self._read(target, training)
        for block in self.decoder:
            x = block(
                x,
                memory,
                padding_mask=real,
                memory_padding_mask=memory_real,
                training=training,
            )
        return self.logits(self.decoder_norm(x))

    def attention_scores(self, inputs: dict[str, Tensor]) -> dict[str, list[Tensor]]:
        """The weights of every attention, a list of layers each.

        Args:
            inputs: as of a call.

        Returns:
            `"encoder"`, each `(B, N, S, S)`; `"decoder"`, each `(B, N, T, T)`; and
            `"cross"`, each `(B, N, T, S)`.
        """
        source, target = inputs["source"], inputs["target"]
        scores: dict[str, list[Tensor]] = {"encoder": [], "decoder": [], "cross": []}
        source_real, target_real = self.real(source), self.real(target)
        x = self._read(source, False)
        for block in self.encoder:
            x, weights = block(x, padding_mask=source_real, return_attention_scores=True)
            scores["encoder"].append(weights)
        memory, x = self.encoder_norm(x), self._read(target, False)
        for block in self.decoder:
            x, (own, cross) = block(
                x,
                memory,
                padding_mask=target_real,
                memory_padding_mask=source_real,
                return_attention_scores=True,
            )
            scores["decoder"].append(own)
            scores["cross"].append(cross)
        return scores

    def start(self, source: Tensor, num_beams: int, length: int | Tensor) -> State:
        """What a search of `num_beams` beams and `length` positions begins with."""
        memory, real = self.encode(source, training=False)
        batch, slots = ops.shape(source)[0], 0 if caches_grow() else num_beams * length
        return {
            "real": real,
            "memory": [block.project_memory(memory) for block in self.decoder],
            "cache": [block.make_cache(batch, slots) for block in self.decoder],
            "past": ops.zeros((batch, num_beams, slots), "bool"),
        }

    def step(self, ids: Tensor, state: State, index: Tensor) -> tuple[Tensor, State]:
        """Logits `(B, K, V)` after ids `(B, K)`, the tokens of all beams at place `index`."""
        past, cache_index = self._with_own_slots(state["past"], index)
        x = self.embedded(ids)
        position = sinusoidal(ops.reshape(index, (1, 1)), x.shape[-1])  # that of all beams
        x = x + ops.cast(position, x.dtype)
        caches = []
        for block, memory, cache in zip(self.decoder, state["memory"], state["cache"], strict=True):
            x, written = block(
                x,
                projected_memory=memory,
                memory_padding_mask=state["real"],
                attention_mask=past,
                use_causal_mask=False,  # `past` says all
                cache=cache,
                cache_index=cache_index,
            )
            caches.append(written)
        return self.logits(self.decoder_norm(x)), {**state, "cache": caches, "past": past}

    def reorder(self, state: State, parents: Tensor) -> State:
        """The state of beams that go on from `parents` `(B, K)` of the same row."""
        return {**state, "past": gather_beams(state["past"], parents)}

    def flops(self, source_length: float, target_length: float) -> int:
        """Floating-point operations of a call for one pair, as `keras_attn.profiling.cost`."""
        s, t, settings = source_length, target_length, self.config
        d, ff = settings.model_dim, settings.intermediate_dim
        encoder = s * (4 * d * d + 2 * d * ff) + 2 * s * s * d
        decoder = t * (6 * d * d + 2 * d * ff) + s * 2 * d * d + 2 * (t * t + t * s) * d
        macs = settings.encoder_layers * encoder + settings.decoder_layers * decoder
        return round(2 * (macs + t * d * settings.vocabulary_size))

    def _with_own_slots(self, past: Tensor, index: Tensor) -> tuple[Tensor, Tensor | str]:
        """`past` `(B, K, slots)` with that of each beam's new key, and where those are written."""
        batch, num_beams, slots = ops.shape(past)
        own = ops.arange(num_beams)[:, None]
        if caches_grow():
            own = ops.equal(own, ops.arange(num_beams))
            own = ops.broadcast_to(own[None], (batch, num_beams, num_beams))
            return ops.concatenate([past, own], axis=2), "end"
        first = index * num_beams
        return ops.logical_or(past, ops.equal(first + own, ops.arange(slots))), first

    def _read(self, ids: Tensor, training: bool | None) -> Tensor:
        x = self.positions(self.embedded(ids))
        return self.embedding_dropout(x, training=training)

    def _block(self) -> dict[str, Any]:
        settings = self.config
        return {
            "num_heads": settings.num_heads,
            "intermediate_dim": settings.intermediate_dim,
            "normalizer": settings.attention,
            "activation": settings.activation,
            "dropout": settings.dropout,
            "attention_dropout": settings.attention_dropout,
            "implementation": "full",  # sentences are short; both paths in one graph cost seconds
            "dtype": self.dtype_policy,
        }


@register_architecture("translation_transformer", task="translation")
def build_translation_transformer(config: TranslationTransformerConfig) -> TranslationTransformer:
    """A `TranslationTransformer` of a configuration.

    Example:

    >>> model = build_translation_transformer(TranslationTransformerConfig(vocabulary_size=5_000))
    >>> model.count_params()
    1965568
    """
    return TranslationTransformer(config, name="translation_transformer")
