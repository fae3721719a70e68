"""A recurrent decoder that attends over a memory, step by step."""

from collections.abc import Callable
from typing import Any

import keras
from keras import initializers, ops

from keras_attn.layers._sublayers import PACKAGE, choice, fresh, positive, rank, rate
from keras_attn.layers.attention import Attention, check_score
from keras_attn.ops import masks, normalizers

Tensor = Any
Tensors = dict[str, Tensor]

SCORES = {"bahdanau": "additive", "luong": "bilinear"}
CELLS = {"gru": keras.layers.GRUCell, "lstm": keras.layers.LSTMCell}


@keras.saving.register_keras_serializable(package=PACKAGE)
class AttentionDecoder(keras.layers.Layer):
    """Recurrent decoder with attention over a memory, such as an encoder's outputs.

    With `s` the cell's state, `c` the context (what attention gives) and `x` the input,

    - `order="bahdanau"` (Bahdanau et al., arXiv:1409.0473): the previous state attends,
      `s' = cell([x; c], s)`, and the output is `tanh(W [s'; c; x] + b)`;
    - `order="luong"` (Luong et al., arXiv:1508.04025): `s' = cell([x; o], s)` with `o`
      the previous output, `s'` attends, and the output is `tanh(W [c; s'] + b)`.

    A call loops over `step`, which a search calls by itself: `memory = prepare(encoded,
    mask)` and `states = initial_state(encoded, mask)` once a sequence, then `output,
    states = step(inputs, states, memory)`. Both are dicts with the batch on axis 0, for a
    beam to reorder. The initial state is `tanh(W mean + b)` of the mean over the real
    memory (Sennrich et al., arXiv:1703.04357).

    Args:
        units: size of the state and of the output.
        order: `"bahdanau"` or `"luong"`.
        cell: `"gru"` or `"lstm"`.
        score: as in `Attention`; None is `"additive"`, in Luong's order `"bilinear"`.
        attention_units: `units` of an additive score; None is `units`.
        input_feeding: whether, in Luong's order, the previous output enters the cell.
        normalizer: `"softmax"` or another of `keras_attn.ops.NORMALIZERS`.
        temperature: positive number that divides the scores.
        dropout: rate at which features of the output are dropped in training, the same
            at every step of a sequence (Gal and Ghahramani, arXiv:1512.05287).
        kernel_initializer: initializer of all kernels but the recurrent, orthogonal one.
        seed: integer that makes the dropout repeatable.

    Call arguments:
        inputs: float tensor `(B, T, E)`; every step is taken, so padding goes to the end.
        memory: float tensor `(B, S, D)`.
        padding_mask: `(B, S)`, True where the memory is real. None takes the mask that
            Keras attached to `memory`, if there is one.
        initial_state: a dict as from the method `initial_state`; None calls it.
        return_state: also return the states after the last step.
        return_attention_scores: also return the weights `(B, T, S)`.

    Returns:
        Tensor `(B, T, units)`, then the states and the weights, if asked for. The output
        carries the mask of `inputs` on; no mask is altered.

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
        positive(self, units=units)
        choice(self, SCORES, order=order)
        choice(self, CELLS, cell=cell)
        score = SCORES[order] if score is None else score
        if score == "additive" and attention_units is None:
            attention_units = units
        check_score(self, score, temperature, attention_units=attention_units)
        if order == "bahdanau" and not input_feeding:
            raise ValueError(
                f"AttentionDecoder: `input_feeding` received {input_feeding!r}, but "
                'order="bahdanau" always feeds the context to the cell. Use order="luong".'
            )
        rate(self, dropout=dropout)
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
        rank(self, 3, "(batch, length, features)", inputs=inputs_shape, memory=memory_shape)
        features, context = inputs_shape[-1], memory_shape[-1]
        self.attention = Attention(
            self.score,
            units=self.attention_units,
            normalizer=self.normalizer,
            temperature=self.temperature,
            name="attention",
            **self._common(),
        )
        self.recurrent_cell = CELLS[self.cell](self.units, name="cell", **self._common())
        self.readout_dense = keras.layers.Dense(
            self.units, activation="tanh", name="readout", **self._common()
        )
        self.initial_dense = keras.layers.Dense(
            self.units * len(self.cell_states), activation="tanh", name="initial", **self._common()
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
        memory_mask: Tensor | None = None,  # Keras fills this in from the tensor
    ) -> Any:
        padding_mask = memory_mask if padding_mask is None else padding_mask
        if initial_state is None:
            initial_state = self.initial_state(memory, padding_mask)
        prepared = self.prepare(memory, padding_mask, training)

        def step(x: Tensor, states: Any) -> tuple[Tensor, list[Tensor]]:
            named = dict(zip(self.state_names, states, strict=True))
            output, named, *scores = self.step(x, named, prepared, return_attention_scores)
            joined = ops.concatenate([output, *scores], axis=-1) if scores else output
            return joined, [named[name] for name in self.state_names]

        # Keras's own loop: the gradient of `ops.scan` fails under XLA on TensorFlow.
        cell = _StepCell(step, self.compute_dtype)
        rnn = keras.layers.RNN(
            cell, return_sequences=True, return_state=True, dtype=self.dtype_policy
        )
        self._check_states(initial_state)
        states = [initial_state[name] for name in self.state_names]
        # Times 1 gives a tensor without Keras's mask, which would make the loop skip steps.
        joined, *states = rnn(inputs * 1, initial_state=states)
        results: list[Any] = [joined[..., : self.units]]
        if return_state:
            results.append(dict(zip(self.state_names, states, strict=True)))
        if return_attention_scores:
            results.append(joined[..., self.units :])
        return tuple(results) if len(results) > 1 else results[0]

    def prepare(
        self, memory: Tensor, padding_mask: Tensor | None = None, training: bool | None = None
    ) -> Tensors:
        """What `step` wants to know of the memory `(B, S, D)`, once a sequence."""
        memory = ops.cast(memory, self.compute_dtype)
        prepared = {"keys": self.attention.project_keys(memory), "values": memory}
        if padding_mask is not None:
            prepared["mask"] = masks.padding_mask(padding_mask)
        if self.dropout and training:
            ones = ops.ones((ops.shape(memory)[0], self.units), memory.dtype)
            prepared["kept"] = keras.random.dropout(ones, self.dropout, seed=self.seed_generator)
        return prepared

    def initial_state(self, memory: Tensor, padding_mask: Tensor | None = None) -> Tensors:
        """The states before the first step, each `(B, units)`."""
        real = ops.ones_like(memory[..., :1], "bool")
        if padding_mask is not None:
            real = ops.cast(padding_mask, "bool")[..., None]
        count = ops.maximum(ops.sum(ops.cast(real, "float32"), axis=1), 1.0)
        mean = ops.sum(ops.where(real, ops.cast(memory, "float32"), 0.0), axis=1) / count
        learned = self.initial_dense(ops.cast(mean, self.compute_dtype))
        states = ops.split(learned, len(self.cell_states), axis=-1)
        return dict(zip(self.state_names, [*states, ops.zeros_like(states[0])], strict=False))

    def step(
        self,
        inputs: Tensor,
        states: Tensors,
        memory: Tensors,
        return_attention_scores: bool = False,
    ) -> Any:
        """One step, the one that a call repeats.

        From inputs `(B, E)`, the states before, and what `prepare` gave, to the output
        `(B, units)`, the states after, and the weights `(B, S)` if asked for.
        """

        def attend(hidden: Tensor) -> list[Tensor]:
            keys, values, mask = memory["keys"], memory["values"], memory.get("mask")
            query, asked = hidden[:, None], return_attention_scores
            attended = self.attention.attend(query, keys, values, mask, asked)
            return [x[:, 0] for x in (attended if asked else [attended])]

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
        output = output * memory["kept"] if "kept" in memory else output
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
        names = ("units", "order", "cell", "score", "attention_units", "input_feeding")
        more = ("normalizer", "temperature", "dropout", "seed")
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in (*names, *more)},
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
        }

    def _common(self) -> dict[str, Any]:
        return {"kernel_initializer": fresh(self.kernel_initializer), "dtype": self.dtype_policy}

    def _check_states(self, states: Tensors) -> None:
        if set(states) != set(self.state_names):
            raise ValueError(
                f"{self.name}: states are a dict with the keys {self.state_names}, as the method "
                f"`initial_state` makes it. Received: keys {tuple(states)}."
            )


class _StepCell:
    """What `keras.layers.RNN` asks of a cell, around a function without weights."""

    state_size = 1  # of no use, where the initial state is given

    def __init__(self, call: Callable[..., Any], compute_dtype: str) -> None:
        self.call, self.compute_dtype = call, compute_dtype

    def __call__(self, inputs: Tensor, states: Any) -> Any:
        return self.call(inputs, states)
