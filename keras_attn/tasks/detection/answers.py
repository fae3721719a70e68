"""The answer of a detector: boxes with labels and scores."""

import base64
import dataclasses
import io
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np


class DetectedObject(NamedTuple):
    """An object that was detected.

    Attributes:
        label: Its label.
        score: The score of the label, in [0, 1].
        box: Left, top, right and bottom side in pixels.
    """

    label: str
    score: float
    box: tuple[float, float, float, float]


@dataclasses.dataclass(frozen=True, eq=False)
class Detections:
    """The objects in an image, those with the highest scores first.

    Iterate over it for a `DetectedObject` each.

    Attributes:
        boxes: Float32 array `(n, 4)`: left, top, right and bottom side in pixels of the image, the
            format `"xyxy"` of Keras.
        labels: The label of each box.
        scores: Float32 array `(n,)`.
        image: The image, an array or a path, for plots.
    """

    boxes: np.ndarray
    labels: tuple[str, ...]
    scores: np.ndarray
    image: Any = None

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[DetectedObject]:
        for label, score, box in zip(self.labels, self.scores, self.boxes, strict=True):
            left, top, right, bottom = map(float, box)
            yield DetectedObject(label, float(score), (left, top, right, bottom))

    def __repr__(self) -> str:
        return f"Detections({self.describe()})"

    @property
    def counts(self) -> dict[str, int]:
        """The number of boxes of each label that occurs, the most frequent first."""
        return dict(Counter(self.labels).most_common())

    def describe(self) -> str:
        """Return the counts in words, such as `"12 RBC, 1 WBC"`."""
        return ", ".join(f"{count} {label}" for label, count in self.counts.items()) or "none"

    def to_dict(self) -> dict[str, Any]:
        """Return counts and objects as a dictionary that can be written as JSON."""
        objects = [
            {"label": each.label, "score": round(each.score, 4), "box": [*_rounded(each.box)]}
            for each in self
        ]
        return {"counts": self.counts, "objects": objects}

    def to_columns(self, top: int = 3) -> dict[str, str]:
        """Return the counts, and the `top` objects with the highest scores, as cells of a row."""
        objects = list(self)[:top]
        shown = "; ".join(
            f"{each.label} {each.score:.2f} at {','.join(f'{side:.0f}' for side in each.box)}"
            for each in objects
        )
        return {"objects": self.describe(), "highest scores": shown}

    def plot(self) -> Any:
        """Return a matplotlib `Figure` of the image with the boxes.

        Raises:
            ValueError: The answer has no image.
            ImportError: matplotlib is not installed.
        """
        from keras_attn.tasks.detection.plots import plot_boxes

        return plot_boxes(self._pixels(), self)

    def _pixels(self) -> np.ndarray:
        from keras_attn.tasks._image_inputs import read_image

        if self.image is None:
            raise ValueError("A plot needs the image. Set it: dataclasses.replace(..., image=...).")
        return read_image(self.image, None)

    def _repr_html_(self) -> str:
        content = io.BytesIO()
        self.plot().savefig(content, format="png", dpi=100)
        encoded = base64.b64encode(content.getvalue()).decode()
        return f'<img alt="{len(self)} boxes" src="data:image/png;base64,{encoded}">'


def _rounded(box: tuple[float, ...]) -> Iterator[float]:
    return (round(side, 1) for side in box)
