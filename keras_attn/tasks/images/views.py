"""Test-time augmentation: averaging logits over several views of an image."""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from keras_attn._types import Tensor
from keras_attn.tasks.calibration import softmax
from keras_attn.tasks.images.description import check_views


def average_over_views(
    logits: Callable[[Tensor], Tensor],
    images: Tensor,
    views: int,
    image_logits: Tensor | None = None,
) -> Tensor:
    """Return the average of the logits over several views of each image.

    Two views are the image and its mirror image. Six views add both of them shifted by one pixel,
    up left and down right, with reflection padding; the four shifted views together have the same
    weight as the two others (Jordan, arXiv:2404.00498).

    Args:
        logits: Function from images to logits `(B, C)`.
        images: Images `(B, H, W, channels)`.
        views: Number of views: 1, 2 or 6.
        image_logits: The logits of the images themselves; None computes them.

    Returns:
        Logits `(B, C)`.

    Raises:
        ValueError: The number of views is not supported.
    """
    check_views(views)
    image_logits = logits(images) if image_logits is None else image_logits
    if views == 1:
        return image_logits

    def mirror_average(images: Tensor) -> Tensor:
        return (logits(images) + logits(ops.flip(images, axis=2))) / 2

    unshifted = (image_logits + logits(ops.flip(images, axis=2))) / 2
    if views == 2:
        return unshifted
    height, width = ops.shape(images)[1:3]
    padded = ops.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    shifted = [padded[:, start : start + height, start : start + width] for start in (0, 2)]
    return unshifted / 2 + (mirror_average(shifted[0]) + mirror_average(shifted[1])) / 4


def average_where_uncertain(
    predict: Callable[[np.ndarray], np.ndarray], images: np.ndarray, views: int, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Average the logits over several views for the images whose score is below a threshold.

    The score of an image is the largest probability by its own logits. Images with a higher score
    keep their own logits, so that they cost one forward pass (as in hiverge/cifar10-speedrun).

    Args:
        predict: Function from images to logits `(B, C)`.
        images: Images `(B, H, W, channels)`.
        views: Number of views, see `average_over_views`.
        threshold: Score from which the further views are skipped. At 1 they are skipped for none.

    Returns:
        Logits `(B, C)`, and booleans `(B,)`: whether the further views were computed.
    """
    logits = np.array(predict(images))
    uncertain = np.ones(len(logits), bool)
    if threshold < 1.0:
        uncertain = softmax(logits.astype("float64")).max(axis=-1) < threshold
    if views == 1 or not uncertain.any():
        return logits, uncertain & (views > 1)
    rows = np.flatnonzero(uncertain)
    if keras.backend.backend() == "jax":  # which compiles for each number of rows
        rows = np.resize(rows, min(len(logits), 1 << (len(rows) - 1).bit_length()))
    logits[rows] = ops.convert_to_numpy(
        average_over_views(predict, images[rows], views, logits[rows])
    )
    return logits, uncertain


def average_in_graph(
    logits: Callable[[Tensor], Tensor], images: Tensor, views: int, threshold: float
) -> Tensor:
    """Return the logits of `average_where_uncertain` in a graph of TensorFlow.

    Args:
        logits: Function from images to logits `(B, C)`.
        images: Images `(B, H, W, channels)`, at least one.
        views: Number of views, see `average_over_views`.
        threshold: See `average_where_uncertain`.
    """
    import tensorflow as tf

    image_logits = logits(images)
    if views == 1 or threshold >= 1.0:
        return average_over_views(logits, images, views, image_logits)
    score = tf.reduce_max(tf.nn.softmax(image_logits), axis=-1)
    rows = tf.where(score < threshold)  # (U, 1)

    def averaged() -> Tensor:
        selected = tf.gather_nd(images, rows)
        means = average_over_views(logits, selected, views, tf.gather_nd(image_logits, rows))
        return tf.tensor_scatter_nd_update(image_logits, rows, means)

    # Convolutions on a CPU fail for empty batches.
    return tf.cond(tf.shape(rows)[0] > 0, averaged, lambda: image_logits)
