import numpy as np
import pytest
import tensorflow as tf

from keras_attn.text import keep_ends

pytestmark = pytest.mark.tensorflow


def expected(rows, max_length, head):
    tail = max_length - head
    return [row if len(row) <= max_length else row[:head] + row[len(row) - tail :] for row in rows]


@pytest.mark.parametrize("max_length", [1, 2, 5, 100])
def test_against_slices(max_length):
    random = np.random.default_rng(0)
    rows = [list(range(random.integers(0, 12))) for _ in range(40)]
    tokens = tf.ragged.constant(rows, tf.int32)
    for head in {0, 1, max_length // 2, max_length}:
        kept = keep_ends(tokens, max_length, head)
        assert kept.to_list() == expected(rows, max_length, head)
        assert kept.dtype == tf.int32
    assert keep_ends(tokens, max_length).to_list() == expected(rows, max_length, max_length // 4)


@pytest.mark.parametrize("ragged_rank", [1, 2])
def test_inner_axes_move_along(ragged_rank):
    rows = [[["a", "b"], ["c", "d"], ["e", "f"]], [], [["g", "h"]]]
    tokens = tf.ragged.constant(rows, ragged_rank=ragged_rank)
    kept = keep_ends(tokens, 2, 1)
    assert kept.to_list() == [
        [[b"a", b"b"], [b"e", b"f"]],
        [],
        [[b"g", b"h"]],
    ]
    assert kept.ragged_rank == ragged_rank


def test_no_rows_and_int32_splits():
    assert keep_ends(tf.ragged.constant([[1]])[:0], 3).to_list() == []
    tokens = tf.ragged.constant([[1, 2, 3], []], row_splits_dtype=tf.int32)
    assert keep_ends(tokens, 2, 1).to_list() == [[1, 3], []]


def test_in_a_graph():
    spec = tf.RaggedTensorSpec((None, None, 2), tf.int32, ragged_rank=1)
    traced = tf.function(lambda tokens: keep_ends(tokens, 2, 1), input_signature=[spec])
    tokens = tf.ragged.constant([[[1, 1], [2, 2], [3, 3]], []], ragged_rank=1, inner_shape=(2,))
    assert traced(tokens).to_list() == [[[1, 1], [3, 3]], []]
    assert traced.get_concrete_function().structured_outputs.shape.as_list() == [None, None, 2]


def test_what_is_refused():
    tokens = tf.ragged.constant([[1]])
    for max_length in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="`max_length` must be an integer of at least 1"):
            keep_ends(tokens, max_length)
    for head in (-1, 4, 1.0, True):
        with pytest.raises(ValueError, match="`head` must be an integer from 0 to `max_length`, 3"):
            keep_ends(tokens, 3, head)
    with pytest.raises(TypeError, match=r"`tokens` must be a tf\.RaggedTensor"):
        keep_ends(tf.ones((2, 3)), 3)
