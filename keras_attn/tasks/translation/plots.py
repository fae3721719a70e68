"""Pictures of the attention of translators.

They need matplotlib: `pip install 'keras-attn[plots]'`.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from keras_attn.text.subwords import MARKER

if TYPE_CHECKING:
    from keras_attn.tasks.translation.answers import Alignment

SPACE = "\u00b7"  # a middle dot stands for the space before a word

CELL, LETTER = 0.26, 0.08  # inches of a subword's row or column, and of a letter of its label
AXES = {  # what stands in the rows and in the columns of a stage
    "cross": ("translation", "source"),
    "encoder": ("source", "source"),
    "decoder": ("translation", "translation so far"),
}


def plot_alignment(
    alignment: "Alignment",
    stage: str = "cross",
    layer: int | None = None,
    head: int | None = None,
) -> Any:
    """Show which subwords attend to which, a row for each one that attends.

    A space is drawn as a middle dot. The colours go from 0 to the largest weight drawn. In
    the rows of `"cross"` and `"decoder"` stand the subwords as they are chosen, and what is
    drawn is the attention by which they are; see `keras_attn.tasks.translation.answers.Alignment`.

    Args:
        alignment: of a translation, see `Translator.explain`.
        stage: `"cross"`, from the translation to the source; `"encoder"`, within the
            source; or `"decoder"`, within the translation so far.
        layer: index of a layer, the first is 0; None is the mean over them.
        head: index of a head; None is the mean over them.

    Returns:
        A matplotlib `Figure`, larger the more subwords there are.

    Raises:
        ValueError: there is no such stage, layer or head.

    Example:

    >>> from keras_attn.tasks import Alignment
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
    rows, columns = ([readable(token) for token in side] for side in (rows, columns))
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


def readable(token: str) -> str:
    """Return a subword with a middle dot for the space before a word."""
    return token.replace(MARKER, SPACE)
