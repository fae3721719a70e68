"""Description of image classification. Imports no Keras."""

import numbers
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import pydantic
from pydantic import Field

from keras_attn.recipes import (
    NO_CTRANSLATE2,
    Demonstration,
    ExportFormat,
    Recipe,
    Section,
    Signature,
    TaskDescription,
    TensorInfo,
    register_task,
)
from keras_attn.recipes.recipe import NonNegative
from keras_attn.tasks import _classification_cards as cards
from keras_attn.tasks._class_weights import ClassificationTraining
from keras_attn.tasks._folder_data import FINE_TUNING, limit_recipe_batch
from keras_attn.tasks.images.own_data import READER


class Augmentation(Section):
    """Random augmentation of training images; 0 or false disables an augmentation.

    Attributes:
        flip: Horizontal flips. True flips each image with probability 1/2. `"alternating"` flips
            each image every other epoch, half of them in the first (Jordan, arXiv:2404.00498).
        shift: Largest shift in pixels along each side, with reflection padding.
        cutout: Side in pixels of the square that Cutout replaces with grey.
        mixup: `alpha` of the beta distribution from which Mixup draws mixing weights.
        cutmix: `alpha` of the beta distribution from which CutMix draws rectangle sizes.
    """

    flip: bool | Literal["alternating"] = False
    shift: Annotated[int, Field(ge=0)] = 0
    cutout: Annotated[int, Field(ge=0)] = 0
    mixup: NonNegative = 0.0
    cutmix: NonNegative = 0.0


class ImageTraining(ClassificationTraining):
    """Length, batch size and precision of training, and the evaluation of images.

    See `keras_attn.tasks._class_weights.ClassificationTraining` for the weights of classes.

    Attributes:
        views: Number of test-time augmentation views (1, 2 or 6). With several views, accuracy
            is also measured on their averaged logits, see
            `keras_attn.tasks.ImageClassifier.classify`.
        views_threshold: Score from which the further views of an image are skipped. At 1 they are
            skipped for none.
    """

    views: Literal[1, 2, 6] = 1
    views_threshold: Annotated[float, Field(gt=0, le=1)] = 1.0

    @pydantic.model_validator(mode="after")
    def _check_views(self) -> "ImageTraining":
        if self.views == 1 and self.views_threshold < 1.0:
            raise ValueError("views_threshold: it needs views = 2 or views = 6")
        return self


class ImageRecipe(Recipe):
    """A recipe with augmentation, see `keras_attn.recipes.Recipe`."""

    augmentation: Augmentation = Augmentation()
    training: ImageTraining

    @pydantic.model_validator(mode="after")
    def _check_augmentation(self) -> "ImageRecipe":
        if self.augmentation.mixup and self.augmentation.cutmix:
            raise ValueError("augmentation: choose mixup or cutmix, not both")
        return self

    @property
    def evaluation(self) -> dict[str, Any]:
        """Options of `ImageClassifier.evaluate_split`: the views."""
        threshold = self.training.views_threshold
        options: dict[str, Any] = {"views": self.training.views}
        return options if threshold == 1.0 else {**options, "views_threshold": threshold}

    @property
    def primary_evaluation(self) -> dict[str, Any]:
        """None: accuracy by several views is another metric."""
        return {}


VIEWS = (1, 2, 6)


def check_views(views: int, threshold: float = 1.0) -> None:
    """Raise ValueError unless `views` is one of `VIEWS`, and the threshold of scores fits them."""
    if views not in VIEWS:
        raise ValueError(
            f"`views` must be 1 (the image), 2 (and its mirror image) or 6 (and both moved up "
            f"left and down right by a pixel). Received: {views!r}."
        )
    number = isinstance(threshold, numbers.Real) and not isinstance(threshold, bool)
    if not number or not 0.0 < threshold <= 1.0:
        raise ValueError(
            "`views_threshold` must be a score above 0 and at most 1, from which the further views "
            f"of an image are skipped; 1 skips them for no image. Received: {threshold!r}."
        )
    if views == 1 and threshold < 1.0:
        raise ValueError(
            f"`views_threshold` needs several views. Received: {threshold!r} with views=1. Pass "
            "views=2 or views=6, too."
        )


def check_quantization(quantization: Any, calibration: Any) -> None:
    """Raise ValueError unless weights are to be quantized with, or not and without, examples."""
    if quantization not in (None, "int8"):
        raise ValueError(
            f"`quantization` must be 'int8', or None for float32. Received: {quantization!r}."
        )
    if (quantization is None) != (calibration is None):
        raise ValueError(
            "`quantization` to int8 needs `calibration`, some hundred images such as the model "
            f"will see, and these need quantization='int8'. Received: {quantization!r} and "
            f"{'no images' if calibration is None else 'images'}."
        )


class ImageClassification(cards.ClassificationDescription):
    """Classification of an image as one of a set of labels."""

    name = "image_classification"
    model = "keras_attn.tasks.images.classifier:ImageClassifier"
    example, examples = "image", "images"
    keywords = ("vision",)
    recipe: ClassVar[type[Recipe]] = ImageRecipe
    signature = Signature(
        (TensorInfo("images", "uint8", ("B", "H", "W", 3), "images of any size, RGB"),),
        cards.OUTPUTS,
    )
    further_signatures: ClassVar[dict[str, Signature]] = {
        "bytes": Signature(
            (TensorInfo("image_bytes", "string", ("B",), "contents of JPEG or PNG files"),),
            cards.OUTPUTS,
        )
    }
    further_formats: ClassVar[dict[str, ExportFormat]] = {
        "onnx": ExportFormat(
            "ONNX", "images uint8 (B, H, W, 3) of the size of the network", suffix=".onnx"
        ),
        "litert": ExportFormat(
            "LiteRT",
            "an image uint8 (1, H, W, 3) of the size of the network, or of image_size",
            ("image_size", "quantization", "calibration"),
            ".tflite",
        ),
    }
    refused_formats: ClassVar[dict[str, str]] = {"ctranslate2": NO_CTRANSLATE2}
    usage = 'classify("photo.png")  # label, score, probabilities'
    pipeline_tag = "image-classification"
    reads: ClassVar[Literal["texts", "files"]] = "files"
    example_input = "image.png"
    prediction_options = ("views", "views_threshold", "max_pixels", "errors")
    explanation_options = ("label", "max_pixels")
    export_options = ("views", "views_threshold")
    table = READER
    fine_tuning: ClassVar[Mapping[str, Any]] = FINE_TUNING

    def demonstration(self) -> Demonstration:
        from keras_attn.tasks.images.demonstration import demonstration

        return demonstration()

    def fit_to_data(self, recipe: Recipe, train: Any) -> tuple[Recipe, list[str]]:
        return limit_recipe_batch(recipe, train, self.example)

    def check_options(self, options: Mapping[str, Any]) -> None:
        check_views(options.get("views", 1), options.get("views_threshold", 1.0))
        check_quantization(options.get("quantization"), options.get("calibration"))


DESCRIPTION: TaskDescription = register_task(ImageClassification())
