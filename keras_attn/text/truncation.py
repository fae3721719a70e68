"""Long texts made short."""

from typing import Any

from keras_attn.text._checks import as_rows, at_least

Tensor = Any


def keep_ends(tokens: Tensor, max_length: int, head: int | None = None) -> Tensor:
    """Rows of at most `max_length` tokens: of a longer one its beginning and its end.

    A review says what it judges at its beginning and the judgement at its end (Sun et
    al., arXiv:1905.05583, keep both and find it better than either).

    Args:
        tokens: ragged tensor `(B, None, ...)` of any dtype.
        max_length: the most tokens a row may have.
        head: how many of them are the row's first, from 0 to `max_length`; the others are
            its last. None is `max_length // 4`.

    Returns:
        Ragged tensor `(B, None, ...)`; rows of up to `max_length` tokens as they were.

    Raises:
        TypeError: `tokens` is not ragged.
        ValueError: `max_length` is below 1, or `head` not between 0 and it.

    Example:

    >>> import tensorflow as tf
    >>> keep_ends(tf.ragged.constant([[1, 2, 3, 4, 5, 6], [7, 8]]), max_length=4, head=1)
    <tf.RaggedTensor [[1, 4, 5, 6], [7, 8]]>
    """
    import tensorflow as tf

    at_least(1, max_length=max_length)
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
    """Refuse a `head` that is not between 0 and `max_length`."""
    if isinstance(head, bool) or not isinstance(head, int) or not 0 <= head <= max_length:
        raise ValueError(
            f"`head` must be an integer from 0 to `max_length`, {max_length}. Received: {head!r}."
        )
