"""Linear classifiers that a trained model is compared with."""

import numpy as np
import pytest

from keras_attn import datasets
from keras_attn.tasks import from_architecture
from keras_attn.tasks.texts import baselines

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
    assert baseline.accuracy > 0.7
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
    assert again.accuracy > 0.7


def test_naive_bayes_is_the_comparison_without_scikit_learn(remarks, model, monkeypatch):
    monkeypatch.setattr(baselines, "has_scikit_learn", lambda: False)
    line = baselines.compare_with_linear(model, remarks, 0.5)
    accuracy = baselines.naive_bayes(model, remarks).accuracy
    assert accuracy > 0.6
    assert line.startswith("Comparison on the 60 test texts: this model 50.00 %, Naive Bayes ")
    assert f"({50 - 100 * accuracy:+.2f} points)" in line
    assert "pip install 'keras-attn[baselines]'" in line
