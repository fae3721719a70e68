"""Sequences that grow alone: the likeliest token at every step, or one drawn at random."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_attn.decoding._loop import while_rows
from keras_attn.decoding._rules import Rules, check_arguments, check_filters, make_rules
from keras_attn.decoding._top_k import stable_top_k
from keras_attn.decoding._top_k import top_k as best
from keras_attn.decoding.hypotheses import Hypotheses
from keras_attn.decoding.step_model import State, StepModel
from keras_attn.ops import gather_beams

Tensor = Any
Given = dict[str, Tensor]
# From rules, what is given of rows, logits (B, K, V) and the position before to tokens, int32
# (B, K), and their log-probabilities, float32 (B, K).
Choose = Callable[[Rules, Given, Tensor, Tensor], tuple[Tensor, Tensor]]


def greedy(
    model: StepModel,
    source: Any,
    *,
    max_length: int | Tensor,
    start_id: int,
    end_id: int,
    padding_id: int = 0,
    length_penalty: float = 1.0,
    prefix: Tensor | None = None,
    row_max_length: Tensor | None = None,
) -> Hypotheses:
    """Take the likeliest token at every step, until it is the end token.

    Arguments and errors are those of `beam_search`; one hypothesis a row is returned.

    Example: see `StepModel`.
    """
    check_arguments(max_length, length_penalty)
    state = model.start(source, 1, max_length + 1)
    rules = make_rules(
        state,
        max_length=max_length,
        start_id=start_id,
        end_id=end_id,
        padding_id=padding_id,
        length_penalty=length_penalty,
        prefix=prefix,
        row_max_length=row_max_length,
    )
    return _roll_out(model, state, rules, 1, _likeliest)[0]


def sample(
    model: StepModel,
    source: Any,
    *,
    max_length: int | Tensor,
    start_id: int,
    end_id: int,
    seed: int | keras.random.SeedGenerator,
    padding_id: int = 0,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    length_penalty: float = 1.0,
    num_return: int = 1,
    prefix: Tensor | None = None,
    row_max_length: Tensor | None = None,
) -> Hypotheses:
    """Draw every token from the model's distribution, `num_return` sequences a row.

    They are independent of each other, and returned best first. Their log-probabilities
    are the model's own: at temperature 1, with nothing left out.

    Args:
        model: any `StepModel`; `reorder` is not called.
        source: what `model.start` takes.
        max_length: most tokens before the end token, at least 1.
        start_id: the token at position 0.
        end_id: the token that ends a sequence.
        seed: an integer, which gives the same sequences again, or a
            `keras.random.SeedGenerator`, which gives others at every call.
        padding_id: what follows the end token.
        temperature: positive number that divides the logits.
        top_k: draw from that many likeliest tokens only.
        top_p: draw from the fewest likeliest tokens only that together have at least this
            probability, in (0, 1] (Holtzman et al., arXiv:1904.09751). It is counted after
            the temperature, and among the `top_k`. Without `top_k` it sorts the vocabulary.
        length_penalty: as in `beam_search`.
        num_return: how many to draw for every row.
        prefix: as in `beam_search`.
        row_max_length: as in `beam_search`.

    Raises:
        ValueError: an argument is out of its range, or of a wrong shape.

    Example:

    >>> class Coin:
    ...     def start(self, source, num_beams, length):
    ...         return source
    ...
    ...     def step(self, ids, state, index):
    ...         chances = ops.convert_to_tensor([0.0, 0.2, 0.4, 0.4])
    ...         return ops.broadcast_to(ops.log(chances), (*ops.shape(ids), 4)), state
    >>> found = sample(Coin(), ops.ones((1,)), max_length=9, start_id=0, end_id=1, seed=3)
    >>> tuple(found.ids.shape)
    (1, 1, 10)
    """
    check_arguments(max_length, length_penalty, num_return=num_return)
    check_filters(temperature, top_k, top_p)
    if seed is None:
        raise ValueError(
            "`seed` must be an integer or a `keras.random.SeedGenerator`. Received: None."
        )
    top_p = None if top_p == 1.0 else top_p
    state = model.start(source, num_return, max_length + 1)
    rules = make_rules(
        state,
        max_length=max_length,
        start_id=start_id,
        end_id=end_id,
        padding_id=padding_id,
        length_penalty=length_penalty,
        prefix=prefix,
        row_max_length=row_max_length,
    )
    numbers = keras.random.uniform((rules.batch, num_return, rules.length), seed=seed)

    def draw(rules: Rules, given: Given, logits: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        choices, log_total = rules.choices(logits, index)
        number = ops.reshape(ops.take(given["numbers"], index, axis=2), (-1, 1))
        choices = ops.reshape(choices, (-1, logits.shape[-1]))
        if top_k is None and top_p is None:
            tokens = _draw(choices / temperature, number, None)
            chosen = gather_beams(choices, tokens)
        else:
            choices, tokens = best(choices, min(top_k or logits.shape[-1], logits.shape[-1]))
            position = _draw(choices / temperature, number, top_p)
            chosen, tokens = gather_beams((choices, tokens), position)
        shape = (-1, num_return)
        return ops.reshape(tokens, shape), ops.reshape(chosen, shape) - log_total

    return _roll_out(model, state, rules, num_return, draw, numbers=numbers)[0]


def _draw(logits: Tensor, number: Tensor, top_p: float | None) -> Tensor:
    """int32 `(R, 1)`: where in logits `(R, V)` the cumulated probability passes `number`.

    With `top_p` the logits must descend. Probabilities are relative to the likeliest.
    """
    probabilities = ops.exp(logits - ops.max(logits, axis=-1, keepdims=True))
    if top_p is not None:
        before = ops.cumsum(probabilities, axis=-1) - probabilities
        total = ops.sum(probabilities, axis=-1, keepdims=True)
        probabilities = ops.where(before < top_p * total, probabilities, 0.0)
    # A parallel sum may rise by a rounding alone: what is impossible must not be hit by it.
    cumulated = ops.where(probabilities > 0.0, ops.cumsum(probabilities, axis=-1), 0.0)
    target = number * ops.max(cumulated, axis=-1, keepdims=True)
    position = ops.argmax(ops.cast(cumulated > target, "int32"), axis=-1)
    return ops.cast(position, "int32")[:, None]


def _likeliest(rules: Rules, given: Given, logits: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    tokens, log_probabilities = rules.best(logits, index, 1)
    return tokens[..., 0], log_probabilities[..., 0]


class _Rows(NamedTuple):
    """What a roll-out knows of each row, and of the sequences in it."""

    given: Given  # see `Rules.given`; and perhaps numbers in [0, 1), float32 (B, K, length)
    ended: Tensor  # bool (B, K)
    last: Tensor  # int32 (B, K)
    ids: Tensor  # int32 (B, K, length)
    total: Tensor  # float32 (B, K)
    state: State


def _roll_out(
    model: StepModel,
    state: State,
    all_rules: Rules,
    count: int,
    choose: Choose,
    **given: Tensor,
) -> tuple[Hypotheses, Tensor]:
    """Let `choose` pick every token: what came of it, and in how many steps."""

    def body(index: Tensor, rows: _Rows) -> _Rows:
        rules, ended = all_rules.of_rows(rows.given), rows.ended
        logits, state = model.step(rows.last, rows.state, index)
        chosen, log_probability = choose(rules, rows.given, logits, index)
        total = ops.where(ended, rows.total, rows.total + log_probability)
        ids = rules.write(rows.ids, ops.where(ended, rules.padding_id, chosen), index)
        over = ops.logical_or(chosen == rules.end_id, total == -float("inf"))
        ended = ops.logical_or(ended, over)
        last = ops.where(ended, rules.end_id, chosen)
        return rows._replace(ended=ended, last=last, ids=ids, total=total, state=state)

    shape, start, padding = (all_rules.batch, count), all_rules.start_id, all_rules.padding_id
    rows = _Rows(
        given={**all_rules.given, **given},
        ended=ops.zeros(shape, "bool"),
        last=ops.full(shape, start, dtype="int32"),
        ids=ops.full((*shape, all_rules.length), padding, dtype="int32"),
        total=ops.zeros(shape, "float32"),
        state=state,
    )
    (ids, total), steps = while_rows(
        lambda rows: ops.logical_not(ops.all(rows.ended, axis=1)),
        body,
        lambda rows: (rows.ids, rows.total),
        rows,
        all_rules.length,
    )
    return _ranked(all_rules, ids, total), steps


def _ranked(rules: Rules, ids: Tensor, total: Tensor) -> Hypotheses:
    """Best first. A sequence that came to a point with nothing to choose is none."""
    ids = ops.where(ops.isfinite(total)[..., None], ids, rules.padding_id)
    tokens = ops.sum(ops.cast(ids != rules.padding_id, "int32"), axis=-1)
    scores, order = stable_top_k(rules.score(total, tokens), ids.shape[1])
    ids, total = gather_beams((ids, total), order)
    return Hypotheses(ids, total, scores)
