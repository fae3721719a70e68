"""Explanations of language models: surprisal of each token, attention, and leave-one-out."""

import dataclasses
import html as markup
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_attn._printable import printable
from keras_attn.tasks._agreement import format_agreement, rank_correlation
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
    """Surprisal, attention and leave-one-out effect of each token of a text.

    The surprisal of a token is its negative log-probability given the tokens before it. Attention
    shows where the model looked when it predicted a token; it does not prove that this determined
    the prediction. `leave_one_out` measures that, and `agreement` compares the two.

    Attributes:
        tokens: The `T` tokens of the text.
        surprisal: Float32 `(T,)`, in nats.
        most_likely: For each token, the one that the model ranked first in its place.
        attention: Float32 `(layers, heads, T, T)`. Row `t` has the weights at the step that
            predicts token `t`; column `s` is the token before token `s`, and column 0 the start
            token. None if the model has no attention.
        leave_one_out: Float32 `(T, T)`: decrease of the log-probability of token `t` (row) in the
            text without the earlier token `s` (column), 0 for `s >= t`. None if not measured.
    """

    tokens: tuple[str, ...]
    surprisal: np.ndarray
    most_likely: tuple[str, ...]
    attention: np.ndarray | None
    leave_one_out: np.ndarray | None

    @property
    def agreement(self) -> dict[str, float | None]:
        """Spearman's rank correlation of `"attention"` to earlier tokens with the size of effects.

        Attention is the mean over layers and heads. None if either is the same everywhere; empty
        without attention, or if the effect was not measured.
        """
        if self.attention is None or self.leave_one_out is None:
            return {}
        later, earlier = np.tril_indices(len(self.tokens), -1)
        weights = self.attention.mean(axis=(0, 1))[later, earlier + 1]  # column 0: the start
        effect = np.abs(self.leave_one_out)[later, earlier]
        return {"attention": rank_correlation(weights, effect)}

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
            "leave_one_out": None if self.leave_one_out is None else self.leave_one_out.tolist(),
            "agreement": self.agreement,
        }

    def plot(self, layer: int = -1) -> Any:
        """Return a matplotlib `Figure`: surprisal, the attention of a layer, leave-one-out.

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
        maps = []
        if self.leave_one_out is not None:
            unit = "decrease of log-probability if left out (nats)"
            maps.append(("earlier token", names, self.leave_one_out[shown, shown], "PuOr", unit))
        if self.attention is not None:
            if not -len(self.attention) <= layer < len(self.attention):
                raise ValueError(
                    f"`layer` must be the index of one of {len(self.attention)} layers. Received: "
                    f"{layer}."
                )
            before = [START, *map(_visible, self.tokens[:-1])][shown]
            weights = self.attention[layer].mean(axis=0)[shown, shown]
            maps.insert(0, ("attended token", before, weights, "Blues", "attention weight"))
        size = max(4.0, 0.17 * len(names))
        figure = new_figure(size + 2.0, 2.4 + size * len(maps))
        ratios = (1.0, *[size / 1.4] * len(maps))
        upper, *lower = figure.subplots(1 + len(maps), 1, squeeze=False, height_ratios=ratios)[:, 0]
        for axis, (title, columns, values, colors, unit) in zip(lower, maps, strict=True):
            largest = float(np.abs(values).max()) or 1.0
            signed = colors == "PuOr"
            image = axis.imshow(values, cmap=colors, vmin=-largest * signed, vmax=largest)
            axis.set_xticks(range(len(names)), columns, fontsize=6, parse_math=False)
            axis.set_yticks(range(len(names)), names, fontsize=6, parse_math=False)
            axis.set_xlabel(title)
            axis.set_ylabel("predicted token")
            figure.colorbar(image, ax=axis, label=unit, shrink=0.7)
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
        titles = ("place", "token", "surprisal", "likeliest", "attended most", "depends most on")
        for title in titles:
            table.add_column(title)
        for index in np.argsort(-self.surprisal, kind="stable")[:MOST_SURPRISING]:
            table.add_row(
                str(index + 1),
                Text(_visible(self.tokens[index])),
                f"{self.surprisal[index]:.2f}",
                Text(_visible(self.most_likely[index])),
                Text(self._most_attended(int(index))),
                Text(self._most_needed(int(index))),
            )
        summary = f"Perplexity {self.perplexity:.2f}; surprisal in nats."
        if self.agreement:
            agreement = format_agreement(self.agreement["attention"])
            summary += f" Rank correlation of attention with leave-one-out: {agreement}."
        return Group(text, table, summary)

    def _most_needed(self, index: int) -> str:
        """Return the earlier token without which a token is least likely, with its effect."""
        if self.leave_one_out is None:
            return "-"
        effects = self.leave_one_out[index, :index]
        if not len(effects) or effects.max() <= 0.0:
            return "-"
        earlier = int(effects.argmax())
        return f"{_visible(self.tokens[earlier])} ({earlier + 1}, {effects[earlier]:+.2f})"

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
