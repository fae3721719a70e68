"""Minimum length, repeated n-grams and banned tokens, beside a search in plain Python."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn.decoding import Automaton, beam_search, greedy, sample
from tests.decoding.test_beams import LARGE, ROWS, SMALL, compiled, same
from tests.decoding.toys import (
    END,
    IDS,
    PAD,
    Histories,
    arrays,
    beam_hypotheses,
    flat,
    lists,
    random_table,
)

MAX_LENGTH = 6
# Never token 3 after token 2; and no end after token 4.
PAIRS = Automaton(
    np.repeat([[0, 0, 1, 0, 2, 0, 0, 0, 0]], 3, axis=0).astype("int32"),
    np.array([[0] * 9, [0, 0, 0, 1, 0, 0, 0, 0, 0], [0, 1, *[0] * 7]], bool),
)
RESTRICTIONS = [
    {"min_length": 4},
    {"no_repeat_ngram_size": 1},
    {"no_repeat_ngram_size": 2},
    {"no_repeat_ngram_size": 3},
    {"automaton": PAIRS},
    {"min_length": 3, "no_repeat_ngram_size": 2, "automaton": PAIRS},
]


def rule(min_length=0, no_repeat_ngram_size=None, automaton=None):
    """The same restrictions as a function of the tokens so far and the next one."""

    def is_allowed(tokens, token):
        if token == END and len(tokens) < min_length:
            return False
        size = no_repeat_ngram_size
        if size is not None and token != END:
            new = (*tokens, token)
            grams = [new[i : i + size] for i in range(len(new) - size + 1)]
            if len(set(grams)) < len(grams):
                return False
        if automaton is not None:
            if tokens[-1:] == (2,) and token == 3:
                return False
            if tokens[-1:] == (4,) and token == END:
                return False
            if token == 4 and len(tokens) == MAX_LENGTH - 1:  # the end would have to follow
                return False
        return True

    return is_allowed


def allowed_throughout(tokens, restrictions):
    is_allowed = rule(**restrictions)
    return all(is_allowed(tokens[:i], token) for i, token in enumerate(tokens))


def looping(seed=1):
    """A model that repeats itself, or ends early."""
    table = random_table(9, seed=seed, scale=1.0)
    table[:, [END, 2, 3, 4]] += [1.0, 2.5, 2.5, 1.5]
    return Histories(table)


@pytest.mark.parametrize("restrictions", RESTRICTIONS)
@pytest.mark.parametrize("num_beams", [1, 3])
def test_a_search_finds_what_plain_python_finds(restrictions, num_beams):
    model, rows = looping(), np.arange(1, 41)
    settings = {"num_beams": num_beams, "max_length": MAX_LENGTH, **IDS}
    result = beam_search(model, rows, num_return=num_beams, **restrictions, **settings)
    free = greedy(model, rows, max_length=MAX_LENGTH, **IDS)
    assert any(not allowed_throughout(tokens, restrictions) for tokens in flat(free))
    for i, row in enumerate(rows):
        if num_beams == 1:
            tokens = ()
            while tokens[-1:] != (END,):
                logits = model.log_probabilities(row, tokens).copy()
                choices = [END] if len(tokens) == MAX_LENGTH else range(1, 9)
                logits[[t for t in range(9) if t not in choices]] = -np.inf
                is_allowed = rule(**restrictions)
                logits[[t for t in range(9) if not is_allowed(tokens, t)]] = -np.inf
                tokens = (*tokens, int(logits.argmax()))
            expected = [tokens]
        else:
            found = beam_hypotheses(
                model, row, num_beams, MAX_LENGTH, is_allowed=rule(**restrictions)
            )
            expected = [tokens for _, _, tokens in found[:num_beams]]
        assert lists(result)[i] == expected
        log_probabilities = [model.log_probability(row, tokens) for tokens in expected]
        np.testing.assert_allclose(arrays(result)[1][i], log_probabilities, rtol=1e-5)


@pytest.mark.parametrize("restrictions", RESTRICTIONS)
@pytest.mark.parametrize("filters", [{}, {"top_k": 4, "top_p": 0.9}])
def test_samples_hold_to_them_and_keep_the_models_log_probabilities(restrictions, filters):
    model = looping()
    settings = {"max_length": MAX_LENGTH, "num_return": 40, "seed": 1, **filters, **IDS}
    result = sample(model, ROWS, **restrictions, **settings)
    assert all(allowed_throughout(tokens, restrictions) for tokens in flat(result))
    free = flat(sample(model, ROWS, **settings))
    assert not all(allowed_throughout(tokens, restrictions) for tokens in free)
    tokens = lists(result)[2][0]
    expected = model.log_probability(ROWS[2], tokens)
    np.testing.assert_allclose(arrays(result)[1][2, 0], expected, rtol=1e-5)


@pytest.mark.parametrize("num_beams", [1, 3])
def test_a_prefix_and_the_limit_of_a_row_come_first(num_beams):
    prefix = np.array([[2, 3, 2, 3], [2, 2, PAD, PAD], *[[PAD] * 4] * 3])
    limits = np.array([6, 6, 2, 6, 0])
    result = beam_search(
        looping(),
        ROWS,
        num_beams=num_beams,
        max_length=MAX_LENGTH,
        prefix=prefix,
        row_max_length=limits,
        min_length=5,
        no_repeat_ngram_size=2,
        automaton=PAIRS,
        **IDS,
    )
    rows = [tokens for (tokens,) in lists(result)]
    assert rows[0][:4] == (2, 3, 2, 3)
    assert rows[1][:2] == (2, 2)
    assert [len(tokens) for tokens in rows[2:]] == [3, len(rows[3]), 1]
    assert len(rows[3]) >= 6
    for tokens, start in zip(rows, (4, 2, 0, 0, 0), strict=True):
        pairs = [tokens[i : i + 2] for i in range(len(tokens) - 2)]
        new = pairs[max(start - 1, 0) :]
        assert not set(new) & set(pairs[: max(start - 1, 0)])
        assert len(set(new)) == len(new)


def test_a_row_without_anything_to_choose_has_no_hypothesis_and_spoils_no_other():
    nothing = Automaton(np.zeros((1, 4), "int32"), np.array([[0, 1, 1, 1]], bool))
    for result in (
        beam_search(SMALL, ROWS, num_beams=2, max_length=3, automaton=nothing, **IDS),
        greedy(SMALL, ROWS, max_length=3, automaton=nothing, **IDS),
    ):
        assert (arrays(result)[0] == PAD).all()
        assert (arrays(result)[1] == -np.inf).all()
    few = beam_search(SMALL, ROWS, num_beams=2, max_length=6, no_repeat_ngram_size=1, **IDS)
    assert all(len(set(tokens)) == len(tokens) <= 3 for tokens in flat(few))


@pytest.mark.parametrize("num_beams", [1, 3])
def test_a_compiled_search_equals_the_eager_one(num_beams):
    def run(rows):
        return beam_search(
            LARGE, rows, num_beams=num_beams, max_length=MAX_LENGTH, **RESTRICTIONS[-1], **IDS
        )

    rows = ops.cast(ROWS, "int32")
    same(compiled(run)(rows), run(rows))


@pytest.mark.tensorflow
def test_a_graph_of_unknown_sizes():
    import tensorflow as tf

    signature = [tf.TensorSpec([None], "int32"), tf.TensorSpec([], "int32")]

    @tf.function(input_signature=signature)
    def run(rows, max_length):
        return beam_search(
            LARGE, rows, num_beams=3, max_length=max_length, **RESTRICTIONS[-1], **IDS
        )

    for count in (5, 1, 0):
        rows = tf.constant(ROWS[:count], tf.int32)
        expected = beam_search(
            LARGE, rows, num_beams=3, max_length=MAX_LENGTH, **RESTRICTIONS[-1], **IDS
        )
        same(run(rows, MAX_LENGTH), expected)


def test_restrictions_that_bind_nothing_change_nothing():
    free = beam_search(LARGE, ROWS, num_beams=3, max_length=MAX_LENGTH, **IDS)
    idle = Automaton(np.zeros((1, 9), "int32"), np.zeros((1, 9), bool))
    for restrictions in ({"automaton": idle}, {"no_repeat_ngram_size": 50}):
        bound = beam_search(LARGE, ROWS, num_beams=3, max_length=6, **restrictions, **IDS)
        same(bound, free)
    assert keras.backend.standardize_dtype(bound.ids.dtype) == "int32"


@pytest.mark.parametrize(
    ("restrictions", "message"),
    [
        ({"min_length": -1}, r"`min_length` must be an integer of at least 0\. Received: -1"),
        ({"min_length": 1.0}, r"`min_length` must be an integer"),
        ({"min_length": 7}, r"`min_length` must be at most `max_length` = 6\. Received: 7"),
        ({"no_repeat_ngram_size": 0}, r"`no_repeat_ngram_size` must be an integer of at least 1"),
        (
            {"automaton": Automaton(np.zeros((1, 4), "int32"), np.zeros((1, 4), bool))},
            r"`automaton` must have a column for each of the model's 9 tokens\. Received: 4",
        ),
    ],
)
@pytest.mark.parametrize("search", [beam_search, greedy, lambda *x, **y: sample(*x, seed=1, **y)])
def test_impossible_restrictions_are_refused_by_name(search, restrictions, message):
    with pytest.raises(ValueError, match=message):
        search(LARGE, ROWS, max_length=MAX_LENGTH, **restrictions, **IDS)


@pytest.mark.parametrize(
    ("states", "banned", "message"),
    [
        (np.zeros((2, 3), "int32"), np.zeros((2, 4), bool), r"one shape .*\(2, 3\) and \(2, 4\)"),
        (np.full((2, 3), 2, "int32"), np.zeros((2, 3), bool), r"in 0\.\.1.*Received: 2\.\.2"),
    ],
)
def test_impossible_automata_are_refused(states, banned, message):
    with pytest.raises(ValueError, match=message):
        Automaton(states, banned)
