"""The causal Transformer, which predicts the next token of a text."""

import dataclasses
from typing import Annotated, Any, Literal, Self

import keras
from annotated_types import Gt
from keras import ops

from keras_attn._types import Tensor
from keras_attn.layers import TransformerEncoderBlock
from keras_attn.layers._tied_embedding import TiedEmbedding
from keras_attn.models._config import Positive, Rate, StreamingAttentionKind, frozen_config
from keras_attn.models._translation import State, caches_grow
from keras_attn.models.registry import register_architecture
from keras_attn.ops import gather_beams
from keras_attn.ops.layout import reshape

FULL_LENGTH = 512  # longest context whose attention is computed in one piece


@frozen_config
class CausalTransformerConfig:
    """Configuration of a `causal_transformer`.

    Attributes:
        vocabulary_size: Number of ids, `V`.
        context_length: Number of tokens, the current one included, that a token can attend to.
        model_dim: Number of features of a position, `D`.
        num_layers: Number of blocks.
        num_heads: Heads of each attention, which divide `model_dim`.
        intermediate_dim: Hidden size of the feed-forward networks.
        attention: Normalizer of all attention; or `"none"`, the baseline in which every position
            receives the mean of the values up to it.
        activation: Activation of the feed-forward networks.
        normalization: `"rms"` or `"layer"`.
        dropout: Dropout rate of embeddings, and of the outputs of sublayers.
    """

    vocabulary_size: Annotated[int, Gt(4)] = 256
    context_length: Positive = 256
    model_dim: Positive = 128
    num_layers: Positive = 4
    num_heads: Positive = 4
    intermediate_dim: Positive = 512
    attention: StreamingAttentionKind = "softmax"
    activation: str = "gelu"
    normalization: Literal["rms", "layer"] = "rms"
    dropout: Rate = 0.0

    def __post_init__(self) -> None:
        if self.model_dim % self.num_heads or (self.model_dim // self.num_heads) % 2:
            raise ValueError(
                "`model_dim` must be a multiple of twice `num_heads`, because rotary positions "
                f"turn pairs of features of each head. Received: {self.model_dim} features, "
                f"{self.num_heads} heads."
            )


@keras.saving.register_keras_serializable(package="keras_attn")
class CausalTransformer(keras.Model):
    """A pre-norm Transformer decoder without a memory (Radford et al., 2018).

    Positions are rotary (Su et al., arXiv:2104.09864), so that a text may be longer than the
    context: each token then attends to the last `context_length` tokens. Embeddings and output
    share one matrix (Press and Wolf, arXiv:1608.05859). Id 0 is padding at the end of rows, which
    no token attends to, because attention is causal.

    It is a `keras_attn.decoding.StepModel`, whose source is a tensor with a row for each sequence
    to write; its values are not used.

    Args:
        config: A `CausalTransformerConfig`, or a dict of its fields.

    Call arguments:
        inputs: Ids `(B, T)`, integers, which begin with the start token.
        return_states: Whether to return the states that `logits` maps to logits.

    Returns:
        float32 logits `(B, T, V)` of the token after each position; with `return_states` states
        `(B, T, D)`.

    Example:

    >>> import numpy as np
    >>> model = CausalTransformer({"vocabulary_size": 50, "model_dim": 16, "num_heads": 2})
    >>> tuple(model(np.array([[1, 7, 8, 9]])).shape)
    (1, 4, 50)
    """

    def __init__(self, config: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(config, dict):
            config = CausalTransformerConfig(**config)
        self.config = config
        size, dim = config.vocabulary_size, config.model_dim
        self.embedding = TiedEmbedding(
            size,
            dim,
            embeddings_initializer=keras.initializers.RandomNormal(stddev=dim**-0.5),
            name="embedding",
            dtype=self.dtype_policy,
        )
        self.embedding_dropout = keras.layers.Dropout(
            config.dropout, name="embedding_dropout", dtype=self.dtype_policy
        )
        self.blocks = [self._make_block(f"block_{n + 1}") for n in range(config.num_layers)]
        self.final_norm = self._make_norm("final_norm")
        self.embedding.build((None, None))
        for layer in (*self.blocks, self.final_norm):
            layer.build((None, None, dim))
        self.built = True

    @property
    def receptive_field(self) -> int | None:
        """Number of most recent tokens that the next logits depend on; None if on all of them.

        A subclass with other blocks overrides it: prompts are cut to that many tokens.
        """
        if any(getattr(b, "window", None) != self.config.context_length for b in self.blocks):
            return None
        return self.config.num_layers * (self.config.context_length - 1) + 1

    def call(
        self, inputs: Tensor, training: bool | None = None, return_states: bool = False
    ) -> Tensor:
        x = self.embedding_dropout(self.embed(inputs), training=training)  # (B, T, D)
        for block in self.blocks:
            x = block(x, use_causal_mask=True, training=training)
        states = self.final_norm(x)
        return states if return_states else self.logits(states)

    def embed(self, ids: Tensor) -> Tensor:
        """Return embeddings `(..., D)` of ids, scaled to a mean square of 1 at initialization."""
        return self.embedding(ids) * self.config.model_dim**0.5

    def logits(self, states: Tensor) -> Tensor:
        """Return float32 logits `(..., V)` of states `(..., D)`."""
        return self.embedding.logits(states)

    def attention_scores(self, inputs: Tensor) -> list[Tensor]:
        """Return the attention weights of each block, `(B, N, T, T)`; none without attention."""
        if self.config.attention == "none":
            return []
        x, scores = self.embed(inputs), []
        for block in self.blocks:
            x, weights = block(x, use_causal_mask=True, return_attention_scores=True)
            scores.append(weights)
        return scores

    def start(self, source: Tensor, num_beams: int, length: int | Tensor) -> State:
        """Return the state before the first step of `num_beams` beams and `length` positions."""
        batch = ops.shape(source)[0]
        slots = 0 if caches_grow() else length
        caches = [block.make_cache(batch * num_beams, slots) for block in self.blocks]
        split = keras.tree.map_structure(
            lambda x: ops.reshape(x, (batch, num_beams, *x.shape[1:])), caches
        )
        return {"cache": split}

    def step(self, ids: Tensor, state: State, index: Tensor) -> tuple[Tensor, State]:
        """Return logits `(B, K, V)` after ids `(B, K)` at position `index`, and the new state."""
        batch, beams = ops.shape(ids)
        x = self.embed(ops.reshape(ids, (-1, 1)))  # (B * K, 1, D)
        caches = keras.tree.map_structure(_join_beams, state["cache"])
        written = []
        for block, cache in zip(self.blocks, caches, strict=True):
            x, updated = block(x, cache=cache, cache_index="end" if caches_grow() else index)
            written.append(updated)
        logits = self.logits(self.final_norm(x))
        split = keras.tree.map_structure(
            lambda x: reshape(x, (batch, beams, *ops.shape(x)[1:])), written
        )
        logits = ops.reshape(logits, (batch, beams, self.config.vocabulary_size))
        return logits, {"cache": split}

    def reorder(self, state: State, parents: Tensor) -> State:
        """Return the state of beams that continue the beams `parents` `(B, K)` of their row."""
        return keras.tree.map_structure(lambda x: gather_beams(x, parents), state)

    def flops(self, length: float) -> int:
        """Count the floating-point operations of a call for one row of that many tokens.

        They are those that `keras_attn.profiling.cost` counts: two for each multiplication and
        addition of a matrix product. A causal mask saves none of them.
        """
        settings, t = self.config, length
        d, ff = settings.model_dim, settings.intermediate_dim
        projections = 2 if settings.attention == "none" else 4
        scores = 0 if settings.attention == "none" else 2 * t * t * d
        block = t * (projections * d * d + 2 * d * ff) + scores
        return round(2 * (settings.num_layers * block + t * d * settings.vocabulary_size))

    def compute_output_spec(
        self, inputs: Any, training: bool | None = None, return_states: bool = False
    ) -> Any:
        if return_states:
            return keras.KerasTensor((*inputs.shape, self.config.model_dim), self.compute_dtype)
        return keras.KerasTensor((*inputs.shape, self.config.vocabulary_size), "float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "config": dataclasses.asdict(self.config)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        return cls(**config)

    def _make_block(self, name: str) -> keras.layers.Layer:
        settings = self.config
        shared: dict[str, Any] = {
            "intermediate_dim": settings.intermediate_dim,
            "activation": settings.activation,
            "normalization": settings.normalization,
            "dropout": settings.dropout,
            "name": name,
            "dtype": self.dtype_policy,
        }
        if settings.attention == "none":
            return AveragingBlock(**shared)
        return TransformerEncoderBlock(
            num_heads=settings.num_heads,
            normalizer=settings.attention,
            position="rotary",
            window=settings.context_length,
            attention_dropout=0.0,
            use_bias=False,
            # Two paths in one graph trace slowly, and short texts need no chunks.
            implementation="full" if settings.context_length <= FULL_LENGTH else "auto",
            **shared,
        )

    def _make_norm(self, name: str) -> keras.layers.Layer:
        kind = {"rms": keras.layers.RMSNormalization, "layer": keras.layers.LayerNormalization}
        return kind[self.config.normalization](epsilon=1e-6, name=name, dtype=self.dtype_policy)


@keras.saving.register_keras_serializable(package="keras_attn")
class AveragingBlock(keras.layers.Layer):
    """A Transformer block in which the mean of all values so far replaces attention.

    It is the baseline of a `causal_transformer`: the same block without queries and keys. The mean
    is over the whole text, also where attention would end at the context length.

    Args:
        intermediate_dim: Hidden size of the feed-forward network.
        activation: Activation of the feed-forward network.
        normalization: `"rms"` or `"layer"`.
        dropout: Dropout rate of the outputs of both sublayers.

    Call arguments:
        inputs: Float tensor `(B, T, D)`.
        use_causal_mask: Must be True or None; the mean never includes later positions.
        training: Whether to apply dropout.
        cache: The result of `make_cache`, or of an earlier call.
        cache_index: Not used.

    Returns:
        Tensor `(B, T, D)`; then the updated cache if `cache` is passed.
    """

    def __init__(
        self,
        intermediate_dim: int,
        activation: Any = "gelu",
        normalization: str = "rms",
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        # Keras would cast the sums in the cache to half precision.
        super().__init__(**{**kwargs, "autocast": False})
        self.intermediate_dim = intermediate_dim
        self.activation = keras.activations.get(activation)
        self.normalization = normalization
        self.dropout = dropout
        self.dropout_layer = keras.layers.Dropout(dropout, dtype=self.dtype_policy)

    def build(self, input_shape: Any) -> None:
        dim = input_shape[-1]
        norms = {"rms": keras.layers.RMSNormalization, "layer": keras.layers.LayerNormalization}
        norm = norms[self.normalization]
        settings = {"dtype": self.dtype_policy}
        self.value_norm = norm(epsilon=1e-6, name="value_norm", **settings)
        self.feed_forward_norm = norm(epsilon=1e-6, name="feed_forward_norm", **settings)
        self.value_dense, self.output_dense = (
            keras.layers.Dense(dim, use_bias=False, name=name, **settings)
            for name in ("value", "output")
        )
        self.feed_forward_in = keras.layers.Dense(
            self.intermediate_dim, use_bias=False, name="feed_forward_in", **settings
        )
        self.feed_forward_out = keras.layers.Dense(
            dim, use_bias=False, name="feed_forward_out", **settings
        )
        shape = (None, None, dim)
        for layer in (self.value_norm, self.feed_forward_norm, self.value_dense, self.output_dense):
            layer.build(shape)
        self.feed_forward_in.build(shape)
        self.feed_forward_out.build((None, None, self.intermediate_dim))

    def make_cache(self, batch_size: int | Tensor, length: int | Tensor = 0) -> dict[str, Tensor]:
        """Return the sum of no values, `(B, D)`, and their number, `(B, 1)`."""
        dim = self.output_dense.units
        return {
            "sum": ops.zeros((batch_size, dim), "float32"),
            "count": ops.zeros((batch_size, 1), "float32"),
        }

    def call(
        self,
        inputs: Tensor,
        use_causal_mask: bool | None = None,
        training: bool | None = None,
        cache: dict[str, Tensor] | None = None,
        cache_index: Any = None,
    ) -> Any:
        inputs = ops.cast(inputs, self.compute_dtype)
        # In half precision a sum of many values stops growing.
        values = ops.cast(self.value_dense(self.value_norm(inputs)), "float32")  # (B, T, D)
        total = ops.cumsum(values, axis=1)
        ones = ops.ones_like(values[..., :1])
        count = ops.cumsum(ones, axis=1)  # (B, T, 1)
        if cache is not None:
            total, count = total + cache["sum"][:, None], count + cache["count"][:, None]
            cache = {"sum": total[:, -1], "count": count[:, -1]}
        mean = ops.cast(total / count, self.compute_dtype)
        x = inputs + self.dropout_layer(self.output_dense(mean), training=training)
        hidden = self.activation(self.feed_forward_in(self.feed_forward_norm(x)))
        x = x + self.dropout_layer(self.feed_forward_out(hidden), training=training)
        return x if cache is None else (x, cache)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "intermediate_dim": self.intermediate_dim,
            "activation": keras.activations.serialize(self.activation),
            "normalization": self.normalization,
            "dropout": self.dropout,
        }


def _join_beams(x: Tensor) -> Tensor:
    """Return a tensor `(B, K, ...)` as `(B * K, ...)`."""
    return reshape(x, (-1, *ops.shape(x)[2:]))


@register_architecture("causal_transformer", task="text_generation")
def build_causal_transformer(config: CausalTransformerConfig) -> CausalTransformer:
    """Build a `CausalTransformer` with fresh weights.

    Example:

    >>> model = build_causal_transformer(CausalTransformerConfig(vocabulary_size=69))
    >>> model.count_params()
    796416
    """
    return CausalTransformer(config, name="causal_transformer")
