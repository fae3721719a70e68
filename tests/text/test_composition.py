"""Composed and decomposed spellings are equal, as Python's `unicodedata` defines it."""

import unicodedata

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_attn.text import Normalizer
from keras_attn.text import _composition as composition

pytestmark = pytest.mark.tensorflow
AS_WRITTEN = Normalizer(lowercase=False, html=False, fold=False)
TABLES = composition._tables()

# Characters that change others, and are changed: bases, marks, composed letters, Hangul.
_JAMO = [*range(0x1100, 0x1116), *range(0x115F, 0x1179), *range(0x11A6, 0x11C5)]
_SYLLABLES = [0xAC00, 0xAC01, 0xAC1B, 0xAC1C, 0xD788, 0xD7A3]
_LETTERS = [ord(letter) for letter in "aeiouAnD<=>\u0391\u03c9\u0438\u0413\u0e01\u0915\u05d0\u0644"]
_INTERESTING = [TABLES.classes, TABLES.decompositions, _JAMO, _SYLLABLES, _LETTERS]
_INTERESTING += [{code for pair in TABLES.composites for code in pair}]
_CHARACTER = st.one_of([st.sampled_from(sorted(codes)) for codes in _INTERESTING]).map(chr)
_TEXT = st.lists(_CHARACTER, max_size=12).map("".join)


def spelled(texts, normalizer=AS_WRITTEN):
    return [text.decode("utf-8") for text in normalizer(texts).numpy()]


def composed(texts):
    return [unicodedata.normalize("NFC", text) for text in texts]


@pytest.mark.parametrize(
    "text",
    [
        "A clich\u00e9d, na\u00efve film.",
        "\u03ac\u03bd\u03b8\u03c1\u03c9\u03c0\u03bf\u03c2 \u1f82",  # Greek
        "\u0439\u0451\u0457",  # Cyrillic
        "Ti\u1ebfng Vi\u1ec7t \u0111\u01b0\u1eddng \u1eadu",  # Vietnamese
        "\ud55c\uad6d\uc5b4 \uac01 \ud7a3",  # Hangul
        "\u304c\u30d1",  # Japanese
        "\u09cb \u0bca \u0ccb \u0dde",  # Bengali, Tamil, Kannada, Sinhala
        "\u0623\u0624 \u05e9\u05c1",  # Arabic, Hebrew
        "\u212b\u2126\uf900",  # singletons
    ],
)
def test_every_form_is_spelled_as_the_composed_one(text):
    forms = [unicodedata.normalize(form, text) for form in ("NFC", "NFD")]
    assert spelled([text, *forms]) == [forms[0]] * 3
    assert len(set(spelled([text, *forms], Normalizer()))) == 1


def test_every_character_that_has_a_decomposition():
    hangul = range(0xAC00, 0xD7A4)
    characters = [chr(code) for code in [*TABLES.decompositions, *hangul]]
    decomposed = [unicodedata.normalize("NFD", character) for character in characters]
    assert spelled(characters) == composed(characters)
    assert spelled(decomposed) == composed(characters)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(_TEXT, min_size=1, max_size=20))
def test_any_order_of_bases_and_marks(texts):
    assert spelled(texts) == composed(texts)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.lists(st.one_of(_TEXT, st.text(max_size=8)), min_size=1, max_size=10))
@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("fold", [True, False])
def test_equal_texts_are_normalized_equally_and_once(lowercase, fold, texts):
    normalizer = Normalizer(lowercase=lowercase, fold=fold)
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    once = spelled(texts, normalizer)
    for form in ("NFC", "NFD"):
        assert spelled([unicodedata.normalize(form, text) for text in texts], normalizer) == once
    assert spelled(once, normalizer) == once == composed(once)


@pytest.mark.slow
def test_many_random_texts():
    random = np.random.default_rng(0)
    groups = [sorted(codes) for codes in _INTERESTING]
    for _ in range(20):
        choices = random.integers(0, len(groups), (5000, 10)).tolist()
        lengths = random.integers(1, 11, 5000).tolist()
        texts = [
            "".join(chr(random.choice(groups[at])) for at in row[:length])
            for row, length in zip(choices, lengths, strict=True)
        ]
        assert spelled(texts) == composed(texts)


def test_composed_texts_of_every_script_are_recognized():
    pattern = f"(?s).*(?:{composition.needs_composition()}).*"
    texts = ["A fine film, a\u00df \u00e9t\u00e9.", "\u0939\u093f\u0928\u094d\u0926\u0940"]
    texts += ["\u0e17\u0e35\u0e48\u0e19\u0e35\u0e48", "\u4e2d\u6587\u3002", "\ud55c\uad6d\uc5b4"]
    texts += ["Ti\u1ebfng Vi\u1ec7t", "\u0432\u0451\u0439", "\u0643\u064e\u0651"]
    assert not tf.strings.regex_full_match(texts[:-1], pattern).numpy().any()
    assert tf.strings.regex_full_match(["e\u0301", "\u1112\u1161"], pattern).numpy().all()


def test_a_hostile_text_takes_no_more_steps():
    text = "a" + "\u0301\u0323" * 20_000
    assert spelled([text]) == composed([text])
    text = "\u1100\u1161\u11a8" * 20_000
    assert spelled([text]) == composed([text])


def test_some_rows_of_any_shape_in_a_graph():
    traced = tf.function(AS_WRITTEN, input_signature=[tf.TensorSpec((None, 2), tf.string)])
    texts = tf.constant([["plain", "e\u0301"], ["\u1112\u1161\u11ab", ""]])
    assert [[text.decode() for text in row] for row in traced(texts).numpy()] == [
        ["plain", "\u00e9"],
        ["\ud55c", ""],
    ]


def test_the_rules_of_version_0_1_compose_nothing():
    assert spelled(["e\u0301 \u00e9"], Normalizer(rules=1)) == ["e\u0301 \u00e9"]
    assert Normalizer.from_config({"lowercase": True, "html": False}).rules == 1
    with pytest.raises(ValueError, match=r"`rules` must be 2.*Received: 3"):
        Normalizer(rules=3)
