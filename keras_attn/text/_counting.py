"""Document frequencies of n-grams, for corpora with millions of them."""

from collections.abc import Iterable, Sequence

import numpy as np


def document_frequencies(
    texts: Iterable[Sequence[bytes]], max_order: int, min_count: int
) -> list[dict[str, int]]:
    """Count the texts in which each n-gram occurs.

    Args:
        texts: The words of each text, in UTF-8.
        max_order: The longest n-grams to count, in words.
        min_count: N-grams that occur in fewer texts are left out.

    Returns:
        For each order from 1 to `max_order`, a dictionary from the n-gram, its words joined by
        spaces, to the number of texts.

    Example:

    >>> document_frequencies([[b"so", b"so", b"good"], [b"so", b"bad"]], 2, min_count=1)[0]
    {'so': 2, 'good': 1, 'bad': 1}
    """
    word_ids: dict[bytes, int] = {}
    rows = [[word_ids.setdefault(word, len(word_ids)) for word in words] for words in texts]
    lengths = np.array([len(row) for row in rows], "int64")
    flat = np.array([word_id for row in rows for word_id in row], "int64")
    names = [word.decode("utf-8") for word in word_ids]
    text_of_word = np.repeat(np.arange(len(lengths)), lengths)
    words_to_end = np.repeat(lengths.cumsum(), lengths) - np.arange(len(flat))

    # An n-gram is a number, made of the number of its first n - 1 words and the id of its last
    # word. `prefixes` and `last_words` take it apart again, for each order.
    starts = np.arange(len(flat))  # the position at which each n-gram begins
    grams, last_words = flat, [np.arange(len(names))]
    prefixes: list[np.ndarray] = []
    frequencies = []
    for order in range(1, max_order + 1):
        if order > 1:
            fits = words_to_end[starts] >= order
            starts, grams = starts[fits], grams[fits]
            prefix_and_word = grams * len(names) + flat[starts + order - 1]
            distinct, grams = np.unique(prefix_and_word, return_inverse=True)
            prefix, last_word = np.divmod(distinct, max(1, len(names)))
            prefixes.append(prefix)
            last_words.append(last_word)
        size = len(last_words[-1])
        # Each n-gram counts once per text.
        distinct_per_text = np.unique(text_of_word[starts] * max(1, size) + grams)
        counts = np.bincount(distinct_per_text % max(1, size), minlength=size)
        frequencies.append(
            {
                _join_words(int(gram), order, prefixes, last_words, names): int(counts[gram])
                for gram in np.flatnonzero(counts >= min_count)
            }
        )
    return frequencies


def _join_words(
    gram: int,
    order: int,
    prefixes: list[np.ndarray],
    last_words: list[np.ndarray],
    names: list[str],
) -> str:
    """Return an n-gram of an order as text."""
    words = []
    for step in range(order - 1, 0, -1):
        words.append(names[last_words[step][gram]])
        gram = int(prefixes[step - 1][gram])
    words.append(names[gram])
    return " ".join(reversed(words))
