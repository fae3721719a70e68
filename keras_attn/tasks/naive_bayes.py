"""Log-count ratios: what a Naive Bayes classifier knows of each n-gram."""

import numpy as np

from keras_attn.data import EncodedTexts


def log_count_ratios(
    texts: EncodedTexts,
    sizes: tuple[int, ...],
    num_classes: int,
    vocabulary_size: int | None = None,
    smoothing: float = 1.0,
) -> list[np.ndarray]:
    """For each n-gram and class, how much likelier it is in the class than in the others.

    Of the share that an n-gram has among all that stand in the class's texts, each counted
    once a text, the logarithm of the ratio to its share in the other texts (Wang and
    Manning, ACL 2012).

    Args:
        texts: training texts.
        sizes: number of ids of each order.
        num_classes: number of classes, `C`.
        vocabulary_size: number of n-grams of all orders that there are; None for as many
            as there are ids.
        smoothing: added to each count.

    Returns:
        For each order a float32 array `(V_g, C)`; 0 for padding and unknown n-grams.

    Example:

    >>> ids = np.array([[2], [3], [2], [2], [4], [4]], "int32")
    >>> texts = EncodedTexts(ids, np.array([0, 3, 6]), np.array([0, 1]))
    >>> log_count_ratios(texts, (5,), 2)[0][3:].round(1)
    array([[ 0.7, -0.7],
           [-0.7,  0.7]], dtype=float32)
    """
    counts = [np.zeros((num_classes, size)) for size in sizes]
    for index, label in enumerate(texts.labels):
        for count, column in zip(counts, texts[index].T, strict=True):
            count[label, np.unique(column)] += 1
    total = sum(count[:, 2:].sum(axis=1, keepdims=True) for count in counts)
    if vocabulary_size is None:
        vocabulary_size = sum(size - 2 for size in sizes)
    ratios = []
    for count in counts:
        inside, outside = count, count.sum(axis=0) - count
        rest = total.sum() - total
        shares = [
            np.log((part + smoothing) / (all_of_it + smoothing * vocabulary_size))
            for part, all_of_it in ((inside, total), (outside, rest))
        ]
        ratio = shares[0] - shares[1]
        ratio[:, :2] = 0.0
        # Nothing is known of an n-gram that was not seen; smoothing alone would favor the
        # class with fewer texts.
        ratio[:, count.sum(axis=0) == 0] = 0.0
        ratios.append(ratio.T.astype("float32"))
    return ratios
