"""Linear classifiers that a trained model is compared with."""

import numpy as np
import pytest

from keras_attn import datasets
from keras_attn.tasks import from_architecture
from keras_attn.tasks.texts import baselines
from keras_attn.tasks.texts.metrics import best_threshold, micro_f1

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def remarks():
    return datasets.remarks.draw_remarks(sizes={"train": 200, "validation": 60, "test": 60})


@pytest.fixture(scope="module")
def model(remarks):
    train = remarks["train"]
    model = from_architecture(
        "ngram_attention", remarks.label_names, vocabulary_sizes=(500, 500), embedding_dim=1
    )
    model.adapt(train.texts, train.labels)
    return model


def test_the_linear_svm_reads_words_as_the_model_does(remarks):
    pytest.importorskip("sklearn")
    baseline = baselines.linear_svm(remarks)
    assert baseline.score > 0.7
    assert baseline.settings["orders"] == 2
    assert baseline.settings["C"] in baselines.SVM_C_VALUES
    # A character that stands for each word: words are told apart without spaces.
    words = sorted({word for row in baselines._words(remarks["train"].texts) for word in row})
    character = {word: chr(0x4E00 + number) for number, word in enumerate(words)}

    def written(split):
        rows = baselines._words(split.texts)
        texts = ["".join(character.get(word, "\u3400") for word in row) for row in rows]
        return datasets.TextSplit(np.array(texts, dtype=object), split.labels)

    splits = {name: written(remarks[name]) for name in remarks}
    readers = {name: (lambda name=name: splits[name]) for name in splits}
    unspaced = datasets.Dataset("unspaced", remarks.label_names, readers)
    again = baselines.linear_svm(unspaced)
    assert again.settings["orders"] == 3
    assert again.score > 0.7


def test_naive_bayes_is_the_comparison_without_scikit_learn(remarks, model, monkeypatch):
    monkeypatch.setattr(baselines, "has_scikit_learn", lambda: False)
    line = baselines.compare_with_linear(model, remarks, 0.5)
    accuracy = baselines.naive_bayes(model, remarks).score
    assert accuracy > 0.6
    assert line.startswith("Comparison on the 60 test texts: this model 50.00 %, Naive Bayes ")
    assert f"({50 - 100 * accuracy:+.2f} points)" in line
    assert "pip install 'keras-attn[baselines]'" in line


def test_the_linear_svm_of_several_labels(remarks, monkeypatch):
    pytest.importorskip("sklearn")
    topics = {"food": ("soup", "bread"), "sport": ("goal", "race"), "weather": ("rain", "storm")}

    def draw(size, seed):
        random = np.random.default_rng(seed)
        labels = (random.random((size, 3)) < 0.15).astype("int32")
        texts = [
            " ".join(f"{words[random.integers(2)]} {random.integers(9)}" for words in chosen)
            for row in labels
            for chosen in [[w for w, x in zip(topics.values(), row, strict=True) if x]]
        ]
        return datasets.TextSplit(np.array(texts, dtype=object), labels)

    splits = {name: draw(200, seed) for seed, name in enumerate(("train", "validation", "test"))}
    readers = {name: (lambda name=name: splits[name]) for name in splits}
    dataset = datasets.Dataset("topics", tuple(topics), readers, multi_label=True)
    baseline = baselines.linear_svm(dataset)
    assert baseline.score > 0.95  # each label has words of its own
    assert baseline.settings["threshold"] != 0.0
    model = from_architecture("ngram_attention", tuple(topics), multi_label=True)
    line = baselines.compare_with_linear(model, dataset, 0.5)
    assert line.startswith(
        "Comparison on the 200 test texts, F1 (micro): this model 50.00 %, tf-idf + linear SVM "
    )
    monkeypatch.setattr(baselines, "has_scikit_learn", lambda: False)
    line = baselines.compare_with_linear(model, dataset, 0.5)
    assert "needs scikit-learn" in line and "pip install 'keras-attn[baselines]'" in line


def test_the_best_threshold_of_all():
    random = np.random.default_rng(0)
    for size in (1, 2, 30):
        scores = random.integers(0, 12, (size, 3)) / 8 - 0.5  # many are equal
        labels = random.integers(0, 2, (size, 3))
        labels[0, 0] = 1
        best = best_threshold(scores, labels)
        expected = max(micro_f1(scores >= value, labels) for value in scores.ravel())
        assert micro_f1(scores >= best, labels) == pytest.approx(expected)
        assert best not in scores or best == scores.min()
