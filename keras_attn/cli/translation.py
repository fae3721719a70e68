"""The command `keras-attn translate`."""

import json
import pathlib
import re
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keras_attn.cli import answers
from keras_attn.cli.opening import Model, TextFile, Weights, open_translator

if TYPE_CHECKING:
    from keras_attn.tasks import Translator
    from keras_attn.tasks.translation.answers import Translation

AT_A_TIME = 1_024  # texts whose translations are printed together


def translate(
    name: Model,
    inputs: Annotated[
        list[str] | None, typer.Argument(metavar="TEXT...", help="Sentences to translate.")
    ] = None,
    file: TextFile = None,
    beam: Annotated[int, typer.Option(min=1, help="Beams of the search; 1: greedy.")] = 4,
    n_best: Annotated[
        int, typer.Option(min=1, help="How many translations of each text, with their scores.")
    ] = 1,
    alignments: Annotated[
        pathlib.Path | None,
        typer.Option(help="Write a picture of what each word of the only text attended to."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")] = False,
    weights: Weights = None,
) -> None:
    """Translate texts: one a line in, one a line out."""
    if n_best > beam:
        raise ValueError(
            f"--n-best {n_best} needs as many beams, and --beam is {beam}. Give --beam {n_best}, "
            "or more."
        )
    texts = answers.texts_of(inputs or [], file)
    if alignments is not None and len(texts) != 1:
        raise ValueError(
            f"--alignments is a picture of one text's translation. Received: {len(texts)} texts."
        )
    model = open_translator(name, weights)
    first = True
    for text, found in _translations(model, texts, beam, n_best):
        if as_json:
            typer.echo(json.dumps(_as_dict(text, found)))
        elif n_best == 1:
            typer.echo(_on_a_line(found[0].text))
        else:
            lines = [f"{best.score:.4f}\t{_on_a_line(best.text)}" for best in found]
            typer.echo("\n".join(lines if first else ["", *lines]))
        if alignments is not None:
            _draw(model, text, found[0].text, alignments)
        first = False


def _translations(
    model: "Translator", texts: list[str], beam: int, n_best: int
) -> Iterator[tuple[str, list["Translation"]]]:
    """Each text with its translations, best first."""
    for start in range(0, len(texts), AT_A_TIME):
        part = texts[start : start + AT_A_TIME]
        with warnings.catch_warnings(record=True) as noticed:
            warnings.simplefilter("always", UserWarning)
            found = model.translate(part, beam, n_best=n_best)
        for notice in noticed:
            where = f"from text {start} on: " if start else ""
            typer.echo(f"warning: {where}{notice.message}", err=True)
        for text, best in zip(part, found, strict=True):
            yield text, best if n_best > 1 else [best]


def _as_dict(text: str, found: list["Translation"]) -> dict[str, Any]:
    told = {"source": text, **found[0]._asdict()}
    if len(found) > 1:
        told["n_best"] = [best._asdict() for best in found]
    return told


def _on_a_line(text: str) -> str:
    """A translation as it is, but for line breaks, which would part it in two."""
    return re.sub(r"[\r\n]+", " ", text)


def _draw(model: "Translator", text: str, target: str, path: pathlib.Path) -> None:
    from keras_attn.tasks import plot_alignment

    figure = plot_alignment(model.alignments(text, target))
    figure.savefig(path)
    typer.echo(f"Written: {path}", err=True)
