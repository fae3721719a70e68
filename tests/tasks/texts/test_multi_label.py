"""Texts with none, one or several labels: training, answers, metrics, files and messages."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_attn
from keras_attn.tasks import MultiLabelTextClassifier, TextClassifier, from_architecture
from keras_attn.tasks.texts.metrics import micro_f1
from keras_attn.tasks.texts.multi_label import BestMicroF1

pytestmark = pytest.mark.tensorflow

NAMES = ("food", "sport", "weather")
WORDS = {
    "food": ("soup", "bread", "cheese"),
    "sport": ("goal", "race", "medal"),
    "weather": ("rain", "storm", "frost"),
}


def sentences():
    """Texts of every subset of the labels, and their labels."""
    texts, labels = [], []
    for size in range(4):
        for subset in itertools.combinations(NAMES, size):
            for number in range(3):
                words = [WORDS[name][number] for name in subset]
                texts.append(f"today {' and '.join(words)} in town number {number}")
                labels.append(list(subset))
    return texts, labels


TEXTS, LABELS = sentences()
HOT = np.array([[name in labels for name in NAMES] for labels in LABELS], "int32")


def make(names=NAMES, **settings):
    keras.utils.set_random_seed(0)
    return from_architecture(
        "ngram_attention", names, multi_label=True, vocabulary_sizes=(80, 80), **settings
    )


@pytest.fixture(scope="module")
def model():
    model = make()
    model.adapt(TEXTS, LABELS)
    model.compile(
        keras.optimizers.Adam(0.05),
        keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[BestMicroF1()],
    )
    model.fit(TEXTS, LABELS, epochs=20, verbose=0)
    return model


def test_it_learns_labels_that_overlap(model):
    assert isinstance(model, MultiLabelTextClassifier)
    answers = model.classify(TEXTS)
    assert [list(answer.labels) for answer in answers] == LABELS
    probabilities = 1 / (1 + np.exp(-model.predict(TEXTS, verbose=0).astype("float64")))
    expected = np.array([list(answer.probabilities.values()) for answer in answers])
    assert np.allclose(expected, probabilities, atol=1e-6)
    assert np.allclose(model.probabilities(TEXTS), probabilities, atol=1e-6)
    answer = model.classify("rain and soup")
    assert answer.to_dict()["labels"] == ["food", "weather"]
    assert (answer.words, answer.known_words) == (3, 3)
    columns = answer.to_columns(3)
    assert set(columns) == {"labels", "also", "known"}
    assert "food" in columns["labels"] and columns["also"].startswith("sport")
    assert model.classify("town").summary == "no label"


def test_metrics_agree_with_an_independent_computation(model):
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, HOT.shape)
    report = model.report(TEXTS, truth)
    given = model.probabilities(TEXTS) >= 0.5
    for index, name in enumerate(NAMES):
        hits = sum(a and b for a, b in zip(truth[:, index], given[:, index], strict=True))
        row = report.classes[name]
        assert row.precision == pytest.approx(hits / given[:, index].sum())
        assert row.recall == pytest.approx(hits / truth[:, index].sum())
        assert row.support == truth[:, index].sum()
    hits = (truth & given).sum()
    assert report.micro.f1 == pytest.approx(2 * hits / (truth.sum() + given.sum()))
    assert report.macro.f1 == pytest.approx(np.mean([row.f1 for row in report.classes.values()]))
    exact = np.mean([list(a) == list(b) for a, b in zip(truth > 0, given, strict=True)])
    assert report.exact_match == report.metrics["exact_match"] == pytest.approx(exact)
    assert report.metrics["binary_accuracy"] == pytest.approx((truth == given).mean())
    p = model.probabilities(TEXTS).astype("float64")
    loss = -np.mean(np.where(truth, np.log(p), np.log1p(-p)))
    assert report.metrics["loss"] == pytest.approx(loss, rel=1e-4)
    evaluated = model.evaluate(TEXTS, truth, verbose=0, return_dict=True)
    assert evaluated["loss"] == pytest.approx(loss, rel=1e-3)
    logits = model.logits(TEXTS)
    f1 = [
        2 * (truth & (logits >= x)).sum() / (truth.sum() + (logits >= x).sum())
        for x in np.linspace(-8, 8, 161, dtype="float32")
    ]
    assert evaluated["best_f1_micro"] == pytest.approx(max(f1), abs=0.01)
    assert set(report.to_dict()) >= {"classes", "micro", "macro", "f1_micro", "exact_match"}


def test_metrics_agree_with_scikit_learn(model):
    metrics = pytest.importorskip("sklearn.metrics")
    truth = np.random.default_rng(1).integers(0, 2, HOT.shape)
    report, given = model.report(TEXTS, truth), model.probabilities(TEXTS) >= 0.5
    for average in ("micro", "macro", "weighted"):
        expected = metrics.precision_recall_fscore_support(truth, given, average=average)[:3]
        row = getattr(report, average)
        assert (row.precision, row.recall, row.f1) == pytest.approx(expected)


def test_adapt_counts_each_label_against_the_rest():
    model = make()
    model.adapt(TEXTS, HOT)
    twin = from_architecture("ngram_attention", ("rest", "sport"), vocabulary_sizes=(80, 80))
    twin.adapt(TEXTS, HOT[:, 1])
    ratios, binary = (
        keras_attn.models.ngram_embedding(m.network).get_weights()[0] for m in (model, twin)
    )
    assert np.allclose(ratios[:, 1], binary[:, 1], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["recurrent_attention", "text_transformer"])
def test_other_architectures_read_held_out_ratios(architecture):
    from tests.tasks.small_classifiers import SMALL

    model = from_architecture(
        architecture, NAMES, multi_label=True, vocabulary_sizes=(80, 80), **SMALL[architecture]
    )
    model.adapt(TEXTS, LABELS)
    model.fit(TEXTS, HOT, epochs=1, verbose=0)
    assert model.explain("soup and rain", "food").leave_one_out.shape == (3,)


def test_labels_may_be_arrays_or_lists_of_names(model):
    expected = model.evaluate(TEXTS, HOT, verbose=0)
    kinds = [LABELS, HOT.astype(bool), HOT.tolist(), HOT.astype("float64"), map_to_objects(LABELS)]
    for y in kinds:
        assert model.evaluate(TEXTS, y, verbose=0) == pytest.approx(expected)
    batches = tf.data.Dataset.from_tensor_slices((TEXTS, HOT)).batch(8)
    assert model.evaluate(batches, verbose=0) == pytest.approx(expected, rel=1e-5)
    assert model.preprocess_targets([["food"], ["rain"][:0]]).tolist() == [[1, 0, 0], [0, 0, 0]]
    assert model.preprocess_targets([[], []]).tolist() == [[0, 0, 0], [0, 0, 0]]


def map_to_objects(rows):
    column = np.empty(len(rows), object)
    column[:] = rows
    return column


def test_the_default_compile_and_calibration():
    model = make()
    model.adapt(TEXTS, LABELS)
    history = model.fit(TEXTS, HOT, epochs=1, validation_split=0.25, verbose=0).history
    assert set(history) == {"loss", "binary_accuracy", "val_loss", "val_binary_accuracy"}
    before = model.classify(TEXTS)
    truth = HOT ^ (np.random.default_rng(0).random(HOT.shape) < 0.2)
    temperature = model.calibrate(TEXTS, truth)
    assert temperature == float(model.temperature) > 0
    assert [a.labels for a in model.classify(TEXTS)] == [a.labels for a in before]
    losses = []
    for factor in (0.9, 1.0, 1.1):
        model.temperature.assign(temperature * factor)
        losses.append(model.report(TEXTS, truth).metrics["loss"])
    assert min(losses) == losses[1]


def test_the_threshold_is_the_best_one_on_held_out_texts(tmp_path):
    model = make()
    model.adapt(TEXTS, LABELS)
    assert model.threshold == 0.5
    rare = HOT * (np.random.default_rng(0).random(HOT.shape) < 0.3)
    before = model.report(TEXTS, rare).micro.f1
    threshold = model.tune_threshold(TEXTS, rare)
    assert threshold == model.threshold != 0.5
    probabilities = model.probabilities(TEXTS)
    report = model.report(TEXTS, rare)
    assert report.micro.f1 > before
    for other in np.linspace(0.0, 1.0, 200):
        assert micro_f1(probabilities >= other, rare) <= report.micro.f1 + 1e-9
    answers = model.classify(TEXTS)
    assert [list(answer.labels) for answer in answers] == [
        [name for name, value in zip(NAMES, row, strict=True) if value >= threshold]
        for row in probabilities
    ]
    model.calibrate(TEXTS, HOT)  # probabilities change, labels do not
    assert model.threshold != pytest.approx(threshold, abs=1e-4)
    assert [answer.labels for answer in model.classify(TEXTS)] == [a.labels for a in answers]
    model.save(tmp_path / "model.keras")
    assert keras_attn.load(tmp_path / "model.keras").classify(TEXTS) == model.classify(TEXTS)
    assert model.tune_threshold(TEXTS, np.zeros_like(HOT)) == 0.5
    model.threshold = 1 - 1e-12  # it rounds to 1 in float32
    for _ in range(2):
        model.calibrate(TEXTS, HOT)
        assert not any(answer.labels for answer in model.classify(TEXTS))
    for value in (0.0, 1.0, -1):
        with pytest.raises(ValueError, match="must be between 0 and 1"):
            model.threshold = value
    with pytest.raises(ValueError, match="`tune_threshold` needs the labels of each text"):
        model.tune_threshold(TEXTS)


def test_a_file_holds_the_whole_model(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras_attn.load(tmp_path / "model.keras")
    assert loaded.multi_label and isinstance(loaded, MultiLabelTextClassifier)
    assert loaded.classify(TEXTS) == model.classify(TEXTS)
    single = from_architecture("ngram_attention", NAMES, vocabulary_sizes=(80, 80))
    single.adapt(["a soup", "a goal", "a storm"], [0, 1, 2])
    single.save(tmp_path / "single.keras")
    loaded = keras_attn.load(tmp_path / "single.keras")
    assert not loaded.multi_label and type(loaded) is TextClassifier
    assert keras_attn.loading.saved_task(tmp_path / "model.keras") is model.description


def test_export_serves_probabilities(model, tmp_path):
    threshold = float(np.quantile(model.probabilities(TEXTS[:5]), 0.4))
    model.threshold = threshold
    signature = tf.saved_model.load(str(model.export(tmp_path / "serving")))
    model.threshold = 0.5
    outputs = signature.signatures["serving_default"](texts=tf.constant(TEXTS[:5]))
    assert set(outputs) == {info.name for info in model.description.signature.outputs}
    assert np.allclose(outputs["probabilities"], model.probabilities(TEXTS[:5]), atol=1e-6)
    selected = model.probabilities(TEXTS[:5]) >= threshold
    np.testing.assert_array_equal(outputs["selected"], selected)
    assert (selected != (model.probabilities(TEXTS[:5]) >= 0.5)).any()


def test_an_explanation_is_of_one_label(model):
    explanation = model.explain("soup and rain", "weather")
    effects = dict(zip(explanation.tokens, explanation.leave_one_out, strict=True))
    assert max(effects, key=effects.get) == "rain"
    logits = model.logits(["soup and rain", "soup and"])[:, 2]
    assert effects["rain"] == pytest.approx(logits[0] - logits[1], abs=1e-4)
    assert "Answer: " in explanation.to_page() and "Explained: weather" in explanation.to_page()
    assert model.explain("soup").label == "food"


def test_a_trained_backbone_gets_a_head_of_several_labels():
    model = keras_attn.build("imdb_ngram_attention", label_names=NAMES, multi_label=True)
    assert model.multi_label and model.initialized_from["new_layers"]
    assert len(model.classify("A fine film.").probabilities) == 3


@pytest.mark.parametrize(
    ("y", "match"),
    [
        (HOT[:, 0], r"array of 0 and 1 of shape \(N, 3\).*int32 of shape \(24,\).*without multi"),
        (HOT[:, :2], r"Received: int32 of shape \(24, 2\)"),
        (2 * HOT, "Received: the value 2"),
        (["food"] * 24, r"a list of label names for each text.*Received: <U4 of shape"),
        ([["food"]] * 23 + [["fod"]], "Did you mean 'food'"),
        ([[1], [0, 1]] * 12, "lists of unequal length"),
        ([["food"]] * 23, "labels for each (text|input)|one target"),
        (None, "must be a label for each of the texts"),
    ],
)
def test_labels_that_do_not_fit(model, y, match):
    uses = [model.fit, model.evaluate] + ([] if y is None else [model.report, model.encode])
    for use in uses:
        with pytest.raises(ValueError, match=match):
            use(TEXTS, y)


def test_other_mistakes_have_one_message(model):
    with pytest.raises(ValueError, match=r"`class_weight` is for exactly one .*`sample_weight`"):
        model.fit(TEXTS, HOT, class_weight={"food": 2.0})
    with pytest.raises(ValueError, match=r"`multi_label` is for the architectures of text"):
        from_architecture("small_attention_cnn", NAMES, multi_label=True)
    with pytest.raises(ValueError, match=r"pass `label_names` too"):
        keras_attn.build("imdb_ngram_attention", multi_label=True)
    with pytest.raises(ValueError, match=r"needs texts of every label.*'weather'"):
        make().adapt(TEXTS[:2], [["food"], ["sport"]])
    names = tf.data.Dataset.from_tensor_slices((TEXTS, ["food"] * len(TEXTS))).batch(8)
    with pytest.raises(ValueError, match=r"takes no names"):
        model.evaluate(names, verbose=0)


def test_a_model_of_one_label_per_text_says_so():
    model = from_architecture("ngram_attention", NAMES, vocabulary_sizes=(80, 80))
    for use in (model.fit, model.evaluate, model.adapt, model.report, model.encode):
        with pytest.raises(ValueError, match=r"multi_label=True"):
            use(TEXTS, LABELS)
        with pytest.raises(ValueError, match=r"multi_label=True"):
            use(TEXTS, HOT)


def test_rare_labels_start_from_their_frequency():
    texts = [f"number {number}" for number in range(40)]
    labels = [["a"] if number < 2 else ["b"] if number < 30 else [] for number in range(40)]
    model = from_architecture(
        "ngram_attention", ("a", "b"), multi_label=True, vocabulary_sizes=(60, 60)
    )
    model.adapt(texts, labels)
    np.testing.assert_allclose(model.probabilities([""])[0], [2.5 / 41, 28.5 / 41], atol=1e-3)


@pytest.mark.slow
def test_answers_of_a_model_that_was_built_under_a_strategy():
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        model = make()
    model.adapt(TEXTS, LABELS)
    model.calibrate(TEXTS, HOT)
    assert 0.0 < model.tune_threshold(TEXTS, HOT) < 1.0
    assert model.report(TEXTS, HOT).micro.f1 > 0.5
    assert model.classify(TEXTS[0]).probabilities
