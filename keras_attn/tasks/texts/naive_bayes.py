"""Values of n-grams that are counted: log-count ratios, and pointwise mutual information."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_attn.batching import EncodedTexts

if TYPE_CHECKING:
    from keras_attn.tasks.texts.classifier import TextClassifier

INITIAL_RATIOS = ("log_count", "pmi")
PMI_SMOOTHING = 10.0  # texts, divided by the number of classes


def ngram_counts(
    texts: EncodedTexts,
    sizes: tuple[int, ...],
    num_classes: int,
    folds: np.ndarray | None = None,
    num_folds: int = 1,
) -> list[np.ndarray]:
    """Return the number of texts of each fold and class that contain each n-gram.

    Args:
        texts: Training texts, each with a label or, for several labels, a row of 0 and 1.
        sizes: Number of ids of each n-gram order.
        num_classes: Number of classes, `C`.
        folds: Integer array `(N,)`, the fold of each text. None assigns all texts to fold 0.
        num_folds: Number of folds, `K`.

    Returns:
        For each order an int32 array `(K, C, V_g)`.
    """
    folds = np.zeros(len(texts), int) if folds is None else folds
    counts = [np.zeros((num_folds, num_classes, size), "int32") for size in sizes]
    labels = texts.labels
    rows = labels if labels.ndim == 1 else [np.flatnonzero(row)[:, None] for row in labels]
    for index, (fold, label) in enumerate(zip(folds, rows, strict=True)):
        for count, column in zip(counts, texts[index].T, strict=True):
            count[fold, label, np.unique(column)] += 1
    return counts


def document_counts(
    texts: EncodedTexts, sizes: tuple[int, ...], folds: np.ndarray | None = None, num_folds: int = 1
) -> list[np.ndarray]:
    """Return the number of texts of each fold that contain each n-gram, whatever their labels.

    Returns:
        For each order an int32 array `(K, V_g)`.
    """
    unlabelled = dataclasses.replace(texts, labels=np.zeros(len(texts), "int32"))
    return [count[:, 0] for count in ngram_counts(unlabelled, sizes, 1, folds, num_folds)]


def log_count_ratios(
    counts: list[np.ndarray],
    vocabulary_size: int | None = None,
    smoothing: float = 1.0,
    documents: Sequence[np.ndarray] | None = None,
) -> list[np.ndarray]:
    """Return the log-count ratio of each n-gram and class (Wang and Manning, ACL 2012).

    The log-count ratio is `log(p / q)`, where `p` is the relative frequency of the n-gram in the
    texts of the class, and `q` that in all other texts. An n-gram is counted once for each text
    that contains it.

    Args:
        counts: For each order an array `(C, V_g)`: the number of texts of each class that contain
            each n-gram.
        vocabulary_size: Number of n-grams of all orders. None is the number of ids of n-grams.
        smoothing: Value added to each count.
        documents: For each order an array `(V_g,)`: the number of texts that contain each n-gram.
            None is the sum over the classes, for texts that have one class each.

    Returns:
        For each order a float32 array `(V_g, C)`; 0 for padding and unknown n-grams.

    Example:

    >>> counts = [np.array([[0, 0, 1, 1, 0], [0, 0, 1, 0, 1]])]
    >>> log_count_ratios(counts)[0][3:].round(1)
    array([[ 0.7, -0.7],
           [-0.7,  0.7]], dtype=float32)
    """
    if documents is None:
        documents = [count.sum(axis=0) for count in counts]
    others = [total - count for count, total in zip(counts, documents, strict=True)]
    inside_total, outside_total = (
        sum(count[:, 2:].sum(axis=1, keepdims=True) for count in group)
        for group in (counts, others)
    )
    if vocabulary_size is None:
        vocabulary_size = sum(count.shape[1] - 2 for count in counts)
    ratios = []
    for inside, outside, total in zip(counts, others, documents, strict=True):
        log_frequencies = [
            np.log((occurrences + smoothing) / (size + smoothing * vocabulary_size))
            for occurrences, size in ((inside, inside_total), (outside, outside_total))
        ]
        ratio = log_frequencies[0] - log_frequencies[1]
        ratio[:, :2] = 0.0
        # N-grams without occurrences carry no information; smoothing alone would favor the class
        # with fewer texts.
        ratio[:, total == 0] = 0.0
        ratios.append(ratio.T.astype("float32"))
    return ratios


def held_out_ratios(
    counts: list[np.ndarray],
    vocabulary_size: int | None = None,
    documents: Sequence[np.ndarray] | None = None,
) -> list[np.ndarray]:
    """Return for each fold the log-count ratios of the texts outside that fold.

    Args:
        counts: The result of `ngram_counts`, for each order an array `(K, C, V_g)`.
        vocabulary_size: See `log_count_ratios`.
        documents: The result of `document_counts`, if a text may have several labels.

    Returns:
        For each order a float32 array `(K, V_g, C)`.
    """

    def outside(counts: Sequence[np.ndarray], fold: int) -> list[np.ndarray]:
        return [count.sum(axis=0) - count[fold] for count in counts]

    folds = [
        log_count_ratios(
            outside(counts, fold),
            vocabulary_size,
            documents=None if documents is None else outside(documents, fold),
        )
        for fold in range(len(counts[0]))
    ]
    return [np.stack(ratios) for ratios in zip(*folds, strict=True)]


def weighted_pmi(
    counts: list[np.ndarray],
    num_texts: int,
    smoothing: float | None = None,
    documents: Sequence[np.ndarray] | None = None,
) -> list[np.ndarray]:
    """Return the pointwise mutual information of each n-gram and class, weighted by idf.

    The pointwise mutual information is `log((n + s) / (e + s))`, where `n` is the number of texts
    of the class that contain the n-gram, `e` that number if n-grams did not depend on classes, and
    `s` the smoothing. Unlike log-count ratios it does not favor large classes for rare n-grams. The
    weight is the inverse document frequency `log((1 + N) / (1 + d)) + 1`, for `N` texts of which
    `d` contain the n-gram, divided by its mean over all occurrences.

    Args:
        counts: For each order an array `(C, V_g)`: the number of texts of each class that contain
            each n-gram.
        num_texts: Number of texts.
        smoothing: Number of texts added to both counts; None is `PMI_SMOOTHING` over the number of
            classes.
        documents: See `log_count_ratios`.

    Returns:
        For each order a float32 array `(V_g, C)`; 0 for padding and unknown n-grams.

    Example:

    >>> counts = [np.array([[0, 0, 6, 2, 0], [0, 0, 6, 0, 2]])]
    >>> weighted_pmi(counts, num_texts=12)[0][2:].round(1)
    array([[ 0. ,  0. ],
           [ 0.3, -0.3],
           [-0.3,  0.3]], dtype=float32)
    """
    if documents is None:
        documents = [count.sum(axis=0) for count in counts]
    if smoothing is None:
        smoothing = PMI_SMOOTHING / len(counts[0])
    known = [total[2:] for total in documents]
    inside = sum(count[:, 2:].sum(axis=1, keepdims=True) for count in counts)
    share = inside / max(1, sum(int(total.sum()) for total in known))  # (C, 1)
    idf = [np.log((1 + num_texts) / (1 + total)) + 1 for total in documents]
    occurrences = max(1, sum(int(total.sum()) for total in known))
    mean = sum(float(w[2:] @ total) for w, total in zip(idf, known, strict=True)) / occurrences
    values = []
    for count, total, weight in zip(counts, documents, idf, strict=True):
        value = np.log((count + smoothing) / (total * share + smoothing)) * (weight / (mean or 1.0))
        value[:, :2] = 0.0
        value[:, total == 0] = 0.0
        values.append(value.T.astype("float32"))
    return values


def initial_ngram_values(
    classifier: "TextClassifier", texts: EncodedTexts, kind: str
) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Return the values that training starts from, for each order an array `(V_g, C)`.

    Args:
        classifier: The classifier, with its vocabulary.
        texts: The training texts.
        kind: One of `INITIAL_RATIOS`.
    """
    sizes = classifier.encoder.vocabulary_sizes
    counts = [count[0] for count in ngram_counts(texts, sizes, len(classifier.label_names))]
    documents = None
    if classifier.multi_label:
        documents = [count[0] for count in document_counts(texts, sizes)]
    if kind == "pmi":
        values = weighted_pmi(counts, len(texts), documents=documents)
    else:
        values = log_count_ratios(counts, _num_ngrams(classifier), documents=documents)
    return [(value, None) for value in values]


def fixed_ratios(
    classifier: "TextClassifier", texts: EncodedTexts, folds: np.ndarray, num_folds: int
) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Return the log-count ratios of all texts, and those of the texts outside of each fold.

    Args:
        classifier: The classifier, with its vocabulary.
        texts: The training texts.
        folds: Integer array `(N,)`, the fold of each text.
        num_folds: Number of folds, `K`.

    Returns:
        For each order arrays `(V_g, C)` and `(K, V_g, C)`.
    """
    sizes = classifier.encoder.vocabulary_sizes
    num_ngrams = _num_ngrams(classifier)
    counts = ngram_counts(texts, sizes, len(classifier.label_names), folds, num_folds)
    documents, all_documents = None, None
    if classifier.multi_label:
        documents = document_counts(texts, sizes, folds, num_folds)
        all_documents = [count.sum(axis=0) for count in documents]
    totals = [count.sum(axis=0) for count in counts]
    ratios = log_count_ratios(totals, num_ngrams, documents=all_documents)
    return list(zip(ratios, held_out_ratios(counts, num_ngrams, documents), strict=True))


def _num_ngrams(classifier: "TextClassifier") -> int:
    return sum(len(vocabulary.terms) for vocabulary in classifier.encoder.vocabularies)
