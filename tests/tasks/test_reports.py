"""Reports by class, compared with scikit-learn and by hand."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from keras_attn import datasets, zoo
from keras_attn.tasks import ClassificationReport, classification_report
from tests.tasks.small_classifiers import LABELS, TEXTS, make


def draw(count, examples=400, seed=0):
    """Labels and answers that agree half of the time; the last class never occurs."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, max(1, count - 1), examples)
    guesses = rng.integers(0, max(1, count - 1), examples)
    return labels, np.where(rng.random(examples) < 0.5, labels, guesses)


def text_of(report, width):
    output = io.StringIO()
    Console(file=output, width=width).print(report)
    return output.getvalue()


@pytest.mark.parametrize("count", [2, 3, 10, 100])
def test_figures_are_those_of_scikit_learn(count):
    metrics = pytest.importorskip("sklearn.metrics")
    labels, answers = draw(count)
    report = classification_report(labels, answers, [f"label {i}" for i in range(count)])
    np.testing.assert_array_equal(
        report.confusion, metrics.confusion_matrix(labels, answers, labels=range(count))
    )
    expected = metrics.precision_recall_fscore_support(
        labels, answers, labels=range(count), zero_division=0
    )
    rows = [(c.precision, c.recall, c.f1, c.support) for c in report.classes.values()]
    np.testing.assert_allclose(np.array(rows).T, expected)
    for average in ("macro", "weighted"):
        row = getattr(report, average)
        expected = metrics.precision_recall_fscore_support(
            labels, answers, average=average, zero_division=0
        )[:3]
        np.testing.assert_allclose((row.precision, row.recall, row.f1), expected)
        assert row.support == len(labels)


def test_a_report_of_nothing_has_zeros():
    report = classification_report([], [], ("a", "b"))
    assert report.macro == report.weighted == report.classes["a"]
    assert (report.macro.f1, report.macro.support) == (0.0, 0)
    assert report.most_confused() == []
    assert text_of(report, 80)


@pytest.mark.parametrize(
    ("labels", "predictions", "match"),
    [
        ([0, 1], [0], "one prediction per label"),
        ([0, 2], [0, 1], "`labels` must be integers from 0 to 1"),
        ([0, 1], [0, -1], "`predictions` must be integers from 0 to 1"),
        ([0.0, 1.0], [0, 1], "float64"),
    ],
)
def test_other_labels_and_predictions_are_refused(labels, predictions, match):
    with pytest.raises(ValueError, match=match):
        classification_report(labels, predictions=predictions, label_names=("a", "b"))


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("count", [2, 10, 12, 20, 40, 100])
def test_reports_fit_a_terminal_and_cut_no_number(count, width):
    names = [f"label {i}" for i in range(count)]
    labels, answers = draw(count, examples=20_000)
    report = classification_report(labels, answers, names)
    shown = text_of(report, width)
    assert max(map(len, shown.splitlines())) <= width
    for name, row in report.classes.items():
        (line,) = [x for x in shown.splitlines() if f" {name} " in x and x.count("%") == 3]
        assert f"{100 * row.f1:.1f} %" in line
        assert f"{row.support:,}" in line
    if "Confusion matrix" in shown:
        assert all(str(n) in shown for n in report.confusion.ravel() if n)
    else:
        label, answer, number = report.most_confused(1)[0]
        assert any(all(x in s for x in (label, answer, str(number))) for s in shown.splitlines())
    if count <= 2 or (count <= 20 and width >= 120):
        assert "Confusion matrix" in shown
    if count > 20:
        assert "Confusion matrix" not in shown


def test_names_of_labels_are_not_executed():
    report = classification_report([0, 1], [1, 0], ("\x1b[31mred", "[bold]b"))
    shown = text_of(report, 80)
    assert "\x1b" not in shown
    assert "[bold]b" in shown


def test_a_report_is_json_and_a_plot():
    labels, answers = draw(5)
    report = classification_report(labels, answers, list("abcde"), {"accuracy": 0.5})
    content = json.loads(json.dumps(report.to_dict()))
    assert content["accuracy"] == 0.5
    assert content["classes"]["a"]["support"] == report.classes["a"].support
    assert np.array_equal(content["confusion_matrix"], report.confusion)
    pytest.importorskip("matplotlib")
    (axis, _) = report.plot().axes
    assert [label.get_text() for label in axis.get_yticklabels()] == list("abcde")
    assert len(axis.texts) == np.count_nonzero(report.confusion)


def test_a_classifier_reports_on_splits_and_on_inputs():
    model = zoo.build("shapes_small_attention_cnn")
    split = datasets.load("shapes")["test"].take(slice(0, 200))
    report = model.report(split)
    assert isinstance(report, ClassificationReport)
    assert report.metrics == model.evaluate_split(split)
    assert np.trace(report.confusion) == round(200 * report.metrics["accuracy"])
    names = [model.label_names[label] for label in split.labels]
    again = model.report(list(split.images), names)
    np.testing.assert_array_equal(again.confusion, report.confusion)
    with pytest.raises(ValueError, match="one label per input"):
        model.report(split.images, names[:-1])
    with pytest.raises(ValueError, match=r"needs `y`.*dataset\['test'\].*Received: ndarray alone"):
        model.report(split.images)
    with pytest.raises(TypeError, match=r"option of `report`.*'view'.*Did you mean 'views'"):
        model.report(split, view=6)
    for ask in (model.report, model.evaluate_split):
        with pytest.raises(ValueError, match=r"`views` must be 1.*Received: 0"):
            ask(split, views=0)


def test_text_classifiers_refuse_options_of_images_in_reports():
    model = make()
    with pytest.raises(TypeError, match=r"option of `report`.*'views'.*Accepted: none"):
        model.report(TEXTS, LABELS, views=2)
    with pytest.raises(ValueError, match=r"needs `y`.*Received: list alone"):
        model.report(TEXTS)


def test_print_shows_tables():
    report = classification_report([0, 0, 1], [0, 1, 1], ("cat", "dog"))
    lines = text_of(report, 100).rstrip().splitlines()
    assert str(report).splitlines() == [line.rstrip() for line in lines]
    assert "macro" in str(report) and "Confusion matrix" in str(report)
