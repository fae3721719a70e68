"""Plots of the explanations of text classifiers.

They need matplotlib: `pip install 'keras-attn[plots]'`.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from keras_attn.tasks._display import AGAINST, ATTENTION, FOR
from keras_attn.tasks._figures import new_figure
from keras_attn.tasks._report_tables import short_name

if TYPE_CHECKING:
    from keras_attn.tasks.texts.explanation import TextExplanation

MAX_WORDS = 40  # number of words in a plot
ROW = 0.24  # inches of a word's row


def plot_explanation(explanation: "TextExplanation") -> Any:
    """Plot the values of each word, see `TextExplanation.plot`."""
    panels: list[tuple[str, str, Any, bool]] = [
        ("Leave one out", "decrease of log-odds", explanation.leave_one_out, True),
        ("Gradient times input", "gradient times input", explanation.gradient_times_input, True),
        ("Attention", "attention weight", explanation.attention, False),
    ]
    panels = [panel for panel in panels if panel[2] is not None]
    count = len(explanation.tokens)
    order = np.argsort(-np.abs(explanation.leave_one_out), kind="stable")
    shown = np.sort(order[:MAX_WORDS])
    figure = new_figure(1.4 + 2.6 * len(panels), 1.5 + ROW * max(len(shown), 4))
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    rows = np.arange(len(shown))
    for axis, (title, unit, values, signed) in zip(axes, panels, strict=True):
        colors = [ATTENTION if not signed else FOR if x > 0 else AGAINST for x in values[shown]]
        axis.barh(rows, values[shown], color=np.array(colors).reshape(-1, 3) / 255)
        axis.axvline(0.0, color="black", linewidth=0.8)
        axis.set_title(title, fontsize="medium")
        axis.set_xlabel(unit)
        axis.tick_params(axis="y", length=0)
        axis.margins(y=0.01)
    names = [short_name(explanation.tokens[index]) for index in shown]
    axes[0].set_yticks(rows, names, parse_math=False)
    axes[0].invert_yaxis()  # the first word is the uppermost; the axes share it
    label = short_name(explanation.label)
    title = f"Evidence of each word for {label!r} (purple) and against it (orange)"
    if len(shown) < count:
        title += f"\n{len(shown)} of {count} words: those with the largest effect on the log-odds"
    figure.suptitle(title, fontsize="medium", parse_math=False)
    return figure
