"""Figures of matplotlib, which is an optional dependency."""

from typing import Any


def new_figure(width: float, height: float) -> Any:
    """Return an empty matplotlib `Figure` of so many inches.

    Raises:
        ImportError: matplotlib is not installed; the message says how to install it.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "Plots and HTML pages of images need matplotlib: pip install 'keras-attn[plots]'."
        ) from error
    return Figure(figsize=(width, height), layout="constrained")
