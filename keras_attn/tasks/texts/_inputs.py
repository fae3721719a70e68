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
