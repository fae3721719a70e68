"""Conversion of what users pass as texts into string tensors, batches and ragged rows."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from keras_attn._arrays import as_array
from keras_attn._types import Tensor

_ACCEPTED = (
    "a string, bytes, a list, tuple or array of them, a pandas column of them, or a string tensor"
)


def as_strings(texts: Any, rank: int | None = None) -> Tensor:
    """Return texts as a dense string tensor, in UTF-8.

    A lone surrogate, which is not valid Unicode, becomes invalid UTF-8.

    Args:
        texts: A str, bytes, a list, tuple or NumPy array of them, a pandas `Series` (or
            another column with a method `to_numpy`), or a string tensor.
        rank: The number of axes that the texts must have; None accepts any number.

    Returns:
        String tensor of the shape of `texts`.

    Raises:
        TypeError: An element is not a string.
        ValueError: The texts have another rank.

    Example:

    >>> as_strings(["plain", b"bytes"]).shape
    TensorShape([2])
    """
    import numpy as np
    import tensorflow as tf

    received_type = type(texts).__name__
    texts = as_array(texts)
    if isinstance(texts, np.ndarray):
        texts = texts.tolist()
    if isinstance(texts, (str, bytes, list, tuple)):
        for element in _flatten(texts):
            if not isinstance(element, (str, bytes)):
                raise TypeError(
                    f"`texts` must be {_ACCEPTED}. "
                    f"Received: a {received_type} that holds {element!r}."
                )
        strings = tf.constant(_encode(texts), tf.string)
    elif isinstance(texts, (tf.Tensor, tf.Variable)) and texts.dtype == tf.string:
        strings = tf.convert_to_tensor(texts)
    else:
        dtype = getattr(texts, "dtype", None)
        of_dtype = "" if dtype is None else f" of {getattr(dtype, 'name', dtype)}"
        raise TypeError(f"`texts` must be {_ACCEPTED}. Received: {received_type}{of_dtype}.")
    if rank is not None and strings.shape.rank not in (None, rank):
        raise ValueError(
            f"`texts` must have {rank} axis, one string an example; put a single text into a "
            f"list. Received: shape {tuple(strings.shape)}."
        )
    return strings


def iterate_batches(texts: Iterable[Any], batch_size: int) -> Iterator[list[Any]]:
    """Yield texts as lists of `batch_size`; the last list may be shorter.

    Args:
        texts: Texts, read once: a list, an array, a pandas column, or any other iterable.
        batch_size: Texts per list.

    Raises:
        TypeError: `texts` is one string. It is raised by the first iteration.

    Example:

    >>> list(iterate_batches(["a", "b", "c"], 2))
    [['a', 'b'], ['c']]
    """
    if isinstance(texts, (str, bytes)):
        raise TypeError("`texts` must be several texts. Received one string.")
    iterator = iter(as_array(texts))
    while batch := list(itertools.islice(iterator, batch_size)):
        yield batch


def as_rows(tokens: Any, name: str) -> Tensor:
    """Return `tokens` if it is a ragged tensor.

    Args:
        tokens: Ragged tensor `(B, None, ...)`.
        name: Name of the argument, for the message.

    Raises:
        TypeError: `tokens` is something else.
    """
    import tensorflow as tf

    if isinstance(tokens, tf.RaggedTensor):
        return tokens
    raise TypeError(
        f"`{name}` must be a tf.RaggedTensor, one row an example, as `split_words` returns. "
        f"Received: {type(tokens).__name__}."
    )


def _flatten(texts: Any) -> Iterator[Any]:
    if isinstance(texts, (list, tuple)):
        for text in texts:
            yield from _flatten(text)
    else:
        yield texts


def _encode(texts: Any) -> Any:
    """Return nested texts as bytes: TensorFlow itself refuses lone surrogates."""
    if isinstance(texts, (list, tuple)):
        return [_encode(text) for text in texts]
    return texts.encode("utf-8", "surrogatepass") if isinstance(texts, str) else texts
