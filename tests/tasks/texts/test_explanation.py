"""Explanations of texts: attention beside what moved the answer."""

import dataclasses
import json
import re

import keras
import numpy as np
import pytest
from rich.console import Console

from keras_attn import layers, tasks, text
from keras_attn.tasks._agreement import rank_correlation
from keras_attn.tasks._display import FOR, rgb
from keras_attn.tasks.texts.explanation import over_words

pytestmark = pytest.mark.tensorflow

TEXTS = [
    "a fine film and a good cast",
    "good fun, truly good",
    "fine work , well done",
    "a dull film and a bad cast",
    "bad jokes, truly bad",
    "dull work , badly done",
    "the film is neither good nor bad",
    "so so , some of it fine and some dull",
    "a film",
]
LABELS = [0, 0, 0, 1, 1, 1, 2, 2, 2]
NAMES = ("good", "bad", "so so")
TEXT = "A good film , truly fine and not dull"
SETTINGS = {
    "ngram_attention": {"embedding_gain": 1.0},
    "recurrent_attention": {"embedding_dim": 4, "units": 4, "bag": True},
    "text_transformer": {"embedding_dim": 4, "model_dim": 8, "num_layers": 1},
}


def make(architecture="ngram_attention", names=NAMES, **settings):
    keras.utils.set_random_seed(3)
    settings = {**SETTINGS[architecture], "vocabulary_sizes": (60, 60, 60), **settings}
    model = tasks.from_architecture(
        architecture, names, preprocessing={"max_length": 1000}, **settings
    )
    labels = np.array(LABELS)
    model.adapt(TEXTS, labels if len(names) == 3 else labels % 2)
    # Attention that is not even, whatever the architecture starts with.
    for weight in model.network.weights:
        if weight.path.startswith("attention/"):
            weight.assign(np.random.default_rng(0).normal(0.0, 0.5, size=weight.shape))
    return model


@pytest.fixture(
    scope="module",
    params=[
        "ngram_attention",
        pytest.param("recurrent_attention", marks=pytest.mark.slow),
        pytest.param("text_transformer", marks=pytest.mark.slow),
    ],
)
def model(request):
    return make(request.param)


@pytest.fixture(scope="module")
def bag():
    """A mean of n-grams, without attention."""
    return make(attention="none")


def log_odds(model, some_text, label):
    share = model.classify(some_text).probabilities[label]
    return np.log(share) - np.log1p(-share)


@pytest.mark.slow
@pytest.mark.parametrize("label", [None, *NAMES])
def test_leave_one_out_is_what_classify_says_of_the_text_without_the_word(model, label):
    explanation = model.explain(TEXT, label)
    assert explanation.label == (label or model.classify(TEXT).label)
    assert explanation.answer == model.classify(TEXT)
    assert explanation.tokens == tuple(TEXT.lower().split())
    words = TEXT.split()
    whole = log_odds(model, TEXT, explanation.label)
    by_hand = [
        whole - log_odds(model, " ".join(words[:i] + words[i + 1 :]), explanation.label)
        for i in range(len(words))
    ]
    np.testing.assert_allclose(explanation.leave_one_out, by_hand, atol=2e-4)


def test_gradient_times_input_is_that_of_all_features(model):
    """Features are linear in the tables: scaled together, they move the log-odds by the sum."""
    total = model.explain(TEXT, "good").gradient_times_input.sum()
    tables = [
        weight
        for layer in model.network.layers
        if isinstance(layer, layers.NGramEmbedding)
        for weight in layer.weights
    ]
    before, moved = [table.numpy() for table in tables], []
    for factor in (1.01, 0.99):
        for table, values in zip(tables, before, strict=True):
            table.assign(factor * values)
        moved.append(log_odds(model, TEXT, "good"))
    for table, values in zip(tables, before, strict=True):
        table.assign(values)
    np.testing.assert_allclose(total, (moved[0] - moved[1]) / 0.02, rtol=0.02, atol=0.02)


def test_the_log_odds_are_calibrated_ones():
    model = make()
    before = model.explain(TEXT, "good")
    model.temperature.assign(4.0)
    after = model.explain(TEXT, "good")
    words = TEXT.split()
    by_hand = log_odds(model, TEXT, "good") - log_odds(model, " ".join(words[1:]), "good")
    np.testing.assert_allclose(after.leave_one_out[0], by_hand, atol=2e-4)
    assert np.abs(after.gradient_times_input).max() < np.abs(before.gradient_times_input).max()


def test_attention_is_that_of_the_layer_and_sums_to_one(model):
    explanation = model.explain(TEXT)
    assert explanation.attention.shape == (len(explanation.tokens),)
    np.testing.assert_allclose(explanation.attention.sum(), 1.0, rtol=1e-5)
    assert np.ptp(explanation.attention) > 1e-3

    pooling = model.network.get_layer("attention")
    inputs, mask = keras.Model(model.network.inputs, pooling.input)(model.encoder([TEXT]))
    _, scores = pooling(inputs, padding_mask=mask, return_attention_scores=True)
    scores = np.asarray(scores)[0].mean(axis=0)
    length = len(explanation.tokens)
    expected = scores
    if len(scores) == 3 * length:  # each n-gram is a position
        expected = np.zeros(length)
        for word, row in enumerate(scores.reshape(length, 3)):
            for order, weight in enumerate(row, start=1):
                if word + order <= length:
                    expected[word : word + order] += weight / order
                else:
                    assert weight == 0
    np.testing.assert_allclose(explanation.attention, expected, rtol=1e-5, atol=1e-7)


class Sum(keras.layers.Layer):
    def call(self, x):
        return keras.ops.sum(x, axis=1)


def test_gradient_times_input_is_the_effect_where_the_network_is_linear():
    """Features of words alone, summed: leaving a word out takes its features away."""
    ids = keras.Input((None, 1), dtype="int32")
    embedding = layers.NGramEmbedding((60,), (5,), name="ngrams")
    logits = keras.layers.Dense(2, dtype="float32")(Sum()(embedding(ids)))
    model = tasks.TextClassifier(
        keras.Model(ids, logits), text.NGramEncoder((60,)), ("good", "bad")
    )
    model.adapt(TEXTS, np.array(LABELS) % 2)
    explanation = model.explain(TEXT)
    assert explanation.attention is None
    assert explanation.agreement == {"attention": None, "gradient_times_input": 1.0}
    # Of two classes the log-odds are the difference of the logits, and linear.
    np.testing.assert_allclose(
        explanation.gradient_times_input, explanation.leave_one_out, atol=2e-5
    )
    json.dumps(explanation.to_dict())
    assert "attention" not in explanation.to_html()


def test_gradient_times_input_adds_up_to_the_log_odds_of_a_bag_of_two_classes():
    model = make(names=("good", "bad"), attention="none")
    bias = model.network.get_layer("logits").bias
    bias.assign([0.0, 0.0])
    explanation = model.explain(TEXT, "good")
    expected = log_odds(model, TEXT, "good")  # linear in the features, with no constant
    np.testing.assert_allclose(explanation.gradient_times_input.sum(), expected, atol=1e-4)


def test_frozen_tables_have_gradients():
    model = make()
    expected = model.explain(TEXT).gradient_times_input
    frozen = make()
    frozen.network.trainable = False
    np.testing.assert_allclose(frozen.explain(TEXT).gradient_times_input, expected, rtol=1e-5)


def test_new_weights_are_explained_anew():
    model = make()
    before = model.explain(TEXT)
    kernel = model.network.get_layer("logits").kernel
    kernel.assign(2 * kernel)
    after = model.explain(TEXT, before.label)
    assert np.abs(after.gradient_times_input - before.gradient_times_input).max() > 1e-3


def test_a_network_without_attention_has_none(bag):
    explanation = bag.explain(TEXT)
    assert explanation.attention is None
    assert explanation.to_dict()["attention"] is None
    assert explanation.agreement["attention"] is None
    assert "leave one out" in printed(explanation)
    assert "attention" not in printed(explanation)


def test_a_layer_of_that_name_that_does_not_pool_is_no_attention():
    ids = keras.Input((None, 1), dtype="int32")
    x = layers.NGramEmbedding((60,), (5,), name="ngrams")(ids)
    x = keras.layers.Dense(4, name="attention")(x)
    network = keras.Model(ids, keras.layers.Dense(3, dtype="float32")(Sum()(x)))
    model = tasks.TextClassifier(network, text.NGramEncoder((60,)), NAMES)
    model.adapt(TEXTS, LABELS)
    assert model.explain(TEXT).attention is None


@pytest.mark.parametrize("empty", ["", " \n\t", b""])
def test_an_empty_text_has_no_words(model, empty):
    explanation = model.explain(empty)
    assert explanation.tokens == ()
    for values in (
        explanation.attention,
        explanation.gradient_times_input,
        explanation.leave_one_out,
    ):
        assert values.shape == (0,)
    assert explanation.agreement == {"attention": None, "gradient_times_input": None}
    assert explanation.answer == model.classify(empty)
    json.dumps(explanation.to_dict())
    assert "Answer" in printed(explanation)
    assert "<table" in explanation.to_html()


def test_one_word(model):
    explanation = model.explain("good")
    np.testing.assert_allclose(explanation.attention, [1.0], rtol=1e-5)
    effect = log_odds(model, "good", explanation.label) - log_odds(model, "", explanation.label)
    np.testing.assert_allclose(explanation.leave_one_out, [effect], atol=2e-4)
    assert explanation.agreement["attention"] is None


def test_unknown_words_have_no_say_in_a_bag(bag):
    explanation = bag.explain("zyx wvu")
    np.testing.assert_allclose(explanation.leave_one_out, 0.0, atol=1e-6)
    np.testing.assert_array_equal(explanation.agreement["gradient_times_input"], None)
    attended = make().explain("zyx wvu")
    assert np.isfinite(attended.attention).all()


@pytest.mark.slow
def test_a_megabyte_is_shortened_as_the_encoder_shortens_it():
    model = make()
    long = "good film " * 50_000 + "bad " * 150_000
    with pytest.warns(UserWarning, match="1,000 words of a text are read.*with 250,000"):
        explanation = model.explain(long)
    assert len(explanation.tokens) == 1000
    assert explanation.tokens[:2] == ("good", "film")
    assert explanation.tokens[-1] == "bad"
    assert explanation.leave_one_out.shape == (1000,)
    np.testing.assert_allclose(explanation.attention.sum(), 1.0, rtol=1e-4)


def test_unknown_labels_and_other_than_texts_are_refused(bag):
    with pytest.raises(ValueError, match=r"Unknown label: received 'goood'\. Did you mean 'good'"):
        bag.explain(TEXT, label="goood")
    with pytest.raises(TypeError, match="one text"):
        bag.explain([TEXT])


def test_markup_in_a_text_is_shown_and_not_run(bag):
    explanation = bag.explain('<script>alert("1")</script> [red]good[/red] & <b>', label="so so")
    page = explanation.to_page()
    assert page.startswith("<!DOCTYPE html>")
    assert "<script" not in page
    assert ">&lt;</span>" in page
    assert "&quot;" in page
    assert explanation.to_html() in page
    assert explanation._repr_html_() == explanation.to_html()
    assert "[ red ] good [ / red ]" in " ".join(_without_colors(explanation).split())


def test_names_of_labels_are_escaped():
    model = make(names=("<i>good", "bad", "so so"))
    html = model.explain(TEXT, label="<i>good").to_html()
    assert "<i>" not in html
    assert "&lt;i&gt;good" in html


def test_html_has_a_row_a_method_with_numbers(model):
    explanation = model.explain(TEXT)
    html = explanation.to_html()
    assert html.count("<tr ") == 3
    assert html.count("title=") == 3 * len(explanation.tokens)
    for value in explanation.leave_one_out:
        assert f'title="leave one out {value:+.4f}"' in html
    assert f"background:{rgb(FOR)}" in html  # the strongest for, in full
    assert "http" not in html


def test_a_terminal_shows_the_words_and_the_strongest_first(model):
    explanation = model.explain(TEXT)
    shown = printed(explanation)
    strongest = np.abs(explanation.leave_one_out).argmax()
    lines = shown.splitlines()
    header = next(index for index, line in enumerate(lines) if line.split()[:1] == ["word"])
    row = lines[header + 2]
    assert row.split()[0] == explanation.tokens[strongest]
    assert f"{explanation.leave_one_out[strongest]:+.3f}" in row
    assert "\x1b[" in printed(explanation, force_terminal=True, color_system="truecolor")
    assert "a good film , truly fine" in _without_colors(explanation)
    # Without colors the words would be written three times, and say nothing.
    assert "a good film" not in str(explanation)


def test_the_dictionary_goes_through_json(model):
    explanation = model.explain(TEXT, "bad")
    back = json.loads(json.dumps(explanation.to_dict()))
    assert back["label"] == "bad"
    assert back["answer"]["label"] == explanation.answer.label
    assert back["tokens"] == list(explanation.tokens)
    assert back["leave_one_out"] == explanation.leave_one_out.tolist()
    assert back["agreement"] == explanation.agreement


def test_agreement_is_the_rank_correlation_with_the_size_of_the_effect(model):
    explanation = model.explain(TEXT)
    assert explanation.known == tuple(token != "not" for token in explanation.tokens)
    known = np.array(explanation.known)
    sizes = np.abs(explanation.leave_one_out[known])
    gradient = np.abs(explanation.gradient_times_input[known])
    assert explanation.agreement == {
        "attention": rank_correlation(explanation.attention[known], sizes),
        "gradient_times_input": rank_correlation(gradient, sizes),
    }


def test_rank_correlation():
    values = np.array([3.0, 1.0, 1.0, 7.0, -2.0])
    ranks = np.array([4.0, 2.5, 2.5, 5.0, 1.0])
    others = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    expected = np.corrcoef(ranks, others)[0, 1]
    np.testing.assert_allclose(rank_correlation(values, others), expected)
    assert rank_correlation(values, np.exp(values)) == 1.0
    assert rank_correlation(values, -values) == -1.0
    for constant in (np.zeros(5), np.ones(5), np.ones(5) + 1e-9 * others):
        assert rank_correlation(values, constant) is None
    assert rank_correlation(np.zeros(0), np.zeros(0)) is None
    assert rank_correlation(np.ones(1), np.ones(1)) is None


def test_what_n_grams_weigh_is_all_given_to_words():
    weights = np.random.default_rng(0).random((2, 3))  # fewer words than the longest n-gram
    np.testing.assert_allclose(over_words(weights).sum(), weights.sum())
    np.testing.assert_allclose(
        over_words(np.array([[0.0, 0.0, 3.0], [0, 0, 0], [0, 0, 0], [0, 0, 0]])), [1, 1, 1, 0]
    )
    assert over_words(np.zeros((0, 3))).shape == (0,)


@pytest.mark.slow
def test_explaining_leaves_the_model_as_it_is(tmp_path):
    model = make()
    model.explain(TEXT)
    weights = len(model.weights)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert len(loaded.weights) == weights
    explained, again = model.explain(TEXT), loaded.explain(TEXT)
    np.testing.assert_allclose(again.leave_one_out, explained.leave_one_out, atol=1e-5)
    np.testing.assert_allclose(again.attention, explained.attention, atol=1e-6)
    model.export(tmp_path / "serving")


def test_many_texts_trace_once():
    from keras_attn.tasks.texts import explanation

    model = make()
    for some_text in ("good", TEXT, "a bad film"):
        model.explain(some_text)
        model.explain(some_text, "bad")
    assert explanation._traced[model][1].experimental_get_tracing_count() == 1


def _without_colors(explanation):
    """Return what a color terminal displays, without its escape codes."""
    shown = printed(explanation, force_terminal=True, color_system="truecolor")
    return re.sub("\x1b\\[[0-9;]*m", "", shown)


def printed(explanation, **options):
    console = Console(width=200, **options)
    with console.capture() as capture:
        console.print(explanation)
    return capture.get()


def test_unknown_words_are_named_and_nothing_is_claimed_of_one_sign():
    model = make()
    explanation = model.explain("\u8fd9\u90e8\u7535\u5f71 ,")
    assert explanation.known == (False,) * 4 + (True,)
    assert explanation.agreement == {"attention": None, "gradient_times_input": None}
    assert explanation.to_dict()["answer"]["known_words"] == 1
    console = Console(width=100, record=True)
    console.print(explanation)
    for shown in (console.export_text(), explanation.to_html()):
        assert "The model knows 1 of 5 words; not: \u8fd9 \u90e8" in shown
        assert "Rank correlation" not in shown
        assert "The answer says little about the text." in shown


def test_control_characters_of_unknown_words_are_escaped(bag):
    explanation = bag.explain("zzz film")
    tokens = ("\u202ezzz\x1b[31m", *explanation.tokens[1:])
    assert not explanation.known[0]
    shown = printed(dataclasses.replace(explanation, tokens=tokens))
    assert "; not: " in shown
    assert "\u202e" not in shown
    assert "\x1b" not in shown
