"""Log-count ratios of n-grams, the features of a Naive Bayes classifier."""

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
        texts: Training texts.
        sizes: Number of ids of each n-gram order.
        num_classes: Number of classes, `C`.
        folds: Integer array `(N,)`, the fold of each text. None assigns all texts to fold 0.
        num_folds: Number of folds, `K`.

    Returns:
        For each order an int32 array `(K, C, V_g)`.
    """
    folds = np.zeros(len(texts), int) if folds is None else folds
    counts = [np.zeros((num_folds, num_classes, size), "int32") for size in sizes]
    for index, (fold, label) in enumerate(zip(folds, texts.labels, strict=True)):
        for count, column in zip(counts, texts[index].T, strict=True):
            count[fold, label, np.unique(column)] += 1
    return counts


def log_count_ratios(
    counts: list[np.ndarray], vocabulary_size: int | None = None, smoothing: float = 1.0
) -> list[np.ndarray]:
    """Return the log-count ratio of each n-gram and class (Wang and Manning, ACL 2012).

    The log-count ratio is `log(p / q)`, where `p` is the relative frequency of the n-gram in the
    texts of the class, and `q` that in the texts of all other classes. An n-gram is counted once
    for each text that contains it.

    Args:
        counts: For each order an array `(C, V_g)`: the number of texts of each class that contain
            each n-gram.
        vocabulary_size: Number of n-grams of all orders. None is the number of ids of n-grams.
        smoothing: Value added to each count.

    Returns:
        For each order a float32 array `(V_g, C)`; 0 for padding and unknown n-grams.

    Example:

    >>> counts = [np.array([[0, 0, 1, 1, 0], [0, 0, 1, 0, 1]])]
    >>> log_count_ratios(counts)[0][3:].round(1)
    array([[ 0.7, -0.7],
           [-0.7,  0.7]], dtype=float32)
    """
    totals = sum(count[:, 2:].sum(axis=1, keepdims=True) for count in counts)
    if vocabulary_size is None:
        vocabulary_size = sum(count.shape[1] - 2 for count in counts)
    ratios = []
    for count in counts:
        inside, outside = count, count.sum(axis=0) - count
        log_frequencies = [
            np.log((occurrences + smoothing) / (total + smoothing * vocabulary_size))
            for occurrences, total in ((inside, totals), (outside, totals.sum() - totals))
        ]
        ratio = log_frequencies[0] - log_frequencies[1]
        ratio[:, :2] = 0.0
        # N-grams without occurrences carry no information; smoothing alone would favor the class
        # with fewer texts.
        ratio[:, count.sum(axis=0) == 0] = 0.0
        ratios.append(ratio.T.astype("float32"))
    return ratios


def held_out_ratios(
    counts: list[np.ndarray], vocabulary_size: int | None = None
) -> list[np.ndarray]:
    """Return for each fold the log-count ratios of the texts outside that fold.

    Args:
        counts: The result of `ngram_counts`, for each order an array `(K, C, V_g)`.
        vocabulary_size: See `log_count_ratios`.

    Returns:
        For each order a float32 array `(K, V_g, C)`.
    """
    folds = [
        log_count_ratios([count.sum(axis=0) - count[fold] for count in counts], vocabulary_size)
        for fold in range(len(counts[0]))
    ]
    return [np.stack(ratios) for ratios in zip(*folds, strict=True)]
