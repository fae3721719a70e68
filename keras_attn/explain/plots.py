"""Pictures of attention. Needs matplotlib: `pip install 'keras-attn[plots]'`."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_attn.explain.maps import AttentionMap
from keras_attn.tasks.translation import Alignment
from keras_attn.text.subwords import MARKER

SPACE = "\u00b7"  # a middle dot stands for the space before a word
CELL, LETTER = 0.26, 0.08  # inches of a subword's row or column, and of a letter of its label
AXES = {  # what stands in the rows and in the columns of a stage
    "cross": ("translation", "source"),
    "encoder": ("source", "source"),
    "decoder": ("translation", "translation so far"),
}


def plot_attention(
    image: np.ndarray,
    attention: AttentionMap,
    queries: Sequence[tuple[int, int]],
    *,
    index: int = 0,
) -> Any:
    """Show what some positions of an image attend to.

    Args:
        image: uint8 array `(H, W, 3)`.
        attention: the map of a layer, see `attention_maps`.
        queries: positions `(row, column)` on the layer's feature map.
        index: which of the map's images `image` is.

    Returns:
        A matplotlib `Figure`: the image with the queries marked, then for each query the
        image under its attention.

    Raises:
        ValueError: a query lies outside the feature map.
    """
    from matplotlib.figure import Figure

    height, width = attention.weights.shape[2:4]
    for row, column in queries:
        if not (0 <= row < height and 0 <= column < width):
            raise ValueError(
                f"A query must lie on the feature map of {height} rows and {width} columns. "
                f"Received: {(row, column)}."
            )
    figure = Figure(figsize=(2.4 * (len(queries) + 1), 2.6), layout="constrained")
    axes = figure.subplots(1, len(queries) + 1, squeeze=False)[0]
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    for axis in axes:
        axis.set_axis_off()
    axes[0].imshow(image, extent=extent)
    axes[0].set_title("queries")
    for number, (axis, (row, column)) in enumerate(zip(axes[1:], queries, strict=True), start=1):
        axes[0].text(column, row, str(number), color="white", ha="center", va="center")
        axes[0].texts[-1].set_bbox({"facecolor": "black", "alpha": 0.6, "pad": 1.5})
        weights = attention.query(row, column, index)
        axis.imshow(image, extent=extent)
        axis.imshow(weights, extent=extent, cmap="magma", alpha=0.65, interpolation="bilinear")
        axis.plot(column, row, marker="+", color="white", markersize=12, markeredgewidth=2)
        axis.set_title(f"{number}: attends to, at most {weights.max():.2f}")
    return figure


def plot_alignment(
    alignment: Alignment,
    stage: str = "cross",
    layer: int | None = None,
    head: int | None = None,
) -> Any:
    """Show which subwords attend to which, a row for each one that attends.

    A space is drawn as a middle dot. The colours go from 0 to the largest weight drawn. In
    the rows of `"cross"` and `"decoder"` stand the subwords as they are chosen, and what is
    drawn is the attention by which they are; see `keras_attn.tasks.translation.Alignment`.

    Args:
        alignment: of a translation, see `Translator.alignments`.
        stage: `"cross"`, from the translation to the source; `"encoder"`, within the
            source; or `"decoder"`, within the translation so far.
        layer: index of a layer, the first is 0; None is the mean over them.
        head: index of a head; None is the mean over them.

    Returns:
        A matplotlib `Figure`, larger the more subwords there are.

    Raises:
        ValueError: there is no such stage, layer or head.

    Example:

    >>> weights = np.array([[0.9, 0.1, 0.0], [0.1, 0.8, 0.1], [0.0, 0.1, 0.9]], "float32")
    >>> alignment = Alignment(
    ...     source_tokens=("▁a", "▁dog", "<end>"),
    ...     target_tokens=("▁un", "▁chien", "<end>"),
    ...     cross=weights[None, None],  # one layer, one head
    ... )
    >>> figure = plot_alignment(alignment)
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['·un', '·chien', '<end>']
    """
    from matplotlib.figure import Figure

    weights, rows, columns = alignment.attention(stage)
    weights, of_layers = _chosen(weights, "layer", layer)
    weights, of_heads = _chosen(weights, "head", head)
    rows, columns = ([token.replace(MARKER, SPACE) for token in side] for side in (rows, columns))
    width = CELL * len(columns) + LETTER * max(map(len, rows)) + 1.5  # with the colour bar
    height = CELL * len(rows) + LETTER * max(map(len, columns)) + 0.9  # with the title
    figure = Figure(figsize=(max(width, 4.0), max(height, 2.5)), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(weights, vmin=0.0, cmap="viridis", interpolation="nearest")
    # A dollar sign is a token, and begins no formula.
    axis.set_xticks(range(len(columns)), columns, rotation=90, parse_math=False)
    axis.set_yticks(range(len(rows)), rows, parse_math=False)
    axis.xaxis.set_label_position("top")
    axis.tick_params(length=0, top=False, labeltop=True, labelbottom=False)
    axis.set_ylabel(AXES[stage][0])
    axis.set_xlabel(AXES[stage][1])
    figure.suptitle(f"{stage}: {of_layers}, {of_heads}", fontsize="medium")
    figure.colorbar(image, ax=axis, label="attention weight")
    return figure


def _chosen(weights: np.ndarray, name: str, index: int | None) -> tuple[np.ndarray, str]:
    """One of the first axis, or the mean over it, and what it is called."""
    count = len(weights)
    if index is None:
        return weights.mean(axis=0), f"mean of {count} {name}s" if count > 1 else f"one {name}"
    if not 0 <= index < count:
        raise ValueError(
            f"`{name}` must be an index from 0 to {count - 1}, or None for the mean. "
            f"Received: {index!r}."
        )
    return weights[index], f"{name} {index}"
