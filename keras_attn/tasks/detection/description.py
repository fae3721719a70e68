"""Description of object detection. Imports no Keras."""

import numbers
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from keras_attn.recipes import (
    NO_CTRANSLATE2,
    Demonstration,
    ExportFormat,
    Metric,
    Recipe,
    Section,
    Signature,
    TaskDescription,
    TensorInfo,
    register_task,
)
from keras_attn.recipes.figures import Run
from keras_attn.recipes.recipe import Fraction
from keras_attn.tasks.detection import _card
from keras_attn.tasks.detection.own_data import DetectionReader, fit_to_images

MAP50 = Metric("map50", "mAP50", digits=3)


class BoxAugmentation(Section):
    """Random augmentation of training images and their boxes, see `keras_attn.layers`.

    Attributes:
        zoom: See `keras_attn.layers.RandomPlacement`; 1 for none.
        stretch: See `keras_attn.layers.RandomPlacement`; 1 for none.
        shift: See `keras_attn.layers.RandomPlacement`.
        turn: Whether to turn images by quarters, for images that have no upper side.
        contrast: See `keras_attn.layers.RandomColor`.
        brightness: See `keras_attn.layers.RandomColor`.
        balance: See `keras_attn.layers.RandomColor`.
    """

    zoom: Annotated[float, Field(ge=1)] = 1.0
    stretch: Annotated[float, Field(ge=1)] = 1.0
    shift: Fraction = 0.0
    turn: bool = False
    contrast: Fraction = 0.0
    brightness: Fraction = 0.0
    balance: Fraction = 0.0


class DetectionRecipe(Recipe):
    """A recipe with augmentation of boxes, see `keras_attn.recipes.Recipe`."""

    augmentation: BoxAugmentation = BoxAugmentation()


def check_threshold(name: str, value: Any) -> None:
    """Raise ValueError unless a threshold is None or a number in [0, 1]."""
    if value is None:
        return
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number or not 0.0 <= value <= 1.0:
        raise ValueError(f"`{name}` must be a number from 0 to 1. Received: {value!r}.")


FITTED = "of the size of the network: resized in its aspect ratio, grey right or below"
OUTPUTS = (
    TensorInfo("boxes", "float32", ("B", "N", 4), "left, top, right, bottom in pixels"),
    TensorInfo("labels", "string", ("B", "N"), "label of each box, empty for padding"),
    TensorInfo("scores", "float32", ("B", "N"), "score of each box, falling"),
    TensorInfo("counts", "int32", ("B",), "number of boxes of each image"),
)


class ObjectDetection(TaskDescription):
    """Boxes and labels of the objects in an image."""

    name = "object_detection"
    model = "keras_attn.tasks.detection.detector:ObjectDetector"
    example, examples = "picture", "pictures"
    keywords = ("detection", "boxes")
    min_labels = 1
    primary_metric = MAP50
    recipe: ClassVar[type[Recipe]] = DetectionRecipe
    signature = Signature(
        (TensorInfo("images", "uint8", ("B", "H", "W", 3), "images of any size, RGB"),),
        OUTPUTS,
    )
    further_signatures: ClassVar[dict[str, Signature]] = {
        "bytes": Signature(
            (TensorInfo("image_bytes", "string", ("B",), "contents of JPEG or PNG files"),),
            OUTPUTS,
        )
    }
    example_titles = ("objects", "detected")
    example_rule = (
        "The first pictures of the validation split. Full lines: detected boxes; dashed lines: "
        "boxes of the data set that no detected box of the label overlaps by half or more."
    )
    further_formats: ClassVar[dict[str, ExportFormat]] = {
        "onnx": ExportFormat("ONNX", f"images uint8 (B, H, W, 3) {FITTED}", suffix=".onnx"),
    }
    refused_formats: ClassVar[dict[str, str]] = {
        "litert": "its interpreter cannot prepare the selection of boxes (XNNPACK delegate: failed "
        "to reshape runtime). Use 'onnx' or 'saved_model'.",
        "ctranslate2": NO_CTRANSLATE2,
    }
    usage = 'detect("photo.png")  # boxes, labels, scores'
    pipeline_tag = "object-detection"
    reads: ClassVar[Literal["texts", "files"]] = "files"
    example_input = "image.png"
    draws_answers = True
    prediction_options = ("threshold", "max_boxes", "max_pixels", "errors")
    export_options = ("threshold", "max_boxes")
    explanation_options = ("label", "max_pixels")
    table = DetectionReader()

    def demonstration(self) -> Demonstration:
        from keras_attn.tasks.detection.demonstration import demonstration

        return demonstration()

    def check_options(self, options: Mapping[str, Any]) -> None:
        check_threshold("threshold", options.get("threshold"))

    def metric_columns(self, metrics: Mapping[str, Any]) -> dict[str, str]:
        return _card.metric_columns(metrics)

    def metric_notes(self, metrics: Mapping[str, Any]) -> list[str]:
        return _card.NOTES

    def run_columns(self, run: Run) -> dict[str, str]:
        return _card.run_columns(run)

    def card_results(self, recipe: Recipe, runs: Mapping[str, Sequence[Run]]) -> list[str]:
        return _card.results(recipe, runs)

    def fit_to_data(self, recipe: Recipe, train: Any) -> tuple[Recipe, list[str]]:
        return fit_to_images(recipe, train)

    def selection_title(self, recipe: Recipe) -> str:
        return "F1 at a score of 0.3"


DESCRIPTION: TaskDescription = register_task(ObjectDetection())
