"""In how many texts each n-gram stands, for millions of them."""

from collections.abc import Iterable, Sequence

import numpy as np


def document_frequencies(
    texts: Iterable[Sequence[bytes]], max_order: int, min_count: int
) -> list[dict[str, int]]:
    """The number of texts that each n-gram stands in.

    Args:
        texts: the words of each text, UTF-8.
        max_order: n-grams of one word to this many.
        min_count: rarer ones are left out.

    Returns:
        For each order a dictionary from the n-gram, its words joined by spaces.

    Example:

    >>> document_frequencies([[b"so", b"so", b"good"], [b"so", b"bad"]], 2, min_count=1)[0]
    {'so': 2, 'good': 1, 'bad': 1}
    """
    known: dict[bytes, int] = {}
    rows = [[known.setdefault(word, len(known)) for word in words] for words in texts]
    lengths = np.array([len(row) for row in rows], "int64")
    flat = np.array([number for row in rows for number in row], "int64")
    names = [word.decode("utf-8") for word in known]
    text = np.repeat(np.arange(len(lengths)), lengths)
    left = np.repeat(lengths.cumsum(), lengths) - np.arange(len(flat))  # words to the text's end

    # An n-gram is a number: that of its first words, and that of its last.
    at = np.arange(len(flat))  # where n-grams begin
    grams, ends = flat, [np.arange(len(names))]
    starts: list[np.ndarray] = []
    counted = []
    for order in range(1, max_order + 1):
        if order > 1:
            fits = left[at] >= order
            at, grams = at[fits], grams[fits]
            pairs = grams * len(names) + flat[at + order - 1]
            found, grams = np.unique(pairs, return_inverse=True)
            start, end = np.divmod(found, max(1, len(names)))
            starts.append(start)
            ends.append(end)
        size = len(ends[-1])
        once = np.unique(text[at] * max(1, size) + grams)  # each n-gram once a text
        counts = np.bincount(once % max(1, size), minlength=size)
        frequent = np.flatnonzero(counts >= min_count)
        counted.append(
            {_named(int(gram), order, starts, ends, names): int(counts[gram]) for gram in frequent}
        )
    return counted


def _named(
    gram: int, order: int, starts: list[np.ndarray], ends: list[np.ndarray], names: list[str]
) -> str:
    words = []
    for step in range(order - 1, 0, -1):
        words.append(names[ends[step][gram]])
        gram = int(starts[step - 1][gram])
    words.append(names[gram])
    return " ".join(reversed(words))
