"""Explanations of image classifiers by occlusion and attention.

Attention shows where a network attends, but not whether that determines its answer. Occlusion
measures the effect on the answer: by how much the log-odds of a label decrease when a square of
the image is replaced (Zeiler and Fergus, arXiv:1311.2901).
"""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_attn._names import unknown
from keras_attn._printable import printable
from keras_attn.tasks._display import AGAINST, ATTENTION, FOR, rgb
from keras_attn.tasks._figures import new_figure
from keras_attn.tasks._heat_maps import blocks, overlay
from keras_attn.tasks._plotted import PlottedExplanation, log_odds
from keras_attn.tasks._position_attention import attention_layers, attention_maps
from keras_attn.tasks._report_tables import short_name
from keras_attn.tasks.calibration import softmax
from keras_attn.tasks.classification import Classification, classification_answers

if TYPE_CHECKING:
    from rich.console import RenderableType

    from keras_attn.tasks.images.classifier import ImageClassifier

BATCH = 256  # images
PATCHES = 8  # default number of squares along the shorter side


@dataclasses.dataclass(frozen=True, eq=False)
class ImageExplanation(PlottedExplanation):
    """Occlusion map of a label for an image, and the attention maps of the network.

    Attributes:
        label: The explained label.
        answer: The classifier's answer.
        image: Uint8 array `(H, W, 3)`, the image at the size of the network's input.
        occlusion: Float array `(R, K)`: decrease of the log-odds of the label when the square in
            that row and column is replaced by the mean color. Positive where the square is
            evidence for the label.
        attention: For each layer that `attention_maps` reads, by name, a float array `(H', W')`:
            the attention weight of each key, averaged over heads and queries. Empty if the
            network has no such layer.
    """

    label: str
    answer: Classification
    image: np.ndarray
    occlusion: np.ndarray
    attention: dict[str, np.ndarray]

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation without the image as a dictionary that can be written as JSON."""
        return {
            "label": self.label,
            "answer": self.answer.to_dict(),
            "occlusion": self.occlusion.tolist(),
            "attention": {name: weights.tolist() for name, weights in self.attention.items()},
        }

    def plot(self) -> Any:
        """Return a matplotlib `Figure`: the image, then the occlusion and attention maps over it.

        Cells with larger values are more opaque. It needs matplotlib:
        `pip install 'keras-attn[plots]'`.
        """
        panels = 2 + len(self.attention)
        figure = new_figure(3.6 * panels, 3.9)
        axes = figure.subplots(1, panels, squeeze=False)[0]
        height, width = self.image.shape[:2]
        extent = (-0.5, width - 0.5, height - 0.5, -0.5)
        for axis in axes:
            axis.set(xticks=[], yticks=[])
            axis.imshow(self.image)
        titles = [
            f"Answer ({self.answer.score:.2f}):\n{short_name(self.answer.label)}",
            f"Evidence for (purple), against (orange):\n{short_name(self.label)}",
            *(f"Attention to each position\n(layer {name})" for name in self.attention),
        ]
        for axis, title in zip(axes, titles, strict=True):
            axis.set_title(title, fontsize="medium", parse_math=False)
        scale = overlay(axes[1], self.occlusion, extent, signed=True)
        figure.colorbar(scale, ax=axes[1], label="decrease of log-odds if covered", shrink=0.8)
        for axis, weights in zip(axes[2:], self.attention.values(), strict=True):
            scale = overlay(axis, weights, extent)
            figure.colorbar(scale, ax=axis, label="mean attention weight", shrink=0.8)
        return figure

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
        for name, weights in self.attention.items():
            lines.append(Text(f"Attention received in layer {name!r}"))
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
    occluded = np.repeat(array[None], 1 + rows * columns, axis=0)
    mean = array.mean(axis=(0, 1))
    for index in range(rows * columns):
        top, left = size * (index // columns), size * (index % columns)
        occluded[1 + index, top : top + size, left : left + size] = mean
    parts = [
        classifier.predict_on_batch(occluded[i : i + BATCH]) for i in range(0, len(occluded), BATCH)
    ]
    logits = np.concatenate(parts).astype("float64")
    (answer,) = classification_answers(classifier.label_names, softmax(logits[:1]))
    label = answer.label if label is None else label
    odds = log_odds(logits, classifier.label_names.index(label))
    attention = {}
    if attention_layers(classifier.network):
        maps = attention_maps(classifier, array[None])
        attention = {layer_map.layer: layer_map.received() for layer_map in maps}
    pixels = array.round().clip(0, 255).astype("uint8")
    return ImageExplanation(
        label, answer, pixels, (odds[0] - odds[1:]).reshape(rows, columns), attention
    )
