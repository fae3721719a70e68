"""The answers of a translator and their explanations."""

import dataclasses
import html as markup
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from keras_attn._printable import printable
from keras_attn.tasks._agreement import format_agreement, rank_correlation
from keras_attn.tasks._display import AGAINST, ATTENTION, FOR, Color, Displayed
from keras_attn.tasks._figures import is_east_asian
from keras_attn.tasks.translation.plots import plot_alignment, readable
from keras_attn.text.subwords import MARKER

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
    """The attention weights of a translation, and the effect of each word of the source.

    Attention shows where the decoder attended. It does not prove that those words determined the
    translation: `leave_one_out` measures by how much each subword of the translation becomes less
    likely without a word of the source, and `agreement` compares the two.

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
        words: For each of the `W` words of the source the index of its first subword, and the
            index after its last. Letters of scripts without spaces between words, such as
            Chinese, are words of their own.
        leave_one_out: Float32 `(T, W)`, the log-probability of each target token given those
            before it, minus that without the word. Positive where the word makes it likelier.
            None if the effect was not measured.
    """

    source_tokens: tuple[str, ...]
    target_tokens: tuple[str, ...]
    cross: np.ndarray
    encoder: np.ndarray | None = None
    decoder: np.ndarray | None = None
    words: tuple[tuple[int, int], ...] = ()
    leave_one_out: np.ndarray | None = None

    @property
    def source_words(self) -> tuple[str, ...]:
        """The words of the source that `leave_one_out` leaves out."""
        return tuple("".join(self.source_tokens[start:end]) for start, end in self.words)

    @property
    def agreement(self) -> dict[str, float | None]:
        """Spearman's rank correlation of `"attention"` to words with the size of their effect.

        Attention is the mean of the cross-attention over layers and heads, summed over the
        subwords of each word. None if either is constant; empty if the effect was not measured.
        """
        if self.leave_one_out is None:
            return {}
        weights = self.cross.mean(axis=(0, 1))
        sums = [weights[:, start:end].sum(axis=1) for start, end in self.words]
        effect = np.abs(self.leave_one_out).ravel()
        return {"attention": rank_correlation(np.stack(sums, axis=1).ravel(), effect)}

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
            "source_words": list(self.source_words),
            "leave_one_out": None if self.leave_one_out is None else self.leave_one_out.tolist(),
            "agreement": self.agreement,
        }

    def plot(self, stage: str = "cross", layer: int | None = None, head: int | None = None) -> Any:
        """Return a matplotlib `Figure`, see `keras_attn.tasks.plot_alignment`."""
        return plot_alignment(self, stage, layer, head)

    def to_rich(self) -> "RenderableType":
        """Return a table: where each target subword attended most, and what it depends on most."""
        from rich import box
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table("translation", "attended to most", box=box.SIMPLE)
        effects: Any = [None] * len(self.target_tokens)
        if self.leave_one_out is not None:
            table.add_column("less likely without (log-probability)")
            effects = self.leave_one_out
        attended = self.cross.mean(axis=(0, 1))
        for token, row, effect in zip(self.target_tokens, attended, effects, strict=True):
            order = np.argsort(-row, kind="stable")[:MOST_ATTENDED]
            cells = [f"{readable(self.source_tokens[i])} {row[i]:.2f}" for i in order]
            columns = [readable(token), "   ".join(cells)]
            if effect is not None:
                order = np.argsort(-effect, kind="stable")[:MOST_ATTENDED]
                words = self.source_words
                cells = [f"{readable(words[i])} {effect[i]:+.2f}" for i in order]
                columns.append("   ".join(cells))
            table.add_row(*(Text(printable(column)) for column in columns))
        if self.leave_one_out is None:
            return table
        agreement = format_agreement(self.agreement["attention"])
        return Group(table, Text(f"Rank correlation of attention and effect: {agreement}."))

    def to_html(self) -> str:
        """Return HTML tables of attention and of the effect of leaving words out.

        Attention is the cross-attention, averaged over layers and heads. The tables need no style
        sheet.
        """
        tables = [
            (
                "Attention of each subword of the translation (rows) to the source (columns)",
                self.source_tokens,
                self.cross.mean(axis=(0, 1)),
            )
        ]
        if self.leave_one_out is not None:
            agreement = format_agreement(self.agreement["attention"])
            title = (
                "Decrease of the log-probability of each subword (rows) without a word of the "
                f"source (columns); rank correlation {agreement}"
            )
            tables.append((title, self.source_words, self.leave_one_out))
        # Set both text and background colors, because the theme of a notebook may be dark.
        return (
            '<div style="font-family:sans-serif;font-size:13px;color:#1f2328;background:#ffffff;'
            'padding:8px;overflow-x:auto">'
            + "\n".join(self._html_table(*table) for table in tables)
            + "</div>"
        )

    def _html_table(self, title: str, columns: tuple[str, ...], values: np.ndarray) -> str:
        """Return a table of values `(T, columns)`, colored by their magnitude and sign."""
        largest = np.abs(values).max() or 1.0
        signed = values.min() < 0 or values is self.leave_one_out
        cell = "padding:2px 6px;text-align:center"
        head = "".join(
            f'<th style="{cell}">{markup.escape(readable(token))}</th>' for token in columns
        )
        row_start = '<tr style="background:inherit">'  # notebooks shade every other row
        rows = [f"{row_start}<th></th>{head}</tr>"]
        for token, row in zip(self.target_tokens, values, strict=True):
            cells = "".join(
                f'<td title="{value:.4f}" style="{cell};background:rgba('
                f'{",".join(map(str, _color(value, signed)))},{abs(value) / largest:.2f})">'
                f"{value:.2f}</td>"
                for value in row
            )
            name = markup.escape(readable(token))
            rows.append(f'{row_start}<th style="text-align:right;{cell}">{name}</th>{cells}</tr>')
        body = "\n".join(rows)
        return (
            f"<div><b>{markup.escape(title)}</b></div>\n"
            '<table style="border-collapse:collapse;color:inherit;background:inherit">\n'
            f"{body}\n</table>"
        )

    def to_page(self) -> str:
        """Return a complete HTML page with the table."""
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">'
            f"<title>Alignment</title></head>\n<body>\n{self.to_html()}\n</body>\n</html>\n"
        )

    _repr_html_ = to_html


def _color(value: float, signed: bool) -> Color:
    """Return the color of a value: blue for attention, purple and orange for signed effects."""
    if not signed:
        return ATTENTION
    return FOR if value > 0 else AGAINST


def source_words(tokens: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Return the first index and the index after the last of the subwords of each word.

    A word begins at a subword with the marker of a space, and at each subword of East Asian
    letters, which have no spaces between words. Punctuation before or after a word, but not within
    it, is a word of its own.

    Args:
        tokens: Subwords, without the end token.

    Example:

    >>> source_words(["▁un", "like", "ly", "▁dogs", "你", "好"])
    ((0, 3), (3, 4), (4, 5), (5, 6))
    >>> source_words(["▁don", "'", "t", "▁run", ".", "▁(", "a"])
    ((0, 3), (3, 4), (4, 5), (5, 6), (6, 7))
    """
    marks = [not any(map(str.isalnum, token)) for token in tokens]
    starts = [
        index
        for index, token in enumerate(tokens)
        if index == 0
        or token.startswith(MARKER)
        or any(map(is_east_asian, token + tokens[index - 1]))
        or (marks[index] and not _continues(tokens, marks, index))
        or (marks[index - 1] and tokens[index - 1].startswith(MARKER))
    ]
    return tuple(zip(starts, [*starts[1:], len(tokens)], strict=True)) if starts else ()


def _continues(tokens: Sequence[str], marks: Sequence[bool], index: int) -> bool:
    """Return whether a letter of the same word follows a subword, as in "don't"."""
    following = index + 1
    return (
        following < len(tokens)
        and not marks[following]
        and not tokens[following].startswith(MARKER)
    )
