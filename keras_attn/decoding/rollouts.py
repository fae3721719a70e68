"""Greedy search and sampling, which extend each sequence independently."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_attn._types import Tensor
from keras_attn.decoding._loop import while_rows
from keras_attn.decoding._rules import (
    Constraints,
    Rules,
    check_arguments,
    check_filters,
    make_rules,
)
from keras_attn.decoding._top_k import stable_top_k
from keras_attn.decoding._top_k import top_k as largest
from keras_attn.decoding.hypotheses import Hypotheses
from keras_attn.decoding.restrictions import (
    Automaton,
    Restrictions,
    States,
    check_restrictions,
)
from keras_attn.decoding.step_model import State, StepModel
from keras_attn.ops import gather_beams

# From rules, rows, logits (B, K, V) and the index of the step to the next tokens, int32 (B, K), and
# their log-probabilities, float32 (B, K).
Choose = Callable[[Rules, "_Rows", Tensor, Tensor], tuple[Tensor, Tensor]]


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
    min_length: int = 0,
    no_repeat_ngram_size: int | None = None,
    automaton: Automaton | None = None,
) -> Hypotheses:
    """Extend each sequence by the likeliest token until that is the end token.

    Arguments and errors are those of `beam_search`. Returns one hypothesis per row.

    Example: see `StepModel`.
    """
    check_arguments(max_length, length_penalty)
    check_restrictions(min_length, no_repeat_ngram_size, max_length)
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
        restrictions=Restrictions(min_length, no_repeat_ngram_size, automaton),
    )
    return _roll_out(model, state, rules, 1, _likeliest)[0]


def sample(
    model: StepModel,
    source: Any,
    *,
    max_length: int | Tensor,
    start_id: int,
    end_id: int,
    seed: int | keras.random.SeedGenerator | None = None,
    uniform: Tensor | None = None,
    padding_id: int = 0,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    length_penalty: float = 1.0,
    num_return: int = 1,
    prefix: Tensor | None = None,
    row_max_length: Tensor | None = None,
    min_length: int = 0,
    no_repeat_ngram_size: int | None = None,
    automaton: Automaton | None = None,
) -> Hypotheses:
    """Sample each token from the model's distribution, `num_return` sequences per row.

    The sequences of a row are independent, and returned best first. Their log-probabilities
    are the model's own, at temperature 1 and over all tokens.

    Args:
        model: a `StepModel`; `reorder` is not called.
        source: the argument of `model.start`.
        max_length: largest number of tokens before the end token, at least 1.
        start_id: the token at position 0.
        end_id: the token that ends a sequence.
        seed: an integer, which repeats the same sequences, or a
            `keras.random.SeedGenerator`, which draws others in every call.
        uniform: random numbers in place of a seed, float `(B, num_return, max_length + 1)` in
            [0, 1): one for each token.
        padding_id: the token that fills up sequences.
        temperature: positive number that divides the logits.
        top_k: number of likeliest tokens to draw from; None is all.
        top_p: draw from the smallest set of likeliest tokens whose probability is at least
            this, in (0, 1] (Holtzman et al., arXiv:1904.09751). It applies after the
            temperature, and within the `top_k`. Without `top_k` it sorts the vocabulary.
        length_penalty: see `beam_search`.
        num_return: number of sequences to draw for each row.
        prefix: see `beam_search`.
        row_max_length: see `beam_search`.
        min_length: see `beam_search`.
        no_repeat_ngram_size: see `beam_search`.
        automaton: see `beam_search`.

    Returns:
        `Hypotheses` with `num_return` sequences per row.

    Raises:
        ValueError: an argument is out of its range, or has a wrong shape.

    Example:

    >>> class Coin:
    ...     def start(self, source, num_beams, length):
    ...         return source
    ...
    ...     def step(self, ids, state, index):
    ...         chances = ops.convert_to_tensor([0.0, 0.2, 0.4, 0.4])
    ...         return ops.broadcast_to(ops.log(chances), (*ops.shape(ids), 4)), state
    >>> samples = sample(Coin(), ops.ones((1,)), max_length=9, start_id=0, end_id=1, seed=3)
    >>> tuple(samples.ids.shape)
    (1, 1, 10)
    """
    check_arguments(max_length, length_penalty, num_return=num_return)
    check_restrictions(min_length, no_repeat_ngram_size, max_length)
    check_filters(temperature, top_k, top_p)
    if (seed is None) == (uniform is None):
        raise ValueError(
            "`seed` must be an integer or a `keras.random.SeedGenerator`, unless `uniform` numbers "
            f"are passed in its place. Received: {'neither' if seed is None else 'both'}."
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
        restrictions=Restrictions(min_length, no_repeat_ngram_size, automaton),
    )
    # One number per token, drawn before the loop: dropping rows then changes no draw.
    if uniform is None:
        uniform = keras.random.uniform((rules.batch_size, num_return, rules.length), seed=seed)

    def draw(rules: Rules, rows: _Rows, logits: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        choices, log_total = rules.choices(logits, index, rows.ids, rows.states)
        number = ops.reshape(ops.take(rows.constraints["uniform"], index, axis=2), (-1, 1))
        choices = ops.reshape(choices, (-1, logits.shape[-1]))
        if top_k is None and top_p is None:
            tokens = _draw(choices / temperature, number, None)
            drawn = gather_beams(choices, tokens)
        else:
            choices, tokens = largest(choices, min(top_k or logits.shape[-1], logits.shape[-1]))
            position = _draw(choices / temperature, number, top_p)
            drawn, tokens = gather_beams((choices, tokens), position)
        shape = (-1, num_return)
        return ops.reshape(tokens, shape), ops.reshape(drawn, shape) - log_total

    return _roll_out(model, state, rules, num_return, draw, uniform=uniform)[0]


def _draw(logits: Tensor, number: Tensor, top_p: float | None) -> Tensor:
    """Return the position in logits `(R, V)` that a uniform number selects, int32 `(R, 1)`.

    It is where the cumulative probability exceeds the number. Probabilities are relative to the
    likeliest. With `top_p` the logits must be in descending order.
    """
    probabilities = ops.exp(logits - ops.max(logits, axis=-1, keepdims=True))
    if top_p is not None:
        before = ops.cumsum(probabilities, axis=-1) - probabilities
        total = ops.sum(probabilities, axis=-1, keepdims=True)
        probabilities = ops.where(before < top_p * total, probabilities, 0.0)
    # A parallel sum may increase by rounding, which must not select a token of probability 0.
    cumulative = ops.where(probabilities > 0.0, ops.cumsum(probabilities, axis=-1), 0.0)
    target = number * ops.max(cumulative, axis=-1, keepdims=True)
    position = ops.argmax(ops.cast(cumulative > target, "int32"), axis=-1)
    return ops.cast(position, "int32")[:, None]


def _likeliest(rules: Rules, rows: "_Rows", logits: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    tokens, log_probabilities = rules.best(logits, index, 1, rows.ids, rows.states)
    return tokens[..., 0], log_probabilities[..., 0]


class _Rows(NamedTuple):
    """The sequences of each row, and the state of the model."""

    constraints: Constraints  # with "uniform", float32 (B, K, length), for sampling
    ended: Tensor  # bool (B, K)
    last: Tensor  # int32 (B, K), the last tokens
    ids: Tensor  # int32 (B, K, length)
    log_probabilities: Tensor  # float32 (B, K)
    states: States
    state: State


def _roll_out(
    model: StepModel,
    state: State,
    batch_rules: Rules,
    count: int,
    choose: Choose,
    **constraints: Tensor,
) -> tuple[Hypotheses, Tensor]:
    """Extend `count` sequences per row by tokens from `choose`.

    Returns:
        A pair: the hypotheses, and the number of steps.
    """

    def body(index: Tensor, rows: _Rows) -> _Rows:
        rules, ended = batch_rules.for_rows(rows.constraints), rows.ended
        logits, state = model.step(rows.last, rows.state, index)
        tokens, log_probability = choose(rules, rows, logits, index)
        total = rows.log_probabilities
        total = ops.where(ended, total, total + log_probability)
        ids = rules.write(rows.ids, ops.where(ended, rules.padding_id, tokens), index)
        ends_now = ops.logical_or(tokens == rules.end_id, total == -float("inf"))
        ended = ops.logical_or(ended, ends_now)
        last = ops.where(ended, rules.end_id, tokens)
        return rows._replace(
            ended=ended,
            last=last,
            ids=ids,
            log_probabilities=total,
            states=rules.restrictions.advance(rows.states, tokens),
            state=state,
        )

    shape = (batch_rules.batch_size, count)
    rows = _Rows(
        constraints={**batch_rules.constraints, **constraints},
        ended=ops.zeros(shape, "bool"),
        last=ops.full(shape, batch_rules.start_id, dtype="int32"),
        ids=ops.full((*shape, batch_rules.length), batch_rules.padding_id, dtype="int32"),
        log_probabilities=ops.zeros(shape, "float32"),
        states=batch_rules.restrictions.start(shape),
        state=state,
    )
    (ids, log_probabilities), steps = while_rows(
        lambda rows: ops.logical_not(ops.all(rows.ended, axis=1)),
        body,
        lambda rows: (rows.ids, rows.log_probabilities),
        rows,
        batch_rules.length,
    )
    return _rank(batch_rules, ids, log_probabilities), steps


def _rank(rules: Rules, ids: Tensor, log_probabilities: Tensor) -> Hypotheses:
    """Return sequences as hypotheses, best first; those without an allowed token are padding."""
    ids = ops.where(ops.isfinite(log_probabilities)[..., None], ids, rules.padding_id)
    tokens = ops.sum(ops.cast(ids != rules.padding_id, "int32"), axis=-1)
    scores, order = stable_top_k(rules.score(log_probabilities, tokens), ids.shape[1])
    ids, log_probabilities = gather_beams((ids, log_probabilities), order)
    return Hypotheses(ids, log_probabilities, scores)
