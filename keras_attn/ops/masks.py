"""Attention masks: boolean, True = attend, of rank 4, broadcastable to `(B, N, T, S)`.

`B` is the batch, `N` the heads, `T` the queries and `S` the keys. An axis along which a mask
does not vary keeps size 1: a padding mask is never expanded to `T x S`.
"""

from keras import ops

from keras_attn.ops._arguments import check_window
from keras_attn.ops._mask_values import check_mask_values
from keras_attn.ops._types import Size, Tensor


def padding_mask(mask: Tensor) -> Tensor:
    """Convert a `(B, S)` padding mask into an attention mask.

    Args:
        mask: tensor `(B, S)`, True for a token and False for padding; boolean, or numbers as
            in `attention`.

    Returns:
        Boolean tensor `(B, 1, 1, S)`.

    Raises:
        ValueError: `mask` is not of rank 2, or holds values other than 0 and 1.

    Example:

    >>> import numpy as np
    >>> tuple(padding_mask(np.array([[1, 1, 0]])).shape)
    (1, 1, 1, 3)
    """
    mask = ops.convert_to_tensor(mask)
    if len(mask.shape) != 2:
        raise ValueError(
            "`mask` must have shape (batch, keys), True for a token and False for padding. "
            f"Received: shape {tuple(mask.shape)}."
        )
    check_mask_values(mask=mask)
    return ops.cast(mask, "bool")[:, None, None, :]


def length_mask(lengths: Tensor, maximum: int) -> Tensor:
    """Return the `(B, S)` padding mask of sequences that are padded at the end.

    Args:
        lengths: integer tensor `(B,)`, the length of each sequence.
        maximum: `S`, the length to which they are padded.

    Returns:
        Boolean tensor `(B, S)`, True for a token and False for padding.

    Example:

    >>> import numpy as np
    >>> np.asarray(length_mask(np.array([1, 3]), 3)).tolist()
    [[True, False, False], [True, True, True]]
    """
    return ops.arange(maximum, dtype="int32")[None, :] < ops.cast(lengths, "int32")[:, None]


def band_mask(
    query_length: Size | None,
    key_length: Size | None,
    *,
    is_causal: bool = False,
    window: int | None = None,
    q_offset: Size = 0,
) -> Tensor | None:
    """Return the mask of causal and windowed attention.

    Query `t` has the position `t + q_offset` among the keys: with a cache of `C` earlier
    keys, `q_offset` is `C`.

    Args:
        query_length: number of queries, `T`.
        key_length: number of keys, `S`.
        is_causal: attend to positions up to and including the query's own.
        window: with `is_causal`, the number of keys to attend to, the query's own included;
            without, attend to keys at a distance below `window` on either side.
        q_offset: integer or scalar integer tensor, the position of the first query.

    Returns:
        Boolean tensor `(1, 1, T, S)`, or None where nothing is masked.

    Raises:
        ValueError: `window` is below 1, or a length is None.

    Example:

    >>> import numpy as np
    >>> np.asarray(band_mask(2, 3, is_causal=True, window=2, q_offset=1)).astype(int)[0, 0].tolist()
    [[1, 1, 0], [0, 1, 1]]
    """
    check_window(window)
    if not is_causal and window is None:
        return None
    if query_length is None or key_length is None:
        raise ValueError(
            "Causal and windowed attention need the lengths of queries and keys, and those of "
            "symbolic inputs are not known yet. Call it inside a layer, or build the model with "
            f"fixed lengths. Received: {query_length} queries, {key_length} keys."
        )
    query_positions = ops.arange(query_length, dtype="int32")[:, None] + ops.cast(q_offset, "int32")
    distance = query_positions - ops.arange(key_length, dtype="int32")[None, :]
    allowed = distance >= 0 if is_causal else distance > -(window or 0)
    if window is not None:
        allowed = ops.logical_and(allowed, distance < window)
    return allowed[None, None]


def combine(*masks: Tensor | None) -> Tensor | None:
    """Return the logical and of the masks; None stands for a mask that is True everywhere.

    Args:
        masks: boolean tensors that broadcast to one another, or None.

    Returns:
        Boolean tensor, or None if every mask is None.
    """
    combined = None
    for mask in masks:
        if mask is not None:
            combined = mask if combined is None else ops.logical_and(combined, mask)
    return combined
