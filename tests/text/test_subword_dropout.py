"""Words cut into subwords by chance."""

import numpy as np
import pytest

from keras_attn.text import Normalizer, SubwordDropout, SubwordTokenizer
from tests.text.strings import AWKWARD, random_strings

pytestmark = pytest.mark.tensorflow
PIECES = ("\u2581", "a", "b", "ab", "\u2581ab", "aba", "\u6f22", "\u2581the", "ba")


@pytest.fixture(scope="module")
def tokenizer():
    return SubwordTokenizer(PIECES, Normalizer(lowercase=False, html=False))


def test_without_dropout_it_is_the_tokenizer(tokenizer):
    texts = [*AWKWARD, *random_strings(50, seed=0), "abab the \u2581 ab\u2581a"]
    ids = SubwordDropout(tokenizer, texts, 0.0)(3)
    for received, expected in zip(ids, tokenizer(texts).to_list(), strict=True):
        assert received.dtype == np.int32
        assert received.tolist() == expected


@pytest.mark.parametrize("rate", [0.1, 0.9])
def test_what_is_written_stays_the_same(tokenizer, rate):
    texts = [*AWKWARD, *random_strings(50, seed=0), "abab the \u2581 ab\u2581a"]
    ids = SubwordDropout(tokenizer, texts, rate)(3)
    for received, text in zip(ids, tokenizer.normalizer(texts).numpy(), strict=True):
        assert tokenizer.detokenize(received[None]).numpy()[0] == text


def test_it_depends_on_seed_and_rate_alone(tokenizer):
    texts = ["ab aba baba abab the"] * 30

    def lengths(rate, seed):
        return [len(ids) for ids in SubwordDropout(tokenizer, texts, rate)(seed)]

    assert lengths(0.3, 1) == lengths(0.3, 1)
    assert lengths(0.3, 1) != lengths(0.3, 2)
    assert len(set(lengths(0.3, 1))) > 1
    assert sum(lengths(0.0, 1)) < sum(lengths(0.3, 1)) < sum(lengths(0.9, 1))


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_impossible_rates_are_refused(tokenizer, rate):
    with pytest.raises(ValueError, match=r"`rate` must be a rate in \[0, 1\)"):
        SubwordDropout(tokenizer, ["a"], rate)
