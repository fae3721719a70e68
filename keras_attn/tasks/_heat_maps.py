"""Heat maps over images, in figures of matplotlib and in terminals."""

from typing import TYPE_CHECKING, Any

import numpy as np

from keras_attn.tasks._display import AGAINST, FOR, Color, rgb

if TYPE_CHECKING:
    from rich.console import RenderableType

MIN_OPACITY, MAX_OPACITY = 0.15, 0.85  # of a heat map over an image, for 0 and the largest value
SHADES = " ░▒▓█"  # by increasing magnitude of a value


def overlay(
    axis: Any,
    values: np.ndarray,
    extent: tuple[float, float, float, float],
    *,
    signed: bool = False,
) -> Any:
    """Draw a heat map over the image of an axis, and return what a color bar needs.

    Args:
        axis: The matplotlib `Axes`.
        values: Float array `(R, K)`. The values that are farther from 0 are more opaque.
        extent: Left, right, bottom and top of the heat map, in the coordinates of the axis.
        signed: Whether there are negative values: the colors are then purple for positive values,
            and orange for negative ones.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    magnitudes = np.abs(values)
    largest = magnitudes.max() or 1.0
    scale = ScalarMappable(
        Normalize(-largest if signed else 0.0, largest), "PuOr" if signed else "inferno"
    )
    axis.imshow(
        values,
        norm=scale.norm,
        cmap=scale.cmap,
        alpha=MIN_OPACITY + (MAX_OPACITY - MIN_OPACITY) * magnitudes / largest,
        extent=extent,
        interpolation="nearest",
    )
    return scale  # the color bar of the image would be as transparent as its first cell


def blocks(values: np.ndarray, color: Color = FOR) -> "list[RenderableType]":
    """Return a line of blocks for each row of a map.

    The shade shows the magnitude of a value, and the color its sign. For terminals without
    colors, values below 0 also have a minus sign.

    Args:
        values: Floats `(R, K)`.
        color: Color of values above 0.
    """
    from rich.text import Text

    largest = np.abs(values).max() or 1.0
    lines: list[RenderableType] = []
    for row in values / largest:
        line = Text("  ")
        for value in row:
            shade = SHADES[round((len(SHADES) - 1) * abs(value))]
            negative = value < 0 and shade != " "
            sign = "-" if negative else shade
            line.append(f"{sign}{shade}", rgb(AGAINST if negative else color))
        lines.append(line)
    return lines
