"""Text models by ids alone: what padding, attention and settings change, and what not."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import models
from keras_attn.profiling import cost
from tests.models.small_text_models import (
    CLASSES,
    IDS,
    LENGTHS,
    NORMALIZERS,
    SIZES,
    SMALL,
    every_model,
    logits_of,
    make,
    with_and_without,
)


def test_every_text_architecture_is_here():
    assert sorted(SMALL) == models.list_architectures("text_classification")


@every_model
def test_defaults_read_ids_of_any_length_and_give_float32_logits(name):
    model = models.build(name, num_classes=7, vocabulary_sizes=SIZES + (9,) * (name[0] == "n"))
    orders = model.input.shape[-1]
    assert (model.input.shape, model.output.shape) == ((None, None, orders), (None, 7))
    assert model.input.dtype == "int32"
    for length in (1, 6):
        logits = model(np.ones((2, length, orders), "int32"))
        assert (tuple(logits.shape), keras.backend.standardize_dtype(logits.dtype)) == (
            (2, 7),
            "float32",
        )
        assert np.isfinite(ops.convert_to_numpy(logits)).all()


@with_and_without
@every_model
@pytest.mark.tensorflow
def test_logits_are_float32_in_mixed_precision(name, attention):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = make(name, attention)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("ngrams").compute_dtype == "bfloat16"
    logits = logits_of(model, IDS)
    assert logits.dtype == "float32"
    np.testing.assert_allclose(logits, logits_of(make(name, attention), IDS), atol=0.1, rtol=0.05)


@pytest.mark.slow
@with_and_without
@every_model
@pytest.mark.tensorflow
def test_padding_on_the_right_changes_nothing_and_words_do(name, attention):
    model = make(name, attention)
    expected = logits_of(model, IDS)
    assert expected.shape == (len(IDS), CLASSES)
    model.compile(jit_compile=False)  # there is no step to save the time of compiling
    longer = np.pad(IDS, ((0, 0), (0, 9), (0, 0)))
    np.testing.assert_allclose(model.predict(longer, verbose=0), expected, atol=1e-5)
    places = np.argwhere(IDS[:, :, 0])
    changed = IDS[places[:, 0]]  # in each text one word
    for text, (_, place) in zip(changed, places, strict=True):
        text[place, 0] = 2 + (text[place, 0] + 1) % 6
    moved = logits_of(model, changed) - expected[places[:, 0]]
    assert np.abs(moved).max(axis=1).min() > 1e-4


@pytest.mark.slow
@with_and_without
@every_model
@pytest.mark.tensorflow
def test_a_batch_is_its_texts_one_by_one(name, attention):
    model = make(name, attention)
    together = logits_of(model, IDS)
    for row, length in enumerate(LENGTHS):
        alone = logits_of(model, IDS[row : row + 1, : max(1, length)])
        np.testing.assert_allclose(alone[0], together[row], atol=1e-5)
    np.testing.assert_allclose(logits_of(model, IDS[::-1].copy()), together[::-1], atol=1e-5)


@with_and_without
@every_model
@pytest.mark.tensorflow
def test_an_empty_text_is_finite_and_a_bag_of_nothing_has_no_vote(name, attention):
    model = make(name, attention)
    logits = logits_of(model, IDS)
    assert np.isfinite(logits).all()
    bias = ops.convert_to_numpy(model.get_layer("logits").bias)
    if name != "text_transformer":
        np.testing.assert_allclose(logits[4], bias, atol=1e-6)
    if name == "ngram_attention":  # what is not in the vocabulary has none either
        np.testing.assert_allclose(logits[3], bias, atol=1e-6)
        unknown = np.concatenate([IDS, np.ones_like(IDS)], axis=1)
        np.testing.assert_allclose(logits_of(model, unknown), logits, atol=1e-5)
    assert np.abs(logits[0] - bias).max() > 1e-2


@every_model
@pytest.mark.tensorflow
def test_switching_attention_off_removes_it_and_nothing_else_of_the_kind(name):
    model, baseline = make(name), make(name, "none")
    assert "attention" in [layer.name for layer in model.layers]
    assert "attention" not in [layer.name for layer in baseline.layers]
    assert baseline.get_layer("pool").score == "uniform"
    kinds = {type(layer).__name__ for layer in baseline.layers}
    assert not {"MultiHeadAttention", "TransformerEncoderBlock"} & kinds
    assert baseline.count_params() < model.count_params()
    for row in (logits_of(model, IDS) - logits_of(baseline, IDS))[LENGTHS > 1][:3]:
        assert np.abs(row).max() > 1e-3


@every_model
@pytest.mark.tensorflow
def test_the_query_of_the_attention_decides_what_counts(name):
    model = make(name)
    before = logits_of(model, IDS)
    model.get_layer("attention").query.assign(-3 * model.get_layer("attention").query.value)
    assert np.abs(logits_of(model, IDS) - before)[:3].max() > 1e-2


@pytest.mark.parametrize("name", ["ngram_attention", "recurrent_attention"])
@pytest.mark.tensorflow
def test_a_query_of_zero_gives_the_baseline_without_attention(name):
    model, baseline = make(name), make(name, "none")
    attention = model.get_layer("attention")
    attention.query.assign(np.zeros(attention.query.shape))
    for layer in baseline.layers:
        if layer.name in ("ngrams", "states", "logits"):
            layer.set_weights(model.get_layer(layer.name).get_weights())
    np.testing.assert_allclose(logits_of(model, IDS), logits_of(baseline, IDS), atol=1e-5)


@pytest.mark.parametrize("name", ["ngram_attention", "text_transformer"])
@pytest.mark.tensorflow
def test_in_the_baseline_words_do_not_interact(name):
    settings = {"shrinkage_ngrams": 1}  # or of two texts together each average counts for more
    model, baseline = make(name, **settings), make(name, "none", **settings)
    first, second = (np.array([[[a, 2], [b, 3]]], "int32") for a, b in ((2, 3), (5, 8)))
    both = np.concatenate([first, second], axis=1)
    for built, apart in ((model, True), (baseline, False)):
        mean = (logits_of(built, first) + logits_of(built, second)) / 2
        assert (np.abs(logits_of(built, both) - mean).max() > 1e-3) == apart


@pytest.mark.parametrize("attention", NORMALIZERS)
@every_model
@pytest.mark.tensorflow
def test_every_normalizer_is_taken_and_runs(name, attention):
    model = make(name, attention)
    assert model.get_layer("attention").normalizer == attention
    if name == "text_transformer":
        assert model.get_layer("block_1").get_config()["normalizer"] == attention
    logits = logits_of(model, IDS)
    assert np.isfinite(logits).all()
    longer = np.pad(IDS, ((0, 0), (0, 3), (0, 0)))
    np.testing.assert_allclose(logits_of(model, longer), logits, atol=1e-5)
    if attention != "softmax":
        assert np.abs(logits - logits_of(make(name), IDS))[:3].max() > 1e-4


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("ngram_attention", {"score": "additive"}),
        ("recurrent_attention", {"cell": "lstm"}),
        *(("text_transformer", {"position": kind}) for kind in ("alibi", "relative", None)),
        ("text_transformer", {"window": 1}),
    ],
)
@pytest.mark.tensorflow
def test_other_settings_run_and_differ(name, settings):
    received = logits_of(make(name, **settings), IDS)
    assert np.isfinite(received).all()
    longer = np.pad(IDS, ((0, 0), (0, 3), (0, 0)))
    np.testing.assert_allclose(logits_of(make(name, **settings), longer), received, atol=1e-5)
    assert np.abs(received - logits_of(make(name), IDS))[:3].max() > 1e-4


@with_and_without
@every_model
@pytest.mark.tensorflow
def test_dropout_acts_in_training_alone(name, attention):
    plain, dropped = make(name, attention), make(name, attention, dropout=0.5)
    np.testing.assert_allclose(logits_of(dropped, IDS), logits_of(plain, IDS), atol=1e-5)
    in_training = ops.convert_to_numpy(dropped(IDS, training=True))
    assert np.abs(in_training - logits_of(plain, IDS)).max() > 1e-3
    assert np.isfinite(in_training).all()


def test_a_window_hides_what_is_further_away():
    model = make("text_transformer", window=2)
    states = keras.Model(model.input, model.get_layer("block_1").output)
    ids = np.full((1, 9, 2), 3, "int32")
    changed = ids.copy()
    changed[0, 4] = (7, 5)
    moved = np.abs(logits_of(states, changed) - logits_of(states, ids)).max(axis=-1)[0]
    assert (moved[3:6] > 1e-4).all()  # at a distance below 2
    np.testing.assert_allclose(np.delete(moved, [3, 4, 5]), 0.0, atol=1e-6)


@pytest.mark.tensorflow
def test_order_matters_to_a_text_transformer_with_positions_alone():
    ids = np.array([[[2, 0], [3, 0], [4, 0]]], "int32")
    for position, matters in (("rotary", True), (None, False)):
        model = make("text_transformer", position=position)
        difference = logits_of(model, ids[:, ::-1].copy()) - logits_of(model, ids)
        assert (np.abs(difference).max() > 1e-4) == matters


@pytest.mark.parametrize("window", [16, None])
@pytest.mark.tensorflow
def test_a_text_of_two_thousand_words(window):
    model = make("text_transformer", window=window)
    ids = np.random.default_rng(0).integers(1, 7, (2, 2000, 2)).astype("int32")
    ids[1, 1500:] = 0
    logits = logits_of(model, ids)
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(logits_of(model, ids[1:, :1500]), logits[1:], atol=1e-5)


@with_and_without
@every_model
@pytest.mark.tensorflow
def test_a_model_comes_back_from_json(name, attention):
    model = make(name, attention)
    again = keras.models.model_from_json(json.dumps(json.loads(model.to_json())))
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    again.set_weights(model.get_weights())
    np.testing.assert_allclose(logits_of(again, IDS), logits_of(model, IDS), atol=1e-6)


def test_parameters_of_an_ngram_attention_are_the_hand_count():
    tables = (9 + 7) * (3 + 2)
    assert make("ngram_attention").count_params() == tables + 4 + (5 + 1) * 4 + (5 + 1) * 3
    assert make("ngram_attention", "none").count_params() == tables + (5 + 1) * 3


@pytest.mark.parametrize(("cell", "gates", "biases"), [("gru", 3, 2), ("lstm", 4, 1)])
def test_parameters_of_a_recurrent_attention_are_the_hand_count(cell, gates, biases):
    tables = 9 * 3 + (9 + 7) * 3
    states = 2 * gates * 4 * (9 + 4 + biases)
    baseline = tables + states + (8 + 1) * 3
    assert make("recurrent_attention", "none", cell=cell).count_params() == baseline
    model = make("recurrent_attention", cell=cell)
    assert model.count_params() == baseline + 5 + (8 + 1) * 5
    attended = 10 * 8 * 5 + 10 * (5 + 8)
    macs = 10 * states - 10 * 2 * gates * 4 * biases + attended + 8 * 3
    assert cost(model, (1, 10, 2)).flops == 2 * macs


def test_parameters_of_a_text_transformer_are_the_hand_count():
    ends = 9 * 3 + (9 + 7) * 3 + (9 + 1) * 8 + (8 + 1) * 3
    feed_forward = (8 + 1) * 6 + (6 + 1) * 8
    block, plain = 4 * (8 + 1) * 8 + feed_forward + 2 * 2 * 8, feed_forward + 2 * 8
    pool = 2 * (8 + 1) * 8
    expected = ends + 2 * block + pool + 8 + (8 + 1) * 8
    assert make("text_transformer", num_layers=2).count_params() == expected
    baseline = make("text_transformer", "none", num_layers=2)
    assert baseline.count_params() == ends + 2 * plain + pool


@pytest.mark.parametrize(
    ("name", "settings", "match"),
    [
        *((name, {"atention": "softmax"}, r"atention.*attention") for name in sorted(SMALL)),
        *((name, {"attention": "sparsemax"}, "attention: .*sparsemax") for name in sorted(SMALL)),
        *((name, {"num_classes": 1}, "num_classes") for name in sorted(SMALL)),
        *((name, {"vocabulary_sizes": ()}, "vocabulary_sizes") for name in sorted(SMALL)),
        *((name, {"vocabulary_sizes": (9, 2)}, "vocabulary_sizes") for name in sorted(SMALL)),
        ("ngram_attention", {"embedding_gain": 0.0}, "embedding_gain"),
        *((name, {"dropout": 1.0}, "dropout") for name in sorted(SMALL)),
        *((name, {"word_dropout": 1.0}, "word_dropout") for name in sorted(SMALL)[1:]),
        ("ngram_attention", {"embedding_dim": -1}, "embedding_dim"),
        ("ngram_attention", {"score": "uniform"}, "score"),
        ("recurrent_attention", {"embedding_dim": 0}, "embedding_dim"),
        ("recurrent_attention", {"cell": "rnn"}, "cell"),
        ("text_transformer", {"frequent_sizes": (3,)}, r"one value an order.*and \(3,\)"),
        ("text_transformer", {"num_heads": 3}, "must divide `model_dim`. Received: 3 heads of 64"),
        ("text_transformer", {"window": 0}, "window"),
    ],
)
def test_impossible_settings_are_refused(name, settings, match):
    with pytest.raises(ValueError, match=match):
        models.build(name, **settings)
