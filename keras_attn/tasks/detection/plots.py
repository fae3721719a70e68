"""Pictures of images with boxes.

Figures need matplotlib: `pip install 'keras-attn[plots]'`. `draw_boxes` needs NumPy alone.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_attn.tasks._figures import new_figure

if TYPE_CHECKING:
    from keras_attn.tasks.detection.answers import Detections

# Okabe and Ito's colors, which differ for color-blind readers, too.
COLORS = (
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (213, 94, 0),
    (204, 121, 167),
    (86, 180, 233),
)
DASH = 6  # pixels of a dash, and of a gap


def label_color(index: int) -> tuple[int, int, int]:
    """Return the color of a label, from 0 to 255."""
    return COLORS[index % len(COLORS)]


def plot_boxes(image: np.ndarray, answer: "Detections") -> Any:
    """Return a matplotlib `Figure` of an image with boxes, and their labels with scores.

    Args:
        image: Uint8 array `(H, W, 3)`.
        answer: Its objects.
    """
    height, width = image.shape[:2]
    figure = new_figure(6.4, 6.4 * height / width + 0.4)
    axis = figure.subplots()
    axis.imshow(image)
    axis.set(xticks=[], yticks=[])
    names = sorted(set(answer.labels))
    for each in answer:
        color = [channel / 255 for channel in label_color(names.index(each.label))]
        draw_box(axis, each.box, color)
        axis.text(
            each.box[0],
            each.box[1],
            f"{each.label} {each.score:.2f}",
            color="white",
            fontsize="x-small",
            va="bottom",
            parse_math=False,
            bbox={"facecolor": color, "edgecolor": "none", "pad": 1.0},
        )
    # Boxes reach the border, and would widen the axes.
    axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    axis.set_title(answer.describe(), parse_math=False)
    return figure


def draw_box(axis: Any, box: Sequence[float], color: Any, style: str = "-") -> None:
    """Draw a box on an axis of matplotlib."""
    left, top, right, bottom = box
    x, y = [left, right, right, left, left], [top, top, bottom, bottom, top]
    axis.plot(x, y, style, color=color, linewidth=1.6)


def draw_boxes(
    image: np.ndarray, boxes: np.ndarray, colors: Sequence[Sequence[int]], *, dashed: bool = False
) -> np.ndarray:
    """Return a copy of an image with the lines of boxes, 3 pixels wide.

    Args:
        image: Uint8 array `(H, W, 3)`.
        boxes: Boxes `(n, 4)`, `xyxy` in pixels.
        colors: The color of each box.
        dashed: Whether lines are dashed.

    Example:

    >>> picture = draw_boxes(np.zeros((9, 9, 3), "uint8"), np.array([[1, 1, 8, 8]]), [(255, 0, 0)])
    >>> picture[4, 4].tolist(), picture[4, 1].tolist()
    ([0, 0, 0], [255, 0, 0])
    """
    image = image.copy()
    height, width = image.shape[:2]
    for box, color in zip(boxes, colors, strict=True):
        left, top, right, bottom = (round(float(side)) for side in box)
        for shift in (-1, 0, 1):
            for row in (top + shift, bottom + shift):
                columns = _dashes(max(0, left), min(width, right + 1), dashed)
                if 0 <= row < height:
                    image[row, columns] = color
            for column in (left + shift, right + shift):
                rows = _dashes(max(0, top), min(height, bottom + 1), dashed)
                if 0 <= column < width:
                    image[rows, column] = color
    return image


def _dashes(start: int, end: int, dashed: bool) -> np.ndarray:
    positions = np.arange(start, max(start, end))
    return positions[(positions - start) % (2 * DASH) < DASH] if dashed else positions


def draw_example(
    image: np.ndarray, answer: "Detections", truth: "Detections", label_names: Sequence[str]
) -> np.ndarray:
    """Return an image with detected boxes, and dashed those of the truth that were missed.

    Args:
        image: Uint8 array `(H, W, 3)`.
        answer: The detected objects.
        truth: The objects of the data set.
        label_names: The names of the labels, whose order determines the colors.
    """

    def colors(labels: Sequence[str]) -> list[tuple[int, int, int]]:
        return [label_color(list(label_names).index(label)) for label in labels]

    missed = [
        index
        for index, label in enumerate(truth.labels)
        if max(
            (
                _iou(truth.boxes[index], box)
                for box, other in zip(answer.boxes, answer.labels, strict=True)
                if other == label
            ),
            default=0.0,
        )
        < 0.5
    ]
    picture = draw_boxes(image, answer.boxes, colors(answer.labels))
    names = [truth.labels[index] for index in missed]
    return draw_boxes(picture, truth.boxes[missed], colors(names), dashed=True)


def _iou(box: np.ndarray, other: np.ndarray) -> float:
    """Return the intersection over union of two boxes."""
    shared = np.prod(
        np.maximum(0.0, np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2]))
    )
    areas = np.prod(box[2:] - box[:2]) + np.prod(other[2:] - other[:2])
    return float(shared / max(areas - shared, 1e-9))
