"""Display results by `print` and by rich."""

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

Color = tuple[int, int, int]

WIDTH = 100  # characters of a printed line
# Evidence for and against a label. Purple and orange differ for color-blind readers, too.
FOR, AGAINST, ATTENTION = (150, 95, 205), (235, 135, 35), (90, 150, 240)


def rgb(color: Color) -> str:
    """Return a color as CSS and rich write it.

    Example:

    >>> rgb(FOR)
    'rgb(150,95,205)'
    """
    return f"rgb({color[0]},{color[1]},{color[2]})"


class OnlyInColor:
    """A renderable that is omitted on consoles without colors.

    Args:
        lines: The lines.
    """

    def __init__(self, lines: "Sequence[RenderableType]") -> None:
        self.lines = lines

    def __rich_console__(
        self, console: "Console", options: "ConsoleOptions"
    ) -> "Iterator[RenderableType]":
        if console.color_system is not None and not console.no_color:
            yield from self.lines


class Displayed:
    """Base class of results that `print` and `rich.print` display in the same form."""

    def to_rich(self) -> "RenderableType":
        """Return a `rich` renderable."""
        raise NotImplementedError

    def __rich__(self) -> "RenderableType":
        return self.to_rich()

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(file=io.StringIO(), width=WIDTH, color_system=None)
        with console.capture() as capture:
            console.print(self.to_rich())
        return "\n".join(line.rstrip() for line in capture.get().splitlines())
