"""The answers of a translator and their explanations."""

import dataclasses
import html as markup
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from keras_attn._printable import printable
from keras_attn.tasks._display import Displayed
from keras_attn.tasks.translation.plots import plot_alignment, readable

if TYPE_CHECKING:
    from rich.console import RenderableType

START, END = "<start>", "<end>"
MOST_ATTENDED = 3  # number of source subwords for each target subword in a terminal


class Translation(NamedTuple):
    """A translation.

    Attributes:
        text: The translated text.
        score: Log-probability of the translation in nats, including its end token; 0 for the
            empty translation of a text without words.
        characters: Number of characters that are read of the source, without spaces.
        known_characters: Number of those that are in subwords of the model. The others it reads
            as bytes, and knows nothing about them.
    """

    text: str
    score: float
    characters: int = 0
    known_characters: int = 0

    @property
    def coverage(self) -> tuple[int, int, str] | None:
        """The number of known characters, of all, and what they are called; None without any."""
        if not self.characters:
            return None
        return self.known_characters, self.characters, "characters"

    def to_dict(self) -> dict[str, Any]:
        """Return the translation as a dictionary that can be written as JSON."""
        return self._asdict()

    def to_columns(self, top: int = 1) -> dict[str, str]:
        """Return text, score and the known characters as cells of a table row."""
        return {
            "translation": self.text,
            "score": f"{self.score:.3f}",
            "known": f"{self.known_characters}/{self.characters}",
        }


@dataclasses.dataclass(frozen=True, eq=False)
class Alignment(Displayed):
    """The attention weights of a translation: cross-attention and self-attention.

    Alignments show where the decoder attended. They do not prove that those words determined the
    translation.

    Attributes:
        source_tokens: The `S` subwords of the source, including the end token.
        target_tokens: The `T` subwords of the translation, including the end token. Row `t` of
            the decoder's attention is that of the step that predicts token `t`.
        cross: Float32 `(layers, heads, T, S)`, from the translation to the source.
        encoder: Float32 `(layers, heads, S, S)`, within the source; None if the model has no
            encoder self-attention.
        decoder: Float32 `(layers, heads, T, T)`, within the translation so far. Column `t` is the
            token before token `t`, and column 0 the start token. None if the model has no decoder
            self-attention.
    """

    source_tokens: tuple[str, ...]
    target_tokens: tuple[str, ...]
    cross: np.ndarray
    encoder: np.ndarray | None = None
    decoder: np.ndarray | None = None

    def attention(self, stage: str = "cross") -> tuple[np.ndarray, list[str], list[str]]:
        """Return the weights of a stage, and the tokens of its rows and columns.

        Args:
            stage: `"cross"`, `"encoder"` or `"decoder"`.

        Raises:
            ValueError: There is no such stage, or the model has no such attention.
        """
        source, target = list(self.source_tokens), list(self.target_tokens)
        labels: dict[str, tuple[list[str], list[str]]] = {
            "cross": (target, source),
            "encoder": (source, source),
            "decoder": (target, [START, *target[:-1]]),
        }
        weights: Any = getattr(self, stage, None) if stage in labels else None
        if weights is None:
            available = [name for name in labels if getattr(self, name) is not None]
            raise ValueError(
                f"`stage` must be one of {', '.join(map(repr, available))}. Received: {stage!r}."
            )
        return weights, *labels[stage]

    def to_dict(self) -> dict[str, Any]:
        """Return the alignment with all attention as a dictionary that can be written as JSON."""
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
        """Return a table of the source subwords that each target subword attended to most."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table("translation", "attended to most", box=box.SIMPLE)
        for token, row in zip(self.target_tokens, self.cross.mean(axis=(0, 1)), strict=True):
            order = np.argsort(-row, kind="stable")[:MOST_ATTENDED]
            cells = [f"{readable(self.source_tokens[i])} {row[i]:.2f}" for i in order]
            table.add_row(Text(printable(readable(token))), Text(printable("   ".join(cells))))
        return table

    def to_html(self) -> str:
        """Return an HTML table of the cross-attention, averaged over layers and heads.

        It needs no style sheet.
        """
        weights = self.cross.mean(axis=(0, 1))
        largest = weights.max() or 1.0
        cell = "padding:2px 6px;text-align:center"
        head = "".join(
            f'<th style="{cell}">{markup.escape(readable(token))}</th>'
            for token in self.source_tokens
        )
        row_start = '<tr style="background:inherit">'  # notebooks shade every other row
        rows = [f"{row_start}<th></th>{head}</tr>"]
        for token, row in zip(self.target_tokens, weights, strict=True):
            cells = "".join(
                f'<td title="{value:.4f}" style="{cell};'
                f'background:rgba(90,150,240,{value / largest:.2f})">{value:.2f}</td>'
                for value in row
            )
            name = markup.escape(readable(token))
            rows.append(f'{row_start}<th style="text-align:right;{cell}">{name}</th>{cells}</tr>')
        body = "\n".join(rows)
        # Set both text and background colors, because the theme of a notebook may be dark.
        return (
            '<div style="font-family:sans-serif;font-size:13px;color:#1f2328;background:#ffffff;'
            'padding:8px;overflow-x:auto"><div><b>Attention of each subword of the translation '
            "(rows) to the source (columns)</b></div>\n"
            '<table style="border-collapse:collapse;color:inherit;background:inherit">\n'
            f"{body}\n</table></div>"
        )

    def to_page(self) -> str:
        """Return a complete HTML page with the table."""
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">'
            f"<title>Alignment</title></head>\n<body>\n{self.to_html()}\n</body>\n</html>\n"
        )

    _repr_html_ = to_html
