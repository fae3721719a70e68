"""Pictures of cards: training curves, examples, explanations. They need matplotlib."""

import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_attn._files import replacing
from keras_attn.recipes.figures import Run
from keras_attn.tasks._display import AGAINST, ATTENTION, FOR
from keras_attn.tasks._figures import new_figure
from keras_attn.tasks.deletion_insertion import RANDOM, method_title

# Files of an entry.
CURVES, EXAMPLES, EXPLANATIONS = "curves.svg", "examples.png", "explanations.svg"
COLORS = (FOR, (120, 120, 120), AGAINST, ATTENTION)  # of the entry and its variants, in order
SIDE, GAP = 96, 8  # pixels of an image of an example, and between two


def draw_curves(runs: Mapping[str, Sequence[Run]], path: pathlib.Path) -> bool:
    """Draw the metrics of each epoch as an SVG file, with a panel for each metric.

    Args:
        runs: The runs of the entry itself, under `""`, and of each variant.
        path: The file to write.

    Returns:
        Whether there is a run that recorded its metrics. Otherwise nothing is written.
    """
    with_history = {
        variant: [run["history"] for run in some if run.get("history")]
        for variant, some in runs.items()
    }
    histories = [history for some in with_history.values() for history in some]
    names = list(dict.fromkeys(name.removeprefix("val_") for h in histories for name in h))
    if not names:
        return False
    names.sort(key=lambda name: (name != "loss", name))
    figure = new_figure(4.2 * len(names), 3.0)
    for axis, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for color, (variant, some) in zip(COLORS, with_history.items(), strict=False):
            for index, history in enumerate(some):
                for key, style in ((name, ":"), (f"val_{name}", "-")):
                    if key not in history:
                        continue
                    split = "training" if style == ":" else "validation"
                    label = f"{variant or 'as published'}, {split}"
                    _plot(axis, history[key], style, color, label if index == 0 else None)
        axis.set_title(name)
        axis.set_xlabel("epoch")
        axis.legend(fontsize="x-small")
    _save_svg(figure, path)
    return True


def draw_explanations(results: Mapping[str, Any], path: pathlib.Path) -> None:
    """Draw deletion and insertion curves as an SVG file.

    Args:
        results: See `keras_attn.tasks.deletion_insertion.curves`.
        path: The file to write.
    """
    figure = new_figure(8.4, 3.0)
    for axis, key in zip(
        figure.subplots(1, 2, sharey=True), ("deletion", "insertion"), strict=True
    ):
        for name, curves in results["methods"].items():
            style = ":" if name == RANDOM else "-"
            axis.plot(results["fractions"], curves[key], style, lw=1.1, label=method_title(name))
        axis.set_title(key)
        axis.set_xlabel(f"share of the parts {'removed' if key == 'deletion' else 'added'}")
    axis.legend(fontsize="x-small")
    figure.axes[0].set_ylabel("probability of the label")
    _save_svg(figure, path)


def _plot(axis: Any, values: Sequence[float | None], style: str, color: Any, label: Any) -> None:
    """Plot the values of epochs, which may be missing."""
    points = [(epoch, value) for epoch, value in enumerate(values, start=1) if value is not None]
    if points:
        marker = "o" if len(points) == 1 else None
        rgb = [channel / 255 for channel in color]
        axis.plot(*zip(*points, strict=True), style, color=rgb, lw=1.1, label=label, marker=marker)


def _save_svg(figure: Any, path: pathlib.Path) -> None:
    """Write a figure as SVG whose bytes depend on its content alone."""
    import matplotlib

    with (
        matplotlib.rc_context({"svg.hashsalt": "keras_attn", "svg.fonttype": "none"}),
        replacing(path) as partial,
    ):
        figure.savefig(partial, format="svg", metadata={"Date": None})


def write_strip(images: Sequence[np.ndarray], path: pathlib.Path) -> None:
    """Write images uint8 `(H, W, 3)` side by side as a PNG file.

    Small images are enlarged by a whole factor, so that their pixels stay visible.
    """
    from matplotlib.image import imsave

    enlarged = []
    for image in images:
        factor = max(1, SIDE // max(image.shape[:2]))
        enlarged.append(image.repeat(factor, axis=0).repeat(factor, axis=1))
    height = max(image.shape[0] for image in enlarged)
    columns: list[np.ndarray] = []
    for image in enlarged:
        padded = np.full((height, image.shape[1] + GAP, 3), 255, "uint8")
        padded[: image.shape[0], : image.shape[1]] = image
        columns.append(padded)
    content = io.BytesIO()
    imsave(content, np.concatenate(columns, axis=1)[:, :-GAP], format="png")
    with replacing(path) as partial:
        partial.write_bytes(content.getvalue())
