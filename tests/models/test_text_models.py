"""Text models by ids alone: what padding, attention and settings change, and what not."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import models
from keras_attn.explain import cost

SIZES, CLASSES = (9, 7), 3
SMALL = {
    "ngram_attention": {"embedding_dim": 2, "key_dim": 4},
    "recurrent_attention": {"embedding_dim": 3, "units": 4, "attention_units": 5},
    "text_transformer": {
        **{"embedding_dim": 3, "model_dim": 8, "num_layers": 1, "num_heads": 2},
        "intermediate_dim": 6,
    },
}
NORMALIZERS = ("softmax", "softmax1", "sigmoid", "normalized_sigmoid")
# A long text, two shorter ones, one of unknown words alone, and one of nothing.
IDS = np.array(
    [
        [[2, 3], [4, 2], [1, 5], [8, 6], [3, 0]],
        [[5, 2], [6, 0], [0, 0], [0, 0], [0, 0]],
        [[7, 1], [1, 4], [2, 0], [0, 0], [0, 0]],
        [[1, 1], [1, 0], [0, 0], [0, 0], [0, 0]],
        [[0, 0], [0, 0], [0, 0], [0, 0], [0, 0]],
    ],
    "int32",
)
LENGTHS = (IDS[:, :, 0] != 0).sum(axis=1)
deep = pytest.mark.parametrize("name", ["recurrent_attention", "text_transformer"])
every_model = pytest.mark.parametrize("name", sorted(SMALL))
# Every graph compiles for seconds on JAX: there the models with attention stand for all.
ON_JAX = keras.backend.backend() == "jax"
with_and_without = pytest.mark.parametrize("attention", ["softmax", "none"][: 1 if ON_JAX else 2])


def make(name, attention="softmax", **more):
    """A small model with all weights drawn, so that nothing that it reads is nearly zero."""
    settings = {"vocabulary_sizes": SIZES, "num_classes": CLASSES, **SMALL[name], **more}
    model = models.build(name, attention=attention, **settings)
    random = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(random.normal(0.0, 0.5, weight.shape))
    return model


def logits_of(model, ids):
    return ops.convert_to_numpy(model(ids))


def test_every_text_architecture_is_here():
    assert set(SMALL) == set(models.TEXT_ARCHITECTURES)


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
    model, twin = make(name), make(name, "none")
    assert "attention" in [layer.name for layer in model.layers]
    assert "attention" not in [layer.name for layer in twin.layers]
    assert twin.get_layer("pool").score == "uniform"
    kinds = {type(layer).__name__ for layer in twin.layers}
    assert not {"MultiHeadAttention", "TransformerEncoderBlock"} & kinds
    assert twin.count_params() < model.count_params()
    for row in (logits_of(model, IDS) - logits_of(twin, IDS))[LENGTHS > 1][:3]:
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
def test_with_a_query_of_zero_it_is_its_twin(name):
    model, twin = make(name), make(name, "none")
    attention = model.get_layer("attention")
    attention.query.assign(np.zeros(attention.query.shape))
    for layer in twin.layers:
        if layer.name in ("ngrams", "states", "logits"):
            layer.set_weights(model.get_layer(layer.name).get_weights())
    np.testing.assert_allclose(logits_of(model, IDS), logits_of(twin, IDS), atol=1e-5)


@pytest.mark.parametrize("name", ["ngram_attention", "text_transformer"])
@pytest.mark.tensorflow
def test_in_the_twin_no_word_knows_of_another(name):
    settings = {"enough": 1}  # or of two texts together each average counts for more
    model, twin = make(name, **settings), make(name, "none", **settings)
    first, second = (np.array([[[a, 2], [b, 3]]], "int32") for a, b in ((2, 3), (5, 8)))
    both = np.concatenate([first, second], axis=1)
    for built, apart in ((model, True), (twin, False)):
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
    twin = tables + states + (8 + 1) * 3
    assert make("recurrent_attention", "none", cell=cell).count_params() == twin
    model = make("recurrent_attention", cell=cell)
    assert model.count_params() == twin + 5 + (8 + 1) * 5
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
    twin = make("text_transformer", "none", num_layers=2)
    assert twin.count_params() == ends + 2 * plain + pool


@with_and_without
@pytest.mark.tensorflow
def test_an_average_over_few_ngrams_counts_less(attention):
    model = make("ngram_attention", attention)
    bias = ops.convert_to_numpy(model.get_layer("logits").bias)

    def vote(number):
        return logits_of(model, np.full((1, number, 2), [[[3, 0]]], "int32"))[0] - bias

    for number in (1, 32, 64, 128):
        np.testing.assert_allclose(vote(number), vote(64) * min(1, number / 64), rtol=1e-4)
    assert np.abs(vote(64)).min() > 1e-2


def branches(model, ids, **call):
    """What the network and the bag answer `(B, 2, C)`, and what the model makes of it."""
    parts = keras.Model(model.input, [model.get_layer("branches").input, model.output])
    return map(ops.convert_to_numpy, parts(ids, **call))


@deep
@with_and_without
def test_a_bag_answers_beside_the_network(name, attention):
    model = make(name, attention, bag=True)
    both, answer = branches(model, IDS)
    np.testing.assert_allclose(answer, both.mean(axis=1), atol=1e-6)
    assert np.abs(both[:3, 0] - both[:3, 1]).min() > 1e-5
    longer = np.pad(IDS, ((0, 0), (0, 3), (0, 0)))
    np.testing.assert_allclose(logits_of(model, longer), answer, atol=1e-5)
    assert np.isfinite(answer).all()
    bias = ops.convert_to_numpy(model.get_layer("bag_logits").bias)
    np.testing.assert_allclose(both[3:, 1], [bias, bias], atol=1e-6)  # no known n-gram


@pytest.mark.tensorflow
def test_in_training_one_of_both_answers_each_text():
    model = make("recurrent_attention", bag=True)
    ids = np.tile(IDS[:1], (40, 1, 1))
    both, answer = branches(model, ids, training=True)
    taken = np.abs(both - answer[:, None]).max(axis=-1) < 1e-6
    assert (taken.sum(axis=1) == 1).all()
    assert 8 < taken[:, 0].sum() < 32


def test_an_ngram_counts_once_in_the_bag():
    model = make("recurrent_attention", bag=True)
    once = np.array([[[2, 3], [4, 2], [8, 6]]], "int32")
    again = np.array([[[2, 3], [2, 2], [4, 3], [8, 6], [8, 0]]], "int32")
    (first, _), (second, _) = branches(model, once), branches(model, again)
    np.testing.assert_allclose(second[:, 1], first[:, 1], atol=1e-6)
    assert np.abs(second[:, 0] - first[:, 0]).max() > 1e-4


@deep
@pytest.mark.tensorflow
def test_the_network_reads_what_is_frequent_and_the_bag_all(name):
    model = make(name, bag=True, frequent_sizes=(6, 4))
    ids = np.array([[[2, 3], [6, 2], [8, 6], [5, 5]]], "int32")
    other = ids.copy()
    other[0, 1:, 0], other[0, 2:, 1] = (7, 6, 5), (4, 6)
    (first, _), (second, _) = branches(model, ids), branches(model, other)
    np.testing.assert_allclose(second[:, 0], first[:, 0], atol=1e-6)
    assert np.abs(second[:, 1] - first[:, 1]).max() > 1e-4
    other[0, 3, 0] = 4
    changed, _ = branches(model, other)
    assert np.abs(changed[:, 0] - first[:, 0]).max() > 1e-4


@deep
@pytest.mark.tensorflow
def test_ids_of_folds_mean_the_same_outside_of_training(name):
    model = make(name, bag=True, frequent_sizes=(6, 4))
    shifted = np.where(IDS < 2, IDS, IDS + 3 * (np.array(SIZES) - 2)).astype("int32")
    np.testing.assert_allclose(logits_of(model, shifted), logits_of(model, IDS), atol=1e-6)


@deep
@pytest.mark.tensorflow
def test_a_model_with_a_bag_comes_back_from_json_and_trains(name):
    model = make(name, bag=True, frequent_sizes=(6, 4), dropout=0.1)
    again = keras.models.model_from_json(json.dumps(json.loads(model.to_json())))
    again.set_weights(model.get_weights())
    np.testing.assert_allclose(logits_of(again, IDS), logits_of(model, IDS), atol=1e-6)
    before = again.get_weights()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    again.compile("adam", loss)
    again.fit(IDS, np.array([0, 1, 2, 0, 1]), epochs=12, verbose=0)
    for weight, old in zip(again.weights, before, strict=True):
        still = np.array_equal(ops.convert_to_numpy(weight), old)
        assert still == (not weight.trainable), weight.path


@deep
@pytest.mark.tensorflow
def test_word_dropout_drops_words_whole(name):
    model = make(name, word_dropout=0.5)
    layer = model.get_layer("word_dropout")
    features = keras.Model(model.input, [layer.input, layer.output])
    ids = np.tile(IDS[:1], (40, 1, 1))
    before, after = map(ops.convert_to_numpy, features(ids, training=True))
    kept = np.abs(after).max(axis=-1) > 0
    assert 60 < kept.sum() < 140  # of 200
    np.testing.assert_allclose(after, 2 * before * kept[..., None], rtol=1e-5)
    np.testing.assert_array_equal(*map(ops.convert_to_numpy, features(ids)))


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
