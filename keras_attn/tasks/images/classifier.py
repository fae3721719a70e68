"""Image classification: from images to labels with scores."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any, overload

import keras
import numpy as np
from keras import ops

from keras_attn.datasets import decode_image
from keras_attn.export import import_tensorflow, write_saved_model
from keras_attn.layers import ImageNormalization, PatchWhitening
from keras_attn.tasks.classification import (
    Classification,
    answer,
    check_export_arguments,
    checked_label_names,
    served,
)
from keras_attn.tasks.compilation import compile_mode
from keras_attn.tasks.images.views import average_over_views, check_views
from keras_attn.tasks.task import TaskModel

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_attn")
class ImageClassifier(TaskModel):
    """A network with its preprocessing and its labels: images in, answers out.

    It is a `keras.Model`: `fit`, `evaluate`, `predict` and `save` work on uint8 images of
    the network's size, with integer labels, and give logits. It comes compiled with Adam;
    compile it again to choose otherwise. `classify` and the exported SavedModel take
    images of any size, and give labels.

    Args:
        network: a model from normalized float images `(B, H, W, 3)` to logits `(B, C)`.
        label_names: the name of each of the `C` labels.

    Call arguments:
        inputs: images `(B, H, W, 3)` with values in 0..255, uint8 or float, of the
            network's size.

    Returns:
        float32 logits `(B, C)`.

    Raises:
        ValueError: the number of labels is not that of the network's outputs.

    Example:

    >>> from keras_attn import datasets, models
    >>> network = models.build("small_attention_cnn", num_classes=4)
    >>> classifier = ImageClassifier(network, datasets.describe_dataset("shapes").label_names)
    >>> answer = classifier.classify(np.zeros((32, 32, 3), "uint8"))
    >>> answer.label in {"red", "green", "blue", "yellow"}
    True
    """

    _parts = ("network",)

    def __init__(self, network: keras.Model, label_names: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.autocast = False  # uint8 values stay exact until they are normalized
        outputs = network.output_shape[-1]
        self.network = network
        self.label_names = checked_label_names("ImageClassifier", label_names, outputs)
        self.image_shape = tuple(network.input_shape[1:])
        self.normalization = ImageNormalization(name="normalization", dtype=self.dtype_policy)
        self.build((None, *self.image_shape))
        self.compile(
            optimizer=keras.optimizers.Adam(1e-3),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
            jit_compile=compile_mode(),
        )

    def build(self, input_shape: Any) -> None:
        self.normalization.build(input_shape)
        self.built = True

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        return self.network(self.normalization(inputs), training=training)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (input_shape[0], len(self.label_names))

    def adapt(self, images: np.ndarray) -> None:
        """Learn the statistics of the inputs: mean, deviation and, if any, whitening.

        Call it once, on training images, before a new model's `fit`.

        Args:
            images: uint8 array `(N, H, W, 3)`; at most 5,000 of them, drawn, are used.

        Raises:
            TypeError, ValueError: they are not such an array, or there are none.
        """
        images = np.asarray(images)
        self._check_images(images)
        if not len(images):
            raise ValueError("`adapt` needs images to learn from. Received: none.")
        sample = images[np.random.default_rng(0).permutation(len(images))[:5_000]]
        self.normalization.adapt(sample)
        normalized = ops.convert_to_numpy(self.normalization(sample))
        for layer in self.network.layers:
            if isinstance(layer, PatchWhitening):
                layer.adapt(normalized)

    def preprocess(self, images: Tensor, *rest: Any) -> Any:
        """Resize images to the network's size; for `tf.data.Dataset.map` among others.

        Args:
            images: uint8 tensor `(B, H, W, 3)` or `(H, W, 3)`.
            *rest: labels and whatever else a data set's elements hold, passed on.

        Returns:
            float32 images in 0..255, of the network's size, and the rest.
        """
        resized = ops.image.resize(
            ops.cast(images, "float32"),
            self.image_shape[:2],
            interpolation="bilinear",
            antialias=True,
            data_format="channels_last",
        )
        return (resized, *rest) if rest else resized

    @overload
    def classify(self, images: str | os.PathLike[str], *, views: int = 1) -> Classification: ...

    @overload
    def classify(self, images: Sequence[Any], *, views: int = 1) -> list[Classification]: ...

    @overload
    def classify(
        self, images: np.ndarray, batch_size: int = 256, views: int = 1
    ) -> Classification | list[Classification]: ...

    def classify(
        self, images: Any, batch_size: int = 256, views: int = 1
    ) -> Classification | list[Classification]:
        """Label images of any size.

        Args:
            images: a uint8 array `(H, W, 3)` or `(B, H, W, 3)`; the path of an image
                file; or a list of such paths and arrays, of whatever sizes.
            batch_size: images at a time.
            views: how many views of each image are averaged: 1, 2 (also mirrored) or 6 (both
                also moved by a pixel, two ways), see `keras_attn.tasks.images.views`. So many times
                the work, for some tenths of a percent.

        Returns:
            A `Classification` for a single image, a list of them for a batch or a list.

        Raises:
            TypeError: the images are not uint8.
            ValueError: the images have another shape, a file is not an image, or there is no
                such number of views.
            FileNotFoundError: there is no such file.
        """
        check_views(views)
        if isinstance(images, str | os.PathLike):
            return self._classify_one(decode_image(images), views)
        if isinstance(images, list | tuple):
            arrays = [decode_image(x) if isinstance(x, str | os.PathLike) else x for x in images]
            return [self._classify_one(array, views) for array in arrays]
        array = np.asarray(images)
        if array.ndim == 3:
            return self._classify_one(array, views)
        self._check_images(array)
        answers = []
        for start in range(0, len(array), batch_size):
            probabilities = self._probabilities(array[start : start + batch_size], views)
            answers += [
                answer(self.label_names, row) for row in ops.convert_to_numpy(probabilities)
            ]
        return answers

    def export(
        self, filepath: str | os.PathLike[str], *, views: int = 1, **kwargs: Any
    ) -> pathlib.Path:
        """Write a SavedModel that takes uint8 images `(B, H, W, 3)` of any size.

        Its signature `serving_default` (and `serve`) takes `images` and returns `label`
        (string), `score` (float32) and `probabilities` (float32, `(B, C)`). It runs
        wherever TensorFlow does, without keras and keras_attn.

        Args:
            filepath: the folder to write.
            views: how many views of each image are averaged, see `classify`.
            **kwargs: none is accepted.

        Raises:
            TypeError: an argument of Keras's own `export` was given.
            ValueError: there is no such number of views.
            FileExistsError: the folder exists and is not empty.
        """
        check_export_arguments("ImageClassifier", kwargs)
        check_views(views)
        tf = import_tensorflow()

        def serve(images: Any) -> dict[str, Any]:
            # On a CPU TensorFlow's convolutions fail on a batch of none: make it one, of
            # one pixel, and take it away again.
            size = tf.shape(images)[0]
            none = tf.cast(tf.equal(size, 0), tf.int32)
            images = tf.pad(images, [[0, none], [0, none], [0, none], [0, 0]])
            probabilities = self._probabilities(images, views)[:size]
            return served(self.label_names, probabilities)

        spec = tf.TensorSpec((None, None, None, 3), tf.uint8)
        return write_saved_model(filepath, serve, self, images=spec)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "label_names": list(self.label_names)}

    def logits(self, images: np.ndarray, batch_size: int = 500, views: int = 1) -> np.ndarray:
        """The logits `(N, C)` of uint8 images of the network's size, averaged over views.

        Args:
            images: uint8 array `(N, H, W, 3)`.
            batch_size: images at a time.
            views: see `classify`.

        Raises:
            ValueError: there is no such number of views.
        """
        check_views(views)
        of_batch = keras.Model(
            inputs := keras.Input(self.image_shape),
            average_over_views(lambda x: self(x, training=False), inputs, views),
        )
        return of_batch.predict(images, batch_size=batch_size, verbose=0)

    def _probabilities(self, images: Tensor, views: int = 1) -> Tensor:
        def logits(views_of_them: Tensor) -> Tensor:
            return self(views_of_them, training=False)

        return ops.softmax(average_over_views(logits, self.preprocess(images), views))

    def _classify_one(self, image: Any, views: int) -> Classification:
        array = np.asarray(image)[None]
        self._check_images(array)
        probabilities = self._probabilities(array, views)
        return answer(self.label_names, ops.convert_to_numpy(probabilities)[0])

    def _check_images(self, images: np.ndarray) -> None:
        received = f"Received: {images.dtype} of shape {images.shape}."
        if images.ndim != 4 or 0 in images.shape[1:]:
            raise ValueError(
                "Images must have shape (height, width, 3) or (batch, height, width, 3), or be "
                f"paths of image files. {received}"
            )
        if images.shape[-1] != 3:
            step = {
                1: "Repeat a grey image over three channels: np.repeat(images, 3, axis=-1).",
                4: "Drop the alpha channel: images[..., :3].",
            }.get(images.shape[-1], "Put the channels last.")
            raise ValueError(f"Images must have 3 channels, red, green and blue. {received} {step}")
        if images.dtype != np.uint8:
            raise TypeError(
                f"Images must be uint8, with values in 0..255. {received} Floats in 0..1 "
                "become that by (images * 255).round().astype('uint8')."
            )
