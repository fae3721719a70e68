"""Recurrent translation with attention: a bidirectional encoder, and an `AttentionDecoder`."""

from typing import Annotated, Any, Literal

import keras
from annotated_types import Gt
from keras import ops

from keras_attn.layers import AttentionDecoder
from keras_attn.layers.attention_decoder import SCORES
from keras_attn.models._config import Positive, Rate, StreamingNormalizer, frozen_config
from keras_attn.models._translation import State, Tensor, TranslationModel
from keras_attn.models.registry import register_architecture
from keras_attn.ops import gather_beams

CELLS = {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM}
KERNELS_PER_CELL = {"gru": 3, "lstm": 4}


@frozen_config
class RecurrentTranslatorConfig:
    """Configuration of a `recurrent_translator`.

    Attributes:
        vocabulary_size: Number of ids, shared by source and target, `V`.
        model_dim: Size of an embedding, `D`.
        units: Size of the encoder's state in each direction, and of the decoder's state.
        encoder_layers: Number of bidirectional layers of the encoder.
        order: Which state attends, see `AttentionDecoder`: in `"bahdanau"` the one before the
            step, in `"luong"` the one after it.
        cell: The recurrent cell of encoder and decoder.
        score: How decoder states are compared with the memory; None means `"additive"`, or
            `"bilinear"` with `order="luong"`.
        attention_units: Hidden size of an additive score; None means `units`.
        input_feeding: Whether the previous output enters the cell with `order="luong"`.
        attention: Normalizer of the attention.
        dropout: Dropout rate of embeddings, encoder states and decoder outputs.
    """

    vocabulary_size: Annotated[int, Gt(3)] = 8_000
    model_dim: Positive = 128
    units: Positive = 192
    encoder_layers: Positive = 1
    order: Literal["bahdanau", "luong"] = "bahdanau"
    cell: Literal["gru", "lstm"] = "gru"
    score: Literal["additive", "bilinear"] | None = None
    attention_units: Positive | None = None
    input_feeding: bool = True
    attention: StreamingNormalizer = "softmax"
    dropout: Rate = 0.3

    def __post_init__(self) -> None:
        if self.order == "bahdanau" and not self.input_feeding:
            raise ValueError(
                "`input_feeding` must be True with order='bahdanau', which always feeds the "
                "context to the cell. Received: input_feeding=False. Use order='luong'."
            )
        score = self.score or SCORES[self.order]
        if score != "additive" and self.attention_units is not None:
            raise ValueError(
                "`attention_units` is only for score='additive'. Received: "
                f"attention_units={self.attention_units} with score={score!r}. Leave it out."
            )


@keras.saving.register_keras_serializable(package="keras_attn")
class RecurrentTranslator(TranslationModel):
    """A recurrent encoder, and a decoder of Bahdanau et al. or Luong et al., tied embeddings.

    A bidirectional GRU or LSTM encodes the source, and an `AttentionDecoder` attends to its
    states (arXiv:1409.0473, arXiv:1508.04025). Dropout acts on embeddings, on the encoder's
    states, and before the logits (Caglayan et al., arXiv:1707.04481). Padding masks are
    computed from ids and passed to each layer: the backward direction of a row begins at its
    last token.

    In a search each beam has its own decoder state; the memory does not move when beams are
    reordered.

    Args:
        config: A `RecurrentTranslatorConfig`, or a dict of its fields.

    Call arguments, returns: see `keras_attn.models.TranslationModel`.

    Example:

    >>> import numpy as np
    >>> model = RecurrentTranslator({"vocabulary_size": 50, "model_dim": 8, "units": 6})
    >>> source, target = np.array([[5, 6, 7, 2]]), np.array([[1, 8, 9]])
    >>> model({"source": source, "target": target}).shape
    TensorShape([1, 3, 50])
    """

    config_class = RecurrentTranslatorConfig

    def __init__(self, config: Any, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        settings = self.config
        dim, units = settings.model_dim, settings.units
        cell = CELLS[settings.cell]
        self.encoder = [
            keras.layers.Bidirectional(
                cell(units, return_sequences=True, dtype=self.dtype_policy),
                name=f"encoder_{index + 1}",
                dtype=self.dtype_policy,
            )
            for index in range(settings.encoder_layers)
        ]
        self.encoder_dropout = [
            keras.layers.Dropout(
                settings.dropout, name=f"encoder_dropout_{index + 1}", dtype=self.dtype_policy
            )
            for index in range(settings.encoder_layers)
        ]
        self.decoder = AttentionDecoder(
            units,
            order=settings.order,
            cell=settings.cell,
            score=settings.score,
            attention_units=settings.attention_units,
            input_feeding=settings.input_feeding,
            normalizer=settings.attention,
            dropout=settings.dropout,
            name="decoder",
            dtype=self.dtype_policy,
        )
        self.output_dense = None
        if units != dim:
            self.output_dense = keras.layers.Dense(
                dim, name="output_projection", dtype=self.dtype_policy
            )
        for index, layer in enumerate(self.encoder):
            layer.build((None, None, 2 * units if index else dim))
        self.decoder.build((None, None, dim), (None, None, 2 * units))
        if self.output_dense is not None:
            self.output_dense.build((None, None, units))
        self.built = True

    def encode(self, source: Tensor, training: bool | None = None) -> tuple[Tensor, Tensor]:
        """Return the memory `(B, S, 2 * units)` of a source `(B, S)`, and its padding mask."""
        padding_mask = self.padding_mask(source)  # (B, S)
        x = self._embed(source, training)  # (B, S, D)
        for layer, dropout in zip(self.encoder, self.encoder_dropout, strict=True):
            x = dropout(layer(x, mask=padding_mask), training=training)  # (B, S, 2 * units)
        return x, padding_mask

    def decode(
        self,
        target: Tensor,
        memory: Tensor,
        memory_padding_mask: Tensor,
        training: bool | None = None,
    ) -> Tensor:
        """Return states `(B, T, D)` after each position of a target `(B, T)`."""
        outputs = self.decoder(
            self._embed(target, training),  # (B, T, D)
            memory,
            padding_mask=memory_padding_mask,
            training=training,
        )
        return self._output_states(outputs)

    def attention_scores(self, inputs: dict[str, Tensor]) -> dict[str, list[Tensor]]:
        """Return the attention weights.

        Args:
            inputs: See the call.

        Returns:
            A dict of `"cross"`, a list of one tensor `(B, 1, T, S)`.
        """
        memory, memory_padding_mask = self.encode(inputs["source"], training=False)
        _, weights = self.decoder(
            self._embed(inputs["target"], training=False),
            memory,
            padding_mask=memory_padding_mask,
            return_attention_scores=True,
        )
        return {"cross": [weights[:, None]]}

    def start(self, source: Tensor, num_beams: int, length: int | Tensor) -> State:
        """Return the state before the first step of `num_beams` beams, `K`, of any `length`."""
        memory, memory_padding_mask = self.encode(source, training=False)

        def repeat_for_beams(x: Tensor) -> Tensor:  # (B, ...) -> (B, K, ...)
            return ops.repeat(x[:, None], num_beams, axis=1)

        prepared = self.decoder.prepare(memory, memory_padding_mask, training=False)
        states = self.decoder.initial_state(memory, memory_padding_mask)
        return {
            "memory": {name: repeat_for_beams(x) for name, x in prepared.items()},
            "states": {name: repeat_for_beams(x) for name, x in states.items()},
        }

    def step(self, ids: Tensor, state: State, index: Tensor) -> tuple[Tensor, State]:
        """Return logits `(B, K, V)` after ids `(B, K)`, one of each beam, and the new state."""
        num_beams = ids.shape[1]

        def merge_beams(x: Tensor) -> Tensor:  # (B, K, ...) -> (B * K, ...)
            batch, _, *rest = ops.shape(x)
            return ops.reshape(x, (batch * num_beams, *rest))

        def split_beams(x: Tensor) -> Tensor:  # (B * K, F) -> (B, K, F)
            return ops.reshape(x, (-1, num_beams, x.shape[-1]))

        output, states = self.decoder.step(
            self.embed(merge_beams(ids)),
            {name: merge_beams(x) for name, x in state["states"].items()},
            {name: merge_beams(x) for name, x in state["memory"].items()},
        )
        states = {name: split_beams(x) for name, x in states.items()}
        return self.logits(self._output_states(split_beams(output))), {**state, "states": states}

    def reorder(self, state: State, parents: Tensor) -> State:
        """Return the state of beams that continue the beams `parents` `(B, K)` of their row."""
        return {**state, "states": gather_beams(state["states"], parents)}

    def flops(self, source_length: float, target_length: float) -> int:
        """Count the floating-point operations of a call for one pair.

        They are those that `keras_attn.profiling.cost` counts: two for each multiplication
        and addition of a matrix product.
        """
        s, t, settings, decoder = source_length, target_length, self.config, self.decoder
        d, units, kernels = settings.model_dim, settings.units, KERNELS_PER_CELL[settings.cell]
        memory_dim, is_additive = 2 * units, decoder.score == "additive"
        score_dim = decoder.attention_units if is_additive else units
        source_macs = len(decoder.cell_states) * memory_dim * units + s * memory_dim * score_dim
        for index in range(settings.encoder_layers):
            source_macs += s * 2 * kernels * units * ((memory_dim if index else d) + units)
        step_macs = sum(
            kernel.shape[0] * kernel.shape[1]
            for kernel in (
                decoder.recurrent_cell.kernel,
                decoder.recurrent_cell.recurrent_kernel,
                decoder.readout_dense.kernel,
            )
        )
        step_macs += s * (score_dim + memory_dim) + (units * score_dim if is_additive else 0)
        step_macs += d * settings.vocabulary_size + (
            units * d if self.output_dense is not None else 0
        )
        return round(2 * (source_macs + t * step_macs))

    def _embed(self, ids: Tensor, training: bool | None) -> Tensor:
        """Return embeddings `(B, T, D)` of ids `(B, T)` after dropout."""
        return self.embedding_dropout(self.embed(ids), training=training)

    def _output_states(self, outputs: Tensor) -> Tensor:
        """Return states `(..., D)` of the decoder's outputs `(..., units)`."""
        return outputs if self.output_dense is None else self.output_dense(outputs)


@register_architecture("recurrent_translator", task="translation")
def build_recurrent_translator(config: RecurrentTranslatorConfig) -> RecurrentTranslator:
    """Build a `RecurrentTranslator` with fresh weights.

    Example:

    >>> small = RecurrentTranslatorConfig(vocabulary_size=50, model_dim=16, units=16)
    >>> build_recurrent_translator(small).count_params() < 15_000
    True
    """
    return RecurrentTranslator(config, name="recurrent_translator")
