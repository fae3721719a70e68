import pytest
import tensorflow as tf

from keras_attn.text import Normalizer, split_words
from tests.text.strings import AWKWARD, random_bytes, random_strings

pytestmark = pytest.mark.tensorflow


def words(text):
    return [word.decode("utf-8") for word in split_words([text]).to_list()[0]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" ", []),
        ("a", ["a"]),
        ("i don't, rock'n'roll", ["i", "don't", ",", "rock'n'roll"]),
        ("'tis the girls' 'n'", ["'", "tis", "the", "girls", "'", "'", "n", "'"]),
        ("a''b", ["a", "'", "'", "b"]),
        ("wow! wow!! wow!!!!!", ["wow", "!", "wow", "!!", "wow", "!!!"]),
        ("eh?! so.. and... 3.5", ["eh", "?", "!", "so", "..", "and", "...", "3", ".", "5"]),
        ("--a_b#1 $5", ["-", "-", "a", "_", "b", "#", "1", "$", "5"]),
        ("10/10 4k", ["10", "/", "10", "4k"]),
        ("e\u0301te\u0301", ["e\u0301te\u0301"]),
        ("a\u6f22\u5b57b \u3072\u30ab", ["a", "\u6f22", "\u5b57", "b", "\u3072", "\u30ab"]),
        ("\ud55c\uad6d \uc601\ud654", ["\ud55c\uad6d", "\uc601\ud654"]),
        ("so\U0001f600\U0001f600 \u2764\ufe0f", ["so", "\U0001f600", "\U0001f600", "\u2764\ufe0f"]),
        ("\U0001f44d\U0001f3fd!", ["\U0001f44d\U0001f3fd", "!"]),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", None),
        ("\ufffd", ["\ufffd"]),
        (
            "\u0e17\u0e35\u0e48\u0e19\u0e35\u0e48 ok",
            ["\u0e17\u0e35\u0e48", "\u0e19\u0e35\u0e48", "ok"],
        ),  # Thai
        ("\u0e1b\u0e352566\u0e1b \u0e51\u0e52", ["\u0e1b\u0e35", "2566", "\u0e1b", "\u0e51\u0e52"]),
        ("\u0ea5\u0eb2\u0ea7", ["\u0ea5", "\u0eb2", "\u0ea7"]),  # Lao
        (
            "\u1781\u17d2\u1798\u17c2\u179a\u17d4",
            ["\u1781\u17d2\u1798\u17c2", "\u179a", "\u17d4"],
        ),  # Khmer
        (
            "\u1019\u103c\u1014\u103a\u1019\u102c \u1019\u1039\u1019",  # Burmese
            ["\u1019\u103c", "\u1014\u103a", "\u1019\u102c", "\u1019\u1039\u1019"],
        ),
        ("\u845b\U000e0100\u57ce", ["\u845b\U000e0100", "\u57ce"]),
        ("\u00e9" * 70, ["\u00e9" * 64]),
    ],
)
def test_words(text, expected):
    assert words(text) == ([text] if expected is None else expected)


def test_version_0_1_takes_a_thai_sentence_as_a_word():
    text = "\u0e17\u0e35\u0e48\u0e19\u0e35\u0e48 \u6f22\u5b57"
    assert [word.decode() for word in split_words([text], rules=1).to_list()[0]] == [
        "\u0e17\u0e35\u0e48\u0e19\u0e35\u0e48",
        "\u6f22",
        "\u5b57",
    ]
    with pytest.raises(ValueError, match="`rules` must be 2"):
        split_words([text], rules=0)


def test_nothing_but_spaces_and_long_runs_is_lost():
    texts = Normalizer()([*AWKWARD[:-1], *random_strings(1000, 3), *random_bytes(300, 4)])
    for text, row in zip(texts.numpy(), split_words(texts).to_list(), strict=True):
        if any(run in text for run in (b"!!!!", b"????", b"....")):
            continue
        assert b"".join(row) == text.replace(b" ", b"")
        assert b"" not in row


def test_rows_stay_rows():
    split = split_words(["a b", "", "c"])
    assert split.to_list() == [[b"a", b"b"], [], [b"c"]]
    assert split_words([]).shape.as_list() == [0, None]
    assert split_words([" ", ""]).to_list() == [[], []]


def test_in_a_dataset():
    dataset = tf.data.Dataset.from_tensor_slices(["a b.", ""]).batch(2).map(split_words)
    assert [row.to_list() for row in dataset] == [[[b"a", b"b", b"."], []]]


def test_a_megabyte():
    assert len(words("ab c " * 200_000)) == 400_000
    assert words("x" * 1_000_000) == ["x" * 64]


@pytest.mark.parametrize("texts", ["one text", [["a"]], 3, [1, 2], ["a", None], tf.ones((2,))])
def test_what_is_not_a_row_of_texts_is_refused(texts):
    with pytest.raises((TypeError, ValueError), match="`texts` must"):
        split_words(texts)
