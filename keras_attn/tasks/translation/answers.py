"""The answers of a translator, and their explanation."""

import dataclasses
import html as markup
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from keras_attn.tasks.translation.plots import plot_alignment, readable

if TYPE_CHECKING:
    from rich.console import RenderableType

START, END = "<start>", "<end>"
MOST_ATTENDED = 3  # source subwords that a terminal names for each target subword


class Translation(NamedTuple):
    """A translation.

    Attributes:
        text: The text.
        score: Its log-probability by the model, in nats, that of its end included; 0 for the
            empty translation of a text without words.
    """

    text: str
    score: float

    def to_dict(self) -> dict[str, Any]:
        """Return the translation in types that JSON holds."""
        return self._asdict()

    def to_columns(self, top: int = 1) -> dict[str, str]:
        """Return text and score for a table."""
        return {"translation": self.text, "score": f"{self.score:.3f}"}


@dataclasses.dataclass(frozen=True, eq=False)
class Alignment:
    """Which subwords of a source a translation attended to, and all other attention.

    Attributes:
        source_tokens: the `S` subwords of the source, the last its end.
        target_tokens: the `T` subwords of the translation, the last its end. Row `t` of the
            attention of a decoder is that with which token `t` was chosen.
        cross: float32 `(layers, heads, T, S)`, from the translation to the source.
        encoder: float32 `(layers, heads, S, S)`, within the source; None where the model
            has no such attention.
        decoder: float32 `(layers, heads, T, T)`, within the translation so far: column `t`
            is the token before token `t`, the first the start; None as above.
    """

    source_tokens: tuple[str, ...]
    target_tokens: tuple[str, ...]
    cross: np.ndarray
    encoder: np.ndarray | None = None
    decoder: np.ndarray | None = None

    def attention(self, stage: str = "cross") -> tuple[np.ndarray, list[str], list[str]]:
        """The weights of a stage, and the tokens of its rows and columns.

        Args:
            stage: `"cross"`, `"encoder"` or `"decoder"`.

        Raises:
            ValueError: there is no such stage, or the model has no such attention.
        """
        source, target = list(self.source_tokens), list(self.target_tokens)
        labels: dict[str, tuple[list[str], list[str]]] = {
            "cross": (target, source),
            "encoder": (source, source),
            "decoder": (target, [START, *target[:-1]]),
        }
        weights: Any = getattr(self, stage, None) if stage in labels else None
        if weights is None:
            there = [name for name in labels if getattr(self, name) is not None]
            raise ValueError(
                f"`stage` must be one of {', '.join(map(repr, there))}. Received: {stage!r}."
            )
        return weights, *labels[stage]

    def to_dict(self) -> dict[str, Any]:
        """Return the alignment, all attention included, in types that JSON holds."""
        return {
            "source_tokens": list(self.source_tokens),
            "target_tokens": list(self.target_tokens),
            **{
                stage: None if weights is None else weights.tolist()
                for stage in ("cross", "encoder", "decoder")
                for weights in [getattr(self, stage)]
            },
        }

    def plot(self, stage: str = "cross", layer: int | None = None, head: int | None = None) -> Any:
        """Return a matplotlib `Figure`, see `keras_attn.tasks.plot_alignment`."""
        return plot_alignment(self, stage, layer, head)

    def to_rich(self) -> "RenderableType":
        """Return a table: each subword of the translation, and those it attended to most."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table("translation", "attended to most", box=box.SIMPLE)
        for token, row in zip(self.target_tokens, self.cross.mean(axis=(0, 1)), strict=True):
            order = np.argsort(-row, kind="stable")[:MOST_ATTENDED]
            cells = [f"{readable(self.source_tokens[i])} {row[i]:.2f}" for i in order]
            table.add_row(Text(readable(token)), Text("   ".join(cells)))
        return table

    def to_html(self) -> str:
        """Return a snippet of HTML: a table of the attention to the source, averaged over layers.

        It needs no style sheet.
        """
        weights = self.cross.mean(axis=(0, 1))
        largest = weights.max() or 1.0
        cell = "padding:2px 6px;text-align:center"
        head = "".join(
            f'<th style="{cell}">{markup.escape(readable(token))}</th>'
            for token in self.source_tokens
        )
        rows = [f"<tr><th></th>{head}</tr>"]
        for token, row in zip(self.target_tokens, weights, strict=True):
            cells = "".join(
                f'<td title="{value:.4f}" style="{cell};'
                f'background:rgba(90,150,240,{value / largest:.2f})">{value:.2f}</td>'
                for value in row
            )
            name = markup.escape(readable(token))
            rows.append(f'<tr><th style="text-align:right;{cell}">{name}</th>{cells}</tr>')
        body = "\n".join(rows)
        # Colors of its own for text and ground: a notebook's may be dark.
        return (
            '<div style="font-family:sans-serif;font-size:13px;color:#1f2328;background:#ffffff;'
            'padding:8px;overflow-x:auto"><div><b>Attention of each subword of the translation '
            "(rows) to the source (columns)</b></div>\n"
            f'<table style="border-collapse:collapse;color:inherit">\n{body}\n</table></div>'
        )

    def to_page(self) -> str:
        """Return the snippet as a whole page, for a file."""
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">'
            f"<title>Alignment</title></head>\n<body>\n{self.to_html()}\n</body>\n</html>\n"
        )

    _repr_html_ = to_html
    __rich__ = to_rich
