"""Agreement of explanations: rank correlation, and maps on the same cells."""

import numpy as np


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Return Spearman's rank correlation, or None if either array is constant.

    Ties have their mean rank. An array whose values differ only by rounding counts as constant.

    Example:

    >>> rank_correlation(np.array([1.0, 2.0, 9.0]), np.array([0.1, 0.2, 0.3]))
    1.0
    """
    for values in (first, second):
        if len(values) < 2 or np.ptp(values) <= 1e-6 * np.abs(values).max():
            return None
    ranks = [_mean_ranks(values) for values in (first, second)]
    first, second = (values - values.mean() for values in ranks)
    cosine = (first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum())
    return round(float(cosine), 12)


def average_over_cells(values: np.ndarray, *edges: np.ndarray) -> np.ndarray:
    """Average an array over other cells, weighted by the overlap with its own.

    Args:
        values: Float array; along each axis its cells divide the interval from 0 to 1 equally.
        *edges: For each axis the increasing edges of the `R` new cells, `(R + 1,)`.

    Returns:
        Float array with `R` values along each axis.

    Example:

    >>> average_over_cells(np.array([1.0, 2.0, 6.0]), np.array([0.0, 0.5, 1.0])).round(3)
    array([1.333, 4.667])
    """
    for axis, new in enumerate(edges):
        old = np.linspace(0.0, 1.0, values.shape[axis] + 1)
        lower = np.maximum(new[:-1, None], old[None, :-1])
        upper = np.minimum(new[1:, None], old[None, 1:])
        overlap = np.maximum(upper - lower, 0.0)
        overlap /= overlap.sum(axis=1, keepdims=True)
        values = np.moveaxis(np.tensordot(overlap, values, (1, axis)), 0, axis)
    return values


def cell_edges(size: int, total: int) -> np.ndarray:
    """Return the edges of cells of `size` that cover `total` from 0 to 1; the last may be smaller.

    Example:

    >>> cell_edges(4, 10)
    array([0. , 0.4, 0.8, 1. ])
    """
    return np.append(np.arange(0, total, size), total) / total


def format_agreement(value: float | None) -> str:
    """Return a rank correlation as text, `"-"` for None."""
    return "-" if value is None else f"{value:.2f}"


def _mean_ranks(values: np.ndarray) -> np.ndarray:
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[group]
