"""Conversion of lists and data frames into arrays, without importing any of their packages."""

from typing import Any

import numpy as np


def as_array(values: Any) -> Any:
    """Return a data frame's column as a NumPy array, and anything else unchanged.

    A column is any object with a method `to_numpy`: a pandas or polars `Series`, a pandas
    `Index`, an array of Arrow. Its own index is dropped: rows are counted from 0.

    Example:

    >>> as_array(["a", "b"])
    ['a', 'b']
    """
    to_numpy = getattr(values, "to_numpy", None)
    if not callable(to_numpy):
        return values
    if hasattr(values, "to_pylist"):  # of Arrow, which by default refuses to copy
        return np.asarray(values.to_pylist())
    return to_numpy()


def to_array(values: Any) -> Any:
    """Return lists, tuples and a data frame's column as arrays, and anything else unchanged.

    Example:

    >>> to_array([1, 2])
    array([1, 2])
    """
    return np.asarray(values) if isinstance(values, list | tuple) else as_array(values)


def to_weights(values: Any) -> Any:
    """Return sample weights as an array `(N,)`, from what `to_array` takes, a tensor or `(N, 1)`.

    Example:

    >>> to_weights([[0.5], [1.0]])
    array([0.5, 1. ])
    """
    weights = to_array(values)
    if hasattr(weights, "__array__") and not isinstance(weights, np.ndarray):
        weights = np.asarray(weights)  # of a tensor
    is_column = isinstance(weights, np.ndarray) and weights.ndim == 2 and weights.shape[1] == 1
    return weights[:, 0] if is_column else weights
