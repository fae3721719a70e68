"""Texts to ids, against ids by hand, and what else comes in as text."""

import collections
import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_attn.text import NGramEncoder
from tests.text.strings import AWKWARD, random_bytes, random_strings

pytestmark = pytest.mark.tensorflow
CORPUS = ["So good!", "So bad.", "so good"]
# In 3 texts "so", in 2 "good" and "so good"; the others in one, in the order of characters.
WORDS = ("so", "good", "!", ".", "bad")
PAIRS = ("so good", "bad .", "good !", "so bad")


def make(sizes=(9, 9), corpus=CORPUS, **settings):
    encoder = NGramEncoder(sizes, **settings)
    encoder.adapt(corpus)
    return encoder


@pytest.fixture(scope="module")
def encoder():
    return make()


def rows(encoder, *texts):
    return encoder(list(texts)).numpy().tolist()


def test_vocabularies_are_the_ngrams_of_the_most_texts(encoder):
    assert [vocabulary.terms for vocabulary in encoder.vocabularies] == [WORDS, PAIRS]


def test_ids_by_hand(encoder):
    received = rows(encoder, "so so GOOD", "good, bad!", "", "bad.")
    assert received == [
        [[2, 1], [2, 2], [3, 0], [0, 0]],
        [[3, 1], [1, 1], [6, 1], [4, 0]],
        [[0, 0], [0, 0], [0, 0], [0, 0]],
        [[6, 3], [5, 0], [0, 0], [0, 0]],
    ]
    assert encoder(["so"]).dtype == tf.int32


def test_three_orders_by_hand():
    encoder = make((9, 9, 5))
    assert encoder.vocabularies[2].terms == ("so bad .", "so good !")
    assert rows(encoder, "so good!") == [[[2, 2, 3], [3, 4, 0], [4, 0, 0]]]


def test_pairs_do_not_reach_into_the_next_text(encoder):
    assert rows(encoder, "so", "good") == [[[2, 0]], [[3, 0]]]


def test_lowercase_false_distinguishes_case():
    encoder = make(lowercase=False)
    assert encoder.vocabularies[0].terms == ("So", "good", "!", ".", "bad", "so")
    assert rows(encoder, "So so SO") == [[[2, 1], [7, 1], [1, 0]]]


def test_once_leaves_out_what_stood_before_in_the_same_text():
    encoder = make(once=True)
    received = rows(encoder, "so good so good so", "good so good", "so bad")
    assert received[0] == [[2, 2], [3, 1], [0, 0], [0, 1], [0, 0]]
    assert received[1][:3] == [[3, 1], [2, 2], [0, 0]]
    assert received[2][:2] == [[2, 5], [6, 0]]  # in another text it stands anew
    plain = make()
    assert rows(plain, "so good so good so")[0][2:] == [[2, 2], [3, 1], [2, 0]]


def test_a_long_text_keeps_its_head_and_its_tail():
    text = "so so good good good bad"
    tail, head = make(max_length=3, head=0), make(max_length=3, head=3)
    assert [word for word, _ in rows(tail, text)[0]] == [3, 3, 6]
    assert [word for word, _ in rows(head, text)[0]] == [2, 2, 3]
    # A quarter of 4 is the head; the pair across the cut is one as any other.
    assert rows(make(max_length=4), "so bad bad bad good good!")[0] == [
        *([2, 2], [3, 1], [3, 4], [4, 0]),
    ]
    assert len(rows(make(max_length=6), text)[0]) == 6
    assert len(rows(make(max_length=5), text)[0]) == 5


def test_the_vocabulary_is_of_whole_texts_and_counts_texts():
    corpus = ["x " * 9 + "z", "y z", "y z"]
    encoder = make((5, 3), corpus, max_length=1)
    assert encoder.vocabularies[0].terms == ("z", "y", "x")  # 3, 2 and 1 texts
    assert encoder.vocabularies[1].terms == ("y z",)


def test_min_count():
    encoder = make(min_count=2)
    assert [v.terms for v in encoder.vocabularies] == [("so", "good"), ("so good",)]
    assert rows(encoder, "so bad")[0] == [[2, 1], [1, 0]]
    words = make(min_count=3)
    assert [v.terms for v in words.vocabularies] == [("so",), ()]
    assert rows(words, "so good", "so") == [[[2, 1], [1, 0]], [[2, 0], [0, 0]]]
    empty = NGramEncoder((9, 9), min_count=4)
    with pytest.raises(ValueError, match="at least `min_count` of them, 4"):
        empty.adapt(CORPUS)
    with pytest.raises(ValueError, match="no word"):
        empty.adapt([])
    assert not empty.filled


def test_the_order_of_texts_changes_no_id_and_ties_are_cut_by_characters():
    corpus = [f"w{index} v{index % 7} common" for index in range(600)]  # more than one batch
    expected = make((200, 300), corpus)
    assert expected.vocabularies[0].terms[:8] == ("common", *(f"v{i}" for i in range(7)))
    assert len(expected.vocabularies[0].terms) == 198
    counts = collections.Counter(f"w{index}" for index in range(600))
    assert expected.vocabularies[0].terms[8:] == tuple(sorted(counts)[:190])
    random.Random(1).shuffle(corpus)
    again = make((200, 300), iter(corpus))
    for a, b in zip(expected.vocabularies, again.vocabularies, strict=True):
        assert a.terms == b.terms


def test_adapting_again_replaces_the_vocabulary():
    encoder = make()
    assert encoder.filled
    encoder.adapt(["bad film"])
    assert encoder.vocabularies[0].terms == ("bad", "film")
    assert rows(encoder, "so bad film") == [[[1, 1], [2, 2], [3, 0]]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, [[0, 0]]) for text in ("", " ", "\t\n \u3000", "\x00", "<br />", "&nbsp;")),
        ("!", [[4, 0]]),
        ("x", [[1, 0]]),
        ("so\x00good", [[2, 2], [3, 0]]),
        (b"so good", [[2, 2], [3, 0]]),
        (b"\xff\xfe", [[1, 1], [1, 0]]),
        (b"so \xff good", [[2, 1], [1, 1], [3, 0]]),
        ("so\U0001f600good", [[2, 1], [1, 1], [3, 0]]),
        ("\U0001f44d\U0001f3fd", [[1, 0]]),
        ("\u6211\u559c\u6b22", [[1, 1], [1, 1], [1, 0]]),
        ("so<br/><br/>good<p>!</p>", [[2, 2], [3, 4], [4, 0]]),
        ("\uff53\uff4f &quot;good&quot;", [[2, 1], [1, 1], [3, 1], [1, 0]]),
        ("\ud800so", None),
    ],
)
def test_what_else_comes_in_as_text(encoder, text, expected):
    received = rows(encoder, text)[0]
    assert (received == expected) or expected is None
    assert all(0 <= word < 9 and 0 <= pair < 9 for word, pair in received)


def test_an_emoji_and_chinese_are_words_that_can_be_learned():
    encoder = make((9, 9), ["\u6211\u559c\u6b22 \U0001f600", "\u559c\u6b22"])
    assert encoder.vocabularies[0].terms[:2] == ("\u559c", "\u6b22")
    assert rows(encoder, "\u559c\u6b22\U0001f600")[0][0] == [2, 2]


def test_everything_awkward_is_encoded_alone_as_together(encoder):
    texts = [*AWKWARD, *random_strings(40, seed=5), *random_bytes(20, seed=6)]
    together = encoder(texts).numpy()
    for text, row in zip(texts, together, strict=True):
        alone = encoder([text]).numpy()[0]
        np.testing.assert_array_equal(row[: len(alone)], alone)
        assert not row[len(alone) :].any()


def test_a_megabyte(encoder):
    text = "so good " * 130_000 + "bad."
    received = encoder([text, "x" * 1_000_000, " " * 1_000_000]).numpy()
    assert received.shape == (3, 512, 2)
    assert received[0, :2].tolist() == [[2, 2], [3, 1]]
    assert received[0, -2:].tolist() == [[6, 3], [5, 0]]
    assert received[1, :2].tolist() == [[1, 0], [0, 0]]
    assert not received[2].any()


def test_an_empty_batch_and_the_kinds_of_batches(encoder):
    assert encoder([]).shape == (0, 1, 2)
    expected = rows(encoder, "so good")
    for texts in (("so good",), np.array(["so good"]), np.array(["so good"], object)):
        assert encoder(texts).numpy().tolist() == expected
    assert encoder(tf.constant(["so good"])).numpy().tolist() == expected
    for wrong in ([3], ["so", None], np.zeros(2), [["so"]], "so good"):
        with pytest.raises((TypeError, ValueError), match="`texts` must"):
            encoder(wrong)


def test_in_a_dataset_and_in_a_graph_of_unknown_batch(encoder):
    dataset = tf.data.Dataset.from_tensor_slices(["so good", "bad", "!"]).batch(2).map(encoder)
    assert dataset.element_spec.shape.as_list() == [None, None, 2]
    assert [ids.numpy().tolist() for ids in dataset] == [
        [[[2, 2], [3, 0]], [[6, 0], [0, 0]]],
        [[[4, 0]]],
    ]
    traced = tf.function(encoder, input_signature=[tf.TensorSpec((None,), tf.string)])
    assert traced(tf.constant(["so"])).numpy().tolist() == [[[2, 0]]]
    assert traced(tf.constant([], tf.string)).shape == (0, 1, 2)


def test_an_encoder_without_a_vocabulary_says_how_to_get_one():
    encoder = NGramEncoder((9, 9))
    assert not encoder.filled
    with pytest.raises(RuntimeError, match=r"has no vocabulary yet.*classifier\.adapt"):
        encoder(["so"])


def test_vocabularies_are_written_readable_and_read_back(encoder, tmp_path):
    encoder.write(tmp_path / "vocabulary.txt")
    lines = (tmp_path / "vocabulary.txt").read_text(encoding="utf-8").split("\n")
    assert lines == [*WORDS, *PAIRS, ""]
    again = NGramEncoder((9, 9))
    again.read(tmp_path / "vocabulary.txt")
    text = "so good! so bad. film"
    np.testing.assert_array_equal(again([text]), encoder([text]))
    assert again.filled


def test_a_vocabulary_of_another_model_is_refused_and_changes_nothing(encoder, tmp_path):
    path = tmp_path / "vocabulary.txt"
    encoder.write(path)
    for sizes, match in (
        ((9,), r"'so good', of 2 words, and .* of at most 1"),
        ((6, 9), "1-grams has 5 terms, and this encoder has ids for 4"),
        ((9, 5), "2-grams has 4 terms, and this encoder has ids for 3"),
    ):
        other = make(sizes)
        before = [vocabulary.terms for vocabulary in other.vocabularies]
        with pytest.raises(ValueError, match=f"(?s){match}.*vocabulary of another model"):
            other.read(path)
        assert [vocabulary.terms for vocabulary in other.vocabularies] == before
    NGramEncoder((7, 6)).read(path)  # as many as there are ids
    with pytest.raises(ValueError, match="Could not read"):
        NGramEncoder((9, 9)).read(tmp_path / "none.txt")
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(ValueError, match="may be cut short"):
        NGramEncoder((9, 9)).read(path)


@pytest.mark.parametrize("once", [True, False])
def test_a_saved_model_makes_the_same_ids(tmp_path, once):
    encoder = make(once=once, max_length=20, head=3)
    inputs = keras.Input((), dtype="string")
    ids = encoder(inputs)
    assert (ids.shape, ids.dtype) == ((None, None, 2), "int32")
    keras.Model(inputs, ids).save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    texts = ["so good! so bad. \U0001f600 " * 5, *AWKWARD[:-1], *random_strings(20, seed=7)]
    constants = tf.constant([text.encode() for text in texts])
    np.testing.assert_array_equal(loaded(constants), encoder(texts))
    (again,) = (layer for layer in loaded.layers if isinstance(layer, NGramEncoder))
    assert again.get_config() == encoder.get_config()
    assert "good" not in str(again.get_config())


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"vocabulary_sizes": (9, 2)}, "`vocabulary_sizes` must be an integer of at least 3"),
        ({"max_length": 0}, "`max_length`"),
        ({"min_count": 0}, "`min_count`"),
    ],
)
def test_impossible_arguments_are_refused_by_name(settings, match):
    with pytest.raises(ValueError, match=match):
        NGramEncoder(**{"vocabulary_sizes": (9, 9), **settings})


def test_one_string_is_no_texts_and_no_folds_are_none():
    encoder = NGramEncoder((9,), min_count=1)
    with pytest.raises(TypeError, match="Received one string"):
        encoder.adapt("abc")
    with pytest.raises(ValueError, match="`num_folds` must be an integer of at least 1"):
        encoder.folds(["a"], 0)


def test_an_empty_file_is_no_vocabulary(encoder, tmp_path):
    (tmp_path / "vocabulary.txt").write_bytes(b"")
    before = encoder.vocabularies[0].terms
    with pytest.raises(ValueError, match=r"vocabulary\.txt' is empty"):
        encoder.read(tmp_path / "vocabulary.txt")
    assert encoder.vocabularies[0].terms == before


def test_words_and_known_words_are_counted():
    encoder = make(once=True)
    ids = encoder.lookup(encoder.words(["so so GREAT", "", "bad!", "\u4e2d\u6587"]))
    words, known = encoder.count_words(ids)
    assert words.numpy().tolist() == [3, 0, 2, 2]
    assert known.numpy().tolist() == [2, 0, 2, 0]
    assert encoder.is_known(tf.constant(["so", "great"])).numpy().tolist() == [True, False]


def test_a_configuration_of_version_0_1_keeps_its_rules():
    config = make().get_config()
    assert NGramEncoder.from_config(config).rules == 2
    del config["rules"]
    old = NGramEncoder.from_config(config)
    assert old.rules == old.normalizer.rules == 1
    text = "e\u0301 \u0e17\u0e35\u0e48\u0e19\u0e35\u0e48"
    assert b" ".join(old.words([text]).to_list()[0]).decode() == text
