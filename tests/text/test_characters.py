"""The tokenizer of single characters."""

import numpy as np
import pytest

from keras_attn.text import CharacterTokenizer, count_characters

pytestmark = pytest.mark.tensorflow
TEXTS = ["To be,\nor not", "", "春眠不覺曉", "a\r\nb\rc", "tab\there  two", "🙂é\u0301"]


@pytest.fixture(scope="module")
def tokenizer():
    return count_characters(TEXTS)


def test_texts_come_back_as_they_were_but_for_line_breaks(tokenizer):
    expected = [text.replace("\r\n", "\n").replace("\r", "\n") for text in TEXTS]
    ids = tokenizer(TEXTS)
    assert [text.decode() for text in tokenizer.detokenize(ids).numpy()] == expected
    for text, row in zip(TEXTS, ids, strict=True):
        np.testing.assert_array_equal(tokenizer.encode(text), row.numpy())
        assert tokenizer.decode(row.numpy()) == text.replace("\r\n", "\n").replace("\r", "\n")
    assert tokenizer.encode(TEXTS[0].encode()).tolist() == tokenizer.encode(TEXTS[0]).tolist()


def test_unknown_characters_have_an_id_of_their_own():
    tokenizer = CharacterTokenizer("ab")
    assert tokenizer.size == 6
    ids = tokenizer(["azb", "~\ud800"])
    assert ids.to_list()[0] == [4, 3, 5]
    assert set(ids.to_list()[1]) == {3}
    assert tokenizer.decode([4, 3, 0, 2]) == "a\ufffd"
    assert tokenizer.token_strings([0, 1, 2, 3, 5]) == [
        *("<padding>", "<start>", "<end>", "<unknown>", "b")
    ]


def test_the_most_frequent_characters_come_first_and_rare_ones_are_left_out():
    assert count_characters(["bbba", "ac"], min_count=2).characters == ("b", "a")
    assert count_characters(["bbba", "ac"], max_size=5).characters == ("b",)
    with pytest.raises(ValueError, match="No character occurs 9 times"):
        count_characters(["ab"], min_count=9)


def test_a_keras_file_and_a_vocabulary_file_hold_all_characters(tokenizer, tmp_path):
    tokenizer.write(tmp_path / "vocabulary.txt")
    other = CharacterTokenizer()
    other.read(tmp_path / "vocabulary.txt")
    assert other.characters == tokenizer.characters
    assert "\n" in other.characters
    other = CharacterTokenizer.from_config(tokenizer.get_config())
    assert other.characters == ()
    tokenizer.save_assets(tmp_path)
    other.load_assets(tmp_path)
    assert other.characters == tokenizer.characters


@pytest.mark.parametrize(
    ("characters", "error", "message"),
    [
        (["ab"], ValueError, "single code point"),
        (["a", "a"], ValueError, "distinct"),
        ([1], TypeError, "must be a str"),
        (["\r"], ValueError, "no carriage return"),
        (["\ud800"], ValueError, "valid Unicode"),
    ],
)
def test_impossible_characters_are_refused(characters, error, message):
    with pytest.raises(error, match=message):
        CharacterTokenizer(characters)


def test_damaged_files_and_missing_characters_are_named(tmp_path):
    path = tmp_path / "vocabulary.txt"
    path.write_text('"a"\nb\n')
    with pytest.raises(ValueError, match="every line must be a character as a JSON string"):
        CharacterTokenizer().read(path)
    with pytest.raises(RuntimeError, match="has no characters"):
        CharacterTokenizer()(["a"])
