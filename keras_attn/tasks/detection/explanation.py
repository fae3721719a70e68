"""Explanations of detected objects by attention and by occlusion.

The logit of an object is computed at one position of the network's map. Attention shows where that
position attended, but not whether that determines the answer. Occlusion measures the effect on the
answer: by how much the logit decreases when a square of the image is replaced (Zeiler and Fergus,
arXiv:1311.2901). The explanation says how well the two agree.
"""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops

from keras_attn._names import unknown
from keras_attn._printable import printable
from keras_attn.ops import box_iou
from keras_attn.tasks._agreement import (
    average_over_cells,
    cell_edges,
    format_agreement,
    rank_correlation,
)
from keras_attn.tasks._display import AGAINST, ATTENTION, FOR, rgb
from keras_attn.tasks._figures import new_figure
from keras_attn.tasks._heat_maps import blocks, overlay
from keras_attn.tasks._plotted import PlottedExplanation
from keras_attn.tasks._position_attention import attention_layers, attention_maps
from keras_attn.tasks.detection.answers import DetectedObject, Detections
from keras_attn.tasks.detection.losses import decode_map
from keras_attn.tasks.detection.plots import draw_box

if TYPE_CHECKING:
    from rich.console import RenderableType

    from keras_attn.tasks.detection.detector import ObjectDetector

BATCH = 64  # images
SQUARES = 8  # along the shorter side
WHITE = "#ffffff"


@dataclasses.dataclass(frozen=True, eq=False)
class DetectionExplanation(PlottedExplanation):
    """The attention of the position that detected an object, and the effect of each square.

    Attributes:
        target: The explained object.
        detections: All objects of the image.
        image: Uint8 array `(H, W, 3)`, the image at the size of the network's input.
        scale: Factors of x and y from the image of the user to `image`.
        position: Row and column, from 0 to 1, of the position that detected the object.
        occlusion: Float array `(R, K)`: decrease of the logit of the object's label at that
            position when the square in that row and column is replaced by the mean color.
        attention: For each encoder block, by name, a float array `(h, w)`: the weights of the
            position's query for all keys, averaged over heads. Empty if there is no attention.
        agreement: For each of them the rank correlation (Spearman) of the weights, averaged over
            the squares, with `occlusion`. Near 1 the position attended to what its answer depends
            on; near 0 attention says little about that. None if either is the same everywhere.
    """

    target: DetectedObject
    detections: Detections
    image: np.ndarray
    scale: tuple[float, float]
    position: tuple[float, float]
    occlusion: np.ndarray
    attention: dict[str, np.ndarray]
    agreement: dict[str, float | None]

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation without the image as a dictionary that can be written as JSON."""
        return {
            "object": self.target._asdict(),
            "answer": self.detections.to_dict(),
            "occlusion": self.occlusion.tolist(),
            "attention": {name: weights.tolist() for name, weights in self.attention.items()},
            "agreement": self.agreement,
        }

    def plot(self) -> Any:
        """Return a matplotlib `Figure`: the object, then occlusion and attention over the image.

        It needs matplotlib: `pip install 'keras-attn[plots]'`.
        """
        panels = 2 + len(self.attention)
        agreement = {name: format_agreement(value) for name, value in self.agreement.items()}
        figure = new_figure(4.0 * panels, 3.7)
        axes = figure.subplots(1, panels, squeeze=False)[0]
        height, width = self.image.shape[:2]
        extent = (-0.5, width - 0.5, height - 0.5, -0.5)
        titles = [
            f"{self.target.label} ({self.target.score:.2f})",
            "Evidence for (purple), against (orange)",
            *(
                f"Attention of its position, {name}\n(agreement {agreement[name]})"
                for name in self.attention
            ),
        ]
        box = np.array(self.target.box) * np.tile(self.scale, 2)
        for axis, title in zip(axes, titles, strict=True):
            axis.set(xticks=[], yticks=[])
            axis.imshow(self.image)
            axis.set_title(title, fontsize="medium", parse_math=False)
        scale = overlay(axes[1], self.occlusion, extent, signed=True)
        figure.colorbar(scale, ax=axes[1], label="decrease of the logit if covered", shrink=0.8)
        for axis, weights in zip(axes[2:], self.attention.values(), strict=True):
            scale = overlay(axis, weights, extent)
            figure.colorbar(scale, ax=axis, label="attention weight", shrink=0.8)
        for axis in axes:
            draw_box(axis, box, "black")
            draw_box(axis, box, WHITE, "--")
            axis.set(xlim=extent[:2], ylim=extent[2:])
        return figure

    def to_rich(self) -> "RenderableType":
        """Return a `rich` renderable: the maps as colored blocks."""
        from rich.console import Group
        from rich.text import Text

        lines: list[RenderableType] = [Text(printable(self._heading()), style="bold")]
        lines.append(
            Text.assemble(
                "Change of the logit without each square: evidence ",
                ("for", rgb(FOR)),
                " the object and ",
                ("against", rgb(AGAINST)),
                " it (with a minus sign), the stronger the denser",
            )
        )
        lines += blocks(self.occlusion)
        for name, weights in self.attention.items():
            text = f"Attention of its position in layer {name!r}"
            agreement = format_agreement(self.agreement[name])
            lines.append(Text(f"{text}; agreement with the above: {agreement}"))
            lines += blocks(weights, ATTENTION)
        return Group(*lines)

    def _heading(self) -> str:
        sides = ", ".join(f"{side:.0f}" for side in self.target.box)
        return (
            f"Object: {self.target.label} ({self.target.score:.3f}) at {sides}. All objects: "
            f"{self.detections.describe()}"
        )


def explain_detection(
    detector: "ObjectDetector", image: np.ndarray, label: str | None = None, index: int = 0
) -> DetectionExplanation:
    """Explain a detected object of an image `(H, W, 3)`, see `ObjectDetector.explain`."""
    if label is not None and label not in detector.label_names:
        raise ValueError(unknown("label", label, detector.label_names))
    answer = detector.detect(image)
    objects = [each for each in answer if label in (None, each.label)]
    if not 0 <= index < len(objects):
        raise ValueError(
            f"There is no object {index} of {label or 'any label'} to explain. Detected: "
            f"{answer.describe()}. Choose another image, label or `index`."
        )
    target = objects[index]
    inputs, factors = detector._fit([image])
    maps = detector.predict_on_batch(inputs)
    box = np.array(target.box, "float32") * np.tile(factors[0], 2).astype("float32")
    place = _find_position(maps, detector.image_size, box, detector.label_names.index(target.label))
    occlusion = _occlusion(detector, inputs[0], maps, place, target.label)
    height, width = maps.shape[1:3]
    position = ((place // width + 0.5) / height, (place % width + 0.5) / width)
    attention = {}
    if attention_layers(detector.network):
        for layer in attention_maps(detector.network, detector.normalization(inputs)):
            rows, columns = layer.weights.shape[2:4]
            query = (int(position[0] * rows), int(position[1] * columns))
            attention[layer.layer] = layer.query(*query)
    return DetectionExplanation(
        target,
        answer,
        inputs[0].round().clip(0, 255).astype("uint8"),
        (float(factors[0][0]), float(factors[0][1])),
        position,
        occlusion,
        attention,
        {name: _agreement(each, occlusion, inputs[0]) for name, each in attention.items()},
    )


def _find_position(
    maps: np.ndarray, image_size: tuple[int, int], box: np.ndarray, label: int
) -> int:
    """Return the position with the highest logit of a label whose box is a given one."""
    logits, boxes = decode_map(ops.convert_to_tensor(maps), image_size)
    overlap = ops.convert_to_numpy(box_iou(boxes, ops.convert_to_tensor(box[None, None])))[0, :, 0]
    scores = ops.convert_to_numpy(logits)[0, :, label]
    # Boxes of answers are cut at the border of the image, so that none may be exactly the same.
    return int(np.where(overlap >= min(0.9, overlap.max()), scores, -np.inf).argmax())


def _occlusion(
    detector: "ObjectDetector", image: np.ndarray, maps: np.ndarray, place: int, label: str
) -> np.ndarray:
    """Return the decrease of a logit when each square of an image is replaced by its mean."""
    height, width = image.shape[:2]
    side = _square_side(image)
    rows, columns = -(-height // side), -(-width // side)
    occluded = np.repeat(image[None], rows * columns, axis=0)
    mean = image.mean(axis=(0, 1))
    for square in range(rows * columns):
        top, left = side * (square // columns), side * (square % columns)
        occluded[square, top : top + side, left : left + side] = mean
    row, column = divmod(place, maps.shape[2])
    channel = detector.label_names.index(label)
    logits = [
        detector.predict_on_batch(occluded[start : start + BATCH])[:, row, column, channel]
        for start in range(0, len(occluded), BATCH)
    ]
    change = maps[0, row, column, channel] - np.concatenate(logits)
    return change.astype("float64").reshape(rows, columns)


def _agreement(weights: np.ndarray, occlusion: np.ndarray, image: np.ndarray) -> float | None:
    """Return the rank correlation of weights, averaged over the squares, with occlusion."""
    side = _square_side(image)
    edges = [cell_edges(side, total) for total in image.shape[:2]]
    return rank_correlation(average_over_cells(weights, *edges).ravel(), occlusion.ravel())


def _square_side(image: np.ndarray) -> int:
    return max(1, min(image.shape[:2]) // SQUARES)
