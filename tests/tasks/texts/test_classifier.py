"""The task: strings in, answers out; a Keras model with its vocabulary in between."""

import json
import subprocess
import sys
import unicodedata

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_attn.datasets import TextSplit
from keras_attn.tasks import (
    TextClassifier,
    expected_calibration_error,
    fit_temperature,
    from_architecture,
)
from keras_attn.tasks.coverage import coverage_warnings
from keras_attn.tasks.texts.training_data import TextTrainingData
from keras_attn.text import NGramEncoder
from tests.conftest import ROOT
from tests.tasks.small_classifiers import LABELS, NAMES, NEW, SIZES, SMALL, TEXTS, make
from tests.text.strings import AWKWARD

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module", params=sorted(SMALL))
def classifier(request):
    """Each architecture, trained for a moment and calibrated."""
    model = make(request.param, preprocessing={"max_length": 48})
    model.adapt(TEXTS, LABELS)
    model.fit(TEXTS, np.array(LABELS), epochs=2, verbose=0)
    model.calibrate(NEW, [1, 0, 1, 1, 1, 0])  # not all as it would say
    return model


@pytest.mark.slow
def test_answers_are_the_softmax_of_the_logits(classifier):
    logits = classifier.predict(NEW, verbose=0)
    exponentials = np.exp(logits.astype("float64"))
    expected = exponentials / exponentials.sum(axis=-1, keepdims=True)
    for answer, row in zip(classifier.classify(NEW), expected, strict=True):
        assert answer.label == NAMES[row.argmax()]
        assert answer.score == pytest.approx(row.max(), abs=1e-5)
        assert answer.probabilities == pytest.approx(dict(zip(NAMES, row, strict=True)), abs=1e-5)


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_it_saves_and_loads_as_a_keras_model(classifier, tmp_path):
    classifier.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.label_names == classifier.label_names
    assert float(again.temperature) == float(classifier.temperature) != 1.0
    texts = [*TEXTS, *NEW, *AWKWARD]
    # How sums are cut depends on where their numbers lie in memory.
    close = {"rtol": 1e-5, "atol": 1e-6}
    expected = classifier.predict(texts, verbose=0)
    np.testing.assert_allclose(again.predict(texts, verbose=0), expected, **close)
    for found, answer in zip(again.classify(NEW), classifier.classify(NEW), strict=True):
        assert found.label == answer.label
        assert found.score == pytest.approx(answer.score, abs=1e-5)


def test_a_model_that_was_never_fitted_saves_without_a_warning(tmp_path):
    model = make()
    model.adapt(TEXTS, LABELS)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    expected = model.predict(NEW, verbose=0)
    np.testing.assert_allclose(again.predict(NEW, verbose=0), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
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
    # Never wrong: one more example of `len(labels) + 2` is assumed to be wrong.
    margin = 1 / fit_temperature(np.eye(3)[labels], labels)
    score = np.exp(margin) / (np.exp(margin) + 2)
    assert score == pytest.approx(1 - 1 / (len(labels) + 2), rel=1e-6)
    assert fit_temperature(np.ones((4, 3)), labels[:4]) == 1.0
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


def test_a_model_that_diverged_is_finalized_and_evaluated_without_calibration():
    model = make()
    model.adapt(TEXTS, LABELS)
    data = object.__new__(TextTrainingData)
    data.validation = model.encode(TEXTS, LABELS)
    assert model.finalize(data)["temperature"] == float(model.temperature) != 1.0
    model.network.set_weights([np.full_like(w, np.nan) for w in model.network.get_weights()])
    assert model.finalize(data) == {"temperature": 1.0}
    assert float(model.temperature) == 1.0
    texts = np.array(TEXTS, object)
    metrics = model.evaluate_split(TextSplit(texts, np.array(LABELS, "int32")))
    assert np.isnan(metrics["loss"])
    assert np.isnan(metrics["calibration_error"])
    with pytest.raises(ValueError, match="finite logits"):
        model.calibrate(TEXTS, LABELS)


def test_labels_that_cannot_be_are_refused_by_what_they_are():
    model = make()
    for labels, match in (
        (None, r"one label per text. Received: 7 texts, labels of shape \(\)"),
        (LABELS[:-1], r"one label per text. Received: 7 texts, labels of shape \(6,\)"),
        (np.eye(2)[LABELS], r"one label per text.*\(7, 2\)"),
        (np.array(LABELS) * 0.5, r"integers from 0 to 1.*Received: 0\.5"),
        ([*map(float, LABELS[:-1]), float("nan")], "Received: nan. A label is missing"),
        ([*(NAMES[label] for label in LABELS[:-1]), "god"], r"'bad', 'good'.*Received: 'god'"),
        (["good"] * 7, "needs texts of every label. Received: none of 'bad'"),
        ([*LABELS[:-1], 2], r"'bad', 'good'.*integers from 0 to 1.*Received: 2\."),
        ([*LABELS[:-1], -1], r"integers from 0 to 1.*Received: -1\."),
        ([1] * 7, "needs texts of every label. Received: none of 'bad'"),
    ):
        with pytest.raises(ValueError, match=match):
            model.adapt(TEXTS, labels)
    assert not model.encoder.filled
    model.adapt(TEXTS, LABELS)
    with pytest.raises(ValueError, match="one label per text"):
        model.encode(TEXTS, LABELS[:-1])
    with pytest.raises(ValueError, match="`calibrate` needs the labels of each text"):
        model.calibrate(TEXTS)
    with pytest.raises(ValueError, match="`calibrate` needs the labels of each text"):
        model.calibrate(model.encode(TEXTS))
    model.temperature.assign(2.0)
    with pytest.raises(ValueError, match="needs labelled examples"):
        model.calibrate([], [])
    assert float(model.temperature) == 2.0


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
    with pytest.raises(ValueError, match=r"reads images, which have no .*preprocessing=\{'once'"):
        from_architecture("small_attention_cnn", NAMES, preprocessing={"once": True})
    model = make(preprocessing={"once": True, "max_length": 7})
    assert (model.encoder.once, model.encoder.max_length) == (True, 7)


@pytest.mark.tensorflow
def test_an_export_uses_no_cudnn_and_training_may(tmp_path, monkeypatch):
    """Whose operation no CPU can serve; where it is written there may be a GPU."""
    model = make("recurrent_attention")
    model.adapt(TEXTS, LABELS)
    cells = model.network.get_layer("states")
    used = []
    original = keras.layers.GRU.inner_loop
    monkeypatch.setattr(
        keras.layers.GRU,
        "inner_loop",
        lambda self, *given, **named: (
            used.append(self.use_cudnn) or original(self, *given, **named)
        ),
    )
    model.export(tmp_path / "1")
    assert used
    assert set(used) == {False}
    assert cells.forward_layer.use_cudnn == cells.backward_layer.use_cudnn == "auto"


def test_cells_read_a_word_of_every_text():
    """As cuDNN wants it: also of one without words."""
    model = make("recurrent_attention")
    model.adapt(TEXTS, LABELS)
    cells = model.network.get_layer("states").forward_layer
    masks = []
    original = cells.call
    cells.call = lambda x, mask=None, **named: masks.append(mask) or original(x, mask=mask, **named)
    model.network(model.encoder(["", "fine"]))
    for mask in masks:
        assert keras.ops.convert_to_numpy(mask)[:, 0].all()


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
        models[name] = make(name, preprocessing={"max_length": 48})
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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:48 words of a text are read:UserWarning")
@pytest.mark.parametrize("name", sorted(SMALL))
def test_an_export_answers_the_same_without_keras(served, name):
    folder, models, batches = served
    for index, batch in enumerate(batches):
        answers = np.load(folder / name / f"answers-{index}.npz")
        assert set(answers) == {"label", "score", "probabilities", "words", "known_words"}
        assert answers["probabilities"].shape == (len(batch), 2)
        assert np.isfinite(answers["probabilities"]).all()
        for at, expected in enumerate(models[name].classify(batch)):
            received = answers["probabilities"][at]
            np.testing.assert_allclose(received, list(expected.probabilities.values()), atol=1e-5)
            assert answers["score"][at] == pytest.approx(expected.score, abs=1e-5)
            assert answers["words"][at] == expected.words
            assert answers["known_words"][at] == expected.known_words
            if abs(received[0] - received[1]) > 1e-4:  # and no tie
                assert answers["label"][at] == expected.label
    assert len(set(answers["label"].tolist())) == 2 or name != "ngram_attention"


def test_export_refuses_what_it_does_not_do(classifier, tmp_path):
    with pytest.raises(ValueError, match=r"LiteRT has no strings.*Use 'onnx'"):
        classifier.export(tmp_path / "model.tflite", format="litert")
    with pytest.raises(RuntimeError, match="no vocabulary yet"):
        make().export(tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.slow
def test_spellings_that_unicode_calls_equal_have_equal_answers(tmp_path):
    names = ("bad", "good")
    words = ("caf\u00e9", "na\u00efve", "\u0439\u043e\u0434", "vi\u1ec7t", "\ud55c\uad6d", "\u1f82")
    sizes = {"vocabulary_sizes": (60, 60)}
    model = from_architecture("ngram_attention", names, **sizes)
    model.adapt([f"{word} film" for word in words], [0, 1, 0, 1, 0, 1])
    texts = [f"{word}, {word}!" for word in words]
    decomposed = [unicodedata.normalize("NFD", text) for text in texts]
    answers = model.classify(texts)
    assert model.classify(decomposed) == answers
    assert [answer.known_words for answer in answers] == [2] * len(words)
    served = tf.saved_model.load(str(model.export(tmp_path / "model")))
    scores = [served.serve(tf.constant(each))["probabilities"] for each in (texts, decomposed)]
    np.testing.assert_array_equal(*scores)


def test_a_thai_sentence_has_words():
    good, bad = "\u0e14\u0e35\u0e21\u0e32\u0e01", "\u0e41\u0e22\u0e48\u0e21\u0e32\u0e01"
    begins = [
        "\u0e2d\u0e32\u0e2b\u0e32\u0e23",
        "\u0e2b\u0e19\u0e31\u0e07",
        "\u0e23\u0e49\u0e32\u0e19",
    ]
    texts = [f"{begin}{end}" for begin in begins for end in (bad, good)]
    model = from_architecture("ngram_attention", ("bad", "good"), vocabulary_sizes=(60, 60))
    model.adapt(texts, [0, 1] * 3)
    answers = model.classify(["\u0e1a\u0e23\u0e34\u0e01\u0e32\u0e23" + end for end in (bad, good)])
    assert [answer.label for answer in answers] == ["bad", "good"]
    assert all(answer.words > answer.known_words > 2 for answer in answers)


def test_an_answer_says_how_many_words_are_known(classifier):
    known, unknown, empty = classifier.classify(["a fine film", "\u8fd9\u90e8 zzz", ""])
    assert (known.words, known.known_words) == (3, 3)
    assert unknown.coverage == (0, 3, "words")
    assert (empty.words, empty.known_words) == (0, 0)
    assert unknown.to_dict()["known_words"] == 0
    assert unknown.to_columns()["known"] == "0/3"
    assert coverage_warnings([known]) == []
    assert coverage_warnings([known, unknown]) == [
        "text 2: the model knows 0 of 3 words. The answer says little about the text."
    ]
    assert coverage_warnings([empty]) == [
        "the text is empty: it has no words. The answer says little about the text."
    ]
    assert coverage_warnings([unknown] * 9)[5:] == ["the same holds for 4 more of 9 texts."]
