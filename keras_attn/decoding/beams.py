"""Beam search."""

from typing import Any, NamedTuple

from keras import ops

from keras_attn.decoding._loop import while_rows
from keras_attn.decoding._rules import Rules, check_arguments, make_rules
from keras_attn.decoding._top_k import stable_top_k
from keras_attn.decoding.hypotheses import Hypotheses
from keras_attn.decoding.rollouts import greedy
from keras_attn.decoding.step_model import State, StepModel
from keras_attn.ops import gather_beams

Tensor = Any


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
) -> Hypotheses:
    """Search for the best-scored token sequences, `num_beams` at a time.

    At every step the `2 * num_beams` likeliest continuations of a row's beams are looked
    at: those that end are kept if they are among its `num_return` best so far, and the
    `num_beams` likeliest others go on. A row is done when none of its beams could still
    score above what it keeps, even if all that followed were certain; the loop ends with
    the last row. One beam is the greedy search. Equal continuations are taken by the lower
    beam, then the lower token.

    Args:
        model: any `StepModel`.
        source: what `model.start` takes; the batch is that of the state it returns.
        num_beams: K, sequences that go on at a time.
        max_length: most tokens before the end token, at least 1. A sequence that has them
            is closed by the end token, whose log-probability counts as any other. On
            TensorFlow it may be an int32 scalar, such as one that depends on the source.
        start_id: the token at position 0. It is not generated, and not returned.
        end_id: the token that ends a sequence.
        padding_id: what follows the end token. It is not generated.
        length_penalty: 0 or positive; see `Hypotheses.scores`.
        num_return: how many to return, `n`, at most `num_beams`.
        prefix: int32 `(B, P)`, tokens that the sequences of a row must begin with, followed
            by `padding_id`. Their log-probabilities count.
        row_max_length: int32 `(B,)`, lowers `max_length` in every row, so that what is found
            for it does not depend on the others; to no less than its prefix.

    Raises:
        ValueError: an argument is out of its range, or of a wrong shape.

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
    >>> found = beam_search(Bigrams(), table, num_beams=2, max_length=2, num_return=2, **ids)
    >>> ops.convert_to_numpy(found.ids).tolist()
    [[[2, 1, 0], [3, 2, 1]]]
    >>> print(ops.convert_to_numpy(ops.exp(found.log_probabilities)).round(2))
    [[0.4 0.3]]
    """
    check_arguments(max_length, length_penalty, num_beams=num_beams, num_return=num_return)
    if num_return > num_beams:
        raise ValueError(
            f"`num_return` must be at most `num_beams` = {num_beams}. Received: {num_return}. "
            "Search with more beams."
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
        return greedy(model, source, **shared)
    state = model.start(source, num_beams, max_length + 1)
    rules = make_rules(state, **shared)
    return _search(model, state, rules, num_beams, num_return)[0]


class _Live(NamedTuple):
    """Beams that go on."""

    last: Tensor  # int32 (B, K), their last tokens
    ids: Tensor  # int32 (B, K, length)
    log_probabilities: Tensor  # float32 (B, K)


class _Rows(NamedTuple):
    """What a search knows of each row."""

    given: dict[str, Tensor]  # see `Rules.given`
    done: Tensor  # bool (B,)
    live: _Live
    kept: Hypotheses  # the best that ended
    state: State


def _search(
    model: StepModel, state: State, all_rules: Rules, num_beams: int, num_return: int
) -> tuple[Hypotheses, Tensor]:
    """What was found, and after how many steps."""

    def body(index: Tensor, rows: _Rows) -> _Rows:
        given, done, live, kept, state = rows
        rules = all_rules.of_rows(given)
        logits, state = model.step(live.last, state, index)
        tokens, log_probabilities, parents = _continuations(rules, logits, live, index)
        ends = tokens == rules.end_id
        sequences = rules.write(gather_beams(live.ids, parents), tokens, index)
        ended = ops.where(ends, log_probabilities, -float("inf"))
        new = Hypotheses(sequences, ended, rules.score(ended, index + 1))
        kept = _where(done, kept, _best(kept, new, num_return))

        going = ops.where(ends, -float("inf"), log_probabilities)
        going, order = stable_top_k(going, num_beams)
        last, sequences, parents = gather_beams((tokens, sequences, parents), order)
        state = model.reorder(state, parents)
        # What a beam is worth at most: nothing is lost any more, over the largest penalty.
        bound = rules.score(going[:, 0], rules.limits + 1)
        done = ops.logical_or(done, bound <= kept.scores[:, -1])
        return _Rows(given, done, _Live(last, sequences, going), kept, state)

    rows = _Rows(
        all_rules.given,
        ops.zeros((all_rules.batch,), "bool"),
        _first(all_rules, num_beams),
        _nothing(all_rules, num_return),
        state,
    )
    return while_rows(
        lambda rows: ops.logical_not(rows.done),
        body,
        lambda rows: rows.kept,
        rows,
        all_rules.length,
    )


def _continuations(
    rules: Rules, logits: Tensor, live: _Live, index: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The likeliest `2 K`: tokens, log-probabilities and parents, each `(B, 2 K)`.

    No beam has more than `2 K` of them, so each is searched alone first; and at least `K`
    of them go on, for a beam ends in one way.
    """
    beams = live.last.shape[1]
    tokens, log_probabilities = rules.best(logits, index, 2 * beams)
    log_probabilities = live.log_probabilities[..., None] + log_probabilities
    width = tokens.shape[2]
    flat = (-1, beams * width)
    best, order = stable_top_k(ops.reshape(log_probabilities, flat), 2 * beams)
    tokens = gather_beams(ops.reshape(tokens, flat), order)
    return tokens, best, order // width


def _best(kept: Hypotheses, new: Hypotheses, count: int) -> Hypotheses:
    pairs = zip(kept, new, strict=True)
    joined = Hypotheses(*(ops.concatenate(pair, axis=1) for pair in pairs))
    _, order = stable_top_k(joined.scores, count)
    return gather_beams(joined, order)


def _where(rows: Tensor, a: Hypotheses, b: Hypotheses) -> Hypotheses:
    def chosen(x: Tensor, y: Tensor) -> Tensor:
        return ops.where(ops.reshape(rows, (-1,) + (1,) * (len(x.shape) - 1)), x, y)

    return Hypotheses(*(chosen(x, y) for x, y in zip(a, b, strict=True)))


def _first(rules: Rules, num_beams: int) -> _Live:
    """The start token, in the first beam alone: else all would go the same way."""
    shape = (rules.batch, num_beams)
    first = ops.where(ops.arange(num_beams) == 0, 0.0, -float("inf"))
    return _Live(
        ops.full(shape, rules.start_id, dtype="int32"),
        ops.full((*shape, rules.length), rules.padding_id, dtype="int32"),
        ops.broadcast_to(ops.cast(first, "float32"), shape),
    )


def _nothing(rules: Rules, count: int) -> Hypotheses:
    shape = (rules.batch, count)
    return Hypotheses(
        ops.full((*shape, rules.length), rules.padding_id, dtype="int32"),
        ops.full(shape, -float("inf"), dtype="float32"),
        ops.full(shape, -float("inf"), dtype="float32"),
    )
