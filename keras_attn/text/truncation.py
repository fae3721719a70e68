"""Truncation of long texts."""

from keras_attn._types import Tensor
from keras_attn._validation import check_positive_integer
from keras_attn.text._inputs import as_rows


def keep_ends(tokens: Tensor, max_length: int, head: int | None = None) -> Tensor:
    """Shorten rows to `max_length` tokens: the beginning and the end of a longer row.

    A review names its subject at the beginning and its verdict at the end. Sun et al.
    (arXiv:1905.05583) keep both, and find it better than either.

    Args:
        tokens: Ragged tensor `(B, None, ...)` of any dtype.
        max_length: The largest number of tokens of a row.
        head: How many of them are the first tokens of the row, from 0 to `max_length`; the
            others are the last ones. None means `max_length // 4`.

    Returns:
        Ragged tensor `(B, None, ...)`. Rows of up to `max_length` tokens are unchanged.

    Raises:
        TypeError: `tokens` is not ragged.
        ValueError: `max_length` is below 1, or `head` is not between 0 and `max_length`.

    Example:

    >>> import tensorflow as tf
    >>> keep_ends(tf.ragged.constant([[1, 2, 3, 4, 5, 6], [7, 8]]), max_length=4, head=1)
    <tf.RaggedTensor [[1, 4, 5, 6], [7, 8]]>
    """
    import tensorflow as tf

    check_positive_integer("max_length", max_length)
    head = max_length // 4 if head is None else head
    check_head(head, max_length)
    tokens = as_rows(tokens, "tokens")
    lengths = tokens.row_lengths()
    position = tf.ragged.range(lengths, row_splits_dtype=tokens.row_splits.dtype).values
    from_end = tf.repeat(lengths, lengths) - position
    index = tf.where((position < head) | (from_end <= max_length - head))[:, 0]
    return tf.RaggedTensor.from_row_lengths(
        tf.gather(tokens.values, index), tf.minimum(lengths, max_length), validate=False
    )


def check_head(head: int, max_length: int) -> None:
    """Raise ValueError unless `head` is an integer from 0 to `max_length`."""
    if isinstance(head, bool) or not isinstance(head, int) or not 0 <= head <= max_length:
        raise ValueError(
            f"`head` must be an integer from 0 to `max_length`, {max_length}. Received: {head!r}."
        )
