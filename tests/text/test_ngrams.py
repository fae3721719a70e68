import numpy as np
import pytest
import tensorflow as tf

from keras_attn.text import hash_ngrams, ngrams
from keras_attn.text.word_ngrams import ngrams as ngrams_function

pytestmark = pytest.mark.tensorflow
WORDS = [["a", "b", "c"], [], ["d"], ["e", "f"], []]


def expected_ngrams(rows, orders):
    def gram(row, start, order):
        return " ".join(row[start : start + order]).encode() if start + order <= len(row) else b""

    return [[[gram(row, at, n) for n in orders] for at in range(len(row))] for row in rows]


def ragged(rows):
    return tf.ragged.constant(rows, tf.string, ragged_rank=1)


def test_the_name_is_the_function():
    from keras_attn import text

    assert text.ngrams is ngrams is ngrams_function


@pytest.mark.parametrize("orders", [(1,), (2,), (1, 2), (1, 3), (2, 4), [1, 2, 3, 4, 5]])
def test_against_loops(orders):
    random = np.random.default_rng(0)
    alphabet = ["x", "y", "zz", "\u00e9"]
    rows = [random.choice(alphabet, random.integers(0, 7)).tolist() for _ in range(50)]
    for case in (WORDS, rows):
        grams = ngrams(ragged(case), orders)
        assert grams.to_list() == expected_ngrams(case, orders)
        assert grams.shape.as_list() == [len(case), None, len(orders)]


def test_buckets_are_those_of_the_strings():
    words = ragged(WORDS)
    ids = hash_ngrams(words, (1, 2), 100)
    grams = ngrams(words, (1, 2)).values.numpy()
    hashes = tf.strings.to_hash_bucket_fast(grams, 99).numpy()
    np.testing.assert_array_equal(ids.values, np.where(grams == b"", 0, hashes + 1))
    assert ids.dtype == tf.int32
    assert ids.shape.as_list() == [5, None, 2]
    assert ids.to_list()[1] == []


def test_the_hash_is_the_same_everywhere():
    ids = hash_ngrams(ragged([["not", "so", "good"]]), (1, 2), 50_000, salt="s")
    assert ids.to_list() == [[[16665, 40859], [25863, 26615], [6239, 0]]]


def test_all_buckets_are_used_and_none_is_zero():
    words = ragged([[f"w{number}" for number in range(500)]])
    ids = hash_ngrams(words, (1,), 8).values.numpy()
    assert sorted(set(ids.ravel())) == [1, 2, 3, 4, 5, 6, 7]
    assert set(hash_ngrams(words, (1,), 2).values.numpy().ravel()) == {1}
    assert (hash_ngrams(words, (1,), 999).values != hash_ngrams(words, (1,), 999, "x").values)[0]


@pytest.mark.parametrize("rows", [[], [[]], [[], []]])
def test_no_words(rows):
    ids = hash_ngrams(ragged(rows) if rows else ragged([[]])[:0], (1, 2, 3), 10)
    assert ids.to_list() == rows
    assert ids.values.shape == (0, 3)


def test_in_a_graph():
    spec = tf.RaggedTensorSpec((None, None), tf.string)
    traced = tf.function(lambda words: hash_ngrams(words, (1, 2), 10), input_signature=[spec])
    for rows in (WORDS, [["a"]], [[]]):
        assert traced(ragged(rows)).to_list() == hash_ngrams(ragged(rows), (1, 2), 10).to_list()
    assert traced.get_concrete_function().structured_outputs.shape.as_list() == [None, None, 2]


@pytest.mark.parametrize("orders", [(), (0, 1), (2, 1), (1, 1), (1.0,), (True,), ("1",), (-1,)])
def test_impossible_orders(orders):
    with pytest.raises(ValueError, match="`orders` must be increasing positive integers"):
        ngrams(ragged(WORDS), orders)


@pytest.mark.parametrize("num_buckets", [1, 0, -5, 2.0, True, None])
def test_impossible_numbers_of_buckets(num_buckets):
    with pytest.raises(ValueError, match="`num_buckets` must be an integer of at least 2"):
        hash_ngrams(ragged(WORDS), (1,), num_buckets)


def test_impossible_words_and_salts():
    with pytest.raises(TypeError, match=r"`words` must be a tf\.RaggedTensor.*Received: list"):
        ngrams(WORDS, (1,))
    with pytest.raises(TypeError, match=r"ragged string tensor .*int32"):
        ngrams(tf.ragged.constant([[1]]), (1,))
    with pytest.raises(TypeError, match="ragged string tensor"):
        ngrams(tf.ragged.constant([[["a"]]]), (1,))
    with pytest.raises(TypeError, match="`salt` must be a str"):
        hash_ngrams(ragged(WORDS), (1,), 10, salt=3)
