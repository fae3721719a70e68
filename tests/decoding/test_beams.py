"""Beam search and greedy search against plain Python."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn.decoding import beam_search, beams, greedy, rollouts
from keras_attn.decoding._rules import make_rules
from keras_attn.ops import gather_beams
from tests.decoding.toys import (
    END,
    IDS,
    PAD,
    Histories,
    all_hypotheses,
    arrays,
    beam_hypotheses,
    flat,
    greedy_tokens,
    lists,
    poisoned,
    random_table,
)

ROWS = np.array([3, 50, 121, 400, 77])
SMALL, LARGE = Histories(random_table(4)), Histories(random_table(9, seed=1))
penalties = pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0])


def search(model, rows=ROWS, **settings):
    return beam_search(model, rows, **{**IDS, "max_length": 6, **settings})


def same(a, b):
    """Equal ids; and equal numbers, -inf among them, up to roundings."""
    for x, y in zip(arrays(a), arrays(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5)


def compiled(function):
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    if keras.backend.backend() == "torch":  # which runs as it goes
        return function
    import tensorflow as tf

    return tf.function(function)


@penalties
def test_a_beam_as_wide_as_the_search_space_finds_the_n_best_of_all(length_penalty):
    result = search(SMALL, num_beams=16, num_return=15, max_length=3, length_penalty=length_penalty)
    _, log_probabilities, scores = arrays(result)
    for i, row in enumerate(ROWS):
        expected = all_hypotheses(SMALL, row, 3, length_penalty)
        assert lists(result)[i] == [tokens for _, _, tokens in expected]
        np.testing.assert_allclose(scores[i], [x for x, _, _ in expected], rtol=1e-5)
        np.testing.assert_allclose(log_probabilities[i], [x for _, x, _ in expected], rtol=1e-5)


def test_the_end_of_a_sequence_that_is_cut_need_not_count():
    settings = {"length_penalty": 0.0, "score_last_end": False}
    result = search(SMALL, num_beams=16, num_return=15, max_length=3, **settings)
    for i, row in enumerate(ROWS):
        values = {}
        for _, value, tokens in all_hypotheses(SMALL, row, 3, 0.0):
            end = SMALL.log_probabilities(row, tokens[:-1])[END]
            values[tokens] = value - end if len(tokens) == 4 else value
        expected = sorted(values, key=lambda tokens: -values[tokens])
        assert lists(result)[i] == expected
        np.testing.assert_allclose(arrays(result)[1][i], sorted(values.values())[::-1], rtol=1e-5)


@pytest.mark.parametrize(("num_beams", "length_penalty"), [(2, 0.6), (3, 0.0), (5, 1.0)])
def test_a_narrow_beam_keeps_what_plain_python_keeps(num_beams, length_penalty):
    settings = {"num_beams": num_beams, "length_penalty": length_penalty}
    result = search(LARGE, num_return=num_beams, **settings)
    for i, row in enumerate(ROWS):
        expected = beam_hypotheses(LARGE, row, max_length=6, **settings)[:num_beams]
        assert lists(result)[i] == [tokens for _, _, tokens in expected]
        np.testing.assert_allclose(arrays(result)[2][i], [x for x, _, _ in expected], rtol=1e-5)


def test_the_best_is_the_best_of_several():
    several = search(LARGE, num_beams=3, num_return=3)
    same(search(LARGE, num_beams=3), [x[:, :1] for x in several])


def test_greedy_takes_the_likeliest_and_is_the_beam_of_one():
    result = greedy(LARGE, ROWS, max_length=6, **IDS)
    assert lists(result) == [[greedy_tokens(LARGE, row, 6)] for row in ROWS]
    same(result, search(LARGE, num_beams=1))
    ended = {len(tokens) < 7 for (tokens,) in lists(result)}
    assert ended == {True, False}  # some rows ended by themselves, some at the limit


@pytest.mark.slow
@pytest.mark.parametrize("num_beams", [1, 4])
def test_log_probabilities_are_the_models_and_rows_do_not_depend_on_the_batch(num_beams):
    def run(rows):
        return search(LARGE, rows, num_beams=num_beams, num_return=num_beams, max_length=8)

    result, run_alone = run(ROWS), compiled(run)
    assert result.ids.shape == (5, num_beams, 9)
    assert [keras.backend.standardize_dtype(x.dtype) for x in result] == [
        "int32",
        "float32",
        "float32",
    ]
    for i, row in enumerate(ROWS):
        expected = [LARGE.log_probability(row, tokens) for tokens in lists(result)[i]]
        np.testing.assert_allclose(arrays(result)[1][i], expected, rtol=1e-5)
        assert all(tokens[-1] == END for tokens in lists(result)[i])
        alone = run_alone(ops.cast(ROWS[i : i + 1], "int32"))
        same(alone, [x[i : i + 1] for x in result])


def test_without_a_penalty_more_beams_find_no_worse():
    scores = [arrays(search(LARGE, num_beams=k, length_penalty=0.0))[1] for k in (1, 2, 8)]
    assert all((wide >= scores[0] - 1e-5).all() for wide in scores)
    assert (scores[-1] > scores[0] + 1e-3).any()


@pytest.mark.parametrize("num_beams", [1, 3, 16])
def test_a_prefix_is_forced_and_counts(num_beams):
    prefix = np.array([[2, 3], [3, PAD], [PAD, PAD], [2, 2], [3, 2]])
    result = search(SMALL, num_beams=num_beams, max_length=3, prefix=prefix)
    for i, row in enumerate(ROWS):
        forced = tuple(prefix[i][prefix[i] != PAD].tolist())
        (tokens,) = lists(result)[i]
        assert tokens[: len(forced)] == forced
        np.testing.assert_allclose(
            arrays(result)[1][i, 0], SMALL.log_probability(row, tokens), rtol=1e-5
        )
        if num_beams == 16:
            assert tokens == all_hypotheses(SMALL, row, 3, prefix=forced)[0][2]


def test_an_empty_prefix_is_none():
    same(search(SMALL, num_beams=3, prefix=np.zeros((5, 0))), search(SMALL, num_beams=3))


@pytest.mark.parametrize("num_beams", [1, 4])
def test_a_row_s_own_limit_is_as_a_lower_max_length(num_beams):
    limits = np.array([0, 1, 3, 6, 20])
    model = Histories(random_table(9, seed=1) - 30.0 * (np.arange(9) == END))  # at the limit
    result = search(model, num_beams=num_beams, row_max_length=limits)
    assert [len(tokens) for (tokens,) in lists(result)] == [1, 2, 4, 7, 7]
    for i, limit in ((1, 1), (2, 3), (4, 6)):
        alone = search(model, ROWS[i : i + 1], num_beams=num_beams, max_length=limit)
        assert lists(alone)[0] == lists(result)[i]
        np.testing.assert_allclose(arrays(alone)[2][0], arrays(result)[2][i], rtol=1e-5)
    prefix = np.array([[2, 3]] * 5)
    result = search(model, num_beams=num_beams, row_max_length=limits, prefix=prefix)
    assert [len(tokens) for (tokens,) in lists(result)] == [3, 3, 4, 7, 7]


def test_a_long_certain_sequence_is_waited_for_after_a_short_one_ended():
    table = np.full((997, 4), -30.0)
    table[:, 2], table[:, END] = 0.0, -3.0  # word 2 for long,
    table[(ROWS * 31 + 1) % 997, END] = 0.0  # but at the start it may be nothing as well
    settings = {"num_beams": 2, "max_length": 12, "length_penalty": 2.0}
    result, model = search(Histories(table), **settings), Histories(table)
    assert lists(result) == [[beam_hypotheses(model, row, **settings)[0][2]] for row in ROWS]
    assert len(flat(result)[0]) == 13


def test_the_start_token_is_not_generated():
    model = Histories(random_table(6) + 9.0 * (np.arange(6) == 5))
    for num_beams in (1, 3):
        result = search(model, num_beams=num_beams, start_id=5)
        assert all(5 not in tokens for tokens in flat(result))
        assert np.isfinite(arrays(result)[1]).all()


def steps(model, num_beams=3, max_length=50, num_return=1, length_penalty=1.0):
    state = model.start(ROWS, num_beams, max_length + 1)
    rules = make_rules(
        state,
        max_length=max_length,
        length_penalty=length_penalty,
        prefix=None,
        row_max_length=None,
        **IDS,
    )
    if num_beams == 1:
        return int(rollouts._roll_out(model, state, rules, 1, rollouts._likeliest)[1])
    return int(beams._search(model, state, rules, num_beams, num_return)[1])


@pytest.mark.slow
def test_the_loop_ends_with_the_last_row_and_finished_rows_keep_their_result():
    eager_to_end = Histories(random_table(9, scale=0.1) + 30.0 * (np.arange(9) == END))
    assert steps(eager_to_end) == steps(eager_to_end, num_beams=1) == 1
    assert steps(eager_to_end, num_return=3) > 1
    never = Histories(random_table(9, scale=0.1) - 30.0 * (np.arange(9) == END))
    assert steps(never) == 51
    early, late = steps(LARGE, length_penalty=0.0), steps(LARGE, length_penalty=1.0)
    assert 1 < early < late < 51
    # A search that never stops early finds the same.
    result = search(LARGE, num_beams=3, max_length=12)
    expected = [beam_hypotheses(LARGE, row, 3, 12)[0][2] for row in ROWS]
    assert lists(result) == [[tokens] for tokens in expected]


@pytest.mark.parametrize("vocabulary", [6, 50, 1000])
def test_equal_continuations_are_taken_by_lower_beam_and_token(vocabulary):
    flat = Histories(np.zeros((997, vocabulary)))
    result = search(flat, num_beams=3, num_return=3, max_length=1, length_penalty=0.0)
    assert lists(result)[0] == [(1,), (2, 1), (3, 1)]
    assert lists(greedy(flat, ROWS, max_length=2, **IDS))[0] == [(1,)]


def test_what_does_not_exist_is_padding_of_no_probability():
    result = search(SMALL, num_beams=16, num_return=16, max_length=3)
    ids, log_probabilities, scores = arrays(result)
    assert (ids[:, 15] == PAD).all()
    assert (log_probabilities[:, 15] == -np.inf).all()
    assert (scores[:, 15] == -np.inf).all()
    assert np.isfinite(scores[:, :15]).all()


@pytest.mark.parametrize("num_beams", [1, 3])
def test_logits_that_are_no_distribution_end_their_row_alone(num_beams):
    ids, log_probabilities, scores = arrays(search(poisoned(LARGE), num_beams=num_beams))
    assert (ids[:3] == PAD).all()
    assert (log_probabilities[:3] == -np.inf).all()
    assert (scores[:3] == -np.inf).all()
    clean = search(LARGE, num_beams=num_beams)
    same([ids[3:], log_probabilities[3:], scores[3:]], [x[3:] for x in clean])
    assert steps(Histories(np.full_like(LARGE.table, np.nan)), num_beams=num_beams) == 1


@pytest.mark.parametrize("num_beams", [1, 3])
def test_impossible_tokens_are_not_taken(num_beams):
    table = random_table(9, seed=1)
    table[:, 4:] = -np.inf
    result = search(Histories(table), num_beams=num_beams, num_return=num_beams)
    assert max(map(max, flat(result))) < 4
    assert np.isfinite(arrays(result)[1]).all()
    table[:, END] = -np.inf  # then nothing is complete
    assert (arrays(search(Histories(table), num_beams=num_beams))[1] == -np.inf).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_summed_in_float32(dtype):
    rounded = ops.convert_to_numpy(ops.cast(ops.cast(LARGE.table, dtype), "float32"))
    same(search(Histories(LARGE.table, dtype)), search(Histories(rounded)))


@pytest.mark.parametrize("num_beams", [1, 3])
def test_a_compiled_search_equals_the_eager_one(num_beams):
    prefix = np.array([[2, 3], [3, PAD], [PAD, PAD], [2, 2], [3, 2]])
    limits = np.array([2, 3, 4, 5, 6])

    def run(rows, prefix, limits):
        return search(LARGE, rows, num_beams=num_beams, prefix=prefix, row_max_length=limits)

    tensors = [ops.cast(x, "int32") for x in (ROWS, prefix, limits)]
    same(compiled(run)(*tensors), run(*tensors))


@pytest.mark.tensorflow
@pytest.mark.parametrize("num_beams", [1, 3])
def test_graphs_of_unknown_sizes_hold_core_operations_alone(num_beams):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None], "int32"), tf.TensorSpec([None, None])])
    def run(rows, prefix):
        return search(LARGE, rows, num_beams=num_beams, prefix=prefix)

    definition = run.get_concrete_function().graph.as_graph_def()
    nodes = [*definition.node, *(x for f in definition.library.function for x in f.node_def)]
    kinds = {node.op for node in nodes}
    assert "StatelessWhile" in kinds or "While" in kinds
    assert not [kind for kind in kinds if kind.startswith("Xla")]
    for count, width in ((5, 2), (2, 0), (1, 3), (0, 1)):
        rows, prefix = tf.constant(ROWS[:count], tf.int32), tf.fill([count, width], 3)
        result = run(rows, tf.cast(prefix, "float32"))
        assert result.ids.shape == (count, 1, 7)
        same(result, search(LARGE, rows, num_beams=num_beams, prefix=prefix))


@pytest.mark.tensorflow
@pytest.mark.parametrize("num_beams", [1, 3])
def test_a_graph_may_learn_max_length_from_its_input(num_beams):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None], "int32"), tf.TensorSpec([], "int32")])
    def run(rows, max_length):
        prefix = tf.fill([tf.size(rows), 1], 3)
        return search(LARGE, rows, num_beams=num_beams, max_length=max_length, prefix=prefix)

    for max_length in (1, 6):
        result = run(tf.constant(ROWS, tf.int32), max_length)
        prefix = np.full((5, 1), 3)
        same(result, search(LARGE, num_beams=num_beams, max_length=max_length, prefix=prefix))


def test_gather_beams_takes_trees_and_other_counts():
    x = np.arange(24).reshape(2, 3, 4)
    parents = np.array([[2, 0, 0, 1], [1, 1, 2, 0]])
    gathered = gather_beams({"a": [x], "b": (x[..., 0],)}, parents)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(gathered["a"][0]), np.take_along_axis(x, parents[..., None], 1)
    )
    np.testing.assert_array_equal(
        ops.convert_to_numpy(gathered["b"][0]), np.take_along_axis(x[..., 0], parents, 1)
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_beams": 0}, r"`num_beams` must be an integer of at least 1\. Received: 0"),
        ({"num_beams": 2.0}, r"`num_beams` must be an integer"),
        ({"max_length": 0}, r"`max_length` must be an integer of at least 1\. Received: 0"),
        ({"num_return": 0}, r"`num_return` must be an integer"),
        ({"num_return": 5}, r"`num_return` must be at most `num_beams` = 4\. Received: 5"),
        ({"length_penalty": -0.1}, r"`length_penalty` must be 0.*Received: -0\.1"),
        ({"length_penalty": float("nan")}, r"`length_penalty` must be 0"),
        ({"end_id": PAD}, r"`end_id` must differ from"),
        ({"end_id": 9}, r"`end_id` must be a token of the model.* 9 tokens\. Received: 9"),
        ({"prefix": np.ones((5, 7))}, r"`prefix` must have at most `max_length` = 6 tokens"),
        ({"prefix": np.ones(5)}, r"`prefix` must have shape \(batch, tokens\)"),
        ({"row_max_length": 3}, r"`row_max_length` must have shape \(batch,\)"),
    ],
)
def test_impossible_arguments_are_refused_by_name(settings, message):
    with pytest.raises(ValueError, match=message):
        search(LARGE, **settings)


def test_models_that_break_the_protocol_are_refused():
    class Flat(Histories):
        def step(self, ids, state, index):
            logits, state = super().step(ids, state, index)
            return logits[:, 0], state

    class Forgetful(Histories):
        def step(self, ids, state, index):
            logits, state = super().step(ids, state, index)
            return logits, {"history": state["history"]}

        def reorder(self, state, parents):
            return state

    with pytest.raises(ValueError, match=r"logits of shape \(batch, beams, vocabulary\)"):
        search(Flat(LARGE.table))
    with pytest.raises(
        ValueError, match=r"a state of the same structure as that of `model\.start`"
    ):
        search(Forgetful(LARGE.table))


def test_a_longer_sequence_may_still_win_by_the_penalty_at_the_limit():
    table = np.full((997, 3), -30.0)
    table[:, END] = 0.0
    table[(ROWS * 31 + 1) % 997, 1:] = 0.0, -0.05
    assert lists(search(Histories(table), num_beams=2, max_length=1)) == [[(2, END)]] * 5
