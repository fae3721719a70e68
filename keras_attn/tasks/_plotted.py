"""Explanations that are shown as plots."""

import base64
import html as markup
import io
from typing import Any

import numpy as np

from keras_attn.tasks._display import Displayed
from keras_attn.tasks.classification import Classification


class Plotted(Displayed):
    """Base class of results whose HTML is their plot. Subclasses define `plot` and `_heading`."""

    def plot(self) -> Any:
        """Return a matplotlib `Figure`."""
        raise NotImplementedError

    def to_html(self) -> str:
        """Return an HTML snippet with the plot as an image; it needs matplotlib."""
        content = io.BytesIO()
        self.plot().savefig(content, format="png", dpi=100)
        encoded = base64.b64encode(content.getvalue()).decode()
        return (
            f'<img alt="{markup.escape(self._heading())}" style="max-width:100%" '
            f'src="data:image/png;base64,{encoded}">'
        )

    def to_page(self) -> str:
        """Return a complete HTML page with the plot."""
        title = markup.escape(self._heading())
        return (
            f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{title}'
            f"</title></head>\n<body>\n<h1>{title}</h1>\n{self.to_html()}\n</body>\n</html>\n"
        )

    def _heading(self) -> str:
        """Return the title of the page."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        return self.to_html()


class PlottedExplanation(Plotted):
    """Base class of explanations of classifiers whose HTML is their plot.

    Attributes:
        label: The explained label.
        answer: The classifier's answer.
    """

    label: str
    answer: Classification

    def _heading(self) -> str:
        heading = f"Answer: {self.answer.label} ({self.answer.score:.3f})"
        if self.label != self.answer.label:
            heading += f". Explained: {self.label} ({self.answer.probabilities[self.label]:.3f})"
        return heading


def log_odds(logits: np.ndarray, index: int) -> np.ndarray:
    """Return the log-odds `(N,)` of a label from logits `(N, C)`."""
    others = np.delete(logits, index, axis=-1)
    return logits[:, index] - np.logaddexp.reduce(others, axis=-1)
