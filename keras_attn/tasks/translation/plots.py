"""Plots of the attention of translators.

They need matplotlib: `pip install 'keras-attn[plots]'`.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from keras_attn.tasks._figures import new_figure
from keras_attn.text.subwords import MARKER

if TYPE_CHECKING:
    from keras_attn.tasks.translation.answers import Alignment

SPACE = "\u00b7"  # a middle dot for the space before a word

CELL, LETTER = 0.26, 0.08  # inches of a subword's row or column, and of a letter of its label
TITLE_LETTER = 0.1  # inches of a letter of the title
EFFECT = "leave_one_out"
STAGES = {  # title of each stage, and labels of its rows and columns
    "cross": ("Cross-attention", "translation (query)", "source (key)"),
    "encoder": ("Encoder self-attention", "source (query)", "source (key)"),
    "decoder": ("Decoder self-attention", "next subword (query)", "previous subwords (key)"),
    EFFECT: ("Effect of leaving words out", "translation", "words of the source"),
}


def plot_alignment(
    alignment: "Alignment",
    stage: str = "cross",
    layer: int | None = None,
    head: int | None = None,
) -> Any:
    """Plot the attention weights between subwords, with a row for each query.

    Spaces are drawn as middle dots. For scripts that matplotlib's default font lacks, such as
    Chinese, set `matplotlib.rcParams["font.family"]`. The color scale ranges from 0 to the largest
    weight in the plot. Rows are queries, columns are keys. Each row of `"cross"` and `"decoder"`
    shows the attention of the decoder at the step that predicts the subword of that row, see
    `keras_attn.tasks.translation.answers.Alignment`.

    Args:
        alignment: The alignment of a translation, see `Translator.explain`.
        stage: `"cross"`, from the translation to the source; `"encoder"`, within the source;
            `"decoder"`, within the translation so far; or `"leave_one_out"`, the effect of each
            word of the source, which has no layers and heads.
        layer: Index of a layer, from 0. None averages over layers.
        head: Index of a head, from 0. None averages over heads.

    Returns:
        A matplotlib `Figure`, whose size grows with the number of subwords.

    Raises:
        ValueError: There is no such stage, layer or head; or the effect was not measured.

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
    if stage == EFFECT:
        weights, rows, columns = _effect(alignment, layer, head)
        subtitle = "decrease of the log-probability of each subword without each word"
    else:
        weights, rows, columns = alignment.attention(stage)
        weights, layer_title = _select(weights, "layer", layer)
        weights, head_title = _select(weights, "head", head)
        subtitle = f"{layer_title}, {head_title}"
    rows, columns = ([readable(token) for token in side] for side in (rows, columns))
    stage_title, row_title, column_title = STAGES[stage]
    title = f"{stage_title}\n{subtitle}"
    width = CELL * len(columns) + LETTER * max(map(len, rows)) + 1.5  # with the color bar
    height = CELL * len(rows) + LETTER * max(map(len, columns)) + 1.2  # with the title
    title_width = TITLE_LETTER * max(map(len, title.splitlines()))
    figure = new_figure(max(width, title_width, 4.0), max(height, 2.8))
    axis = figure.subplots()
    if stage == EFFECT:
        largest = float(np.abs(weights).max()) or 1.0
        colors = {"vmin": -largest, "vmax": largest, "cmap": "PuOr"}
    else:
        colors = {"vmin": 0.0, "cmap": "viridis"}
    image = axis.imshow(weights, **colors, interpolation="nearest")
    # Tokens may contain dollar signs, which must not start a formula.
    axis.set_xticks(range(len(columns)), columns, rotation=90, parse_math=False)
    axis.set_yticks(range(len(rows)), rows, parse_math=False)
    axis.xaxis.set_label_position("top")
    axis.tick_params(length=0, top=False, labeltop=True, labelbottom=False)
    axis.set_ylabel(row_title, labelpad=8)
    axis.set_xlabel(column_title, labelpad=8)
    figure.suptitle(title, fontsize="medium")
    unit = "nats" if stage == EFFECT else "attention weight"
    figure.colorbar(image, ax=axis, label=unit)
    return figure


def _effect(
    alignment: "Alignment", layer: int | None, head: int | None
) -> tuple[np.ndarray, list[str], list[str]]:
    """Return the effect of leaving words out, and the tokens of its rows and columns."""
    if layer is not None or head is not None:
        raise ValueError(
            f"stage={EFFECT!r} has no layers and heads. Received: layer={layer!r}, head={head!r}. "
            "Leave both out."
        )
    if alignment.leave_one_out is None:
        raise ValueError(
            f"stage={EFFECT!r} needs an alignment by `Translator.explain`. This one has no effects."
        )
    return alignment.leave_one_out, list(alignment.target_tokens), list(alignment.source_words)


def _select(weights: np.ndarray, name: str, index: int | None) -> tuple[np.ndarray, str]:
    """Return one entry of the first axis or the mean over it, and a description for the title."""
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
    """Return a subword with a middle dot in place of the marker of a space."""
    return token.replace(MARKER, SPACE)
