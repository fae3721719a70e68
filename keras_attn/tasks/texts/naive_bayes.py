"""Log-count ratios of n-grams, the features of a Naive Bayes classifier."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from keras_attn.batching import EncodedTexts


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
