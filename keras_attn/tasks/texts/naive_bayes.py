"""Log-count ratios: what a Naive Bayes classifier knows of each n-gram."""

import numpy as np

from keras_attn.batching import EncodedTexts


def ngram_counts(
    texts: EncodedTexts,
    sizes: tuple[int, ...],
    num_classes: int,
    folds: np.ndarray | None = None,
    num_folds: int = 1,
) -> list[np.ndarray]:
    """In how many texts of each fold and class each n-gram stands.

    Args:
        texts: training texts.
        sizes: number of ids of each order.
        num_classes: number of classes, `C`.
        folds: integer array `(N,)`, the fold of each text; None is fold 0 for all.
        num_folds: number of folds, `K`.

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
    """For each n-gram and class, how much likelier it is in the class than in the others.

    Of the share that an n-gram has among all that stand in the class's texts, each counted
    once a text, the logarithm of the ratio to its share in the other texts (Wang and
    Manning, ACL 2012).

    Args:
        counts: for each order an array `(C, V_g)`: in how many texts of a class it stands.
        vocabulary_size: number of n-grams of all orders that there are; None for as many
            as there are ids.
        smoothing: added to each count.

    Returns:
        For each order a float32 array `(V_g, C)`; 0 for padding and unknown n-grams.

    Example:

    >>> counts = [np.array([[0, 0, 1, 1, 0], [0, 0, 1, 0, 1]])]
    >>> log_count_ratios(counts)[0][3:].round(1)
    array([[ 0.7, -0.7],
           [-0.7,  0.7]], dtype=float32)
    """
    total = sum(count[:, 2:].sum(axis=1, keepdims=True) for count in counts)
    if vocabulary_size is None:
        vocabulary_size = sum(count.shape[1] - 2 for count in counts)
    ratios = []
    for count in counts:
        inside, outside = count, count.sum(axis=0) - count
        shares = [
            np.log((part + smoothing) / (all_of_it + smoothing * vocabulary_size))
            for part, all_of_it in ((inside, total), (outside, total.sum() - total))
        ]
        ratio = shares[0] - shares[1]
        ratio[:, :2] = 0.0
        # Nothing is known of an n-gram that was not seen; smoothing alone would favor the
        # class with fewer texts.
        ratio[:, count.sum(axis=0) == 0] = 0.0
        ratios.append(ratio.T.astype("float32"))
    return ratios


def held_out_ratios(
    counts: list[np.ndarray], vocabulary_size: int | None = None
) -> list[np.ndarray]:
    """The ratios without the texts of each fold.

    Args:
        counts: what `ngram_counts` gives, for each order an array `(K, C, V_g)`.
        vocabulary_size: see `log_count_ratios`.

    Returns:
        For each order a float32 array `(K, V_g, C)`.
    """
    folds = [
        log_count_ratios([count.sum(axis=0) - count[fold] for count in counts], vocabulary_size)
        for fold in range(len(counts[0]))
    ]
    return [np.stack(ratios) for ratios in zip(*folds, strict=True)]
