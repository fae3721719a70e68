"""Recurrent decoder that attends over a memory at every step."""

from collections.abc import Callable
from typing import Any

import keras
from keras import initializers, ops

from keras_attn._types import Tensor
from keras_attn.layers._attention_layer import AttentionLayer
from keras_attn.layers._masks import check_key_masks
from keras_attn.layers._sublayers import (
    PACKAGE,
    check_choice,
    check_positive_integers,
    check_rank,
    check_rates,
    clone_initializer,
)
from keras_attn.layers._types import Tensors
from keras_attn.layers.attention import Attention, check_score
from keras_attn.ops import normalizers

SCORES = {"bahdanau": "additive", "luong": "bilinear"}
CELLS = {"gru": keras.layers.GRUCell, "lstm": keras.layers.LSTMCell}
_PLAIN_ARGUMENTS = (
    *("units", "order", "cell", "score", "attention_units", "input_feeding"),
    *("normalizer", "temperature", "dropout", "seed"),
)


@keras.saving.register_keras_serializable(package=PACKAGE)
class AttentionDecoder(AttentionLayer):
    """Recurrent decoder with attention over a memory, such as an encoder's outputs.

    With the cell's state `s`, the context `c` (the output of the attention), and the input `x`,

    - `order="bahdanau"` (Bahdanau et al., arXiv:1409.0473): the previous state attends,
      `s' = cell([x; c], s)`, and the output is `tanh(W [s'; c; x] + b)`;
    - `order="luong"` (Luong et al., arXiv:1508.04025): `s' = cell([x; o], s)` with the
      previous output `o`, then `s'` attends, and the output is `tanh(W [c; s'] + b)`.

    The initial state is `tanh(W mean + b)` of the mean of the memory without its padding
    (Sennrich et al., arXiv:1703.04357).

    A call loops over `step`, which a search calls itself: `prepared = prepare(memory,
    padding_mask)` and `states = initial_state(memory, padding_mask)` once per sequence, then
    `output, states = step(inputs, states, prepared)`. Both are dicts with the batch on axis 0,
    so that a beam search can reorder them.

    Args:
        units: size of the state and of the output.
        order: `"bahdanau"` or `"luong"`.
        cell: `"gru"` or `"lstm"`.
        score: see `Attention`; None is `"additive"` for `order="bahdanau"` and `"bilinear"` for
            `order="luong"`.
        attention_units: `units` of an additive score; None is `units`.
        input_feeding: whether the previous output is an input of the cell; False is for
            `order="luong"` alone.
        normalizer: `"softmax"` or another of `keras_attn.ops.NORMALIZERS`.
        temperature: positive number that divides the scores.
        dropout: dropout rate of output features, with one dropout mask for all steps of a
            sequence (Gal and Ghahramani, arXiv:1512.05287).
        kernel_initializer: initializer of all kernels except the recurrent one, which is
            orthogonal.
        seed: integer that makes the dropout repeatable.

    Call arguments:
        inputs: float tensor `(B, T, E)`. Every step is computed, so padding belongs at the end.
        memory: float tensor `(B, S, D)`.
        padding_mask: `(B, S)`, False at padding of the memory. None uses the mask that Keras
            attached to `memory`, if any.
        initial_state: a dict as the method `initial_state` returns it; None calls that.
        return_state: whether to also return the states after the last step.
        return_attention_scores: whether to also return the attention weights.
        training: whether to apply dropout.

    Returns:
        Tensor `(B, T, units)`; then the states with `return_state`; then the weights
        `(B, T, S)` with `return_attention_scores`. The output carries the Keras mask of
        `inputs`; masks of the inputs stay as they are.

    Example:

    >>> import numpy as np
    >>> decoder = AttentionDecoder(8, order="luong")
    >>> inputs, memory = np.ones((1, 3, 4), "float32"), np.ones((1, 5, 6), "float32")
    >>> output, scores = decoder(inputs, memory, return_attention_scores=True)
    >>> tuple(output.shape), tuple(scores.shape)
    ((1, 3, 8), (1, 3, 5))
    """

    def __init__(
        self,
        units: int,
        order: str = "bahdanau",
        cell: str = "gru",
        score: str | None = None,
        attention_units: int | None = None,
        input_feeding: bool = True,
        normalizer: str = "softmax",
        temperature: float = 1.0,
        dropout: float = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        check_positive_integers(self, units=units)
        check_choice(self, SCORES, order=order)
        check_choice(self, CELLS, cell=cell)
        score = SCORES[order] if score is None else score
        if score == "additive" and attention_units is None:
            attention_units = units
        check_score(self, score, temperature, attention_units=attention_units)
        if order == "bahdanau" and not input_feeding:
            raise ValueError(
                f"AttentionDecoder: `input_feeding` received {input_feeding!r}, but "
                'order="bahdanau" always feeds the context to the cell. Use order="luong".'
            )
        check_rates(self, dropout=dropout)
        normalizers.get(normalizer)
        self.units = units
        self.order = order
        self.cell = cell
        self.score = score
        self.attention_units = attention_units
        self.input_feeding = input_feeding
        self.normalizer = normalizer
        self.temperature = temperature
        self.dropout = dropout
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed) if dropout else None
        self.cell_states = ("hidden",) if cell == "gru" else ("hidden", "carry")
        is_fed = order == "luong" and input_feeding
        self.state_names = (*self.cell_states, "output") if is_fed else self.cell_states

    def build(self, inputs_shape: Any, memory_shape: Any) -> None:
        check_rank(self, 3, "(batch, length, features)", inputs=inputs_shape, memory=memory_shape)
        self._set_input_sizes(inputs=inputs_shape, memory=memory_shape)
        features, context = inputs_shape[-1], memory_shape[-1]
        self.attention = Attention(
            self.score,
            units=self.attention_units,
            normalizer=self.normalizer,
            temperature=self.temperature,
            name="attention",
            **self._common_arguments(),
        )
        self.recurrent_cell = CELLS[self.cell](self.units, name="cell", **self._common_arguments())
        self.readout_dense = keras.layers.Dense(
            self.units, activation="tanh", name="readout", **self._common_arguments()
        )
        self.initial_dense = keras.layers.Dense(
            self.units * len(self.cell_states),
            activation="tanh",
            name="initial",
            **self._common_arguments(),
        )
        bahdanau = self.order == "bahdanau"
        fed = context if bahdanau else self.units * ("output" in self.state_names)
        readout = self.units + context + (features if bahdanau else 0)
        self.attention.build((None, None, self.units), memory_shape)
        self.recurrent_cell.build((None, features + fed))
        self.readout_dense.build((None, readout))
        self.initial_dense.build((None, context))

    def call(
        self,
        inputs: Tensor,
        memory: Tensor,
        padding_mask: Tensor | None = None,
        initial_state: Tensors | None = None,
        return_state: bool = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
        memory_mask: Tensor | None = None,  # Keras passes its implicit mask as this
    ) -> Any:
        self._check_sequences(inputs=inputs, memory=memory)
        padding_mask = memory_mask if padding_mask is None else padding_mask
        if initial_state is None:
            initial_state = self.initial_state(memory, padding_mask)
        prepared = self.prepare(memory, padding_mask, training)

        def step(x: Tensor, states: Any) -> tuple[Tensor, list[Tensor]]:
            named = dict(zip(self.state_names, states, strict=True))
            output, named, *scores = self.step(x, named, prepared, return_attention_scores)
            features = ops.concatenate([output, *scores], axis=-1) if scores else output
            return features, [named[name] for name in self.state_names]

        # Not `ops.scan`, whose gradient fails under XLA on TensorFlow.
        cell = _StepCell(step, self.compute_dtype)
        rnn = keras.layers.RNN(
            cell, return_sequences=True, return_state=True, dtype=self.dtype_policy
        )
        self._check_states(initial_state)
        states = [initial_state[name] for name in self.state_names]
        # `inputs * 1` has no Keras mask, which would make the loop skip steps.
        features, *states = rnn(inputs * 1, initial_state=states)
        results: list[Any] = [features[..., : self.units]]
        if return_state:
            results.append(dict(zip(self.state_names, states, strict=True)))
        if return_attention_scores:
            results.append(features[..., self.units :])
        return tuple(results) if len(results) > 1 else results[0]

    def prepare(
        self, memory: Tensor, padding_mask: Tensor | None = None, training: bool | None = None
    ) -> Tensors:
        """Return the tensors that `step` needs of a memory `(B, S, D)`, once per sequence.

        Args:
            memory: float tensor `(B, S, D)`.
            padding_mask: `(B, S)`, False at padding of the memory.
            training: whether to draw a dropout mask.

        Returns:
            A dict of tensors with the batch on axis 0.
        """
        self._check_memory(memory, padding_mask)
        memory = ops.cast(memory, self.compute_dtype)
        prepared = {"keys": self.attention.project_keys(memory), "values": memory}
        if padding_mask is not None:
            # A search reorders the batch of what is prepared, so a mask of all rows is repeated.
            mask = ops.cast(padding_mask, "bool")
            prepared["padding_mask"] = ops.broadcast_to(mask, ops.shape(memory)[:2])
        if self.dropout and training:
            ones = ops.ones((ops.shape(memory)[0], self.units), memory.dtype)
            dropout_mask = keras.random.dropout(ones, self.dropout, seed=self.seed_generator)
            prepared["dropout_mask"] = dropout_mask
        return prepared

    def initial_state(self, memory: Tensor, padding_mask: Tensor | None = None) -> Tensors:
        """Return the states before the first step, each `(B, units)`.

        Args:
            memory: float tensor `(B, S, D)`.
            padding_mask: `(B, S)`, False at padding of the memory.
        """
        self._check_memory(memory, padding_mask)
        mask = ops.ones_like(memory[..., :1], "bool")
        if padding_mask is not None:
            mask = ops.cast(padding_mask, "bool")[..., None]
        count = ops.maximum(ops.sum(ops.cast(mask, "float32"), axis=1), 1.0)
        mean = ops.sum(ops.where(mask, ops.cast(memory, "float32"), 0.0), axis=1) / count
        initial = self.initial_dense(ops.cast(mean, self.compute_dtype))
        states = ops.split(initial, len(self.cell_states), axis=-1)
        return dict(zip(self.state_names, [*states, ops.zeros_like(states[0])], strict=False))

    def step(
        self,
        inputs: Tensor,
        states: Tensors,
        memory: Tensors,
        return_attention_scores: bool = False,
    ) -> Any:
        """Compute one step.

        Args:
            inputs: float tensor `(B, E)`.
            states: states before the step, as `initial_state` or the previous step returned
                them.
            memory: the result of `prepare`.
            return_attention_scores: whether to also return the attention weights.

        Returns:
            The output `(B, units)`, the states after the step, and with
            `return_attention_scores` the weights `(B, S)`.
        """

        def attend(hidden: Tensor) -> list[Tensor]:
            attended = self.attention.attend(
                hidden[:, None],
                memory["keys"],
                memory["values"],
                padding_mask=memory.get("padding_mask"),
                return_attention_scores=return_attention_scores,
            )
            return [x[:, 0] for x in (attended if return_attention_scores else [attended])]

        self._check_input_sizes(inputs=inputs)
        self._check_states(states)
        before = [states[name] for name in self.cell_states]
        if self.order == "bahdanau":
            context, *scores = attend(states["hidden"])
            hidden, after = self.recurrent_cell(ops.concatenate([inputs, context], -1), before)
            readout = [hidden, context, inputs]
        else:
            fed = [states["output"]] if self.input_feeding else []
            hidden, after = self.recurrent_cell(ops.concatenate([inputs, *fed], -1), before)
            context, *scores = attend(hidden)
            readout = [context, hidden]
        output = self.readout_dense(ops.concatenate(readout, axis=-1))
        if "dropout_mask" in memory:
            output = output * memory["dropout_mask"]
        return output, dict(zip(self.state_names, [*after, output], strict=False)), *scores

    def compute_output_shape(self, inputs_shape: Any, memory_shape: Any) -> tuple:
        return (*inputs_shape[:2], self.units)

    def compute_output_spec(
        self,
        inputs: Any,
        memory: Any,
        padding_mask: Any = None,
        initial_state: Any = None,
        return_state: bool = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
        memory_mask: Any = None,
    ) -> Any:
        self._check_sequences(inputs=inputs)
        self._check_memory(memory, padding_mask)
        batch, length, _ = inputs.shape

        def spec(*shape: int | None) -> keras.KerasTensor:
            return keras.KerasTensor(shape, dtype=self.compute_dtype)

        results: list[Any] = [spec(batch, length, self.units)]
        if return_state:
            results.append({name: spec(batch, self.units) for name in self.state_names})
        if return_attention_scores:
            results.append(spec(batch, length, memory.shape[1]))
        return tuple(results) if len(results) > 1 else results[0]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in _PLAIN_ARGUMENTS},
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
        }

    def _common_arguments(self) -> dict[str, Any]:
        return {
            "kernel_initializer": clone_initializer(self.kernel_initializer),
            "dtype": self.dtype_policy,
        }

    def _check_memory(self, memory: Any, padding_mask: Any) -> None:
        self._check_sequences(memory=memory)
        scores_shape = (memory.shape[0], None, memory.shape[1])
        check_key_masks(self.name, scores_shape, padding_mask=padding_mask)

    def _check_states(self, states: Tensors) -> None:
        if set(states) != set(self.state_names):
            raise ValueError(
                f"{self.name}: states must be a dict with the keys {self.state_names}, as the "
                f"method `initial_state` returns it. Received: keys {tuple(states)}."
            )


class _StepCell:
    """A cell for `keras.layers.RNN` that calls a function and has no weights."""

    state_size = 1  # required, but unused with an initial state

    def __init__(self, call: Callable[..., Any], compute_dtype: str) -> None:
        self.call, self.compute_dtype = call, compute_dtype

    def __call__(self, inputs: Tensor, states: Any) -> Any:
        return self.call(inputs, states)
