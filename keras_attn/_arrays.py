"""Conversion of lists and data frames into arrays, without importing any of their packages."""

from typing import Any

import numpy as np


def as_array(values: Any) -> Any:
    """Return a data frame's column as a NumPy array, and anything else unchanged.

    A column is any object with a method `to_numpy`: a pandas or polars `Series`, a pandas
    `Index`. Its own index is dropped: rows are counted from 0.

    Example:

    >>> as_array(["a", "b"])
    ['a', 'b']
    """
    to_numpy = getattr(values, "to_numpy", None)
    return to_numpy() if callable(to_numpy) else values


def to_array(values: Any) -> Any:
    """Return lists, tuples and a data frame's column as arrays, and anything else unchanged.

    Example:

    >>> to_array([1, 2])
    array([1, 2])
    """
    return np.asarray(values) if isinstance(values, list | tuple) else as_array(values)
