"""Runs of adjacent words, as strings and as hashed ids."""

import itertools
from collections.abc import Sequence
from typing import Any

from keras_attn.text._checks import as_rows, at_least

Tensor = Any


def ngrams(words: Tensor, orders: Sequence[int]) -> Tensor:
    """For each word and order, the n-gram that begins there.

    Args:
        words: ragged string tensor `(B, None)`, as `split_words` returns.
        orders: the numbers of words in an n-gram, increasing.

    Returns:
        Ragged string tensor `(B, None, len(orders))`: the words joined by a space, `""`
        where the row ends before them.

    Raises:
        TypeError: `words` is not a ragged string tensor.
        ValueError: `orders` is empty, not increasing, or below 1.

    Example:

    >>> import tensorflow as tf
    >>> words = tf.ragged.constant([["not", "so", "good"], ["no"]])
    >>> ngrams(words, orders=(1, 2)).to_list()
    [[[b'not', b'not so'], [b'so', b'so good'], [b'good', b'']], [[b'no', b'']]]
    """
    import tensorflow as tf

    _check_orders(orders)
    words = as_rows(words, "words")
    if words.dtype != tf.string or words.values.shape.rank != 1:
        raise TypeError(
            "`words` must be a ragged string tensor (batch, None). Received: "
            f"{words.dtype.name} {tuple(words.shape)}."
        )
    flat = words.values
    total = tf.size(flat)
    position = tf.range(total)
    lengths = tf.cast(words.row_lengths(), tf.int32)
    row_end = tf.repeat(tf.cast(words.row_splits[1:], tf.int32), lengths)
    columns = []
    joined = flat
    for order in range(1, orders[-1] + 1):
        if order > 1:
            # Clipped at the end; what wraps into another row is masked below.
            following = tf.gather(flat, tf.minimum(position + (order - 1), total - 1))
            joined = tf.strings.join([joined, following], separator=" ")
        if order in orders:
            columns.append(tf.where(position + order <= row_end, joined, ""))
    return words.with_values(tf.stack(columns, axis=1))


def hash_ngrams(words: Tensor, orders: Sequence[int], num_buckets: int, salt: str = "") -> Tensor:
    """For each word and order, a bucket for the n-gram that begins there.

    The bucket is a hash of the string (FarmHash, the same on every machine and in every
    version of TensorFlow), so that no list of n-grams has to be kept (Weinberger et al.,
    arXiv:0902.2206). Several n-grams may share one.

    Args:
        words: ragged string tensor `(B, None)`, as `split_words` returns.
        orders: the numbers of words in an n-gram, increasing.
        num_buckets: number of ids, at least 2: 0 for "no such n-gram", and the buckets
            from 1 to `num_buckets - 1`.
        salt: put before each n-gram when it is hashed; another salt is another hash.

    Returns:
        Ragged int32 tensor `(B, None, len(orders))`; 0 where the row ends before the
        n-gram does.

    Raises:
        TypeError: `words` is not a ragged string tensor, or `salt` not a string.
        ValueError: `orders` is empty, not increasing, or below 1; `num_buckets` is below 2.

    Example:

    >>> import tensorflow as tf
    >>> words = tf.ragged.constant([["not", "so", "good"], ["no"]])
    >>> hash_ngrams(words, orders=(1, 2), num_buckets=1000).to_list()
    [[[797, 276], [334, 628], [277, 0]], [[272, 0]]]
    """
    import tensorflow as tf

    at_least(2, num_buckets=num_buckets)
    if not isinstance(salt, str):
        raise TypeError(f"`salt` must be a str. Received: {salt!r}.")
    grams = ngrams(words, orders)
    strings = grams.values
    salted = tf.strings.join([salt, strings]) if salt else strings
    buckets = 1 + tf.cast(tf.strings.to_hash_bucket_fast(salted, num_buckets - 1), tf.int32)
    return grams.with_values(tf.where(strings == "", 0, buckets))


def _check_orders(orders: Sequence[int]) -> None:
    whole = all(isinstance(order, int) and not isinstance(order, bool) for order in orders)
    increasing = whole and all(a < b for a, b in itertools.pairwise(orders))
    if not (len(orders) and increasing and orders[0] >= 1):
        raise ValueError(
            "`orders` must be increasing positive integers, such as (1, 2, 3). "
            f"Received: {orders!r}."
        )
