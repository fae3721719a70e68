"""Plots of the attention of image models.

They need matplotlib: `pip install 'keras-attn[plots]'`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_attn.tasks._figures import new_figure
from keras_attn.tasks.images.attention_maps import AttentionMap


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
        A matplotlib `Figure`: the image with the queries marked, then for each query the image
        overlaid with its attention weights, with a color bar.

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
    figure = new_figure(3.0 * (len(queries) + 1), 2.6)
    axes = figure.subplots(1, len(queries) + 1, squeeze=False)[0]
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    for axis in axes:
        axis.set_axis_off()
    axes[0].imshow(image, extent=extent)
    axes[0].set_title("query positions")
    for number, (axis, (row, column)) in enumerate(zip(axes[1:], queries, strict=True), start=1):
        axes[0].text(column, row, str(number), color="white", ha="center", va="center")
        axes[0].texts[-1].set_bbox({"facecolor": "black", "alpha": 0.6, "pad": 1.5})
        weights = attention.query(row, column, index)
        axis.imshow(image, extent=extent)
        heat = axis.imshow(
            weights, vmin=0.0, extent=extent, cmap="magma", alpha=0.65, interpolation="bilinear"
        )
        figure.colorbar(heat, ax=axis, label="attention weight", shrink=0.8)
        axis.plot(column, row, marker="+", color="white", markersize=12, markeredgewidth=2)
        axis.set_title(f"attention of query {number}")
    return figure
