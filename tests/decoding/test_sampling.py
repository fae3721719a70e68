"""Sampling: its frequencies, its filters, and what it reports."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn.decoding import greedy, rollouts, sample
from tests.decoding.test_beams import LARGE, ROWS, compiled, same
from tests.decoding.toys import END, IDS, PAD, Histories, arrays, flat, lists, poisoned

CHANCES = np.array([0.1, 0.15, 0.4, 0.05, 0.3])  # padding and start, end, words
FIXED = Histories(np.log(np.tile(CHANCES, (997, 1))))


def draw(model=LARGE, rows=ROWS, **settings):
    return sample(model, rows, **{**IDS, "max_length": 6, "seed": 1, **settings})


def first_tokens(**settings):
    """How often each token came first, of 4000."""
    result = draw(FIXED, ROWS[:2], num_return=2000, max_length=1, **settings)
    return np.bincount(ops.convert_to_numpy(result.ids)[..., 0].ravel(), minlength=5) / 4000


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [0, 0.15, 0.4, 0.05, 0.3]),
        ({"temperature": 0.5}, [0, 0.15**2, 0.4**2, 0.05**2, 0.3**2]),
        ({"top_k": 2}, [0, 0, 0.4, 0, 0.3]),
        ({"top_k": 99}, [0, 0.15, 0.4, 0.05, 0.3]),
        ({"top_p": 0.75}, [0, 0, 0.4, 0, 0.3]),  # of 0.9 that may be generated
        ({"top_p": 0.8}, [0, 0.15, 0.4, 0, 0.3]),
        ({"top_p": 1.0}, [0, 0.15, 0.4, 0.05, 0.3]),
        ({"top_k": 3, "top_p": 0.5, "temperature": 0.5}, [0, 0, 1, 0, 0]),
        ({"top_k": 3, "top_p": 0.5, "temperature": 2.0}, [0, 0, 0.4**0.5, 0, 0.3**0.5]),
    ],
)
def test_frequencies_are_the_filtered_probabilities(settings, expected):
    expected = np.array(expected) / np.sum(expected)
    received = first_tokens(**settings)
    assert (received[expected == 0] == 0).all()
    deviation = np.sqrt(expected * (1 - expected) / 4000)
    assert (np.abs(received - expected) <= 5 * deviation + 1e-9).all(), received


def test_the_tokens_of_a_sequence_are_independent():
    result = draw(FIXED, ROWS[:2], num_return=2000, max_length=2)
    first, second, _ = np.moveaxis(ops.convert_to_numpy(result.ids).reshape(-1, 3), 1, 0)
    for token in (2, 4):
        received = np.bincount(second[first == token], minlength=5) / (first == token).sum()
        expected = CHANCES * [0, 1, 1, 1, 1] / 0.9
        np.testing.assert_allclose(received, expected, atol=0.08)


def test_the_least_number_hits_nothing_impossible():
    logits = ops.convert_to_tensor([[-np.inf, 0.0, 1.0]], "float32")
    position = rollouts._draw(logits, ops.zeros((1, 1)), None)
    assert ops.convert_to_numpy(position).tolist() == [[1]]


@pytest.mark.parametrize("settings", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}])
def test_the_narrowest_filters_are_greedy(settings):
    same(draw(**settings), greedy(LARGE, ROWS, max_length=6, **IDS))


def test_samples_are_complete_ranked_and_report_the_models_own_log_probabilities():
    result = draw(num_return=4, temperature=1.5, top_k=5, length_penalty=0.6)
    _, log_probabilities, scores = arrays(result)
    for i, row in enumerate(ROWS):
        tokens = lists(result)[i]
        assert all(x[-1] == END for x in tokens)
        expected = [LARGE.log_probability(row, x) for x in tokens]
        np.testing.assert_allclose(log_probabilities[i], expected, rtol=1e-5)
        penalty = np.array([((5 + len(x)) / 6) ** 0.6 for x in tokens])
        np.testing.assert_allclose(scores[i], expected / penalty, rtol=1e-5)
    assert (np.diff(scores, axis=1) <= 0).all()
    assert len(set(flat(result))) > len(ROWS)


def test_seeds_repeat_and_generators_continue():
    first, again, other = draw(seed=1), draw(seed=1), draw(seed=2)
    same(first, again)
    assert lists(first) != lists(other)
    generator = keras.random.SeedGenerator(5)
    assert lists(draw(seed=generator)) != lists(draw(seed=generator))
    same(draw(seed=keras.random.SeedGenerator(5)), draw(seed=keras.random.SeedGenerator(5)))
    rows = np.repeat(ROWS[:1], 5)  # rows are independent, too
    assert len({tokens for (tokens,) in lists(draw(rows=rows))}) > 1


def test_a_prefix_and_limits_hold():
    prefix = np.array([[2, 3], [3, PAD], [PAD, PAD], [2, 2], [3, 2]])
    limits = np.array([1, 1, 2, 3, 9])
    result = draw(num_return=3, prefix=prefix, row_max_length=limits)
    for i, row in enumerate(ROWS):
        forced = tuple(prefix[i][prefix[i] != PAD].tolist())
        for k, tokens in enumerate(lists(result)[i]):
            assert tokens[: len(forced)] == forced
            assert len(tokens) <= max(min(limits[i], 6), len(forced)) + 1
            expected = LARGE.log_probability(row, tokens)
            np.testing.assert_allclose(arrays(result)[1][i, k], expected, rtol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"top_k": 5}, {"top_p": 0.9}])
def test_logits_that_are_no_distribution_end_their_row_and_impossible_tokens_are_not_drawn(
    settings,
):
    model = poisoned(LARGE)
    model.table[:, 5:] = -np.inf
    result = draw(model, num_return=20, **settings)
    ids, log_probabilities, _ = arrays(result)
    assert (ids[:3] == PAD).all()
    assert (log_probabilities[:3] == -np.inf).all()
    assert np.isfinite(log_probabilities[3:]).all()
    assert ids.max() == 4


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"top_k": 3, "top_p": 0.9}])
def test_compiled_sampling_equals_the_eager_one(settings):
    rows = ops.cast(ROWS, "int32")
    same(
        compiled(lambda rows: draw(rows=rows, num_return=3, **settings))(rows),
        draw(rows=rows, num_return=3, **settings),
    )


@pytest.mark.tensorflow
def test_a_graph_of_unknown_batch_continues_a_generator():
    import tensorflow as tf

    generator = keras.random.SeedGenerator(5)

    @tf.function(input_signature=[tf.TensorSpec([None], "int32")])
    def run(rows):
        return draw(rows=rows, num_return=2, top_p=0.9, seed=generator)

    rows = tf.constant(ROWS, tf.int32)
    assert lists(run(rows)) != lists(run(rows))
    definition = run.get_concrete_function().graph.as_graph_def()
    nodes = [*definition.node, *(x for f in definition.library.function for x in f.node_def)]
    assert not [node.op for node in nodes if node.op.startswith("Xla")]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, r"`temperature` must be a positive number\. Received: 0\.0"),
        ({"temperature": float("nan")}, r"`temperature` must be a positive number"),
        ({"top_k": 0}, r"`top_k` must be an integer of at least 1\. Received: 0"),
        ({"top_p": 0.0}, r"`top_p` must be a probability in \(0, 1\]\. Received: 0\.0"),
        ({"top_p": 1.1}, r"`top_p` must be a probability in \(0, 1\]\. Received: 1\.1"),
        ({"num_return": 0}, r"`num_return` must be an integer of at least 1"),
        ({"max_length": 0}, r"`max_length` must be an integer of at least 1"),
        ({"seed": None}, r"`seed` must be an integer or a `keras\.random\.SeedGenerator`"),
    ],
)
def test_impossible_arguments_are_refused_by_name(settings, message):
    with pytest.raises(ValueError, match=message):
        draw(**settings)
