"""Conversion of what users pass as texts into a list of strings."""

import os
from collections.abc import Iterable, Mapping, Set
from typing import Any

from keras_attn._arrays import as_array
from keras_attn._label_names import label_name

_ACCEPTED = "a list, tuple, array or column of pandas of strings (str or bytes)"


def as_texts(texts: Any, name: str = "texts") -> list[str | bytes]:
    """Return texts as a list.

    Args:
        texts: List, tuple, array, string tensor or column of pandas of strings; or another
            iterable of strings that has an order.
        name: Name of the argument, for the message.

    Raises:
        TypeError: It is something else, or an element is not a string.

    Example:

    >>> as_texts(("a", b"b"))
    ['a', b'b']
    >>> as_texts(["a", None])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    TypeError: `texts` must be a list, ... Received: None as element 1. Replace what is missing ...
    """
    if isinstance(texts, str | bytes):
        raise TypeError(
            f"`{name}` must be {_ACCEPTED}. Received one string: {texts!r:.80}. Put a single text "
            "into a list."
        )
    received = type(texts).__name__
    texts = as_array(texts)
    if hasattr(texts, "numpy"):  # a tensor
        texts = texts.numpy()
    if getattr(texts, "ndim", 1) != 1:
        remedy = "Choose one column, such as table['text']."
        if texts.ndim == 0:
            remedy = "Put a single text into a list."
        raise TypeError(
            f"`{name}` must be {_ACCEPTED}. Received: {received} of shape {texts.shape}. {remedy}"
        )
    unordered = isinstance(texts, Mapping | Set | os.PathLike)
    if unordered or not isinstance(texts, Iterable):
        raise TypeError(f"`{name}` must be {_ACCEPTED}. Received: {received}.")
    elements = list(texts)
    for index, text in enumerate(elements):
        if not isinstance(text, str | bytes):
            missing = label_name(text) == ""
            remedy = 'Replace what is missing by "".' if missing else "Convert it to a string."
            raise TypeError(
                f"`{name}` must be {_ACCEPTED}. Received: {text!r:.80} as element {index}. {remedy}"
            )
    return elements
