"""Beam search."""

import dataclasses
from typing import Any, NamedTuple

from keras import ops

from keras_attn._types import Tensor
from keras_attn.decoding._loop import while_rows
from keras_attn.decoding._rules import Constraints, Rules, check_arguments, make_rules
from keras_attn.decoding._top_k import stable_top_k
from keras_attn.decoding.hypotheses import Hypotheses
from keras_attn.decoding.restrictions import (
    Automaton,
    Restrictions,
    States,
    check_restrictions,
)
from keras_attn.decoding.rollouts import greedy
from keras_attn.decoding.step_model import State, StepModel
from keras_attn.ops import gather_beams


def beam_search(
    model: StepModel,
    source: Any,
    *,
    num_beams: int = 4,
    max_length: int | Tensor,
    start_id: int,
    end_id: int,
    padding_id: int = 0,
    length_penalty: float = 1.0,
    num_return: int = 1,
    prefix: Tensor | None = None,
    row_max_length: Tensor | None = None,
    min_length: int = 0,
    no_repeat_ngram_size: int | None = None,
    automaton: Automaton | None = None,
    score_last_end: bool = True,
) -> Hypotheses:
    """Search for the token sequences of the highest scores with `num_beams` beams.

    Each step considers the `2 * num_beams` likeliest continuations of a row's beams. Those
    that end are saved if they are among the `num_return` best of the row so far; the
    `num_beams` likeliest others become the new beams. A row is finished when none of its
    beams could still exceed the saved scores, even if all further tokens had probability 1.
    One beam is greedy search. Among equal continuations the lower beam comes first, then the
    lower token.

    Args:
        model: a `StepModel`.
        source: the argument of `model.start`; the batch is that of the state it returns.
        num_beams: number of beams, `K`.
        max_length: largest number of tokens before the end token, at least 1. A sequence of
            that length is completed by the end token. On TensorFlow it may be an int32 scalar,
            such as one that depends on the source.
        start_id: the token at position 0. It is not generated, and not returned.
        end_id: the token that ends a sequence.
        padding_id: the token that fills up sequences. It is not generated.
        length_penalty: 0 or positive; see `Hypotheses.scores`.
        num_return: number of sequences to return, `n`, at most `num_beams`.
        prefix: int32 `(B, P)`, tokens with which the sequences of each row must begin, padded
            by `padding_id`. Their log-probabilities count.
        row_max_length: int32 `(B,)`, lowers `max_length` of each row, to no less than its
            prefix, so that its result does not depend on the other rows.
        min_length: smallest number of tokens before the end token, prefix included. The largest
            number of a row comes first.
        no_repeat_ngram_size: no n-gram of this size occurs twice in a sequence, except within
            the prefix.
        automaton: bans tokens by those before them, see `Automaton`. A row for which nothing is
            left to choose has no hypothesis.
        score_last_end: whether the log-probability of the end token that completes a sequence of
            `max_length` tokens counts. False ranks a text that is cut off by its tokens alone.

    Returns:
        `Hypotheses` with `n` sequences per row.

    Raises:
        ValueError: an argument is out of its range, or has a wrong shape.

    Example:

    >>> class Bigrams:
    ...     def start(self, source, num_beams, length):
    ...         return ops.convert_to_tensor(source, "float32")  # logits (B, V, V)
    ...
    ...     def step(self, ids, state, index):
    ...         return ops.take_along_axis(state, ids[..., None], axis=1), state
    ...
    ...     def reorder(self, state, parents):
    ...         return state
    >>> table = ops.log([[[0, 0, 0.4, 0.6], [0, 0, 0, 0], [0, 1, 0, 0], [0, 0.5, 0.5, 0]]])
    >>> ids = {"start_id": 0, "end_id": 1}
    >>> best = beam_search(Bigrams(), table, num_beams=2, max_length=2, num_return=2, **ids)
    >>> ops.convert_to_numpy(best.ids).tolist()
    [[[2, 1, 0], [3, 2, 1]]]
    >>> print(ops.convert_to_numpy(ops.exp(best.log_probabilities)).round(2))
    [[0.4 0.3]]
    """
    check_arguments(max_length, length_penalty, num_beams=num_beams, num_return=num_return)
    if num_return > num_beams:
        raise ValueError(
            f"`num_return` must be at most `num_beams` = {num_beams}. Received: {num_return}. "
            "Use more beams."
        )
    shared: dict[str, Any] = {
        "max_length": max_length,
        "start_id": start_id,
        "end_id": end_id,
        "padding_id": padding_id,
        "length_penalty": length_penalty,
        "prefix": prefix,
        "row_max_length": row_max_length,
    }
    if num_beams == 1:
        return greedy(
            model,
            source,
            min_length=min_length,
            no_repeat_ngram_size=no_repeat_ngram_size,
            automaton=automaton,
            **shared,
        )
    check_restrictions(min_length, no_repeat_ngram_size, max_length)
    restrictions = Restrictions(min_length, no_repeat_ngram_size, automaton)
    state = model.start(source, num_beams, max_length + 1)
    rules = make_rules(state, restrictions=restrictions, **shared)
    rules = dataclasses.replace(rules, score_last_end=score_last_end)
    return _search(model, state, rules, num_beams, num_return)[0]


class _Beams(NamedTuple):
    """Unfinished sequences."""

    last: Tensor  # int32 (B, K), their last tokens
    ids: Tensor  # int32 (B, K, length)
    log_probabilities: Tensor  # float32 (B, K)
    states: States


class _Rows(NamedTuple):
    """The state of the search of each row."""

    constraints: Constraints
    finished: Tensor  # bool (B,)
    beams: _Beams
    best: Hypotheses  # complete sequences, (B, num_return)
    state: State


def _search(
    model: StepModel, state: State, batch_rules: Rules, num_beams: int, num_return: int
) -> tuple[Hypotheses, Tensor]:
    """Return the best hypotheses, and the number of steps."""

    def body(index: Tensor, rows: _Rows) -> _Rows:
        constraints, finished, beams, best, state = rows
        rules = batch_rules.for_rows(constraints)
        logits, state = model.step(beams.last, state, index)
        tokens, log_probabilities, parents = _continuations(rules, logits, beams, index)
        is_end = tokens == rules.end_id
        sequences = rules.write(gather_beams(beams.ids, parents), tokens, index)
        complete = ops.where(is_end, log_probabilities, -float("inf"))
        new = Hypotheses(sequences, complete, rules.score(complete, index + 1))
        best = _where(finished, best, _best_of_both(best, new, num_return))

        incomplete = ops.where(is_end, -float("inf"), log_probabilities)
        incomplete, order = stable_top_k(incomplete, num_beams)
        last, sequences, parents = gather_beams((tokens, sequences, parents), order)
        state = model.reorder(state, parents)
        states = rules.restrictions.advance(gather_beams(beams.states, parents), last)
        # The largest score that a beam can reach: all further tokens have probability 1, and the
        # penalty is the largest.
        bound = rules.score(incomplete[:, 0], rules.limits + 1)
        finished = ops.logical_or(finished, bound <= best.scores[:, -1])
        beams = _Beams(last, sequences, incomplete, states)
        return _Rows(constraints, finished, beams, best, state)

    rows = _Rows(
        batch_rules.constraints,
        ops.zeros((batch_rules.batch_size,), "bool"),
        _initial_beams(batch_rules, num_beams),
        _initial_hypotheses(batch_rules, num_return),
        state,
    )
    return while_rows(
        lambda rows: ops.logical_not(rows.finished),
        body,
        lambda rows: rows.best,
        rows,
        batch_rules.length,
    )


def _continuations(
    rules: Rules, logits: Tensor, beams: _Beams, index: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the `2 K` likeliest tokens, their log-probabilities and parents, each `(B, 2 K)`.

    `2 K` of each beam suffice for these, so each beam is searched alone first. At least `K` of
    them are not the end token, since each beam has one continuation that ends.
    """
    num_beams = beams.last.shape[1]
    tokens, log_probabilities = rules.best(logits, index, 2 * num_beams, beams.ids, beams.states)
    log_probabilities = beams.log_probabilities[..., None] + log_probabilities
    width = tokens.shape[2]
    flat = (-1, num_beams * width)
    best, order = stable_top_k(ops.reshape(log_probabilities, flat), 2 * num_beams)
    tokens = gather_beams(ops.reshape(tokens, flat), order)
    return tokens, best, order // width


def _best_of_both(best: Hypotheses, new: Hypotheses, count: int) -> Hypotheses:
    """Return the `count` hypotheses of the highest scores of each row."""
    pairs = zip(best, new, strict=True)
    both = Hypotheses(*(ops.concatenate(pair, axis=1) for pair in pairs))
    _, order = stable_top_k(both.scores, count)
    return gather_beams(both, order)


def _where(rows: Tensor, a: Hypotheses, b: Hypotheses) -> Hypotheses:
    """Return the hypotheses of `a` in the rows where `rows` is True, else those of `b`."""

    def select(x: Tensor, y: Tensor) -> Tensor:
        return ops.where(ops.reshape(rows, (-1,) + (1,) * (len(x.shape) - 1)), x, y)

    return Hypotheses(*(select(x, y) for x, y in zip(a, b, strict=True)))


def _initial_beams(rules: Rules, num_beams: int) -> _Beams:
    """Return the start token in the first beam alone, or all beams would stay equal."""
    shape = (rules.batch_size, num_beams)
    first = ops.where(ops.arange(num_beams, dtype="int32") == 0, 0.0, -float("inf"))
    return _Beams(
        ops.full(shape, rules.start_id, dtype="int32"),
        ops.full((*shape, rules.length), rules.padding_id, dtype="int32"),
        ops.broadcast_to(ops.cast(first, "float32"), shape),
        rules.restrictions.start(shape),
    )


def _initial_hypotheses(rules: Rules, count: int) -> Hypotheses:
    """Return `count` hypotheses of padding for each row, of score `-inf`."""
    shape = (rules.batch_size, count)
    return Hypotheses(
        ops.full((*shape, rules.length), rules.padding_id, dtype="int32"),
        ops.full(shape, -float("inf"), dtype="float32"),
        ops.full(shape, -float("inf"), dtype="float32"),
    )
