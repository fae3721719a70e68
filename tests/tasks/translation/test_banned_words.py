"""The automaton of banned words beside a search of the written text."""

import random
import re

import pytest

from keras_attn.tasks.translation._banned_words import ban_words, check_banned_words
from keras_attn.text import SubwordTokenizer

pytestmark = pytest.mark.tensorflow

WORDS = ["art", "über", "New York", "你好", "C++", "a"]
PIECES = "▁art ▁p art y ▁ü ber ▁New ▁York ▁ York 你 好 你好 ▁C + ++ a ü 。 é".split()  # noqa: SIM905
CHARACTERS = "éüa 好—b1.你"  # that are written in bytes


def is_letter(character):
    return character.isalnum() if character.isascii() else "\u00c0" <= character <= "\u1fff"


def holds_one(text, words=WORDS):
    """Whether a text holds one of the words, and not within another word."""
    text = re.sub(" +", " ", text).strip()
    for word in words:
        for match in re.finditer(f"(?={re.escape(word)})", text):
            before, after = text[: match.start()][-1:], text[match.start() + len(word) :][:1]
            begins = not (before and is_letter(before) and is_letter(word[0]))
            if begins and not (after and is_letter(after) and is_letter(word[-1])):
                return True
    return False


def check(count, seed):
    tokenizer = SubwordTokenizer(PIECES)
    automaton = ban_words(WORDS, tokenizer, tokenizer.size + 3)
    draw = random.Random(seed)
    sequences = []
    for _ in range(count):
        ids = []
        for _ in range(draw.randint(1, 6)):
            if draw.random() < 0.1:
                ids.append(3 + draw.randrange(128, 256))  # a byte that is not valid
            elif draw.random() < 0.8:
                ids.append(draw.randrange(259, tokenizer.size + 3))
            else:
                ids += [3 + octet for octet in draw.choice(CHARACTERS).encode()]
        sequences.append(ids)
    known = [[token for token in ids if token < tokenizer.size] for ids in sequences]
    import tensorflow as tf

    texts = [t.decode() for t in tokenizer.detokenize(tf.ragged.constant(known)).numpy()]
    banned = []
    for ids in sequences:
        state, is_banned = 0, False
        for token in ids:
            is_banned |= bool(automaton.banned[state, token])
            state = automaton.next_states[state, token]
        banned.append(is_banned or bool(automaton.banned[state, 2]))
    assert banned == [holds_one(text) for text in texts]
    assert 0.1 < sum(banned) / count < 0.9


def test_banned_words_are_banned_in_every_segmentation():
    check(500, seed=0)


@pytest.mark.slow
def test_it_bans_what_would_write_a_word_in_thousands_of_texts():
    check(20_000, seed=1)


def test_words_are_spelled_as_the_tokenizer_spells():
    tokenizer = SubwordTokenizer(["▁don't"])
    automaton = ban_words(["don\u2019t"], tokenizer, tokenizer.size)
    assert automaton.banned[automaton.next_states[0, 259], 2]


def test_impossible_words_are_refused():
    for wrong in ("art", [1], [b"art"]):
        with pytest.raises(TypeError, match="`banned_words` must be a list of strings"):
            check_banned_words(wrong)
    with pytest.raises(ValueError, match="must not hold an empty string"):
        check_banned_words(["a", " "])
    assert check_banned_words(["b", "a", "b"]) == ("b", "a")
    tokenizer = SubwordTokenizer(["▁a"])
    with pytest.raises(ValueError, match="`banned_words` must be fewer: an automaton of 1 word "):
        ban_words(["abcdefghi" * 20], tokenizer, 2**19)
