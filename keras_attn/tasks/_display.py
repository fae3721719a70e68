"""Display results by `print` and by rich."""

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDTH = 100  # characters of a printed line


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
