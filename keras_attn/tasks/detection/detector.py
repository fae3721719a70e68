"""The object detector: a task that finds objects in images."""

import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self, overload

import keras
import numpy as np
from keras import ops

from keras_attn import models
from keras_attn._types import Tensor
from keras_attn._validation import check_positive_integer
from keras_attn.datasets import Dataset, DetectionSplit
from keras_attn.datasets.files.images import MAX_PIXELS
from keras_attn.layers import ImageNormalization
from keras_attn.ops import select_boxes
from keras_attn.recipes import Recipe, Signature, TaskDescription, TensorInfo
from keras_attn.tasks._image_bytes import decode_image_in_graph, image_requests
from keras_attn.tasks._image_inputs import Image, as_sequence, is_one_image, read_image
from keras_attn.tasks._labels import check_label_names
from keras_attn.tasks.compilation import compile_mode
from keras_attn.tasks.detection.answers import Detections
from keras_attn.tasks.detection.description import DESCRIPTION, check_threshold
from keras_attn.tasks.detection.explanation import DetectionExplanation, explain_detection
from keras_attn.tasks.detection.fitting import DetectionFitting
from keras_attn.tasks.detection.inputs import fit_images_in_graph
from keras_attn.tasks.detection.losses import BestFit, DetectionLoss, decode_map
from keras_attn.tasks.detection.metrics import average_precision, best_thresholds, count_errors
from keras_attn.tasks.detection.plots import draw_example
from keras_attn.tasks.detection.training_data import DetectionTrainingData
from keras_attn.tasks.example_answers import ExampleAnswer
from keras_attn.tasks.task import Task
from keras_attn.tasks.training_data import TrainingData

DEFAULT_THRESHOLD = 0.3  # of a model that was not trained by a recipe
LEAST_SCORE = 0.01  # of the boxes that the average precision is computed from
MAX_BOXES = 100
EXAMPLE_SIDE = 512  # pixels of a picture on a card, at most
BATCH = 32  # images
ADAPT_SAMPLE = 500  # largest number of images for input statistics


@keras.saving.register_keras_serializable(package="keras_attn")
class ObjectDetector(DetectionFitting):
    """A network with preprocessing and labels that finds objects in images.

    It is a `keras.Model`: `fit` and `evaluate` take images of any size, as arrays, lists or file
    paths, and the boxes and labels of their objects. It is compiled with AdamW; call `compile` to
    change that. `detect` and the exported SavedModel return boxes in pixels of the image, with
    labels and scores.

    Args:
        network: A model from normalized float images `(B, H, W, 3)` to a map `(B, h, w, C + 4)`,
            see `keras_attn.models.build_attention_detector`.
        label_names: The name of each of the `C` labels.
        iou_threshold: Largest overlap (IoU) of two boxes of a label in an answer.
        **kwargs: See `keras_attn.tasks.Task`.

    Attributes:
        image_size: Height and width of the network's input.
        score_thresholds: Variable `(C,)`: least score of the boxes of each label in an answer.
            Training by a recipe sets it, see `calibrate`.
        max_pixels: Largest image file to decode, in pixels. It is not saved.

    Call arguments:
        inputs: Images `(B, H, W, 3)` with values in 0..255, uint8 or float, at the size of the
            network's input. Outside of graphs they may also be what `fit` takes.

    Returns:
        The map of the network, float32 `(B, h, w, C + 4)`.

    Raises:
        ValueError: The network has other inputs or outputs, or another number of labels.

    Example:

    >>> network = models.build("attention_detector", num_classes=2, image_size=(64, 96))
    >>> detector = ObjectDetector(network, ("cat", "dog"))
    >>> len(detector.detect(np.zeros((120, 90, 3), "uint8"), threshold=0.9))
    0
    """

    description: ClassVar[TaskDescription] = DESCRIPTION

    def __init__(
        self,
        network: keras.Model,
        label_names: Sequence[str],
        iou_threshold: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        inputs, outputs = network.input_shape, network.output_shape
        if len(inputs) != 4 or len(outputs) != 4 or None in (*inputs[1:], *outputs[1:]):
            raise ValueError(
                "`network` must map images (B, H, W, 3) of a fixed size to a map (B, h, w, C + 4). "
                f"Received: inputs {inputs}, outputs {outputs}."
            )
        self.label_names = check_label_names(type(self).__name__, label_names, outputs[-1] - 4)
        check_threshold("iou_threshold", iou_threshold)
        self.network = network
        self.autocast = False  # uint8 values stay exact until they are normalized
        self.image_size = (inputs[1], inputs[2])
        self.iou_threshold = float(iou_threshold)
        self.max_pixels = MAX_PIXELS
        self.score_thresholds = self.add_weight(
            name="score_thresholds",
            shape=(len(self.label_names),),
            initializer=keras.initializers.Constant(DEFAULT_THRESHOLD),
            trainable=False,
            dtype="float32",
            autocast=False,
        )
        self.normalization = ImageNormalization(name="normalization", dtype=self.dtype_policy)
        self.normalization.build((None, *inputs[1:]))
        self.built = True
        self.compile(
            optimizer=keras.optimizers.AdamW(1e-3),
            loss=DetectionLoss(self.image_size),
            metrics=[BestFit(self.image_size)],
            jit_compile=compile_mode(),
        )

    @classmethod
    def from_architecture(
        cls,
        architecture: str,
        *,
        label_names: Sequence[str] = (),
        preprocessing: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Self:
        """Return a detector with fresh weights, see `Task.from_architecture`.

        Raises:
            ValueError: `preprocessing` is not empty; object detection has no such settings.
        """
        if preprocessing:
            raise ValueError(
                f"{architecture!r} reads images, which have no preprocessing settings. "
                f"Received: preprocessing={dict(preprocessing)}."
            )
        network = models.build(architecture, num_classes=len(label_names), **settings)
        return cls(network, label_names)

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(inputs, list | tuple | np.ndarray) or hasattr(inputs, "to_numpy"):
            inputs = self.preprocess_inputs(inputs)
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        return self.network(self.normalization(inputs), training=training)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (input_shape[0], *self.network.output_shape[1:])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "label_names": list(self.label_names),
            "iou_threshold": self.iou_threshold,
        }

    # Training

    def adapt(self, images: Any, objects: Any = None) -> None:
        """Learn mean and standard deviation of the images.

        Call it once on a new model, with training images, before `fit`.

        Args:
            images: Images of any size, as for `fit`. A random sample of at most 500 is used.
            objects: Not used.

        Raises:
            TypeError, ValueError: The inputs are not images, or there are none.
        """
        self._check_adaptable()
        images = as_sequence(images)
        if not len(images):
            raise ValueError("`adapt` needs images to learn from. Received: none.")
        rows = np.random.default_rng(0).permutation(len(images))[:ADAPT_SAMPLE]
        self.normalization.adapt(self.preprocess_inputs([images[row] for row in rows]))

    @property
    def _is_adapted(self) -> bool:
        fresh = ImageNormalization()
        fresh.build((None, *self.image_size, 3))
        pairs = zip(fresh.weights, self.normalization.weights, strict=True)
        return not all(np.array_equal(start, now) for start, now in pairs)

    @property
    def variables_set_after_training(self) -> tuple[keras.Variable, ...]:
        return (self.score_thresholds,)

    def training_data(self, dataset: Dataset[Any], recipe: Recipe) -> DetectionTrainingData:
        """Return training and validation images as batches, see `Task.training_data`."""
        return DetectionTrainingData(self, dataset, recipe)

    def finalize(self, data: TrainingData) -> dict[str, Any]:
        """Set `score_thresholds` by the counts of the validation images, see `calibrate`."""
        assert isinstance(data, DetectionTrainingData)
        split = data.dataset["validation"]
        thresholds = self._calibrate(self._detections(split.inputs), split.targets)
        return {"score_thresholds": thresholds}

    def calibrate(
        self, images: Any, objects: Any, *, bounding_box_format: str = "xyxy"
    ) -> dict[str, float]:
        """Set the least score of each label such that the counts of held-out images are best.

        Args:
            images: Held-out images, as for `fit`.
            objects: Their objects, as for `fit`.
            bounding_box_format: See `fit`.

        Returns:
            The least score of each label: the sum over images of the absolute errors of its counts
            is minimal.

        Raises:
            ValueError: There are no images, or not the objects of each.
        """
        images = list(as_sequence(images))
        self._check_not_empty(images)
        targets = self._objects(objects, images, bounding_box_format)
        return self._calibrate(self._detections(images), targets)

    def _calibrate(
        self, detections: list[dict[str, np.ndarray]], targets: list[dict[str, np.ndarray]]
    ) -> dict[str, float]:
        thresholds = best_thresholds(detections, targets, len(self.label_names), DEFAULT_THRESHOLD)
        self.score_thresholds.assign(thresholds)
        return dict(zip(self.label_names, map(float, thresholds), strict=True))

    def evaluate_split(self, split: DetectionSplit, batch_size: int = BATCH) -> dict[str, Any]:
        """Return the metrics of a split.

        Args:
            split: Images with boxes and labels.
            batch_size: Number of images in a batch.

        Returns:
            `map50`, `map` and `ap50_by_label`, see
            `keras_attn.tasks.detection.metrics.average_precision`; `count_error`,
            `count_median_error` and `count_bias`, see
            `keras_attn.tasks.detection.metrics.count_errors`, of boxes from `score_thresholds` on;
            `loss`, see `keras_attn.tasks.detection.losses.DetectionLoss`; and the number of
            `examples` and `objects`.

        Raises:
            ImportError: pycocotools is not installed.
        """
        check_positive_integer("batch_size", batch_size)
        detections = self._detections(split.inputs, batch_size)
        thresholds = ops.convert_to_numpy(self.score_thresholds)
        targets = split.targets
        objects = sum(len(each["labels"]) for each in targets)
        return {
            **average_precision(detections, targets, self.label_names),
            **count_errors(detections, targets, thresholds),
            "loss": self._loss(split, batch_size),
            "examples": len(split),
            "objects": objects,
        }

    def _loss(self, split: DetectionSplit, batch_size: int) -> float:
        """Return the mean loss over the objects of a split."""
        loss, total, objects = DetectionLoss(self.image_size), 0.0, 0.0
        for start in range(0, len(split), batch_size):
            images, targets = self.encode(split.take(slice(start, start + batch_size)))
            count = max(1, int((targets[..., 4] >= 0).sum()))
            total += count * float(loss(targets, self.predict_on_batch(images)))
            objects += count
        return total / max(1.0, objects)

    # The trained backbone

    def copy_backbone(self, source: Task) -> list[str]:
        """Copy the input statistics, and all layers but that of the logits of labels.

        Raises:
            ValueError: `source` is another kind of model, or has another architecture.
        """
        if not isinstance(source, ObjectDetector):
            raise ValueError(
                f"The backbone of {type(self).__name__} must come from a model of the same type. "
                f"Received: {type(source).__name__}."
            )
        layers = {layer.name: layer for layer in source.network.layers}
        fresh = []
        for layer in self.network.layers:
            if not layer.weights:
                continue
            other = layers.get(layer.name)
            shapes = [] if other is None else [weight.shape for weight in other.weights]
            if layer.name == "labels":
                fresh.append(layer.name)
            elif other is not None and shapes == [weight.shape for weight in layer.weights]:
                layer.set_weights(other.get_weights())
            else:
                raise ValueError(
                    f"The layer {layer.name!r} does not fit that of the trained network. Build "
                    "both with the same settings."
                )
        self.normalization.set_weights(source.normalization.get_weights())
        return fresh

    # Answers

    @overload
    def detect(  # type: ignore[overload-overlap]  # a str is a sequence of them
        self,
        images: str | os.PathLike[str],
        *,
        threshold: float | None = None,
        iou_threshold: float | None = None,
        max_boxes: int = MAX_BOXES,
        batch_size: int = BATCH,
        max_pixels: int | None = None,
    ) -> Detections: ...

    @overload
    def detect(
        self,
        images: Sequence[Image],
        *,
        threshold: float | None = None,
        iou_threshold: float | None = None,
        max_boxes: int = MAX_BOXES,
        batch_size: int = BATCH,
        max_pixels: int | None = None,
    ) -> list[Detections]: ...

    @overload
    def detect(
        self,
        images: np.ndarray,
        *,
        threshold: float | None = None,
        iou_threshold: float | None = None,
        max_boxes: int = MAX_BOXES,
        batch_size: int = BATCH,
        max_pixels: int | None = None,
    ) -> Any: ...

    def detect(
        self,
        images: Any,
        *,
        threshold: float | None = None,
        iou_threshold: float | None = None,
        max_boxes: int = MAX_BOXES,
        batch_size: int = BATCH,
        max_pixels: int | None = None,
    ) -> Any:
        """Find the objects in images of any size.

        Args:
            images: A uint8 array `(H, W, 3)` or `(B, H, W, 3)`; the path of an image file, see
                `keras_attn.datasets.decode_image`; an image of Pillow; or a list or column of
                pandas of such paths, images and arrays, whose sizes may differ.
            threshold: Least score of a box; None is that of each label in `score_thresholds`.
            iou_threshold: Largest overlap of two boxes of a label; None is that of the model.
            max_boxes: Largest number of boxes of an image.
            batch_size: Number of images in a batch.
            max_pixels: Largest image file to decode, in pixels. None is the attribute
                `max_pixels`, at first 100 million.

        Returns:
            `Detections` for a single image, a list of them for a batch or a list.

        Raises:
            TypeError: The images are not uint8.
            ValueError: The images have another shape, a file is not an image or too large, or an
                argument is out of range.
            FileNotFoundError: A file does not exist.
        """
        single = is_one_image(images)
        answers = self.answers(
            [images] if single else as_sequence(images),
            threshold=threshold,
            iou_threshold=iou_threshold,
            max_boxes=max_boxes,
            batch_size=batch_size,
            max_pixels=max_pixels,
        )
        return answers[0] if single else answers

    def answers(
        self,
        inputs: Any,
        *,
        threshold: float | None = None,
        iou_threshold: float | None = None,
        max_boxes: int = MAX_BOXES,
        batch_size: int = BATCH,
        max_pixels: int | None = None,
        errors: Literal["raise", "return"] = "raise",
    ) -> list[Any]:
        """Return the answer for each image, see `detect`.

        Args:
            inputs: Images, as for `detect`.
            threshold: See `detect`.
            iou_threshold: See `detect`.
            max_boxes: See `detect`.
            batch_size: See `detect`.
            max_pixels: See `detect`.
            errors: What to do about an image that cannot be read: `"raise"` the error, or
                `"return"` it in place of the answer, and answer the others.
        """
        if errors not in ("raise", "return"):
            raise ValueError(f"`errors` must be 'raise' or 'return'. Received: {errors!r}.")
        check_threshold("threshold", threshold)
        check_threshold("iou_threshold", iou_threshold)
        check_positive_integer("max_boxes", max_boxes)
        check_positive_integer("batch_size", batch_size)
        images = list(as_sequence(inputs))
        options: dict[str, Any] = {
            "threshold": threshold,
            "iou_threshold": iou_threshold,
            "max_boxes": max_boxes,
        }
        answers: list[Any] = []
        for start in range(0, len(images), batch_size):
            part = images[start : start + batch_size]
            arrays = [self._read(image, max_pixels, errors == "return") for image in part]
            readable = [each for each in arrays if not isinstance(each, Exception)]
            found = iter(self._select(*self._maps(readable), **options) if readable else ())
            answers += [
                array if isinstance(array, Exception) else self._answer(next(found), image)
                for array, image in zip(arrays, part, strict=True)
            ]
        return answers

    def _answer(self, found: dict[str, np.ndarray], image: Any) -> Detections:
        labels = tuple(self.label_names[label] for label in found["labels"])
        return Detections(found["boxes"], labels, found["scores"], image)

    def _read(self, image: Any, max_pixels: int | None, skip_errors: bool) -> Any:
        """Return an image as an array, or the error of reading it."""
        try:
            return read_image(image, self.max_pixels if max_pixels is None else max_pixels)
        except (ValueError, TypeError, OSError) as error:
            if not skip_errors:
                raise
            return error

    def _maps(
        self, images: Sequence[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int]]]:
        """Return the maps of arrays, the factors between each and the input, and their sizes."""
        batch, factors = self._fit(images)
        return self.predict_on_batch(batch), factors, [image.shape[:2] for image in images]

    def _select(
        self,
        maps: np.ndarray,
        factors: np.ndarray,
        sizes: Sequence[tuple[int, int]],
        *,
        threshold: float | None = None,
        iou_threshold: float | None = None,
        max_boxes: int = MAX_BOXES,
    ) -> list[dict[str, np.ndarray]]:
        """Return the boxes, labels and scores of each image, in pixels of the image."""
        boxes, labels, scores = (
            ops.convert_to_numpy(each)
            for each in self._boxes(maps, threshold, iou_threshold, max_boxes)
        )
        results = []
        for row, (height, width) in enumerate(sizes):
            exists = labels[row] >= 0
            sides = boxes[row][exists] / np.tile(factors[row], 2).astype("float32")
            limits = np.array([width, height, width, height], "float32")
            results.append({
                "boxes": np.clip(sides, 0.0, limits),
                "labels": labels[row][exists],
                "scores": scores[row][exists],
            })  # fmt: skip
        return results

    def _boxes(
        self, maps: Tensor, threshold: Any, iou_threshold: float | None, max_boxes: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return boxes in pixels of the network's input, labels and scores, see `select_boxes`."""
        logits, boxes = decode_map(ops.cast(maps, "float32"), self.image_size)
        return select_boxes(
            boxes,
            ops.sigmoid(logits),
            threshold=self.score_thresholds.value if threshold is None else threshold,
            iou_threshold=self.iou_threshold if iou_threshold is None else iou_threshold,
            max_boxes=max_boxes,
            max_candidates=max(400, 4 * max_boxes),
        )

    def _detections(
        self, images: Sequence[Any], batch_size: int = BATCH
    ) -> list[dict[str, np.ndarray]]:
        """Return the boxes of images from `LEAST_SCORE` on, for metrics."""
        results: list[dict[str, np.ndarray]] = []
        for start in range(0, len(images), batch_size):
            part = images[start : start + batch_size]
            arrays = [read_image(image, self.max_pixels) for image in part]
            results += self._select(*self._maps(arrays), threshold=LEAST_SCORE)
        return results

    def explain(
        self,
        image: Image,
        label: str | None = None,
        *,
        index: int = 0,
        max_pixels: int | None = None,
    ) -> DetectionExplanation:
        """Explain a detected object by attention from its position, and by occlusion.

        Args:
            image: An image, as for `detect`.
            label: The label of the object; None is any.
            index: Number of the object among those of the label, by falling score, from 0.
            max_pixels: See `detect`.

        Raises:
            ValueError: The label is unknown, or there are fewer objects.
        """
        limit = self.max_pixels if max_pixels is None else max_pixels
        return explain_detection(self, read_image(image, limit), label, index)

    def example_answers(self, split: DetectionSplit, count: int = 3) -> list[ExampleAnswer]:
        """Return the first images with their boxes drawn, see `Task.example_answers`."""
        examples = []
        for row in range(min(count, 3, len(split))):
            image, boxes, labels = split.images[row], split.boxes[row], split.labels[row]
            answer = self.detect(image)
            names = [self.label_names[label] for label in labels]
            truth = Detections(boxes, tuple(names), np.ones(len(names), "float32"))
            picture = draw_example(image, answer, truth, self.label_names)
            step = 1 + max(picture.shape) // EXAMPLE_SIDE
            picture = picture[::step, ::step]  # cards show pixels as they are
            examples.append(ExampleAnswer(picture, truth.describe(), answer.describe()))
        return examples

    # Export

    def export_info(self) -> dict[str, Any]:
        return {**super().export_info(), "label_names": list(self.label_names)}

    def serving_function(
        self, threshold: float | None = None, max_boxes: int = MAX_BOXES
    ) -> Callable[..., dict[str, Any]]:
        """Return the function to export, from uint8 images of any size to boxes.

        Args:
            threshold: See `detect`.
            max_boxes: See `detect`.
        """
        check_threshold("threshold", threshold)
        check_positive_integer("max_boxes", max_boxes)
        import tensorflow as tf

        def serve(images: Any) -> dict[str, Any]:
            images = tf.ensure_shape(images, (None, None, None, 3))
            # TensorFlow's convolutions on a CPU fail for empty batches: add an image of one
            # pixel, and drop its answer.
            size = tf.shape(images)[0]
            padding = tf.cast(tf.equal(size, 0), tf.int32)
            images = tf.pad(images, [[0, padding], [0, padding], [0, padding], [0, 0]])
            sides = tf.cast(tf.shape(images)[1:3], tf.float32)[::-1]
            batch, factors = fit_images_in_graph(images, self.image_size)
            return self._serving_outputs(batch, factors, sides, size, threshold, max_boxes)

        return serve

    def further_serving_functions(
        self, threshold: float | None = None, max_boxes: int = MAX_BOXES
    ) -> Mapping[str, Callable[..., dict[str, Any]]]:
        """Return the function of the signature `bytes`, from JPEG and PNG files to boxes."""
        import tensorflow as tf

        def read(content: Any) -> tuple[Any, Any, Any]:
            image = decode_image_in_graph(content, self.max_pixels)
            batch, factors = fit_images_in_graph(image[None], self.image_size)
            return batch[0], factors, tf.cast(tf.shape(image)[:2], tf.float32)[::-1]

        def serve(image_bytes: Any) -> dict[str, Any]:
            contents = tf.ensure_shape(image_bytes, (None,))
            size = tf.shape(contents)[0]
            shapes = (*self.image_size, 3), (2,), (2,)
            specs = tuple(tf.TensorSpec(shape, tf.float32) for shape in shapes)
            batch, factors, sides = tf.map_fn(
                read, contents, fn_output_signature=specs, parallel_iterations=1
            )
            padding = tf.cast(tf.equal(size, 0), tf.int32)
            batch = tf.pad(batch, [[0, padding], [0, 0], [0, 0], [0, 0]])
            factors = tf.pad(factors, [[0, padding], [0, 0]], constant_values=1.0)[:, None]
            sides = tf.pad(sides, [[0, padding], [0, 0]])[:, None]
            return self._serving_outputs(batch, factors, sides, size, threshold, max_boxes)

        return {"bytes": serve}

    def _serving_outputs(
        self,
        batch: Any,
        factors: Any,
        sides: Any,
        size: Any,
        threshold: float | None,
        max_boxes: int,
    ) -> dict[str, Any]:
        """Return the outputs of the signature, in TensorFlow.

        Args:
            batch: Images `(B, *image_size, 3)`.
            factors: Those of x and y between an image and the batch, `(2,)` or `(B, 1, 2)`.
            sides: Width and height of an image, of the same shape.
            size: Number of rows to return.
            threshold: See `detect`.
            max_boxes: See `detect`.
        """
        import tensorflow as tf

        names = tf.constant(["", *self.label_names])
        boxes, labels, scores = self._boxes(self(batch, training=False), threshold, None, max_boxes)
        limits = tf.concat([sides, sides], axis=-1)
        boxes = tf.clip_by_value(boxes / tf.concat([factors, factors], axis=-1), 0.0, limits)
        return {
            "boxes": boxes[:size],
            "labels": tf.gather(names, labels + 1)[:size],
            "scores": scores[:size],
            "counts": tf.reduce_sum(tf.cast(labels >= 0, tf.int32), axis=1)[:size],
        }

    def export_writers(self) -> dict[str, Callable[..., pathlib.Path]]:
        """Return the functions that write each format, see `Task.export_writers`.

        ONNX models read images that are fitted to the network, see
        `keras_attn.tasks.detection.inputs.fit_images`, and return boxes in pixels of them.
        """
        return {**super().export_writers(), "onnx": self._write_onnx}

    def onnx_function(self) -> tuple[Callable[..., dict[str, Any]], Signature]:
        axes = ("B", *self.image_size, 3)
        images = TensorInfo("images", "uint8", axes, "RGB, fitted to this size")
        return self._fitted_outputs, Signature((images,), ())

    def _fitted_outputs(self, images: Tensor) -> dict[str, Any]:
        """Return the outputs of formats without strings, in TensorFlow.

        `labels` are indices, and -1 for padding.
        """
        boxes, labels, scores = self._boxes(self(images, training=False), None, None, MAX_BOXES)
        counts = ops.sum(ops.cast(labels >= 0, "int32"), axis=1)
        return {"boxes": boxes, "labels": labels, "scores": scores, "counts": counts}

    def warmup_requests(self) -> Mapping[str, Mapping[str, Any]]:
        return image_requests(self.image_size)
