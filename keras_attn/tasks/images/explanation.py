"""Explanations of image classifiers by occlusion, Grad-CAM and attention.

Attention shows where a network attends, but not whether that determines its answer. Occlusion
measures the effect on the answer: by how much the log-odds of a label decrease when a square of
the image is replaced (Zeiler and Fergus, arXiv:1311.2901). Grad-CAM and attention are therefore
reported together with their rank correlation with occlusion.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops

from keras_attn._names import unknown
from keras_attn._printable import printable
from keras_attn.tasks._agreement import (
    average_over_cells,
    cell_edges,
    format_agreement,
    rank_correlation,
)
from keras_attn.tasks._display import AGAINST, ATTENTION, FOR, rgb
from keras_attn.tasks._figures import new_figure
from keras_attn.tasks._heat_maps import blocks, overlay
from keras_attn.tasks._plotted import PlottedExplanation, log_odds
from keras_attn.tasks._position_attention import (
    attention_layers,
    attention_maps,
    attention_rollout,
)
from keras_attn.tasks._report_tables import short_name
from keras_attn.tasks.calibration import softmax
from keras_attn.tasks.classification import Classification, classification_answers
from keras_attn.tasks.deletion_insertion import ExplainedInput, deletion_insertion_curves
from keras_attn.tasks.images.grad_cam import grad_cam

if TYPE_CHECKING:
    from rich.console import RenderableType

    from keras_attn.tasks.images.classifier import ImageClassifier

BATCH = 256  # images
COLUMNS = 5  # of a figure's panels
PATCHES = 8  # default number of squares along the shorter side


@dataclasses.dataclass(frozen=True, eq=False)
class ImageExplanation(PlottedExplanation):
    """Maps of an image that show what a classifier's answer depends on, and where it attends.

    Attributes:
        label: The explained label.
        answer: The classifier's answer.
        image: Uint8 array `(H, W, 3)`, the image at the size of the network's input.
        occlusion: Float array `(R, K)`: decrease of the log-odds of the label when the square in
            that row and column is replaced by the mean color. Positive where the square is
            evidence for the label.
        patch_size: Side of the squares in pixels; those at the right and lower edges may be cut.
        grad_cam: Float array `(h, w)`, the evidence for the label at each position of the last
            feature map, see `keras_attn.tasks.images.grad_cam`; negative against it. None if the
            network has no such map.
        rollout: Float array `(H', W')`, the share of each position in the pooled features by
            attention alone, see `keras_attn.tasks.attention_rollout`. None without attention.
        attention: For each layer that `attention_maps` reads, by name, a float array `(H', W')`:
            the attention weight of each key, averaged over heads and queries. Empty if the
            network has no such layer.
    """

    label: str
    answer: Classification
    image: np.ndarray
    occlusion: np.ndarray
    patch_size: int
    grad_cam: np.ndarray | None
    rollout: np.ndarray | None
    attention: dict[str, np.ndarray]

    @property
    def agreement(self) -> dict[str, float | None]:
        """Spearman's rank correlation of each other map with occlusion, over the squares.

        Grad-CAM is compared with `occlusion`; rollout and the attention of each layer, which have
        no sign, with its absolute value. None if either is the same everywhere.
        """
        maps = self.mean_per_square()
        effect = maps.pop("occlusion")
        return {
            name: rank_correlation(values, effect if name == "grad_cam" else np.abs(effect))
            for name, values in maps.items()
        }

    def mean_per_square(self) -> dict[str, np.ndarray]:
        """Return the mean of each map in each square of `occlusion`, by name, as `(R * K,)`."""
        edges = [cell_edges(self.patch_size, side) for side in self.image.shape[:2]]
        maps = {"grad_cam": self.grad_cam, "rollout": self.rollout, **self.attention}
        return {
            "occlusion": self.occlusion.ravel(),
            **{
                name: average_over_cells(values, *edges).ravel()
                for name, values in maps.items()
                if values is not None
            },
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation without the image as a dictionary that can be written as JSON."""
        return {
            "label": self.label,
            "answer": self.answer.to_dict(),
            "occlusion": self.occlusion.tolist(),
            "grad_cam": None if self.grad_cam is None else self.grad_cam.tolist(),
            "rollout": None if self.rollout is None else self.rollout.tolist(),
            "attention": {name: weights.tolist() for name, weights in self.attention.items()},
            "agreement": self.agreement,
        }

    def plot(self) -> Any:
        """Return a matplotlib `Figure`: the image, then each map over it.

        Cells with larger values are more opaque. It needs matplotlib:
        `pip install 'keras-attn[plots]'`.
        """
        panels = list(self._panels())
        columns = min(COLUMNS, 1 + len(panels))
        rows = -(-(1 + len(panels)) // columns)
        figure = new_figure(3.2 * columns, 3.6 * rows)
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        height, width = self.image.shape[:2]
        extent = (-0.5, width - 0.5, height - 0.5, -0.5)
        for axis in axes[1 + len(panels) :]:
            axis.remove()
        for axis in axes[: 1 + len(panels)]:
            axis.set(xticks=[], yticks=[])
            axis.imshow(self.image)
        answer = f"Answer ({self.answer.score:.2f}):\n{short_name(self.answer.label)}"
        axes[0].set_title(answer, fontsize="medium", parse_math=False)
        for axis, (title, unit, values, signed) in zip(axes[1:], panels, strict=False):
            axis.set_title(title, fontsize="medium", parse_math=False)
            scale = overlay(axis, values, extent, signed=signed)
            figure.colorbar(scale, ax=axis, label=unit, shrink=0.8)
        return figure

    def _panels(self) -> Iterator[tuple[str, str, np.ndarray, bool]]:
        """Yield title, unit and values of each map, and whether the values are signed."""
        label = short_name(self.label)
        title = f"Evidence for (purple), against (orange):\n{label}"
        yield title, "decrease of log-odds if covered", self.occlusion, True
        agreement = {name: format_agreement(value) for name, value in self.agreement.items()}
        if self.grad_cam is not None:
            title = f"Grad-CAM for {label}\n(agreement {agreement['grad_cam']})"
            yield title, "gradient times features", self.grad_cam, True
        if self.rollout is not None:
            title = f"Attention rollout\n(agreement {agreement['rollout']})"
            yield title, "share of the position", self.rollout, False
        for name, weights in self.attention.items():
            title = f"Attention to each position\n(layer {name}, agreement {agreement[name]})"
            yield title, "mean attention weight", weights, False

    def to_rich(self) -> "RenderableType":
        """Return a `rich` renderable: the maps as colored blocks."""
        from rich.console import Group
        from rich.text import Text

        lines: list[RenderableType] = [Text(printable(self._heading()), style="bold")]
        lines.append(
            Text.assemble(
                "Change of log-odds without each square: evidence ",
                ("for", rgb(FOR)),
                f" {printable(self.label)!r} and ",
                ("against", rgb(AGAINST)),
                " it (with a minus sign), the stronger the denser",
            )
        )
        lines += blocks(self.occlusion)
        agreement = {name: format_agreement(value) for name, value in self.agreement.items()}
        if self.grad_cam is not None:
            text = f"Grad-CAM; agreement with the above: {agreement['grad_cam']}"
            lines.append(Text(text))
            lines += blocks(self.grad_cam)
        if self.rollout is not None:
            lines.append(Text(f"Attention rollout; agreement: {agreement['rollout']}"))
            lines += blocks(self.rollout, ATTENTION)
        for name, weights in self.attention.items():
            lines.append(Text(f"Attention in layer {name!r}; agreement: {agreement[name]}"))
            lines += blocks(weights, ATTENTION)
        return Group(*lines)


def explain_image(
    classifier: "ImageClassifier",
    image: np.ndarray,
    label: str | None = None,
    patch_size: int | None = None,
) -> ImageExplanation:
    """Explain a classifier's answer for an image, see `ImageClassifier.explain`."""
    if label is not None and label not in classifier.label_names:
        raise ValueError(unknown("label", label, classifier.label_names))
    array = np.asarray(classifier.preprocess_inputs(image[None]))[0].astype("float32")
    height, width = array.shape[:2]
    size = max(1, min(height, width) // PATCHES) if patch_size is None else patch_size
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= min(height, width):
        raise ValueError(
            f"`patch_size` must be an integer from 1 to {min(height, width)}, the image's side. "
            f"Received: {patch_size!r}."
        )
    rows, columns = -(-height // size), -(-width // size)
    present = ~np.eye(rows * columns, dtype=bool)  # each square is left out in turn
    present = np.concatenate([np.ones((1, rows * columns), bool), present])
    logits = _logits_of_squares(classifier, array, size, present)
    (answer,) = classification_answers(classifier.label_names, softmax(logits[:1]))
    label = answer.label if label is None else label
    odds = log_odds(logits, classifier.label_names.index(label))
    network, inputs = classifier.network, classifier.normalization(array[None])
    maps = attention_maps(network, inputs) if attention_layers(network) else []
    rollout = attention_rollout(network, inputs)
    return ImageExplanation(
        label=label,
        answer=answer,
        image=array.round().clip(0, 255).astype("uint8"),
        occlusion=(odds[0] - odds[1:]).reshape(rows, columns),
        patch_size=size,
        grad_cam=grad_cam(
            network,
            inputs,
            classifier.label_names.index(label),
            float(ops.convert_to_numpy(classifier.temperature)),
        ),
        rollout=None if rollout is None else rollout[0],
        attention={layer_map.layer: layer_map.received() for layer_map in maps},
    )


def explanation_curves(
    classifier: "ImageClassifier", images: Iterable[np.ndarray]
) -> dict[str, Any]:
    """Return deletion and insertion curves for images, see `Task.explanation_curves`.

    The parts are the squares of `occlusion`, and the label is that of the answer.
    """

    def explained(image: np.ndarray) -> ExplainedInput:
        explanation = explain_image(classifier, image)
        array = np.asarray(classifier.preprocess_inputs(image[None]))[0].astype("float32")
        size, index = explanation.patch_size, classifier.label_names.index(explanation.label)

        def probabilities(present: np.ndarray) -> np.ndarray:
            logits = _logits_of_squares(classifier, array, size, present)
            return softmax(logits)[:, index]

        return ExplainedInput(explanation.mean_per_square(), probabilities, explanation.agreement)

    return deletion_insertion_curves(explained(image) for image in images)


def _logits_of_squares(
    classifier: "ImageClassifier", array: np.ndarray, size: int, present: np.ndarray
) -> np.ndarray:
    """Return the logits `(N, C)` of an image with only some of its squares.

    Args:
        classifier: The classifier.
        array: Float array `(H, W, 3)`, the image.
        size: Side of the squares in pixels.
        present: Boolean array `(N, squares)`. The other squares have the mean color.
    """
    height, width = array.shape[:2]
    rows, columns = -(-height // size), -(-width // size)
    mean = array.mean(axis=(0, 1))
    parts = []
    for start in range(0, len(present), BATCH):
        squares = present[start : start + BATCH].reshape(-1, rows, columns)
        pixels = squares.repeat(size, axis=1)[:, :height].repeat(size, axis=2)[:, :, :width]
        parts.append(classifier.predict_on_batch(np.where(pixels[..., None], array, mean)))
    return np.concatenate(parts).astype("float64")
