"""Texts as users pass them: strings, bytes, lists, arrays, pandas columns and tensors."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from keras_attn.batching import EncodedTexts
from keras_attn.text import (
    NGramEncoder,
    Normalizer,
    SubwordDropout,
    Vocabulary,
    split_words,
    train_subwords,
)
from keras_attn.text._inputs import as_strings, iterate_batches

pytestmark = pytest.mark.tensorflow


@pytest.mark.parametrize(
    "texts",
    [
        ["a\u00e9", "\x00"],
        ("a\u00e9", b"\x00"),
        np.array(["a\u00e9", "\x00"], object),
        tf.constant(["a\u00e9", "\x00"]),
        tf.Variable(["a\u00e9", "\x00"]),
    ],
)
def test_strings_bytes_lists_arrays_and_tensors_are_accepted(texts):
    strings = as_strings(texts, rank=1)
    assert isinstance(strings, tf.Tensor)
    assert strings.numpy().tolist() == ["a\u00e9".encode(), b"\x00"]


def test_any_shape_is_accepted_unless_a_rank_is_required():
    assert as_strings("a").shape == ()
    assert as_strings([["a", "b"]]).shape == (1, 2)
    assert as_strings(np.array(["ab"])).numpy().tolist() == [b"ab"]
    assert as_strings(()).dtype == tf.string
    with pytest.raises(ValueError, match=r"put a single text into a list. Received: shape \(\)"):
        as_strings("a", rank=1)


@pytest.mark.parametrize(
    ("texts", "named"),
    [
        (3, "int"),
        (None, "NoneType"),
        (["a", 3], "holds 3"),
        (["a", None], "holds None"),
        ([["a"], [1.5]], "holds 1.5"),
        (np.ones(2), "ndarray that holds 1.0"),
        (tf.ones(2), "float32"),
        (tf.ragged.constant([["a"]]), "RaggedTensor of string"),
        ({"a": "b"}, "dict"),
    ],
)
def test_other_types_are_refused_by_name(texts, named):
    with pytest.raises(TypeError, match=f"`texts` must be a string, .*{named}"):
        as_strings(texts)


def test_texts_are_iterated_in_lists():
    texts = [str(number) for number in range(7)]
    for kind in (texts, tuple(texts), np.array(texts, object), iter(texts)):
        assert list(iterate_batches(kind, 3)) == [texts[:3], texts[3:6], texts[6:]]
    assert list(iterate_batches([], 3)) == []
    # Read as far as needed: a generator may have no end.
    assert next(iterate_batches(map(str, itertools.count()), 2)) == ["0", "1"]
    for text in ("one", b"one"):
        with pytest.raises(TypeError, match="Received one string"):
            next(iterate_batches(text, 3))


TEXTS = ["So good!", "So bad.", "so good"]


@pytest.fixture(params=["str", "object", "category"])
def column(request):
    """A column of `TEXTS` whose index is not the row numbers, as after filtering a frame."""
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame({"text": TEXTS}, index=[2, 0, 7])["text"].astype(request.param)


def test_a_pandas_column_is_its_strings(column):
    assert as_strings(column, rank=1).numpy().tolist() == [text.encode() for text in TEXTS]
    np.testing.assert_array_equal(Normalizer()(column), Normalizer()(TEXTS))
    assert split_words(column).to_list() == split_words(TEXTS).to_list()
    vocabulary = Vocabulary(["So bad."])
    np.testing.assert_array_equal(vocabulary(column), vocabulary(TEXTS))


def test_an_encoder_reads_pandas_columns(column):
    expected, encoder = NGramEncoder((9, 9)), NGramEncoder((9, 9))
    expected.adapt(TEXTS)
    encoder.adapt(column)
    for ours, theirs in zip(encoder.vocabularies, expected.vocabularies, strict=True):
        assert ours.terms == theirs.terms
    np.testing.assert_array_equal(encoder(column), expected(TEXTS))
    np.testing.assert_array_equal(encoder.folds(column, 5), expected.folds(TEXTS, 5))


@pytest.mark.slow
def test_subwords_read_pandas_columns(column):
    tokenizer = train_subwords(column, 280, min_count=1)
    assert tokenizer.pieces == train_subwords(TEXTS, 280, min_count=1).pieces
    assert tokenizer(column).to_list() == tokenizer(TEXTS).to_list()
    pairs = zip(
        SubwordDropout(tokenizer, column, 0.5)(3),
        SubwordDropout(tokenizer, TEXTS, 0.5)(3),
        strict=True,
    )
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours, theirs)


def test_missing_values_and_whole_frames_are_refused():
    pandas = pytest.importorskip("pandas")
    for column in (pandas.Series(["a", None]), pandas.Series([1, 2])):
        with pytest.raises(TypeError, match=r"`texts` must be .*Received: a Series that holds"):
            as_strings(column)
    frame = pandas.DataFrame({"text": TEXTS})
    with pytest.raises(ValueError, match=r"must have 1 axis.*\(3, 1\)"):
        as_strings(frame, rank=1)
    # Iterating over a frame itself would give the names of its columns.
    with pytest.raises(TypeError, match="`texts` must be"):
        NGramEncoder((9, 9)).adapt(frame)


@pytest.mark.parametrize("dtype", ["int64", "int8", "Int64"])
def test_labels_of_encoded_texts_may_be_a_pandas_column(dtype):
    pandas = pytest.importorskip("pandas")
    labels = pandas.Series([1, 0, 1], index=[2, 0, 7], dtype=dtype)
    texts = EncodedTexts(np.ones((3, 1), "int32"), np.arange(4), labels)
    assert (texts.labels.dtype, texts.labels.tolist()) == ("int32", [1, 0, 1])
    assert texts.batch(np.array([1, 2]))[1].tolist() == [0, 1]
    listed = EncodedTexts(np.ones((3, 1), "int32"), np.arange(4), [1, 0, 1])
    assert listed.labels.dtype == "int32"
