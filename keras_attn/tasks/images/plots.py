"""Plots of the attention of image models.

They need matplotlib: `pip install 'keras-attn[plots]'`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_attn.tasks._figures import new_figure
from keras_attn.tasks._heat_maps import overlay
from keras_attn.tasks._position_attention import AttentionMap


def plot_attention(
    image: np.ndarray,
    attention: AttentionMap,
    queries: Sequence[tuple[int, int]],
    *,
    index: int = 0,
) -> Any:
    """Plot the attention weights of some query positions over an image.

    Args:
        image: Uint8 array `(H, W, 3)`.
        attention: The attention map of a layer, see `attention_maps`.
        queries: Positions `(row, column)` on the layer's feature map.
        index: Index of `image` in the batch of the attention map.

    Returns:
        A matplotlib `Figure`. The first panel is the image with the queries outlined, and numbered
        if there are several. Then there is a panel for each query: the image overlaid with the
        query's attention weights, with a color bar. Larger weights are more opaque. The axes count
        rows and columns of the feature map.

    Raises:
        ValueError: A query is outside the feature map.
    """
    height, width = attention.weights.shape[2:4]
    for row, column in queries:
        if not (0 <= row < height and 0 <= column < width):
            raise ValueError(
                f"A query must lie on the feature map of {height} rows and {width} columns. "
                f"Received: {(row, column)}."
            )
    figure = new_figure(3.4 * (len(queries) + 1), 3.2)
    axes = figure.subplots(1, len(queries) + 1, squeeze=False)[0]
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    for axis in axes:
        axis.imshow(image, extent=extent)
        axis.set_xlabel("column")
        axis.set_ylabel("row")
        axis.locator_params(nbins=8, integer=True)
    several = len(queries) > 1
    axes[0].set_title("Query positions" if several else "Query position")
    for number, (axis, (row, column)) in enumerate(zip(axes[1:], queries, strict=True), start=1):
        _outline(axes[0], row, column)
        if several:
            label = axes[0].text(column, row, str(number), color="white", ha="center", va="center")
            label.set_bbox({"facecolor": "black", "pad": 1.5})
        heat = overlay(axis, attention.query(row, column, index), extent)
        figure.colorbar(heat, ax=axis, label="attention weight", shrink=0.8)
        _outline(axis, row, column)
        axis.set_title(f"Attention weights of query {number}" if several else "Attention weights")
    return figure


def _outline(axis: Any, row: int, column: int) -> None:
    """Outline a position of the feature map, in white on black, to be seen on every color."""
    for color, width in (("black", 3.5), ("white", 1.5)):
        x, y = column + 0.5 * np.array([-1, 1, 1, -1, -1]), row + 0.5 * np.array([-1, -1, 1, 1, -1])
        axis.plot(x, y, color=color, linewidth=width, clip_on=False)
