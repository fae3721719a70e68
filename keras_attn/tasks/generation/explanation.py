"""Explanations of language models: surprisal of each token, and attention."""

import dataclasses
import html as markup
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_attn._printable import printable
from keras_attn.tasks._display import AGAINST, Displayed
from keras_attn.tasks._figures import new_figure

if TYPE_CHECKING:
    from rich.console import RenderableType

MOST_SURPRISING = 10  # tokens of the table in a terminal
MAX_SURPRISAL = 8.0  # nats, of the strongest color
MAX_TOKENS = 80  # of a plot
START = "⊢"  # in a plot
VISIBLE = {"\n": "⏎", " ": "␣", "\t": "⇥"}


@dataclasses.dataclass(frozen=True, eq=False)
class GenerationExplanation(Displayed):
    """How surprising each token of a text is to a language model, and where it attended.

    The surprisal of a token is its negative log-probability given the tokens before it. Attention
    shows where the model looked when it predicted a token; it does not prove that this determined
    the prediction.

    Attributes:
        tokens: The `T` tokens of the text.
        surprisal: Float32 `(T,)`, in nats.
        most_likely: For each token, the one that the model ranked first in its place.
        attention: Float32 `(layers, heads, T, T)`. Row `t` has the weights at the step that
            predicts token `t`; column `s` is the token before token `s`, and column 0 the start
            token. None if the model has no attention.
    """

    tokens: tuple[str, ...]
    surprisal: np.ndarray
    most_likely: tuple[str, ...]
    attention: np.ndarray | None

    @property
    def perplexity(self) -> float:
        """The exponential of the mean surprisal."""
        return float(np.exp(self.surprisal.mean()))

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as a dictionary that can be written as JSON."""
        return {
            "tokens": list(self.tokens),
            "surprisal": self.surprisal.tolist(),
            "most_likely": list(self.most_likely),
            "perplexity": self.perplexity,
            "attention": None if self.attention is None else self.attention.tolist(),
        }

    def plot(self, layer: int = -1) -> Any:
        """Return a matplotlib `Figure`: surprisal, and the attention of a layer.

        Attention is the mean over the heads. Long texts are shown by their last 80 tokens. For
        scripts that matplotlib's default font lacks, such as Chinese, set
        `matplotlib.rcParams["font.family"]`. It needs `pip install 'keras-attn[plots]'`.

        Args:
            layer: Index of the layer.

        Raises:
            ValueError: There is no such layer.
        """
        shown = slice(max(0, len(self.tokens) - MAX_TOKENS), None)
        names = [_visible(token) for token in self.tokens[shown]]
        size = max(4.0, 0.17 * len(names))
        if self.attention is None:
            figure = new_figure(size + 1.0, 2.4)
            upper = figure.subplots()
        else:
            if not -len(self.attention) <= layer < len(self.attention):
                raise ValueError(
                    f"`layer` must be the index of one of {len(self.attention)} layers. Received: "
                    f"{layer}."
                )
            figure = new_figure(size + 1.0, size + 2.4)
            upper, lower = figure.subplots(2, 1, height_ratios=(1.0, size / 1.4))
            weights = self.attention[layer].mean(axis=0)[shown, shown]
            lower.imshow(weights, cmap="Blues", vmin=0.0, aspect="equal")
            before = [START, *map(_visible, self.tokens[:-1])][shown]
            lower.set_xticks(range(len(names)), before, fontsize=6, parse_math=False)
            lower.set_yticks(range(len(names)), names, fontsize=6, parse_math=False)
            lower.set_xlabel("attended token")
            lower.set_ylabel("predicted token")
        color = tuple(channel / 255 for channel in AGAINST)
        upper.bar(range(len(names)), self.surprisal[shown], color=color)
        upper.set_xticks(range(len(names)), names, fontsize=6, parse_math=False)
        upper.set_ylabel("surprisal (nats)")
        upper.margins(x=0.01)
        return figure

    def to_html(self) -> str:
        """Return an HTML snippet: the text with its tokens colored by surprisal."""
        spans = []
        for token, value, expected in zip(
            self.tokens, self.surprisal, self.most_likely, strict=True
        ):
            opacity = min(1.0, float(value) / MAX_SURPRISAL)
            title = markup.escape(f"{value:.2f} nats; likeliest: {_visible(expected)}", quote=True)
            red, green, blue = AGAINST
            style = f"background:rgba({red},{green},{blue},{opacity:.2f})"
            text = markup.escape(printable(token.replace("\u2581", " "), keep="\n"))
            text = text.replace("\n", "⏎\n")
            spans.append(f'<span style="{style}" title="{title}">{text}</span>')
        return (
            '<div style="font-family:monospace;font-size:14px;color:#1f2328;background:#ffffff;'
            'padding:8px;white-space:pre-wrap">'
            f"{''.join(spans)}</div><p>Perplexity {self.perplexity:.2f}. The darker a token, the "
            "less likely the model held it.</p>"
        )

    def to_page(self) -> str:
        """Return a complete HTML page."""
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            f"<title>Surprisal</title></head><body>{self.to_html()}</body></html>\n"
        )

    def to_rich(self) -> "RenderableType":
        """Return a `rich` renderable: the text, and a table of the most surprising tokens."""
        from rich import box
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        text = Text()
        red, green, blue = AGAINST
        for token, value in zip(self.tokens, self.surprisal, strict=True):
            share = min(1.0, float(value) / MAX_SURPRISAL)
            mixed = [round(255 + share * (channel - 255)) for channel in (red, green, blue)]
            style = f"black on rgb({mixed[0]},{mixed[1]},{mixed[2]})"
            text.append(printable(token.replace("\u2581", " "), keep="\n"), style)
        table = Table(box=box.SIMPLE)
        for title in ("place", "token", "surprisal", "likeliest", "attended most"):
            table.add_column(title)
        for index in np.argsort(-self.surprisal, kind="stable")[:MOST_SURPRISING]:
            table.add_row(
                str(index + 1),
                Text(_visible(self.tokens[index])),
                f"{self.surprisal[index]:.2f}",
                Text(_visible(self.most_likely[index])),
                Text(self._most_attended(int(index))),
            )
        return Group(text, table, f"Perplexity {self.perplexity:.2f}; surprisal in nats.")

    def _most_attended(self, index: int) -> str:
        """Return the token with the largest weight in the last layer, with its place."""
        if self.attention is None:
            return "-"
        column = int(self.attention[-1].mean(axis=0)[index].argmax())
        return "<start>" if column == 0 else f"{_visible(self.tokens[column - 1])} ({column})"

    _repr_html_ = to_html


def _visible(token: str) -> str:
    """Return a token with visible signs in place of spaces and line breaks."""
    return VISIBLE.get(token) or printable(token)
