"""Recurrent translation with attention: a bidirectional encoder, and an `AttentionDecoder`."""

from typing import Annotated, Any, Literal

import keras
from annotated_types import Ge, Gt, Lt
from keras import ops

from keras_attn.layers import AttentionDecoder
from keras_attn.layers.attention_decoder import SCORES
from keras_attn.models._config import frozen_config
from keras_attn.models._translation import State, Tensor, TranslationModel
from keras_attn.models.registry import register_architecture
from keras_attn.ops import gather_beams

Rate = Annotated[float, Ge(0), Lt(1)]
Positive = Annotated[int, Gt(0)]
CELLS = {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM}
GATES = {"gru": 3, "lstm": 4}  # matrices of a cell


@frozen_config
class RecurrentTranslatorConfig:
    """What a `recurrent_translator` is made of.

    Attributes:
        vocabulary_size: number of ids of source and target together, `V`.
        model_dim: features of an embedding, `D`.
        units: size of the encoder's state in each direction, and of the decoder's.
        encoder_layers: bidirectional layers of the encoder.
        order: who attends, see `AttentionDecoder`: in `"bahdanau"` the state before the
            step, in `"luong"` the one after it.
        cell: the recurrent cell of both.
        score: how states are compared with the source; None is `"additive"`, in Luong's
            order `"bilinear"`.
        attention_units: size in which an additive score compares; None is `units`.
        input_feeding: whether, in Luong's order, the previous output enters the cell.
        attention: normalizer of the attention.
        dropout: rate for embeddings, for the encoder's states and for the decoder's outputs.
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
    attention: Literal["softmax", "softmax1", "sigmoid", "normalized_sigmoid"] = "softmax"
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

    A bidirectional GRU or LSTM reads the source, and an `AttentionDecoder` attends to its
    states (arXiv:1409.0473, arXiv:1508.04025). Dropout is on embeddings, on the states of the
    source, and before the logits (Caglayan et al., arXiv:1707.04481). Masks are made of the
    ids and handed to each layer: the backward state of a row begins at its last token.

    In a search each beam has a state of its own; what it attends to never moves.

    Args:
        config: a `RecurrentTranslatorConfig`, or a dict of its fields.

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
        """The memory `(B, S, 2 * units)` of a source `(B, S)`, and its padding mask `(B, S)`."""
        real = self.real(source)
        x = self._read(source, training)
        for layer, dropout in zip(self.encoder, self.encoder_dropout, strict=True):
            x = dropout(layer(x, mask=real), training=training)
        return x, real

    def decode(
        self, target: Tensor, memory: Tensor, memory_real: Tensor, training: bool | None = None
    ) -> Tensor:
        """Logits `(B, T, V)` of a target `(B, T)`, all of it at once."""
        outputs = self.decoder(
            self._read(target, training), memory, padding_mask=memory_real, training=training
        )
        return self._answer(outputs)

    def attention_scores(self, inputs: dict[str, Tensor]) -> dict[str, list[Tensor]]:
        """The weights of the attention.

        Args:
            inputs: as of a call.

        Returns:
            `"cross"`, a list of one tensor `(B, 1, T, S)`.
        """
        memory, real = self.encode(inputs["source"], training=False)
        _, weights = self.decoder(
            self._read(inputs["target"], training=False),
            memory,
            padding_mask=real,
            return_attention_scores=True,
        )
        return {"cross": [weights[:, None]]}

    def start(self, source: Tensor, num_beams: int, length: int | Tensor) -> State:
        """What a search of `num_beams` beams begins with, of any `length`."""
        memory, real = self.encode(source, training=False)

        def repeated(x: Tensor) -> Tensor:  # (B, ...) -> (B, K, ...)
            return ops.repeat(x[:, None], num_beams, axis=1)

        prepared = self.decoder.prepare(memory, real, training=False)
        states = self.decoder.initial_state(memory, real)
        return {
            "memory": {name: repeated(x) for name, x in prepared.items()},
            "states": {name: repeated(x) for name, x in states.items()},
        }

    def step(self, ids: Tensor, state: State, index: Tensor) -> tuple[Tensor, State]:
        """Logits `(B, K, V)` after ids `(B, K)`, the tokens of all beams, at any `index`."""
        num_beams = ids.shape[1]

        def rows(x: Tensor) -> Tensor:  # (B, K, ...) -> (B * K, ...)
            batch, _, *rest = ops.shape(x)
            return ops.reshape(x, (batch * num_beams, *rest))

        def beams(x: Tensor) -> Tensor:  # (B * K, F) -> (B, K, F)
            return ops.reshape(x, (-1, num_beams, x.shape[-1]))

        output, states = self.decoder.step(
            self.embedded(rows(ids)),
            {name: rows(x) for name, x in state["states"].items()},
            {name: rows(x) for name, x in state["memory"].items()},
        )
        states = {name: beams(x) for name, x in states.items()}
        return self._answer(beams(output)), {**state, "states": states}

    def reorder(self, state: State, parents: Tensor) -> State:
        """The state of beams that go on from `parents` `(B, K)` of the same row."""
        return {**state, "states": gather_beams(state["states"], parents)}

    def flops(self, source_length: float, target_length: float) -> int:
        """Floating-point operations of a call for one pair, as `keras_attn.profiling.cost`."""
        s, t, settings, decoder = source_length, target_length, self.config, self.decoder
        d, units, gates = settings.model_dim, settings.units, GATES[settings.cell]
        memory, additive = 2 * units, decoder.score == "additive"
        compared = decoder.attention_units if additive else units
        once = len(decoder.cell_states) * memory * units + s * memory * compared
        for index in range(settings.encoder_layers):
            once += s * 2 * gates * units * ((memory if index else d) + units)
        step = sum(
            kernel.shape[0] * kernel.shape[1]
            for kernel in (
                decoder.recurrent_cell.kernel,
                decoder.recurrent_cell.recurrent_kernel,
                decoder.readout_dense.kernel,
            )
        )
        step += s * (compared + memory) + (units * compared if additive else 0)
        step += d * settings.vocabulary_size + (units * d if self.output_dense is not None else 0)
        return round(2 * (once + t * step))

    def _read(self, ids: Tensor, training: bool | None) -> Tensor:
        return self.embedding_dropout(self.embedded(ids), training=training)

    def _answer(self, outputs: Tensor) -> Tensor:
        return self.logits(outputs if self.output_dense is None else self.output_dense(outputs))


@register_architecture("recurrent_translator", task="translation")
def build_recurrent_translator(config: RecurrentTranslatorConfig) -> RecurrentTranslator:
    """A `RecurrentTranslator` of a configuration.

    Example:

    >>> small = RecurrentTranslatorConfig(vocabulary_size=50, model_dim=16, units=16)
    >>> build_recurrent_translator(small).count_params() < 15_000
    True
    """
    return RecurrentTranslator(config, name="recurrent_translator")
