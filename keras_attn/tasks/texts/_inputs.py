"""The forms in which texts are passed to a classifier."""

from typing import Any


def are_strings(x: Any) -> bool:
    """Return whether `x` contains texts rather than ids."""
    if isinstance(x, str | bytes | list | tuple):
        return True
    dtype = getattr(x, "dtype", None)
    return (
        getattr(dtype, "kind", None) in ("U", "S", "O") or getattr(dtype, "name", dtype) == "string"
    )


def as_list(texts: Any) -> list[Any]:
    """Convert a list, array, tensor or column of pandas of texts into a list.

    Raises:
        TypeError: `texts` is a single string.
    """
    if isinstance(texts, str | bytes):
        raise TypeError(f"Expected a list or array of texts. Received one string: {texts!r}.")
    for conversion in ("to_numpy", "numpy"):
        if hasattr(texts, conversion):
            return list(getattr(texts, conversion)())
    return list(texts)
