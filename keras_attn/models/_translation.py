"""What the translation models share: their tokens, and how they are saved and searched."""

import dataclasses
from typing import Any, ClassVar, Self

import keras
from keras import ops

from keras_attn.ops.layout import reshape

Tensor = Any
State = dict[str, Any]

PADDING_ID = 0


def caches_grow() -> bool:
    """Whether the caches of a search grow step by step, so that no step reads empty places.

    Where loops are compiled for fixed shapes, they have all their places from the start.
    """
    return keras.backend.backend() != "jax"


class TranslationModel(keras.Model):
    """From ids of a source and of the target so far to logits of what comes next.

    Embeddings of source, target and output are one matrix (Press and Wolf,
    arXiv:1608.05859). Id 0 is padding, which stands at the end of rows and changes nothing.

    A subclass has `encode` and `decode`; and for a search three methods, see
    `keras_attn.decoding.StepModel`: `start` reads the source, `step` takes one token of every
    beam, `reorder` chooses among beams.

    Args:
        config: a configuration of the subclass's `config_class`, or a dict of its fields.

    Call arguments:
        inputs: `{"source": (B, S), "target": (B, T)}`, integers; the target as it is read:
            shifted by a start token.

    Returns:
        float32 logits `(B, T, V)` of the token after each of the target's.
    """

    config_class: ClassVar[type]

    def __init__(self, config: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(config, dict):
            config = self.config_class(**config)
        self.config = config
        size, dim = config.vocabulary_size, config.model_dim
        self.embedding = keras.layers.Embedding(
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

    def call(self, inputs: dict[str, Tensor], training: bool | None = None) -> Tensor:
        memory, real = self.encode(inputs["source"], training)
        return self.decode(inputs["target"], memory, real, training)

    def encode(self, source: Tensor, training: bool | None = None) -> tuple[Tensor, Tensor]:
        """The memory `(B, S, ...)` of a source `(B, S)`, and its padding mask `(B, S)`."""
        raise NotImplementedError

    def decode(
        self, target: Tensor, memory: Tensor, memory_real: Tensor, training: bool | None = None
    ) -> Tensor:
        """Logits `(B, T, V)` of a target `(B, T)`, all of it at once."""
        raise NotImplementedError

    def embedded(self, ids: Tensor) -> Tensor:
        """Embeddings of ids, of mean square 1."""
        return self.embedding(ids) * self.config.model_dim**0.5

    def logits(self, states: Tensor) -> Tensor:
        """float32 logits `(..., V)` of states `(..., D)`."""
        table = ops.cast(self.embedding.embeddings, states.dtype)
        rows = ops.reshape(states, (-1, states.shape[-1]))
        logits = ops.cast(ops.matmul(rows, ops.transpose(table)), "float32")
        return reshape(logits, (*ops.shape(states)[:-1], logits.shape[-1]))

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        shape = (*inputs["target"].shape, self.config.vocabulary_size)
        return keras.KerasTensor(shape, "float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "config": dataclasses.asdict(self.config)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        return cls(**config)

    @staticmethod
    def real(ids: Tensor) -> Tensor:
        """The padding mask of ids: True where there is a token."""
        return ops.not_equal(ids, PADDING_ID)
