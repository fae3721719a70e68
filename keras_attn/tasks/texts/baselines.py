"""Linear classifiers of texts, to judge whether a network is worth its cost."""

import dataclasses
import importlib.util
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_attn._wording import counted
from keras_attn.datasets import Dataset, TextSplit
from keras_attn.tasks.texts.metrics import best_threshold, micro_f1
from keras_attn.tasks.texts.naive_bayes import log_count_ratios, ngram_counts
from keras_attn.tasks.texts.own_data import MAX_UNSPACED_WORD_LENGTH
from keras_attn.text import Normalizer, split_words

if TYPE_CHECKING:
    from keras_attn.tasks.texts.classifier import TextClassifier

SVM_C_VALUES = (0.1, 0.3, 1.0, 3.0)
INSTALL = "For tf-idf + linear SVM: pip install 'keras-attn[baselines]'."
BATCH = 256  # texts that are split into words together


@dataclasses.dataclass(frozen=True)
class Baseline:
    """A trained baseline.

    Attributes:
        name: What it is, such as `"tf-idf + linear SVM"`.
        score: Its accuracy on the test split, in [0, 1]; for several labels per text the
            micro-averaged F1.
        settings: What was selected on the validation split.
    """

    name: str
    score: float
    settings: dict[str, Any]


def has_scikit_learn() -> bool:
    """Return whether scikit-learn is installed, which `linear_svm` needs."""
    return importlib.util.find_spec("sklearn") is not None


def linear_svm(dataset: Dataset[TextSplit]) -> Baseline:
    """Train tf-idf and a linear SVM on the training split, and read the test split once.

    The features are words and pairs of words, or where most words are one character also triples.
    The validation split selects the strength of regularization. For texts with several labels there
    is an SVM for each label, and the validation split also selects one threshold for all of them.

    Args:
        dataset: A data set with the splits `"train"`, `"validation"` and `"test"`.

    Raises:
        ImportError: scikit-learn is not installed.
        ValueError: The texts have no words, or only one class.
    """
    splits = [dataset[name] for name in ("train", "validation", "test")]
    features, orders = _tf_idf([split.texts for split in splits])
    train, validation, test = zip(features, [split.labels for split in splits], strict=True)
    fit = _fit_one_label if train[1].ndim == 1 else _fit_several_labels
    candidates = {strength: fit(strength, train, validation) for strength in SVM_C_VALUES}
    best = max(candidates, key=lambda strength: candidates[strength][0])
    validation_score, score, settings = candidates[best]
    return Baseline(
        "tf-idf + linear SVM",
        score(*test),
        {"C": best, "orders": orders, "validation_score": validation_score, **settings},
    )


def _tf_idf(texts: Sequence[np.ndarray]) -> tuple[list[Any], int]:
    """Return the features of splits, fitted to the first one, and the order of n-grams."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    first, *others = [_words(split) for split in texts]
    characters = sum(len(word) for row in first for word in row)
    mean = characters / max(1, sum(map(len, first)))
    orders = 3 if mean < MAX_UNSPACED_WORD_LENGTH else 2  # triples are words of the language
    vectorizer = TfidfVectorizer(
        analyzer=lambda row: [
            " ".join(row[start : start + order])
            for order in range(1, orders + 1)
            for start in range(len(row) - order + 1)
        ],
        sublinear_tf=True,
    )
    return [vectorizer.fit_transform(first), *map(vectorizer.transform, others)], orders


# The score on the validation split, a function to score another one, and what was selected.
_Candidate = tuple[float, Callable[[Any, np.ndarray], float], dict[str, Any]]


def _fit_one_label(
    strength: float, train: tuple[Any, np.ndarray], validation: tuple[Any, np.ndarray]
) -> _Candidate:
    from sklearn.svm import LinearSVC

    svm = LinearSVC(C=strength, random_state=0).fit(*train)
    return float(svm.score(*validation)), lambda *split: float(svm.score(*split)), {}


def _fit_several_labels(
    strength: float, train: tuple[Any, np.ndarray], validation: tuple[Any, np.ndarray]
) -> _Candidate:
    from sklearn.svm import LinearSVC

    features, labels = train
    svms = [LinearSVC(C=strength, random_state=0).fit(features, column) for column in labels.T]

    def decide(features: Any) -> np.ndarray:
        return np.stack([svm.decision_function(features) for svm in svms], axis=-1)

    threshold = best_threshold(decide(validation[0]), validation[1])

    def score(features: Any, labels: np.ndarray) -> float:
        return micro_f1(decide(features) >= threshold, labels)

    return score(*validation), score, {"threshold": threshold}


def naive_bayes(model: "TextClassifier", dataset: Dataset[TextSplit]) -> Baseline:
    """Return the accuracy of Naive Bayes with the n-grams of a trained classifier.

    Args:
        model: A classifier whose vocabulary was learned from the training split.
        dataset: A data set with the splits `"train"` and `"test"`.
    """
    train, test = dataset["train"], dataset["test"]
    sizes = model.encoder.vocabulary_sizes
    encoded = model.encode_split(train)
    counts = ngram_counts(encoded, sizes, len(model.label_names))
    num_ngrams = sum(len(vocabulary.terms) for vocabulary in model.encoder.vocabularies)
    ratios = log_count_ratios([count[0] for count in counts], num_ngrams)
    frequencies = np.bincount(train.labels, minlength=len(model.label_names)) / len(train)
    prior = np.log(np.maximum(frequencies, 1e-9) / np.maximum(1 - frequencies, 1e-9))
    encoded, correct = model.encode_split(test), 0
    for index, label in enumerate(test.labels):
        scores = prior + sum(
            ratio[np.unique(column)].sum(axis=0)
            for ratio, column in zip(ratios, encoded[index].T, strict=True)
        )
        correct += int(scores.argmax() == label)
    return Baseline("Naive Bayes", correct / len(test), {})


def compare_with_linear(model: "TextClassifier", dataset: Dataset[TextSplit], score: float) -> str:
    """Return a line that compares a classifier with a linear one on the same test split.

    Args:
        model: The classifier.
        dataset: The data set that it was trained on.
        score: Its accuracy on the test split, in [0, 1]; for several labels per text the
            micro-averaged F1.

    Returns:
        A line with both scores. Without scikit-learn the other one is Naive Bayes for one label
        per text, and there is no comparison for several.
    """
    remedy = "" if has_scikit_learn() else f" {INSTALL}"
    if model.multi_label and remedy:
        return f"No comparison with a linear classifier, which needs scikit-learn.{remedy}"
    try:
        baseline = linear_svm(dataset) if has_scikit_learn() else naive_bayes(model, dataset)
    except ValueError as error:  # of scikit-learn, such as for texts without words
        return f"No comparison with a linear classifier: {error}"
    own, other = 100 * score, 100 * baseline.score
    measure = ", F1 (micro)" if model.multi_label else ""
    return (
        f"Comparison on the {counted(len(dataset['test']), 'test text')}{measure}: this model "
        f"{own:.2f} %, {baseline.name} {other:.2f} % ({own - other:+.2f} points).{remedy}"
    )


def _words(texts: np.ndarray) -> list[list[str]]:
    """Return the words of each text; equal words are one object."""
    normalizer = Normalizer(lowercase=True)
    shared: dict[bytes, str] = {}
    rows = []
    for start in range(0, len(texts), BATCH):
        for row in split_words(normalizer(list(texts[start : start + BATCH]))).to_list():
            rows.append([shared.setdefault(word, word.decode("utf-8")) for word in row])
    return rows
