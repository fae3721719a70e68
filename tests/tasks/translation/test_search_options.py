"""Minimum length, repetitions and banned words in a translator, in Python and in a graph."""

import numpy as np
import pytest

from tests.tasks.small_translators import new_translator
from tests.tasks.translation.test_banned_words import holds_one

pytestmark = pytest.mark.tensorflow

TEXTS = [
    "Two dogs are playing in the snow.",
    "A man in a red shirt is reading a newspaper.",
    "A boy , a boy , a boy , a boy and a boy .",
    "",
]
OPTIONS = {"min_length": 30, "no_repeat_ngram_size": 2, "banned_words": ["Hunde", "Ein", "Mann"]}


@pytest.fixture(scope="module")
def random_translator():
    model = new_translator()
    model.adapt(["a dog runs", "two dogs"], ["ein hund rennt", "zwei hunde"])
    return model


@pytest.mark.exhaustive
def test_restrictions_hold_in_python_and_in_a_graph(translator):
    import tensorflow as tf

    found = translator.translate(TEXTS, 3, **OPTIONS)
    free = translator.translate(TEXTS, 3)
    assert any(holds_one(answer.text, OPTIONS["banned_words"]) for answer in free)
    assert found[-1] == ("", 0.0, 0, 0)
    for answer in found[:-1]:
        assert not holds_one(answer.text, OPTIONS["banned_words"])
        ids = translator.tokenizer([answer.text]).numpy()[0].tolist()
        assert len(ids) >= 25  # a search may write other pieces than the tokenizer
    serve = tf.function(
        translator.serving_function(beam_size=3, **OPTIONS),
        input_signature=[tf.TensorSpec([None], tf.string)],
    )
    served = serve(tf.constant(TEXTS))
    assert [text.decode() for text in served["text"].numpy()] == [answer.text for answer in found]
    np.testing.assert_allclose(served["score"], [answer.score for answer in found], atol=1e-3)
    arguments = (
        tuple(OPTIONS["banned_words"]),
        translator.tokenizer,
        translator.target_normalizer,
    )
    again = translator._searches.automaton(*arguments)
    assert again is translator._searches.automaton(*arguments)


@pytest.mark.slow
def test_samples_and_greedy_translations_hold_to_them(random_translator):
    words = ["hund", "e", "d", "1"]
    options = {"min_length": 12, "no_repeat_ngram_size": 1, "banned_words": words}
    drawn = random_translator.sample(["a dog", "two"], 20, seed=1, **options)
    drawn = [*drawn, [random_translator.translate("a dog", 1, **options)]]
    for answer in (answer for answers in drawn for answer in answers):
        assert np.isfinite(answer.score)
        assert not holds_one(answer.text, words)


@pytest.mark.slow
def test_other_banned_words_do_not_fill_the_memory(random_translator, monkeypatch):
    searches = random_translator._searches
    monkeypatch.setattr("keras_attn.tasks.translation._search.MAX_AUTOMATA", 2)
    for word in ("a", "b", "c", "d"):
        random_translator.translate("a dog", 1, banned_words=[word], max_length=2)
    assert len(searches._automata) == 2
    assert len([key for key in searches._compiled if "automaton" in dict(key[3:])]) == 2
    monkeypatch.setattr("keras_attn.tasks.translation._search.MAX_COMPILED", 2)
    for max_length in (2, 3, 4):
        random_translator.translate("a dog", 1, max_length=max_length)
    assert len(searches._compiled) == 2


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"min_length": -1}, ValueError, "`min_length` must be an integer of at least 0"),
        ({"min_length": 300}, ValueError, "`min_length` must be at most `max_length` = 256"),
        ({"no_repeat_ngram_size": 0}, ValueError, "`no_repeat_ngram_size` must be"),
        ({"banned_words": "Hund"}, TypeError, "`banned_words` must be a list of strings"),
    ],
)
def test_impossible_options_are_refused(random_translator, tmp_path, options, error, message):
    for use in (
        lambda: random_translator.translate(["a dog"], **options),
        lambda: random_translator.sample(["a dog"], seed=1, **options),
        lambda: random_translator.export(tmp_path / "1", **options),
    ):
        with pytest.raises(error, match=message):
            use()
    with pytest.raises(TypeError, match=r"takes a path.*Received: copy"):
        random_translator.export(tmp_path / "1", copy=True)


def test_an_empty_translation_has_the_score_of_its_end(random_translator):
    (logits,) = random_translator.logits(["a dog"], [""])
    expected = logits[0, 2] - np.logaddexp.reduce(logits[0])
    np.testing.assert_allclose(random_translator.score(["a dog"], [""]), [expected], rtol=1e-5)


@pytest.mark.parametrize("use", ["score", "logits", "evaluate", "encode"])
def test_truncated_texts_issue_a_warning(random_translator, use, monkeypatch):
    monkeypatch.setattr(random_translator, "max_length", 3)
    run = getattr(random_translator, use)
    for pair in ((["a", "dog " * 9], ["a", "a"]), (["a", "a"], ["a", "hund " * 9])):
        with pytest.warns(
            UserWarning, match=r"The first 3 subwords .* text 2 .* is not read"
        ) as caught:
            run(*pair)
        assert caught[0].filename == __file__
