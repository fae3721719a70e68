"""The base class of the translation models: tied embeddings, masks, configuration."""

import dataclasses
from typing import Any, ClassVar, Self

import keras
from keras import ops

from keras_attn._token_ids import PADDING_ID
from keras_attn._types import Tensor
from keras_attn.layers._tied_embedding import TiedEmbedding

State = dict[str, Any]


def caches_grow() -> bool:
    """Return whether the caches of a search grow by one step at a time.

    Growing caches hold no empty slots to attend over. On JAX, which compiles loops for fixed
    shapes, caches have all their slots from the start.
    """
    return keras.backend.backend() != "jax"


class TranslationModel(keras.Model):
    """Base class of encoder-decoder models from ids to logits of the next target token.

    Embeddings of source, target and output share one matrix (Press and Wolf,
    arXiv:1608.05859). Id 0 is padding at the end of rows; it changes no other position.

    Subclasses implement `encode` and `decode`, and the three methods of
    `keras_attn.decoding.StepModel` for decoding: `start` encodes the source, `step` takes one
    token of every beam, `reorder` selects beams.

    Args:
        config: A configuration of the subclass's `config_class`, or a dict of its fields.

    Call arguments:
        inputs: `{"source": (B, S), "target": (B, T)}`, integers. The target is the decoder's
            input: it begins with the start token.
        return_states: Whether to return the states that `logits` maps to logits.

    Returns:
        float32 logits `(B, T, V)` of the token after each target position; with `return_states`
        the states `(B, T, D)`.
    """

    config_class: ClassVar[type]

    def __init__(self, config: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(config, dict):
            config = self.config_class(**config)
        self.config = config
        size, dim = config.vocabulary_size, config.model_dim
        self.embedding = TiedEmbedding(
            size,
            dim,
            embeddings_initializer=keras.initializers.RandomNormal(stddev=dim**-0.5),
            name="embedding",
            dtype=self.dtype_policy,
        )
        self.embedding.build((None, None))
        self.embedding_dropout = keras.layers.Dropout(
            config.dropout, name="embedding_dropout", dtype=self.dtype_policy
        )

    def call(
        self,
        inputs: dict[str, Tensor],
        training: bool | None = None,
        return_states: bool = False,
    ) -> Tensor:
        memory, memory_padding_mask = self.encode(inputs["source"], training)
        states = self.decode(inputs["target"], memory, memory_padding_mask, training)
        if states.shape[-1] != self.config.model_dim:
            raise ValueError(
                f"`decode` of {type(self).__name__} must return states of {self.config.model_dim} "
                f"features, which `logits` maps to logits. Received: shape {tuple(states.shape)}."
            )
        return states if return_states else self.logits(states)

    def encode(self, source: Tensor, training: bool | None = None) -> tuple[Tensor, Tensor]:
        """Return the memory `(B, S, F)` of a source `(B, S)`, and its padding mask `(B, S)`."""
        raise NotImplementedError

    def decode(
        self,
        target: Tensor,
        memory: Tensor,
        memory_padding_mask: Tensor,
        training: bool | None = None,
    ) -> Tensor:
        """Return states `(B, T, D)` after each position of a target `(B, T)`."""
        raise NotImplementedError

    def embed(self, ids: Tensor) -> Tensor:
        """Return embeddings `(..., D)` of ids, scaled to a mean square of 1 at initialization."""
        return self.embedding(ids) * self.config.model_dim**0.5

    def logits(self, states: Tensor) -> Tensor:
        """Return float32 logits `(..., V)` of states `(..., D)`."""
        return self.embedding.logits(states)

    def compute_output_spec(
        self, inputs: Any, training: bool | None = None, return_states: bool = False
    ) -> Any:
        shape = inputs["target"].shape
        if return_states:
            return keras.KerasTensor((*shape, self.config.model_dim), self.compute_dtype)
        return keras.KerasTensor((*shape, self.config.vocabulary_size), "float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "config": dataclasses.asdict(self.config)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        return cls(**config)

    @staticmethod
    def padding_mask(ids: Tensor) -> Tensor:
        """Return the padding mask of ids: True where there is a token."""
        return ops.not_equal(ids, PADDING_ID)
