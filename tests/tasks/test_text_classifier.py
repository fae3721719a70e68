"""The task: strings in, answers out; a Keras model with its vocabulary in between."""

import collections
import itertools
import json
import math
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_attn.data import EncodedTexts
from keras_attn.tasks import (
    TextClassifier,
    expected_calibration_error,
    fit_temperature,
    from_architecture,
)
from keras_attn.tasks.naive_bayes import log_count_ratios, ngram_counts
from keras_attn.tasks.text_classifier import FOLDS
from keras_attn.text import NGramEncoder
from tests.conftest import ROOT
from tests.text.strings import AWKWARD

pytestmark = pytest.mark.tensorflow
NAMES = ("bad", "good")
TEXTS = [
    "a fine film with a fine cast",
    "fine acting and a film to love",
    "not bad but fine",
    "love it",
    "a dull film with a dull cast",
    "dull acting and a film to leave",
    "not fine but bad",
]
LABELS = [1, 1, 1, 1, 0, 0, 0]
NEW = ["fine film", "dull film", "love the cast", "leave", "not bad", "not fine but dull"]
SMALL = {
    "ngram_attention": {},
    "recurrent_attention": {"embedding_dim": 3, "units": 4, "attention_units": 5, "bag": True},
    "text_transformer": {
        **{"embedding_dim": 3, "model_dim": 8, "num_layers": 1, "num_heads": 2},
        **{"intermediate_dim": 6, "window": 9},
    },
}


def grams_of(text):
    words = text.split()
    return words + [" ".join(pair) for pair in itertools.pairwise(words)]


# As many ids as there are words and pairs, with those of padding and unknown.
GRAMS = {gram for text in TEXTS for gram in grams_of(text)}
SIZES = tuple(2 + sum(gram.count(" ") == order for gram in GRAMS) for order in (0, 1))


def make(architecture="ngram_attention", text=None, **more):
    keras.utils.set_random_seed(0)
    settings = {"vocabulary_sizes": SIZES, **SMALL[architecture], **more}
    return from_architecture(architecture, NAMES, text=text, **settings)


@pytest.fixture(scope="module", params=sorted(SMALL))
def classifier(request):
    """Each architecture, trained for a moment and calibrated."""
    model = make(request.param, text={"max_length": 48})
    model.adapt(TEXTS, LABELS)
    model.fit(TEXTS, np.array(LABELS), epochs=2, verbose=0)
    model.calibrate(NEW, [1, 0, 1, 1, 1, 0])  # not all as it would say
    return model


def naive_bayes():
    """The log-ratio of each n-gram, for the good against the bad: counts of texts, plus one."""
    counts = {label: collections.Counter() for label in (0, 1)}
    for text, label in zip(TEXTS, LABELS, strict=True):
        counts[label].update(set(grams_of(text)))
    share = {
        gram: [(counts[label][gram] + 1) / (counts[label].total() + len(GRAMS)) for label in (0, 1)]
        for gram in GRAMS
    }
    return {gram: math.log(good / bad) for gram, (bad, good) in share.items()}


def mean_ratio(text):
    ratios = naive_bayes()
    known = [ratios[gram] for gram in grams_of(text) if gram in ratios]
    return sum(known) / len(known) if known else 0.0


def vote(text):
    """What the average of a short text counts: as one over 64 n-grams."""
    number = sum(gram in GRAMS for gram in grams_of(text))
    return mean_ratio(text) * min(1.0, number / 64)


@pytest.mark.parametrize("attention", ["none", "softmax"])
def test_a_new_bag_of_ngrams_is_a_naive_bayes_classifier(attention):
    model = make(attention=attention)
    model.adapt(TEXTS, LABELS)
    if attention != "none":
        query = model.network.get_layer("attention").query
        query.assign(np.zeros(query.shape))
    texts = [*TEXTS, *NEW, "no such word", "", "a fine film " * 40]
    logits = model.predict(texts, verbose=0)
    # The ratio of a class to the rest, and of the rest to the class, times the logit gain.
    expected = 5.0 * np.array([[-vote(text), vote(text)] for text in texts])
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    clear = np.abs(expected[:, 1]) > 0.02
    assert clear.sum() > 10
    assert (logits.argmax(-1) == (expected[:, 1] > 0))[clear].all()


def test_attention_starts_near_it():
    model = make()
    model.adapt(TEXTS, LABELS)
    for text in TEXTS + NEW:
        if abs(mean_ratio(text)) > 0.1:
            assert model.classify(text).label == NAMES[mean_ratio(text) > 0]


@pytest.mark.parametrize("architecture", sorted(SMALL))
def test_adapt_gives_the_texts_as_ids_and_sets_the_ratios_of_every_architecture(architecture):
    model = make(architecture)
    encoded = model.adapt(TEXTS, LABELS)
    assert encoded.lengths.tolist() == [len(text.split()) for text in TEXTS]
    assert encoded.labels.tolist() == LABELS
    features = model.network.get_layer("ngrams")(model.encoder(["love it"])).numpy()[0]
    width = features.shape[-1] // 2
    expected = naive_bayes()
    np.testing.assert_allclose(features[0, 1], expected["love"], atol=1e-5)
    np.testing.assert_allclose(features[0, 0], -expected["love"], atol=1e-5)
    np.testing.assert_allclose(features[0, width + 1], expected["love it"], atol=1e-5)


def test_a_bag_of_ngrams_trains_on_what_it_answers():
    model = make()
    encoded, again = model.adapt(TEXTS, LABELS), model.encode(TEXTS, LABELS)
    np.testing.assert_array_equal(encoded.ids, again.ids)
    np.testing.assert_array_equal(encoded[3], model.encoder(["love it"]).numpy()[0])


@pytest.mark.parametrize("architecture", ["recurrent_attention", "text_transformer"])
def test_in_training_a_text_is_given_the_ratios_of_the_others(architecture):
    model = make(architecture)
    texts, labels = np.array(TEXTS * 4), np.array(LABELS * 4)
    texts = np.array([f"{text} {number}" for number, text in enumerate(texts)])
    encoded = model.adapt(texts, labels)
    folds = model.encoder.folds(texts, FOLDS).numpy()
    assert len(set(folds)) == FOLDS
    layer = model.network.get_layer("ngrams")
    for index in (0, 7, 20):
        others = folds != folds[index]
        own = model.encode(texts)[index]
        kept = model.encode(texts[others], labels[others])
        known = sum(len(vocabulary.terms) for vocabulary in model.encoder.vocabularies)
        counts = [count[0] for count in ngram_counts(kept, layer.vocabulary_sizes, len(NAMES))]
        ratios, _ = log_count_ratios(counts, known)
        given = np.array(layer(encoded[index][None], training=True))[0, :, :2]
        np.testing.assert_allclose(given, ratios[own[:, 0]], atol=1e-5)
        whole = np.array(layer(own[None], training=True))[0, :, :2]
        np.testing.assert_allclose(np.array(layer(encoded[index][None]))[0, :, :2], whole)
        assert np.abs(given - whole).max() > 1e-3


@pytest.mark.parametrize("architecture", ["ngram_attention", "recurrent_attention"])
def test_every_way_to_train_on_strings_asks_for_held_out_ratios(architecture, monkeypatch):
    model, seen = make(architecture), []
    encoded = model.adapt(TEXTS, LABELS)
    expected, labels = encoded.batch(np.arange(len(TEXTS)), multiple=1)
    plain, _ = model.encode(TEXTS).batch(np.arange(len(TEXTS)), multiple=1)
    assert np.array_equal(expected, plain) == (architecture == "ngram_attention")
    again = model.encode(TEXTS, LABELS, training=True)
    np.testing.assert_array_equal(again.ids, encoded.ids)

    def batches(x):
        return np.concatenate([np.asarray(part[0]) for part in x])

    monkeypatch.setattr(keras.Model, "fit", lambda self, x, *_, **__: seen.append(x))
    model.fit(TEXTS, labels)
    texts = tf.data.Dataset.from_tensor_slices((TEXTS, LABELS)).batch(len(TEXTS))
    model.fit(texts)
    np.testing.assert_array_equal(seen[0], expected)
    np.testing.assert_array_equal(batches(seen[1]), expected)
    monkeypatch.setattr(
        type(model.network), "call", lambda self, x, **_: seen.append(x) or tf.zeros((7, 2))
    )
    model(np.array(TEXTS), training=True)
    model(np.array(TEXTS))
    np.testing.assert_array_equal(seen[2], expected)
    np.testing.assert_array_equal(seen[3], plain)


def test_what_was_traced_forgets_the_ratios_of_before():
    model = make("text_transformer")  # which draws nothing in training
    model.compile(keras.optimizers.SGD(0.0), model.loss)
    losses = []
    for labels in (LABELS, 1 - np.array(LABELS)):
        model.adapt(TEXTS, labels)
        history = model.fit(TEXTS, np.array(LABELS), verbose=0, shuffle=False)
        losses.append(history.history["loss"][0])
    assert abs(losses[0] - losses[1]) > 1e-3


def test_log_count_ratios_of_three_classes_by_hand():
    ids = np.array([[2], [2], [3], [2], [3], [1], [4], [0]], "int32")
    texts = EncodedTexts(ids, np.array([0, 3, 4, 6, 8]), np.array([0, 0, 1, 2]))
    (counts,) = ngram_counts(texts, (5,), 3)
    np.testing.assert_array_equal(counts[0, :, 2:], [[2, 1, 0], [0, 1, 0], [0, 0, 1]])
    (ratios,) = log_count_ratios([counts[0]])
    assert (ratios.shape, ratios.dtype) == ((5, 3), "float32")
    # Texts with 2, 3, 4: two, one, none of the first class; none, one, none; none, none, one.
    expected = [
        [3 / 6 / (1 / 5), 1 / 4 / (3 / 7), 1 / 4 / (3 / 7)],
        [2 / 6 / (2 / 5), 2 / 4 / (2 / 7), 1 / 4 / (3 / 7)],
        [1 / 6 / (2 / 5), 1 / 4 / (2 / 7), 2 / 4 / (1 / 7)],
    ]
    np.testing.assert_allclose(ratios[2:], np.log(expected), atol=1e-6)
    np.testing.assert_array_equal(ratios[:2], 0.0)
    (unseen,) = log_count_ratios([np.pad(counts[0], ((0, 0), (0, 1)))])
    np.testing.assert_array_equal(unseen[5], 0.0)


def test_counts_are_of_texts_by_fold_and_class():
    ids = np.array([[2, 3], [2, 4], [2, 0], [2, 3], [5, 4], [2, 0]], "int32")
    texts = EncodedTexts(ids, np.array([0, 3, 6, 6]), np.array([1, 0, 1]))
    words, pairs = ngram_counts(texts, (6, 5), 2, np.array([2, 0, 1]), 3)
    expected = np.zeros((3, 2, 6))
    expected[2, 1, 2] = expected[0, 0, 2] = expected[0, 0, 5] = 1
    np.testing.assert_array_equal(words, expected)
    np.testing.assert_array_equal(pairs[2, 1, 3:], [1, 1])
    np.testing.assert_array_equal(pairs[1], 0.0)


def test_answers_are_the_softmax_of_the_logits(classifier):
    logits = classifier.predict(NEW, verbose=0)
    exponentials = np.exp(logits.astype("float64"))
    expected = exponentials / exponentials.sum(axis=-1, keepdims=True)
    for answer, row in zip(classifier.classify(NEW), expected, strict=True):
        assert answer.label == NAMES[row.argmax()]
        assert answer.score == pytest.approx(row.max(), abs=1e-5)
        assert answer.probabilities == pytest.approx(dict(zip(NAMES, row, strict=True)), abs=1e-5)


def test_every_kind_of_texts_is_classified(classifier):
    expected = classifier.classify(NEW)
    assert isinstance(expected, list)
    single = classifier.classify(NEW[0])
    assert single == classifier.classify(NEW[0].encode()) == classifier.classify([NEW[0]])[0]
    assert single.score == pytest.approx(expected[0].score, abs=1e-5)
    kinds = (tuple(NEW), np.array(NEW), np.array(NEW, object), [text.encode() for text in NEW])
    for texts in kinds:
        assert classifier.classify(texts) == expected
    assert classifier.classify([]) == []
    for wrong in ([3], ["fine", None], [["fine"]]):
        with pytest.raises((TypeError, ValueError), match="`texts` must"):
            classifier.classify(wrong)


def test_more_texts_than_a_batch_keep_their_order():
    model = make()
    model.adapt(TEXTS, LABELS)
    texts = (TEXTS + NEW) * 25
    answers = model.classify(texts)
    assert len(answers) == len(texts) > 256
    for text, answer in zip(TEXTS + NEW, answers[-13:], strict=True):
        assert answer.score == pytest.approx(model.classify(text).score, abs=1e-5)
    encoded = model.encode(texts)
    assert len(encoded) == len(texts)
    np.testing.assert_array_equal(encoded[300], encoded[300 % 13])


def test_fit_evaluate_and_predict_take_strings_ids_and_datasets():
    model = make()
    model.adapt(TEXTS, LABELS)
    model.compile(keras.optimizers.Adam(0.03), model.loss, metrics=["accuracy"], run_eagerly=True)
    labels = np.array(LABELS)
    dataset = tf.data.Dataset.from_tensor_slices((TEXTS, labels)).batch(4)
    ids = model.encoder(TEXTS).numpy()
    expected = model.predict(TEXTS, verbose=0)
    strings = dataset.map(lambda texts, _: texts)
    for texts in (np.array(TEXTS), np.array(TEXTS, object), ids, dataset, strings):
        np.testing.assert_allclose(model.predict(texts, verbose=0), expected, atol=1e-5)
    exponentials = np.exp(expected)
    chances = exponentials[range(7), labels] / exponentials.sum(axis=-1)
    for arguments in ((TEXTS, labels), (ids, labels), (dataset,)):
        loss, accuracy = model.evaluate(*arguments, verbose=0)
        assert loss == pytest.approx(-np.log(chances).mean(), abs=1e-4)
        assert accuracy == pytest.approx(np.mean(expected.argmax(-1) == labels))
    for arguments, held_out in (((TEXTS, labels), (TEXTS, labels)), ((dataset,), dataset)):
        settings = {"shuffle": False, "epochs": 4, "verbose": 0, "validation_data": held_out}
        history = model.fit(*arguments, **settings).history
        assert history["loss"][-1] < history["loss"][0]
        assert history["val_loss"][-1] < history["val_loss"][0]


def test_it_saves_and_loads_as_a_keras_model(classifier, tmp_path):
    classifier.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.label_names == classifier.label_names
    assert float(again.temperature) == float(classifier.temperature) != 1.0
    texts = [*TEXTS, *NEW, *AWKWARD]
    np.testing.assert_array_equal(
        again.predict(texts, verbose=0), classifier.predict(texts, verbose=0)
    )
    assert again.classify(NEW) == classifier.classify(NEW)


def test_a_model_that_was_never_fitted_saves_without_a_warning(tmp_path):
    model = make()
    model.adapt(TEXTS, LABELS)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(NEW, verbose=0), model.predict(NEW, verbose=0))


def test_calibration_leaves_answers_and_lessens_the_loss(classifier):
    labels = [1, 0, 0, 1, 0, 0]
    model = TextClassifier(classifier.network, classifier.encoder, NAMES)
    before = model.predict(NEW, verbose=0)
    temperature = model.calibrate(NEW, labels)
    assert temperature == float(model.temperature) != 1.0
    after = model.predict(NEW, verbose=0)
    np.testing.assert_allclose(after * temperature, before, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(after.argmax(-1), before.argmax(-1))

    def loss(logits):
        return np.mean([np.logaddexp(*row) - row[y] for row, y in zip(logits, labels, strict=True)])

    assert loss(after) <= loss(before) + 1e-6
    assert model.calibrate(model.encode(NEW, labels)) == pytest.approx(temperature, rel=1e-5)


def test_the_temperature_is_the_best_of_a_grid():
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 200)
    grid = np.exp(np.linspace(-3, 3, 6001))
    for scale in (0.2, 4.0):
        logits = scale * (random.normal(size=(200, 3)) + 1.5 * np.eye(3)[labels])
        scaled = logits[None] / grid[:, None, None]
        losses = np.log(np.exp(scaled).sum(-1)) - scaled[:, np.arange(200), labels]
        best = grid[losses.mean(axis=1).argmin()]
        assert fit_temperature(logits, labels) == pytest.approx(best, rel=2e-3)
    assert 1 / 50 <= fit_temperature(np.eye(3)[labels], labels) < 0.03  # never wrong
    assert fit_temperature(-np.eye(3)[labels], labels) == pytest.approx(50)
    for logits, wrong in ((np.zeros((0, 2)), []), (np.array([[1.0, np.nan]]), [0])):
        with pytest.raises(ValueError, match=r"finite logits\. Received"):
            fit_temperature(logits, np.array(wrong, int))


def test_the_calibration_error_by_hand():
    scores = np.array([0.55, 0.65, 0.75, 0.79, 1.0])
    probabilities = np.stack([scores, 1 - scores], axis=1)
    right = np.array([1, 0, 0, 1, 1])
    # Of ten bins: one of 0.55, right; 0.65, wrong; two of 0.77, half right; the last is full.
    expected = (0.45 + 0.65 + abs(1 - (0.75 + 0.79)) + 0.0) / 5
    received = expected_calibration_error(probabilities, 1 - right, bins=10)
    assert received == pytest.approx(expected)
    one_bin = abs(right.mean() - scores.mean())
    assert expected_calibration_error(probabilities, 1 - right, 1) == pytest.approx(one_bin)


def test_labels_that_cannot_be_are_refused_by_what_they_are():
    model = make()
    for labels, match in (
        (None, r"one label a text. Received: 7 texts, labels of shape \(\)"),
        (LABELS[:-1], r"one label a text. Received: 7 texts, labels of shape \(6,\)"),
        (np.eye(2)[LABELS], r"one label a text.*\(7, 2\)"),
        (np.array(LABELS, float), "integers from 0 to 1.*float64"),
        (np.array(LABELS) > 0, "integers from 0 to 1.*bool"),
        (["good"] * 7, r"integers from 0 to 1.*'bad', 'good'.*such as .*good"),
        ([*LABELS[:-1], 2], "integers from 0 to 1.*such as .*2"),
        ([*LABELS[:-1], -1], "integers from 0 to 1.*such as .*-1"),
        ([1] * 7, "needs texts of every label. Received: none of 'bad'"),
    ):
        with pytest.raises(ValueError, match=match):
            model.adapt(TEXTS, labels)
    assert not model.encoder.filled
    model.adapt(TEXTS, LABELS)
    with pytest.raises(ValueError, match="one label a text"):
        model.encode(TEXTS, LABELS[:-1])
    with pytest.raises(ValueError, match="`calibrate` needs the label of each text"):
        model.calibrate(TEXTS)


def test_what_is_not_of_strings_is_a_type_error():
    model = make()
    model.adapt(TEXTS, LABELS)
    for use in (model.predict, model.evaluate, lambda x: model.fit(x, np.array([1, 0]))):
        for wrong in ([3, 4], ["fine", None]):
            with pytest.raises(TypeError, match=r"`texts` must be .*Received"):
                use(wrong)
    with pytest.raises(TypeError, match="`texts` must be"):
        model.adapt(["fine", 3], [1, 0])


def test_without_a_vocabulary_it_says_what_to_do():
    with pytest.raises(RuntimeError, match=r"has no vocabulary yet.*classifier\.adapt"):
        make().classify("fine")


def test_parts_that_do_not_fit_are_refused():
    network = make().network
    with pytest.raises(ValueError, match="3 names for 2 outputs"):
        TextClassifier(network, NGramEncoder(SIZES), ("a", "b", "c"))
    with pytest.raises(ValueError, match=r"an encoder of \(9, 9\) ids, a network of"):
        TextClassifier(network, NGramEncoder((9, 9)), NAMES)
    with pytest.raises(ValueError, match="reads images, and `text` is given"):
        from_architecture("small_attention_cnn", NAMES, text={"once": True})
    assert make(text={"once": True, "max_length": 7}).encoder.max_length == 7


STRANGE = [
    *("", " \t\n", "zzz qqq", "a", "\x00", "fine\x00film", b"\xff\xfe", b"fine \xc3 film"),
    *("\U0001f600\U0001f44d\U0001f3fd", "\u6211\u559c\u6b22\u8fd9", "<p>fine<br/>film</p>"),
    *("a fine film " * 90_000, "x" * 1_000_000, "\ud800 fine", *NEW),
]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """All architectures, exported and asked by one process without Keras."""
    folder, models = tmp_path_factory.mktemp("served"), {}
    encoded = [t.encode("utf-8", "surrogatepass") if isinstance(t, str) else t for t in STRANGE]
    batches = [encoded, [], [b""], [text for text in encoded[::-1] if len(text) < 100]]
    for name in sorted(SMALL):
        models[name] = make(name, text={"max_length": 48})
        models[name].adapt(TEXTS, LABELS)
        models[name].temperature.assign(0.4)
        models[name].export(folder / name / "model")
        for index, batch in enumerate(batches):
            texts = json.dumps([text.hex() for text in batch])
            (folder / name / f"texts-{index}.json").write_text(texts)
    client = ROOT / "tests" / "export" / "saved_model_client.py"
    done = subprocess.run(
        [sys.executable, str(client), *(str(folder / name) for name in models)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, models, batches


@pytest.mark.parametrize("name", sorted(SMALL))
def test_an_export_answers_the_same_without_keras(served, name):
    folder, models, batches = served
    for index, batch in enumerate(batches):
        answers = np.load(folder / name / f"answers-{index}.npz")
        assert set(answers) == {"label", "score", "probabilities"}
        assert answers["probabilities"].shape == (len(batch), 2)
        assert np.isfinite(answers["probabilities"]).all()
        for at, expected in enumerate(models[name].classify(batch)):
            received = answers["probabilities"][at]
            np.testing.assert_allclose(received, list(expected.probabilities.values()), atol=1e-5)
            assert answers["score"][at] == pytest.approx(expected.score, abs=1e-5)
            if abs(received[0] - received[1]) > 1e-4:  # and no tie
                assert answers["label"][at] == expected.label
    assert len(set(answers["label"].tolist())) == 2 or name != "ngram_attention"


def test_export_refuses_what_it_does_not_do(classifier, tmp_path):
    with pytest.raises(TypeError, match="format"):
        classifier.export(tmp_path / "model", format="onnx")
    with pytest.raises(RuntimeError, match="no vocabulary yet"):
        make().export(tmp_path / "model")
    assert not (tmp_path / "model").exists()
