"""N-grams of words, as strings and as hashed ids."""

import itertools
from collections.abc import Sequence

from keras_attn._token_ids import PADDING_ID
from keras_attn._types import Tensor
from keras_attn._validation import check_integer_at_least
from keras_attn.text._inputs import as_rows


def ngrams(words: Tensor, orders: Sequence[int]) -> Tensor:
    """Return, for each word and order, the n-gram that begins at the word.

    Args:
        words: Ragged string tensor `(B, None)`, as `split_words` returns.
        orders: Lengths of the n-grams in words, increasing.

    Returns:
        Ragged string tensor `(B, None, len(orders))`: the words joined by spaces, or `""`
        where the row ends before the n-gram does.

    Raises:
        TypeError: `words` is not a ragged string tensor.
        ValueError: `orders` is empty, is not increasing, or contains a value below 1.

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
            # Clipped at the end. N-grams that reach into the next row are masked below.
            following = tf.gather(flat, tf.minimum(position + (order - 1), total - 1))
            joined = tf.strings.join([joined, following], separator=" ")
        if order in orders:
            columns.append(tf.where(position + order <= row_end, joined, ""))
    return words.with_values(tf.stack(columns, axis=1))


def hash_ngrams(words: Tensor, orders: Sequence[int], num_buckets: int, salt: str = "") -> Tensor:
    """Return, for each word and order, a bucket of the n-gram that begins at the word.

    The bucket is a hash of the string (FarmHash, the same on every machine and in every
    version of TensorFlow), so no list of n-grams has to be stored (Weinberger et al.,
    arXiv:0902.2206). Several n-grams may share a bucket.

    Args:
        words: Ragged string tensor `(B, None)`, as `split_words` returns.
        orders: Lengths of the n-grams in words, increasing.
        num_buckets: Number of ids, at least 2: 0 for "no n-gram begins here", and the buckets
            from 1 to `num_buckets - 1`.
        salt: Prefix of each n-gram when it is hashed; each salt gives another hash.

    Returns:
        Ragged int32 tensor `(B, None, len(orders))`: the bucket, or 0 where the row ends
        before the n-gram does.

    Raises:
        TypeError: `words` is not a ragged string tensor, or `salt` is not a string.
        ValueError: `orders` is empty, is not increasing, or contains a value below 1; or
            `num_buckets` is below 2.

    Example:

    >>> import tensorflow as tf
    >>> words = tf.ragged.constant([["not", "so", "good"], ["no"]])
    >>> hash_ngrams(words, orders=(1, 2), num_buckets=1000).to_list()
    [[[797, 276], [334, 628], [277, 0]], [[272, 0]]]
    """
    import tensorflow as tf

    check_integer_at_least(2, num_buckets=num_buckets)
    if not isinstance(salt, str):
        raise TypeError(f"`salt` must be a str. Received: {salt!r}.")
    grams = ngrams(words, orders)
    strings = grams.values
    salted = tf.strings.join([salt, strings]) if salt else strings
    buckets = 1 + tf.cast(tf.strings.to_hash_bucket_fast(salted, num_buckets - 1), tf.int32)
    return grams.with_values(tf.where(strings == "", PADDING_ID, buckets))


def _check_orders(orders: Sequence[int]) -> None:
    are_integers = all(isinstance(n, int) and not isinstance(n, bool) for n in orders)
    are_increasing = are_integers and all(a < b for a, b in itertools.pairwise(orders))
    if not (len(orders) and are_increasing and orders[0] >= 1):
        raise ValueError(
            "`orders` must be increasing positive integers, such as (1, 2, 3). "
            f"Received: {orders!r}."
        )
