"""Answers, notes and agreement as HTML."""

import base64
import html as markup
import io
from collections.abc import Iterable, Mapping
from typing import Any

METHODS = {
    "attention": "Attention",
    "grad_cam": "Grad-CAM",
    "gradient_times_input": "Gradient times input",
    "rollout": "Attention rollout",
}
# Lower ends of the rank correlation, and what it says of the order of the parts of the input.
LEVELS = (
    (0.7, "agrees well with"),
    (0.3, "agrees in part with"),
    (-0.3, "says little about"),
    (-1.0, "is contrary to"),
)


def agreement_in_words(agreement: Mapping[str, float | None]) -> list[str]:
    """Return a sentence for each method that is compared with leaving parts of the input out.

    Args:
        agreement: The `agreement` of an explanation: rank correlations by method.

    Example:

    >>> for sentence in agreement_in_words({"rollout": 0.82, "block_1": -0.05, "grad_cam": None}):
    ...     print(sentence)
    Attention rollout agrees well with the measured effect (rank correlation 0.82).
    Attention in layer block_1 says little about the measured effect (rank correlation -0.05).
    Grad-CAM cannot be compared: it, or the effect, is the same everywhere or known of too little.
    """
    sentences = []
    for name, value in agreement.items():
        method = METHODS.get(name, f"Attention in layer {name}")
        if value is None:
            sentences.append(
                f"{method} cannot be compared: it, or the effect, is the same everywhere or known "
                "of too little."
            )
            continue
        level = next(words for least, words in LEVELS if value >= least or least == -1.0)
        sentences.append(f"{method} {level} the measured effect (rank correlation {value:.2f}).")
    return sentences


def agreement_html(agreement: Mapping[str, float | None]) -> str:
    """Return the agreement of an explanation as an HTML list; empty without methods."""
    if not agreement:
        return ""
    items = "".join(f"<li>{markup.escape(each)}</li>" for each in agreement_in_words(agreement))
    return (
        '<div class="ka-agreement"><p>Attention and gradients show where the model looked. What '
        "its answer depends on is measured by leaving parts of the input out:</p>"
        f"<ul>{items}</ul></div>"
    )


def notes_html(notes: Iterable[str], kind: str = "warning") -> str:
    """Return notes as HTML; empty without notes.

    Args:
        notes: The notes; one that occurs twice is shown once.
        kind: `"warning"` or `"account"`, which determines the color.
    """
    lines = "".join(f"<p>{markup.escape(note)}</p>" for note in dict.fromkeys(notes))
    return f'<div class="ka-notes ka-{kind}" role="note">{lines}</div>' if lines else ""


def heading_html(text: str, detail: str = "") -> str:
    """Return the answer in large letters, and a detail in small ones."""
    small = f'<div class="ka-detail">{markup.escape(detail)}</div>' if detail else ""
    return f'<div class="ka-answer">{markup.escape(text)}</div>{small}'


def table_html(cells: Mapping[str, str]) -> str:
    """Return the cells of a table row, by title, as a table with a line for each.

    Example:

    >>> table_html({"label": "<b>"})
    '<table class="ka-table"><tr><th>label</th><td>&lt;b&gt;</td></tr></table>'
    """
    rows = "".join(
        f"<tr><th>{markup.escape(title)}</th><td>{markup.escape(cell)}</td></tr>"
        for title, cell in cells.items()
    )
    return f'<table class="ka-table">{rows}</table>'


def figure_html(figure: Any, description: str) -> str:
    """Return a matplotlib `Figure` as an image in HTML."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=100)
    encoded = base64.b64encode(content.getvalue()).decode()
    alt = markup.escape(description, quote=True)
    return f'<img alt="{alt}" src="data:image/png;base64,{encoded}">'


def wide(html: str) -> str:
    """Return HTML in a box that is scrolled where the page is narrower."""
    return f'<div class="ka-wide" tabindex="0">{html}</div>' if html else ""
