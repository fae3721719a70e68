"""Options of text generation, which several commands share."""

from typing import Annotated

import typer

MaxLength = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="For text generation: largest number of tokens of a completion (default: 200).",
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="For text generation: lower values make likely tokens more likely (default: 1).",
    ),
]
TopK = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="For text generation: draw from the N likeliest tokens (default: from all).",
    ),
]
TopP = Annotated[
    float | None,
    typer.Option(
        metavar="P",
        help="For text generation: draw from the likeliest tokens with this probability together "
        "(default: 1).",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        min=0, metavar="N", help="For text generation: random seed (default: another every time)."
    ),
]
Stop = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TEXT", help="For text generation: text that ends a completion; can be repeated."
    ),
]
