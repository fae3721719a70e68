"""The command `keras-attn translate`, which prints one line for each text."""

import pathlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keras_attn._wording import counted
from keras_attn.cli import output
from keras_attn.cli.data_options import passed_options, with_column_options
from keras_attn.cli.inputs import Examples, TextFile, as_utf8, read_texts, report_problems
from keras_attn.cli.models import Model, Weights, check_plot, find_model, locate
from keras_attn.cli.output import on_one_line, print_coverage, warnings_as_lines
from keras_attn.recipes import TaskDescription

if TYPE_CHECKING:
    from keras_attn.tasks import Translation, Translator

MinLength = Annotated[
    int | None,
    typer.Option(min=0, metavar="N", help="For translation: minimum number of subwords."),
]
LengthPenalty = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        metavar="X",
        help="For translation: larger values favor longer translations; 0 ranks by probability "
        "alone (default: 1).",
    ),
]
NoRepeatNgramSize = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="For translation and text generation: no sequence of so many tokens occurs twice.",
    ),
]
BannedWords = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WORD", help="For translation: word that is not written; can be repeated."
    ),
]

CHUNK_SIZE = 1_024  # number of texts that are translated before their translations are printed
TASK = "translation"


@with_column_options("source_column")
def translate(
    name: Model,
    inputs: Annotated[
        list[str] | None, typer.Argument(metavar="TEXT...", help="Sentences to translate.")
    ] = None,
    file: TextFile = None,
    beam_size: Annotated[
        int, typer.Option(min=1, metavar="N", help="Beam size; 1 is greedy search.")
    ] = 4,
    n_best: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Number of translations of each text, with their scores."
        ),
    ] = 1,
    prefix: Annotated[
        str | None, typer.Option(help="Text that every translation must begin with.")
    ] = None,
    length_penalty: LengthPenalty = None,
    max_length: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Maximum number of subwords of a translation (default: of the model).",
        ),
    ] = None,
    min_length: MinLength = None,
    no_repeat_ngram_size: NoRepeatNgramSize = None,
    banned_word: BannedWords = None,
    copy: Annotated[
        bool,
        typer.Option(
            "--copy", help="Copy numbers, URLs, e-mail addresses and placeholders as they are."
        ),
    ] = False,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT", help="Also copy this string, such as a name; can be repeated."
        ),
    ] = None,
    alignments: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="Write a plot of the attention to the source, of a single text, to this file."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per line.")
    ] = False,
    weights: Weights = None,
    *,
    table: dict[str, Any],
) -> None:
    """Translate sentences: one line in, one line out.

    Rows of a table that cannot be read are reported on standard error, and give an empty line; the
    exit status is then 1.
    """
    if n_best > beam_size:
        raise ValueError(
            f"--n-best {n_best} needs as many beams, and --beam-size is {beam_size}. Give "
            f"--beam-size {n_best}, or more."
        )
    if keep and not all(map(str.strip, keep)):
        raise ValueError(f"--keep takes a string to copy, such as a name. Received: {keep!r}.")
    name = find_model(name)
    task, build = _locate_translator(name, weights)
    examples = read_texts(name, task, inputs or [], file, passed_options(table))
    if alignments is not None and len(examples.inputs) != 1:
        raise ValueError(
            "--alignments plots the translation of one text. Received: "
            f"{counted(len(examples.inputs), 'text')}."
        )
    if alignments is not None:
        check_plot(alignments)
    options = {
        **search_options(length_penalty, min_length, no_repeat_ngram_size, banned_word),
        "copy": keep or copy,
    }
    if prefix is not None:
        options["prefix"] = as_utf8(prefix)
    if max_length is not None:
        options["max_length"] = max_length
    model = build()
    first = True
    for index, translations in _translations(model, examples, beam_size, n_best, options):
        text = examples.inputs[index]
        if as_json and not translations:
            output.echo_json({"source": text or None, "error": examples.problems[index]})
        elif as_json:
            output.echo_json(_as_dict(text, translations))
        elif n_best == 1:
            output.echo(on_one_line(translations[0].text if translations else ""))
        else:
            lines = [f"{best.score:.4f}\t{on_one_line(best.text)}" for best in translations]
            output.echo("\n".join(lines if first else ["", *lines]))
        if alignments is not None and translations:
            model.explain(text, translations[0].text).plot().savefig(alignments)
            output.echo(f"Written: {alignments}", err=True)
        first = False
    report_problems(task, examples)


def search_options(
    length_penalty: float | None,
    min_length: int | None,
    no_repeat_ngram_size: int | None,
    banned_word: list[str] | None,
) -> dict[str, Any]:
    """Return the options of a search that were passed, as arguments of `Translator.translate`."""
    options = {
        "length_penalty": length_penalty,
        "min_length": min_length,
        "no_repeat_ngram_size": no_repeat_ngram_size,
        "banned_words": banned_word or None,
    }
    return {name: value for name, value in options.items() if value is not None}


def _locate_translator(
    name: str, weights: pathlib.Path | None
) -> "tuple[TaskDescription, Callable[[], Translator]]":
    """Return the task of a model and a function that returns the model; raise for other tasks.

    Raises:
        FileNotFoundError: See `locate`.
        ValueError: See `locate`; or the model is not a translator.
    """
    task, build = locate(name, weights)
    if task.name != TASK:
        raise ValueError(
            f"{name} is not a translator; it does {task.name}. See `keras-attn predict`, or choose "
            f"one of `keras-attn list --task {TASK}`."
        )
    load: Any = build
    return task, load


def _translations(
    model: "Translator", examples: Examples, beam_size: int, n_best: int, options: dict[str, Any]
) -> Iterator[tuple[int, list["Translation"]]]:
    """Yield the index of each text with its translations, best first; none if it has a problem."""
    texts = examples.inputs
    for start in range(0, len(texts), CHUNK_SIZE):
        rows = range(start, min(start + CHUNK_SIZE, len(texts)))
        # Rows that cannot be read are empty texts, so that warnings number all rows.
        with warnings_as_lines(f"from text {start} on: " if start else ""):
            translations = model.translate(
                [texts[row] for row in rows], beam_size, n_best=n_best, **options
            )
        answers: dict[int, Any] = {
            row: best
            for row, best in zip(rows, translations, strict=True)
            if row not in examples.problems
        }
        print_coverage([answers.get(row) for row in rows], start + 1)
        for row in rows:
            best = answers.get(row, [])
            yield row, best if isinstance(best, list) else [best]


def _as_dict(text: str, translations: list["Translation"]) -> dict[str, Any]:
    result = {"source": text, **translations[0].to_dict()}
    if len(translations) > 1:
        result["n_best"] = [best.to_dict() for best in translations]
    return result
