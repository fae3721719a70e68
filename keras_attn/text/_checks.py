"""What the functions on text refuse, and how they say so."""

from collections.abc import Iterator
from typing import Any

Tensor = Any

_ACCEPTED = "a string, bytes, a list, tuple or array of them, or a string tensor"


def as_strings(texts: Any, rank: int | None = None) -> Tensor:
    """A dense string tensor of what a user may pass as texts.

    Args:
        texts: a str, bytes, a list, tuple or NumPy array of them, or a string tensor.
        rank: the number of axes that it must have; None accepts any.

    Raises:
        TypeError: something in it is not a string.
        ValueError: it has another rank.

    Example:

    >>> as_strings(["plain", b"bytes"]).shape
    TensorShape([2])
    """
    import numpy as np
    import tensorflow as tf

    if isinstance(texts, np.ndarray):
        texts = texts.tolist()
    if isinstance(texts, (str, bytes, list, tuple)):
        for leaf in _leaves(texts):
            if not isinstance(leaf, (str, bytes)):
                raise TypeError(
                    f"`texts` must be {_ACCEPTED}. "
                    f"Received: a {type(texts).__name__} that holds {leaf!r}."
                )
        strings = tf.constant(_encoded(texts), tf.string)
    elif isinstance(texts, (tf.Tensor, tf.Variable)) and texts.dtype == tf.string:
        strings = tf.convert_to_tensor(texts)
    else:
        dtype = getattr(texts, "dtype", None)
        held = "" if dtype is None else f" of {getattr(dtype, 'name', dtype)}"
        raise TypeError(f"`texts` must be {_ACCEPTED}. Received: {type(texts).__name__}{held}.")
    if rank is not None and strings.shape.rank not in (None, rank):
        raise ValueError(
            f"`texts` must have {rank} axis, one string an example; put a single text into a "
            f"list. Received: shape {tuple(strings.shape)}."
        )
    return strings


def as_rows(tokens: Any, name: str) -> Tensor:
    """`tokens` where it is a ragged tensor `(B, None, ...)`; a `TypeError` where not."""
    import tensorflow as tf

    if isinstance(tokens, tf.RaggedTensor):
        return tokens
    raise TypeError(
        f"`{name}` must be a tf.RaggedTensor, one row an example, as `split_words` returns. "
        f"Received: {type(tokens).__name__}."
    )


def at_least(least: int, **arguments: Any) -> None:
    """Refuse arguments that are not integers of at least `least`, by name."""
    for name, value in arguments.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(
                f"`{name}` must be an integer of at least {least}. Received: {value!r}."
            )


def _leaves(texts: Any) -> Iterator[Any]:
    if isinstance(texts, (list, tuple)):
        for text in texts:
            yield from _leaves(text)
    else:
        yield texts


def _encoded(texts: Any) -> Any:
    """Bytes: a lone surrogate, which TensorFlow would refuse, becomes invalid UTF-8."""
    if isinstance(texts, (list, tuple)):
        return [_encoded(text) for text in texts]
    return texts.encode("utf-8", "surrogatepass") if isinstance(texts, str) else texts
