"""The command line on texts with none, one or several labels."""

import json

import pytest

import keras_attn
from keras_attn.tasks.texts.baselines import has_scikit_learn
from tests.cli import command_line
from tests.cli.command_line import read_record, registered, write_table
from tests.cli.test_texts import NAME, RECIPE
from tests.tasks.texts.test_multi_label import LABELS, NAMES, TEXTS

pytestmark = pytest.mark.tensorflow

run = command_line.run  # the command line in this process
ROWS = [(text, "|".join(labels)) for text, labels in zip(TEXTS, LABELS, strict=True)]


@pytest.fixture(scope="module", autouse=True)
def catalogue(tmp_path_factory):
    with registered(tmp_path_factory.mktemp("catalogue"), NAME, RECIPE) as folder:
        yield folder


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The options for a table of several labels, in a working folder of its own."""
    monkeypatch.chdir(tmp_path)
    table = write_table(tmp_path / "tags.csv", ROWS, ("text", "label"))
    return "--data", table, "--label-separator", "|"


def train(run, own):
    """What training prints, and the folder of the run."""
    printed = run("train", NAME, *own, "--epochs", "2", "--validation", "0.2", "--test", "0.2")
    return printed, own[1].parent / "runs" / f"tags-{NAME}-seed0"


def test_training_prediction_and_evaluation(run, own):
    printed, folder = train(run, own)
    assert "'food' 12, 'sport' 12, 'weather' 12" in printed
    assert "1.50 labels per text; 3 texts without labels." in printed
    assert "keeps the one whose F1 (micro) is best on the validation split" in printed
    assert "test texts: exact match " in printed
    assert "Always answering the most frequent set of labels, " in printed
    assert "F1 (micro)" in printed and "F1 (macro)" in printed
    comparison = "test texts, F1 (micro): this model "
    if not has_scikit_learn():
        comparison = "No comparison with a linear classifier, which needs scikit-learn."
    assert comparison in printed
    record = read_record(folder)
    assert record["temperature"] > 0
    assert 0 < record["threshold"] < 1
    assert set(record["metrics"]["test"]) >= {"f1_micro", "f1_macro", "exact_match"}
    path = folder / "model.keras"
    model = keras_attn.load(path)
    assert model.threshold == pytest.approx(record["threshold"])
    answers = run("predict", path, "soup and rain", "town", "--json").splitlines()
    for line, text in zip(answers, ("soup and rain", "town"), strict=True):
        answer = json.loads(line)
        assert answer.pop("text") == text
        assert answer == model.classify(text).to_dict()
    evaluated = json.loads(run("evaluate", path, *own, "--json"))
    report = model.report(TEXTS, LABELS)
    assert evaluated["f1_micro"] == pytest.approx(report.micro.f1)
    assert evaluated["label_names"] == list(NAMES)


@pytest.mark.slow
def test_other_commands_and_mistakes(run, own, tmp_path):
    path = train(run, own)[1] / "model.keras"
    assert "labels" in run("predict", path, "soup and rain")
    assert "micro average" in run("evaluate", path, *own, "--plot", tmp_path / "bars.png")
    assert (tmp_path / "bars.png").is_file()
    assert "Explained: weather" in run("explain", path, "soup and rain", "--label", "weather")
    assert "probabilities float32 (B, C)" in run("export", path, tmp_path / "serving")
    assert "pass --label-separator" in run("evaluate", path, "--data", own[1], code=1)
    wrong = (*own, "--class-weights", "balanced", "--out", tmp_path / "wrong")
    assert "exactly one label per text" in run("train", NAME, *wrong, code=1)
