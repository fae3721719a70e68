"""Rendering of explanations of text classifiers for terminals and as HTML."""

import html as markup
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_attn._printable import printable
from keras_attn.tasks._agreement import format_agreement
from keras_attn.tasks._display import AGAINST, ATTENTION, FOR, Color, OnlyInColor, rgb
from keras_attn.tasks.coverage import SAYS_LITTLE, is_little_known, known_share

if TYPE_CHECKING:
    from rich.console import RenderableType

Explanation = Any  # a TextExplanation; its module imports this one

# Colors of the strongest values, and the colors that they fade to: WHITE for backgrounds of words
# in HTML, GREY for letters in a terminal, whose background may be dark or light.
WHITE, GREY = (255, 255, 255), (140, 140, 140)
TITLES = {
    "leave_one_out": "leave one out",
    "gradient_times_input": "gradient times input",
    "attention": "attention",
}
MAX_UNKNOWN = 200  # characters of the list of unknown words
TOP = 8  # number of words in the table for terminals


def terminal(explanation: Explanation) -> "RenderableType":
    """Return a `rich` renderable, see `TextExplanation.to_rich`."""
    from rich.console import Group
    from rich.text import Text

    colored: list[RenderableType] = []
    width = max(map(len, TITLES.values()))
    for title, values, signed in _methods(explanation):
        line = Text.assemble((f"{title:<{width}}  ", "bold"))
        colors = _colors(values, signed, GREY)
        for token, color in zip(explanation.tokens, colors, strict=True):
            line.append(printable(token), rgb(color)).append(" ")
        colored.append(line)
    legend = Text.assemble(
        "evidence ",
        ("for", rgb(FOR)),
        " and ",
        ("against", rgb(AGAINST)),
        f" {explanation.label!r}",
    )
    if explanation.attention is not None:
        legend.append("; ").append("attention", rgb(ATTENTION))
    lines: list[RenderableType] = [
        Text(printable(_heading(explanation)), style="bold"),
        OnlyInColor([*colored, legend]),
        Text(_coverage(explanation), style=_coverage_style(explanation)),
        Text(_agreement(explanation), style="dim"),
    ]
    if explanation.tokens:
        lines.append(_top_words(explanation))
    return Group(*lines)


def html(explanation: Explanation) -> str:
    """Return an HTML snippet, see `TextExplanation.to_html`."""
    rows = []
    for title, values, signed in _methods(explanation):
        spans = []
        colors = _colors(values, signed, WHITE)
        for token, value, color in zip(explanation.tokens, values, colors, strict=True):
            number = f"{value:+.4f}" if signed else f"{value:.4f}"
            spans.append(
                f'<span title="{title} {number}" style="background:{rgb(color)};'
                f'border-radius:3px;padding:1px 2px">{markup.escape(token)}</span>'
            )
        rows.append(
            # Notebooks shade every other row.
            '<tr style="background:inherit"><th style="text-align:left;vertical-align:top;'
            f'white-space:nowrap;padding:4px 12px 4px 0">{title}</th>'
            f'<td style="text-align:left;line-height:1.7">{" ".join(spans)}</td></tr>'
        )
    keys = {"for": FOR, "against": AGAINST, "attention": ATTENTION}
    colored = {
        name: f'<span style="background:{rgb(color)};border-radius:3px;padding:1px 4px">'
        f"{name}</span>"
        for name, color in keys.items()
    }
    label = markup.escape(repr(explanation.label))
    legend = f"Evidence {colored['for']} and {colored['against']} {label}"
    if explanation.attention is not None:
        legend += f"; {colored['attention']}"
    # Set both text and background colors, because the theme of a notebook may be dark.
    return (
        '<div style="font-family:sans-serif;font-size:14px;color:#1f2328;background:#ffffff;'
        'padding:8px">\n'
        f"<div><b>{markup.escape(_heading(explanation))}</b></div>\n"
        f'<table style="border-collapse:collapse;color:inherit;background:inherit">\n'
        + "\n".join(rows)
        + f'\n</table>\n<div style="font-size:12px">{legend}. '
        f"{_html_coverage(explanation)} "
        f"{markup.escape(_agreement(explanation))}</div>"
        "\n</div>"
    )


def page(explanation: Explanation) -> str:
    """Return a complete HTML page, see `TextExplanation.to_page`."""
    title = markup.escape(_heading(explanation))
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{title}</title>'
        f"</head>\n<body>\n{html(explanation)}\n</body>\n</html>\n"
    )


def _heading(explanation: Explanation) -> str:
    answer = explanation.answer
    heading = f"Answer: {answer.summary}"
    if explanation.label != getattr(answer, "label", None):
        score = answer.probabilities[explanation.label]
        heading += f". Explained: {explanation.label} ({score:.3f})"
    return heading


def _coverage(explanation: Explanation) -> str:
    """Return a sentence on the known words, and a list of the unknown ones."""
    answer = explanation.answer
    unknown = [
        printable(token)
        for token, known in zip(explanation.tokens, explanation.known, strict=True)
        if not known
    ]
    listed = " ".join(dict.fromkeys(unknown))
    if len(listed) > MAX_UNKNOWN:
        listed = listed[:MAX_UNKNOWN] + "..."
    clause = known_share(*answer.coverage)
    sentence = clause[0].upper() + clause[1:] + (f"; not: {listed}" if unknown else "")
    if is_little_known(answer.known_words, answer.words):
        sentence += f". {SAYS_LITTLE}"
    return f"{sentence}."


def _coverage_style(explanation: Explanation) -> str:
    answer = explanation.answer
    return "bold yellow" if is_little_known(answer.known_words, answer.words) else "dim"


def _html_coverage(explanation: Explanation) -> str:
    answer = explanation.answer
    sentence = markup.escape(_coverage(explanation))
    little = is_little_known(answer.known_words, answer.words)
    return f"<b>{sentence}</b>" if little else sentence


def _agreement(explanation: Explanation) -> str:
    if all(value is None for value in explanation.agreement.values()):
        return "The methods are not compared: too few words are known, or none has an effect."
    shares = [
        f"{TITLES[name]} {format_agreement(value)}"
        for name, value in explanation.agreement.items()
        if name != "attention" or explanation.attention is not None
    ]
    return f"Rank correlation with the effect of leaving a word out: {', '.join(shares)}."


def _methods(explanation: Explanation) -> Iterator[tuple[str, np.ndarray, bool]]:
    """Yield title and values of each method, and whether the values are signed."""
    for name, title in TITLES.items():
        values = getattr(explanation, name)
        if values is not None:
            yield title, values, name != "attention"


def _colors(values: np.ndarray, signed: bool, faded: Color) -> Iterator[Color]:
    """Yield the color of each value: the full color for the strongest, `faded` for 0."""
    strongest = np.abs(values).max(initial=0.0)
    for value in values:
        strength = abs(value) / strongest if strongest else 0.0
        full = ATTENTION if not signed else FOR if value > 0 else AGAINST
        red, green, blue = (round(a + strength * (b - a)) for a, b in zip(faded, full, strict=True))
        yield red, green, blue


def _top_words(explanation: Explanation) -> "RenderableType":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    methods = list(_methods(explanation))
    table = Table("word", box=box.SIMPLE)
    for title, _, _ in methods:
        table.add_column(title, justify="right")
    for index in np.argsort(-np.abs(explanation.leave_one_out), kind="stable")[:TOP]:
        numbers = [
            f"{values[index]:+.3f}" if signed else f"{values[index]:.3f}"
            for _, values, signed in methods
        ]
        table.add_row(Text(printable(explanation.tokens[index])), *numbers)
    return table
