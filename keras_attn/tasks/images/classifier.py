"""The image classifier: a task that converts images into labels with scores."""

import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self, overload

import keras
import numpy as np
from keras import ops

from keras_attn import models
from keras_attn._types import Tensor
from keras_attn._validation import check_positive_integer
from keras_attn._wording import counted
from keras_attn.datasets import Dataset, ImageSplit
from keras_attn.datasets.files.images import MAX_PIXELS
from keras_attn.export import write_litert
from keras_attn.layers import ImageNormalization, PatchWhitening
from keras_attn.recipes import Recipe, Signature, TaskDescription
from keras_attn.tasks._image_bytes import decode_image_in_graph, image_requests
from keras_attn.tasks._image_inputs import (
    Image,
    as_sequence,
    check_channels,
    check_images,
    is_one_image,
    is_pillow,
    read_image,
)
from keras_attn.tasks.calibration import expected_calibration_error, softmax
from keras_attn.tasks.classification import (
    Classification,
    classification_answers,
    cross_entropy,
    serving_outputs,
)
from keras_attn.tasks.images.description import DESCRIPTION, check_quantization, check_views
from keras_attn.tasks.images.explanation import ImageExplanation, explain_image, explanation_curves
from keras_attn.tasks.images.fitting import ImageFitting
from keras_attn.tasks.images.fixed_size import (
    check_image_size,
    fixed_size_images,
    fixed_size_signature,
    resizing_by_products,
)
from keras_attn.tasks.images.training_data import ImageTrainingData
from keras_attn.tasks.images.views import average_in_graph, average_where_uncertain
from keras_attn.tasks.task import Task, write_info
from keras_attn.tasks.training_data import TrainingData

ADAPT_SAMPLE = 5_000  # largest number of images for input statistics


@keras.saving.register_keras_serializable(package="keras_attn")
class ImageClassifier(ImageFitting):
    """A network with preprocessing and labels that classifies images.

    It is a `keras.Model`: `fit`, `evaluate` and `predict` take images of any size, as arrays,
    lists or file paths, and labels as indices or names. It is compiled with Adam; call `compile`
    to change that. `classify` and the exported SavedModel return labels with scores.

    Args:
        network: A model from normalized float images `(B, H, W, 3)` to logits `(B, C)`.
        label_names: The name of each of the `C` labels.
        **kwargs: See `keras_attn.tasks.Task`.

    Attributes:
        max_pixels: Largest image file to decode, in pixels, see
            `keras_attn.datasets.decode_image`. It is not saved.

    Call arguments:
        inputs: Images `(B, H, W, 3)` with values in 0..255, uint8 or float, at the size of the
            network's input. Outside of graphs they may also be what `fit` takes.

    Returns:
        Float32 logits `(B, C)`, divided by the temperature that `calibrate` sets.

    Raises:
        ValueError: The number of labels is not the number of the network's outputs.

    Example:

    >>> from keras_attn import datasets, models
    >>> network = models.build("small_attention_cnn", num_classes=4)
    >>> classifier = ImageClassifier(network, datasets.describe_dataset("shapes").label_names)
    >>> answer = classifier.classify(np.zeros((32, 32, 3), "uint8"))
    >>> answer.label in {"red", "green", "blue", "yellow"}
    True
    """

    description: ClassVar[TaskDescription] = DESCRIPTION

    def __init__(self, network: keras.Model, label_names: Sequence[str], **kwargs: Any) -> None:
        super().__init__(network, label_names, **kwargs)
        self.autocast = False  # uint8 values stay exact until they are normalized
        self.image_shape = tuple(network.input_shape[1:])
        self.max_pixels = MAX_PIXELS
        self.temperature = self._add_scalar("temperature", 1.0)
        self.normalization = ImageNormalization(name="normalization", dtype=self.dtype_policy)
        self.build((None, *self.image_shape))
        self.compile_default()

    @classmethod
    def from_architecture(
        cls,
        architecture: str,
        *,
        label_names: Sequence[str] = (),
        preprocessing: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Self:
        """Return a classifier with fresh weights, see `Task.from_architecture`.

        Raises:
            ValueError: `preprocessing` is not empty; image classification has no such settings.
        """
        if preprocessing:
            raise ValueError(
                f"{architecture!r} reads images, which have no preprocessing settings. "
                f"Received: preprocessing={dict(preprocessing)}."
            )
        network = models.build(architecture, num_classes=len(label_names), **settings)
        return cls(network, label_names)

    def load_own_variables(self, store: Any) -> None:
        if not len(store.keys()):  # of a file before version 0.2, without calibration
            store = {"0": np.ones((), "float32")}
        super().load_own_variables(store)

    @property
    def variables_set_after_training(self) -> tuple[keras.Variable, ...]:
        return (self.temperature,)

    def build(self, input_shape: Any) -> None:
        self.normalization.build(input_shape)
        self.built = True

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        raw = list | tuple | np.ndarray | str | bytes | os.PathLike
        if isinstance(inputs, raw) or hasattr(inputs, "to_numpy") or is_pillow(inputs):
            inputs = self.preprocess_inputs(inputs)
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        check_channels(inputs.shape, f"Received: shape {tuple(inputs.shape)}.")
        logits = self.network(self.normalization(inputs), training=training)
        return logits / ops.cast(self.temperature, logits.dtype)

    def adapt(self, images: Any, labels: Any = None) -> None:
        """Learn mean and standard deviation of the inputs, and any whitening of the network.

        Call it once on a new model, with training images, before `fit`.

        Args:
            images: Images of any size, as for `fit`. A random sample of at most 5,000 is used.
            labels: Not used.

        Raises:
            TypeError, ValueError: The inputs are not images, or there are none.
        """
        self._check_adaptable()
        images = as_sequence(images)
        if isinstance(images, np.ndarray):
            check_images(images)
        if not len(images):
            raise ValueError("`adapt` needs images to learn from. Received: none.")
        rows = np.random.default_rng(0).permutation(len(images))[:ADAPT_SAMPLE]
        if isinstance(images, np.ndarray):
            sample = self.preprocess_inputs(images[rows])
        else:
            sample = self.preprocess_inputs([images[row] for row in rows])
        self.normalization.adapt(sample)
        normalized = ops.convert_to_numpy(self.normalization(sample))
        for layer in self.network.layers:
            if isinstance(layer, PatchWhitening):
                layer.adapt(normalized)

    def training_data(self, dataset: Dataset[Any], recipe: Recipe) -> ImageTrainingData:
        """Return training and validation images as batches, see `Task.training_data`."""
        return ImageTrainingData(self, dataset, recipe)

    def finalize(self, data: TrainingData) -> dict[str, Any]:
        """Calibrate the scores on the validation images."""
        assert isinstance(data, ImageTrainingData)
        return self._finalize(self.logits(data.validation.images), data.validation.labels)

    def calibrate(self, images: Any, labels: Any) -> float:
        """Calibrate scores by fitting the temperature to held-out images.

        The most probable labels do not change, see `keras_attn.tasks.fit_temperature`. Label
        smoothing, Mixup and short training make scores too low; long training on few images makes
        them too high.

        Args:
            images: Held-out images, as for `fit`.
            labels: The label of each image, as its index or name.

        Returns:
            The temperature. It is above 1 if the network was overconfident.

        Raises:
            ValueError: There are no images, or not a label for each.
        """
        indices = np.asarray(self.preprocess_targets(labels))
        logits = self.logits(images)
        if indices.shape != (len(logits),) or not len(logits):
            raise ValueError(
                "`calibrate` needs one label for each image, and at least one image. Received: "
                f"{counted(len(logits), 'image')}, labels of shape {indices.shape}."
            )
        return self._calibrate(logits, indices)

    def evaluate_split(
        self, split: ImageSplit, views: int = 1, views_threshold: float = 1.0
    ) -> dict[str, Any]:
        """Return the metrics of a split.

        Args:
            split: Images with labels.
            views: Number of test-time augmentation views for a second measurement of accuracy,
                see `classify`. With 1 it is measured once.
            views_threshold: See `classify`.

        Returns:
            `accuracy` and `f1_macro` in [0, 1], `loss` in nats, the number of `examples`, and the
            `calibration_error`, see `keras_attn.tasks.expected_calibration_error`; with several
            views also the number of `views` and `views_accuracy`; with a threshold also that,
            and `views_share`, the share of images whose further views were computed.

        Raises:
            ValueError: The number of views is not supported.
        """
        metrics, _ = self._evaluate(
            split.images, split.labels, views=views, views_threshold=views_threshold
        )
        return metrics

    def _evaluate(
        self,
        inputs: Any,
        labels: np.ndarray,
        *,
        views: int = 1,
        views_threshold: float = 1.0,
    ) -> tuple[dict[str, Any], np.ndarray]:
        check_views(views, views_threshold)
        logits = self.logits(inputs)
        predictions = logits.argmax(axis=-1)
        probabilities = softmax(logits.astype("float64"))
        metrics: dict[str, Any] = {
            "accuracy": float((predictions == labels).mean()),
            "f1_macro": self._macro_f1(labels, predictions),
            "loss": cross_entropy(probabilities, labels),
            "examples": len(labels),
            "calibration_error": expected_calibration_error(probabilities, labels),
        }
        if views > 1:
            parts = list(self._view_logits(inputs, 256, views, views_threshold, None))
            correct = np.concatenate([part.argmax(axis=-1) for part, _ in parts]) == labels
            metrics |= {"views": views, "views_accuracy": float(correct.mean())}
            if views_threshold < 1.0:
                share = float(np.concatenate([uncertain for _, uncertain in parts]).mean())
                metrics |= {"views_threshold": views_threshold, "views_share": share}
        return metrics, predictions

    def logits(
        self,
        x: Any,
        batch_size: int = 256,
        views: int = 1,
        max_pixels: int | None = None,
        views_threshold: float = 1.0,
    ) -> np.ndarray:
        """Return the float32 logits `(N, C)` of images of any size, in input order.

        Args:
            x: Images, as for `fit`.
            batch_size: Number of images in a batch.
            views: Number of test-time augmentation views, see `classify`.
            max_pixels: See `classify`.
            views_threshold: See `classify`.

        Raises:
            ValueError: The number of views is not supported, or `batch_size` is not a positive
                integer.
        """
        check_views(views, views_threshold)
        check_positive_integer("batch_size", batch_size)
        parts = self._view_logits(x, batch_size, views, views_threshold, max_pixels)
        empty = np.zeros((0, len(self.label_names)), "float32")
        return np.concatenate([empty, *(logits for logits, _ in parts)])

    def _view_logits(
        self,
        x: Any,
        batch_size: int,
        views: int,
        views_threshold: float,
        max_pixels: int | None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the logits of each batch, and whether further views were computed."""
        images = as_sequence(x)
        for start in range(0, len(images), batch_size):
            batch, _ = self._read_images(images[start : start + batch_size], max_pixels)
            # Each view goes through the compiled `predict_on_batch`, which is traced once.
            yield average_where_uncertain(self.predict_on_batch, batch, views, views_threshold)

    def features(self, x: Any, batch_size: int = 256) -> np.ndarray:
        """Return the float32 features `(N, F)` that the head reads, see `backbone`."""
        check_positive_integer("batch_size", batch_size)
        images = as_sequence(x)
        parts = []
        for start in range(0, max(1, len(images)), batch_size):
            batch = self.preprocess_inputs(images[start : start + batch_size])
            parts.append(self.backbone(self.normalization(batch), training=False))
        return np.concatenate([ops.convert_to_numpy(ops.cast(p, "float32")) for p in parts])

    @property
    def _is_adapted(self) -> bool:
        fresh = ImageNormalization()
        fresh.build((None, *self.image_shape))
        pairs = zip(fresh.weights, self.normalization.weights, strict=True)
        return not all(np.array_equal(start, now) for start, now in pairs)

    def copy_backbone(self, source: Task) -> list[str]:
        """Copy the input statistics and backbone of a trained classifier."""
        new_layers = super().copy_backbone(source)
        self.normalization.set_weights(source.normalization.get_weights())
        return new_layers

    @overload
    def classify(  # type: ignore[overload-overlap]  # a str is a sequence of them
        self,
        images: str | os.PathLike[str],
        *,
        batch_size: int = 256,
        views: int = 1,
        views_threshold: float = 1.0,
        max_pixels: int | None = None,
    ) -> Classification: ...

    @overload
    def classify(
        self,
        images: Sequence[Image],
        *,
        batch_size: int = 256,
        views: int = 1,
        views_threshold: float = 1.0,
        max_pixels: int | None = None,
    ) -> list[Classification]: ...

    @overload
    def classify(
        self,
        images: np.ndarray,
        *,
        batch_size: int = 256,
        views: int = 1,
        views_threshold: float = 1.0,
        max_pixels: int | None = None,
    ) -> Classification | list[Classification]: ...

    def classify(
        self,
        images: Any,
        *,
        batch_size: int = 256,
        views: int = 1,
        views_threshold: float = 1.0,
        max_pixels: int | None = None,
    ) -> Classification | list[Classification]:
        """Classify images of any size.

        Args:
            images: A uint8 array `(H, W, 3)` or `(B, H, W, 3)`; the path of an image file, see
                `keras_attn.datasets.decode_image`; an image of Pillow; or a list or column of
                pandas of such paths, images and arrays, whose sizes may differ.
            batch_size: Number of images in a batch.
            views: Number of test-time augmentation views whose logits are averaged: 1 (the
                image), 2 (and its mirror image) or 6 (and both shifted by a pixel in two
                directions), see `keras_attn.tasks.images.views`. The cost is proportional to it;
                the gain in accuracy is some tenths of a percent.
            views_threshold: Score from which the further views of an image are skipped. Most of
                the gain comes from images with a low score: see the page on images for figures. At
                1 the views of all images are computed.
            max_pixels: Largest image file to decode, in pixels. None is the attribute
                `max_pixels`, at first 100 million.

        Returns:
            A `Classification` for a single image, a list of them for a batch or a list.

        Raises:
            TypeError: The images are not uint8.
            ValueError: The images have another shape, a file is not an image or too large, the
                number of views is not supported, or `batch_size` is not a positive integer.
            FileNotFoundError: A file does not exist.
        """
        single = is_one_image(images)
        batch = [images] if single else as_sequence(images)
        if isinstance(batch, np.ndarray):
            check_images(batch)
        answers, _ = self._answers(batch, batch_size, views, views_threshold, max_pixels)
        return answers[0] if single else answers

    def answers(
        self,
        inputs: Sequence[Any],
        *,
        batch_size: int = 256,
        views: int = 1,
        views_threshold: float = 1.0,
        max_pixels: int | None = None,
        errors: Literal["raise", "return"] = "raise",
    ) -> list[Any]:
        """Return the answer for each image, see `classify`.

        Args:
            inputs: Images, as for `classify`.
            batch_size: See `classify`.
            views: See `classify`.
            views_threshold: See `classify`.
            max_pixels: See `classify`.
            errors: What to do about an image that cannot be read: `"raise"` the error, or
                `"return"` it in place of the answer, and answer the others.

        Raises:
            ValueError: `errors` is neither; or see `classify`.
        """
        if errors not in ("raise", "return"):
            raise ValueError(f"`errors` must be 'raise' or 'return'. Received: {errors!r}.")
        images = list(as_sequence(inputs))
        skip_errors = errors == "return"
        options = (batch_size, views, views_threshold, max_pixels)
        answers, by_index = self._answers(images, *options, skip_errors)
        rest = iter(answers)
        return [by_index[row] if row in by_index else next(rest) for row in range(len(images))]

    def _answers(
        self,
        images: Any,
        batch_size: int,
        views: int,
        views_threshold: float,
        max_pixels: int | None,
        skip_errors: bool = False,
    ) -> tuple[list[Classification], dict[int, Exception]]:
        """Return the answers for the images that can be read, and the errors of the others.

        Args:
            images: A list or an array.
            batch_size: Number of images in a batch.
            views: See `classify`.
            views_threshold: See `classify`.
            max_pixels: See `classify`.
            skip_errors: Whether to return the errors of images that cannot be read, by index;
                otherwise they are raised.
        """
        check_views(views, views_threshold)
        check_positive_integer("batch_size", batch_size)
        answers: list[Classification] = []
        errors: dict[int, Exception] = {}
        for start in range(0, len(images), batch_size):
            part = images[start : start + batch_size]
            batch, unreadable = self._read_images(part, max_pixels, skip_errors)
            errors |= {start + row: error for row, error in unreadable.items()}
            if len(batch):
                logits, _ = average_where_uncertain(
                    self.predict_on_batch, batch, views, views_threshold
                )
                answers += classification_answers(self.label_names, softmax(logits))
        return answers, errors

    def explain(
        self,
        image: Image,
        label: str | None = None,
        *,
        patch_size: int | None = None,
        max_pixels: int | None = None,
    ) -> ImageExplanation:
        """Explain an answer by an occlusion map and the attention maps of the network.

        Args:
            image: An image, as for `classify`.
            label: The label to explain. None explains the label of the answer.
            patch_size: Side of the occluded squares, in pixels of the network's input. None is an
                eighth of the image's shorter side.
            max_pixels: See `classify`.

        Returns:
            A `keras_attn.tasks.ImageExplanation`, which `print`, `plot` and notebooks
            display.

        Raises:
            ValueError: The label is unknown, or `patch_size` is out of range.

        Example:

        >>> import keras_attn
        >>> model = keras_attn.zoo.build("shapes_small_attention_cnn")
        >>> image = keras_attn.datasets.load("shapes")["test"].images[0]
        >>> model.explain(image).occlusion.shape
        (8, 8)
        """
        pixels = read_image(image, self.max_pixels if max_pixels is None else max_pixels)
        return explain_image(self, pixels, label, patch_size)

    def explanation_curves(self, split: ImageSplit, count: int = 50) -> dict[str, Any]:
        """Return deletion and insertion curves, see `Task.explanation_curves`."""
        return explanation_curves(self, split.images[:count])

    def serving_function(
        self, views: int = 1, views_threshold: float = 1.0
    ) -> Callable[..., dict[str, Any]]:
        """Return the function to export, from uint8 images of any size to labels with scores.

        Args:
            views: Number of test-time augmentation views, see `classify`.
            views_threshold: See `classify`. The graph selects the images of a batch.
        """
        check_views(views, views_threshold)
        import tensorflow as tf

        def serve(images: Any) -> dict[str, Any]:
            # A signature does not check the shape of what it is called with, and one channel
            # would be broadcast to three.
            images = tf.ensure_shape(images, (None, None, None, 3))
            # TensorFlow's convolutions on a CPU fail for empty batches: add an image of one
            # pixel, and drop its answer.
            size = tf.shape(images)[0]
            padding = tf.cast(tf.equal(size, 0), tf.int32)
            images = tf.pad(images, [[0, padding], [0, padding], [0, padding], [0, 0]])
            images = self.preprocess(images)
            logits = average_in_graph(self._inference, images, views, views_threshold)
            return serving_outputs(self.label_names, tf.nn.softmax(logits)[:size])

        return serve

    def further_serving_functions(
        self, views: int = 1, views_threshold: float = 1.0
    ) -> Mapping[str, Callable[..., dict[str, Any]]]:
        """Return the function of the signature `bytes`, from JPEG and PNG files to labels."""
        import tensorflow as tf

        def read(content: Any) -> Any:
            return self.preprocess(decode_image_in_graph(content, self.max_pixels))

        def serve(image_bytes: Any) -> dict[str, Any]:
            contents = tf.ensure_shape(image_bytes, (None,))
            size = tf.shape(contents)[0]
            spec = tf.TensorSpec(self.image_shape, tf.float32)
            images = tf.map_fn(read, contents, fn_output_signature=spec, parallel_iterations=1)
            padding = tf.cast(tf.equal(size, 0), tf.int32)
            images = tf.pad(images, [[0, padding], [0, 0], [0, 0], [0, 0]])
            logits = average_in_graph(self._inference, images, views, views_threshold)
            return serving_outputs(self.label_names, tf.nn.softmax(logits)[:size])

        return {"bytes": serve}

    def warmup_requests(self) -> Mapping[str, Mapping[str, Any]]:
        return image_requests(self.image_shape[:2])

    def export_writers(self) -> dict[str, Callable[..., pathlib.Path]]:
        """Return the functions that write each format, see `Task.export_writers`."""
        writers = {"onnx": self._write_onnx, "litert": self._write_litert}
        return {**super().export_writers(), **writers}

    def onnx_function(self) -> tuple[Callable[..., dict[str, Any]], Signature]:
        return self._probabilities, fixed_size_signature(self.image_shape[:2])

    def _probabilities(self, images: Tensor) -> dict[str, Any]:
        """Return the outputs of formats without strings, in TensorFlow."""
        import tensorflow as tf

        return {"probabilities": tf.nn.softmax(self._inference(images))}

    def _write_litert(
        self,
        path: pathlib.Path,
        image_size: Sequence[int] | None = None,
        quantization: str | None = None,
        calibration: Any = None,
    ) -> pathlib.Path:
        """Write a LiteRT model.

        Args:
            path: File to write.
            image_size: Height and width of the image that it reads, which is resized in the model;
                None is the size of the network.
            quantization: `"int8"` quantizes weights and activations; None nothing.
            calibration: Images for the quantization, as for `fit`, whose values are typical.
        """
        import tensorflow as tf

        check_quantization(quantization, calibration)
        size = check_image_size(image_size, self.image_shape[:2])
        resize = resizing_by_products(size, self.image_shape[:2])
        examples = None
        if calibration is not None:
            examples = fixed_size_images(calibration, size, self.max_pixels)
        write_litert(
            path,
            lambda images: self._probabilities(resize(images)),
            self,
            examples=examples,
            images=tf.TensorSpec((1, *size, 3), tf.uint8),
        )
        write_info(path, self.export_info())
        return path

    def _inference(self, images: Tensor) -> Tensor:
        return self(images, training=False)
