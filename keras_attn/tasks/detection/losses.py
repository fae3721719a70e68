"""Boxes from the map of a dense detector; the loss of such a map, and metrics."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_attn._types import Tensor
from keras_attn.ops import box_iou, generalized_iou, select_boxes

F1_SCORE, F1_IOU, F1_CANDIDATES = 0.3, 0.5, 200
MAX_LOG_DISTANCE = 6.0  # of a side from its position, in units of the distance of two positions


def position_centres(map_size: tuple[int, int], image_size: tuple[int, int]) -> np.ndarray:
    """Return the centre of each position of a map in pixels, float32 `(P, 2)`: x, then y."""
    rows, columns = (
        (np.arange(count) + 0.5) * side / count
        for count, side in zip(map_size, image_size, strict=True)
    )
    x, y = np.meshgrid(columns, rows)
    return np.stack([x.ravel(), y.ravel()], axis=-1).astype("float32")


def decode_map(predictions: Tensor, image_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return logits and boxes of the positions of a map.

    Args:
        predictions: Float32 map `(B, h, w, C + 4)`, see
            `keras_attn.models.build_attention_detector`.
        image_size: Height and width of the images.

    Returns:
        Logits `(B, h * w, C)`, and boxes `(B, h * w, 4)` in pixels, `xyxy`.
    """
    height, width, channels = predictions.shape[1:]
    flat = ops.reshape(predictions, (-1, height * width, channels))
    centres = position_centres((height, width), image_size)
    stride = np.array([image_size[1] / width, image_size[0] / height], "float32")
    limit = MAX_LOG_DISTANCE
    distances = ops.exp(ops.clip(flat[..., -4:], -limit, limit)) * np.tile(stride, 2)
    boxes = ops.concatenate([centres - distances[..., :2], centres + distances[..., 2:]], axis=-1)
    return flat[..., :-4], boxes


def split_targets(targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return boxes `(B, M, 4)`, int32 labels and float32 0 or 1 `(B, M)`: whether there is a box.

    Args:
        targets: Float tensor `(B, M, 5)`: boxes in pixels, `xyxy`, and labels, -1 for padding.
    """
    targets = ops.cast(targets, "float32")
    labels = ops.cast(ops.round(targets[..., 4]), "int32")
    return targets[..., :4], labels, ops.cast(labels >= 0, "float32")


@keras.saving.register_keras_serializable(package="keras_attn")
class DetectionLoss(keras.losses.Loss):
    """Cross-entropy of the labels of each position, and generalized IoU loss of its box.

    Task-aligned assignment (TOOD, Feng et al., arXiv:2108.07755): each object is assigned the
    `positions` whose predictions fit it best, by `score**0.5 * IoU**6`, among those inside of its
    box. The target score of such a position is its fit, scaled so that the best position of an
    object has its IoU as target. A position that fits several objects belongs to that with the
    highest IoU. The loss of a batch is divided by the number of its objects.

    Args:
        image_size: Height and width of the images.
        positions: Number of positions of an object.
        box_weight: Weight of the boxes beside the labels.
        **kwargs: See `keras.losses.Loss`.

    Call arguments:
        y_true: Objects `(B, M, 5)`: boxes in pixels, `xyxy`, and labels; a label of -1 is padding.
        y_pred: Map `(B, h, w, C + 4)`, see `keras_attn.models.build_attention_detector`.
        sample_weight: Weights of images `(B,)`, or None. The loss of an image, and the number of
            its objects, are multiplied by its weight.

    Returns:
        A scalar.

    Example:

    >>> loss = DetectionLoss(image_size=(16, 16))
    >>> objects = np.array([[[2.0, 2.0, 12.0, 14.0, 0.0]]], "float32")
    >>> bool(loss(objects, np.zeros((1, 2, 2, 5), "float32")) > 0)
    True
    """

    def __init__(
        self,
        image_size: tuple[int, int],
        positions: int = 10,
        box_weight: float = 5.0,
        reduction: str | None = None,
        name: str = "detection_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, reduction=reduction, **kwargs)
        self.image_size = (image_size[0], image_size[1])
        self.positions = positions
        self.box_weight = box_weight

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Any = None) -> Tensor:
        # Keras multiplies what `call` returns by the weights, and that is a quotient already.
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        return self.call(y_true, y_pred, sample_weight)

    def call(self, y_true: Tensor, y_pred: Tensor, sample_weight: Any = None) -> Tensor:
        logits, boxes = decode_map(ops.cast(y_pred, "float32"), self.image_size)
        objects, labels, exists = split_targets(y_true)
        centres = position_centres(tuple(y_pred.shape[1:3]), self.image_size)
        fit, overlap, assigned = assign(
            ops.stop_gradient(ops.sigmoid(logits)),
            ops.stop_gradient(boxes),
            objects,
            labels,
            exists,
            centres,
            min(self.positions, len(centres)),
        )
        best_fit = ops.max(fit, axis=2, keepdims=True)
        best_overlap = ops.max(overlap * assigned, axis=2, keepdims=True)
        target = assigned * fit * best_overlap / ops.maximum(best_fit, 1e-12)  # (B, M, P)
        one_hot = ops.one_hot(ops.maximum(labels, 0), logits.shape[-1], dtype="float32")
        target_scores = ops.einsum("bmp,bmc->bpc", target, one_hot)
        label_loss = ops.sum(
            ops.maximum(logits, 0.0)
            - logits * target_scores
            + ops.log1p(ops.exp(-ops.abs(logits))),
            axis=(1, 2),
        )  # (B,)
        weight = ops.sum(target, axis=1)  # (B, P)
        own = ops.einsum("bmp,bmk->bpk", assigned, objects)  # each position has one object at most
        own = ops.where(ops.sum(assigned, axis=1)[..., None] > 0.5, own, boxes)
        box_loss = ops.sum(weight * (1.0 - generalized_iou(boxes, own)), axis=1)
        losses, counts = label_loss + self.box_weight * box_loss, ops.sum(exists, axis=1)
        if sample_weight is None:
            return ops.sum(losses) / ops.maximum(ops.sum(counts), 1.0)
        weights = ops.reshape(ops.cast(sample_weight, "float32"), (-1,))
        count = ops.sum(weights * counts)
        return ops.sum(weights * losses) / ops.where(count > 0.0, count, 1.0)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "image_size": self.image_size,
            "positions": self.positions,
            "box_weight": self.box_weight,
        }


def assign(
    scores: Tensor,
    boxes: Tensor,
    objects: Tensor,
    labels: Tensor,
    exists: Tensor,
    centres: np.ndarray,
    positions: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Assign positions to objects, see `DetectionLoss`.

    Args:
        scores: Scores of the labels at each position, `(B, P, C)`.
        boxes: Boxes of the positions, `(B, P, 4)`.
        objects: Boxes of the objects, `(B, M, 4)`.
        labels: Labels of the objects, int32 `(B, M)`.
        exists: 1 for an object and 0 for padding, `(B, M)`.
        centres: Centres of the positions, `(P, 2)`.
        positions: Number of positions of an object.

    Returns:
        The fit of each position to each object, the IoU of both, and 1 where the position is
        assigned to the object, 0 elsewhere: float32 `(B, M, P)` each.
    """
    one_hot = ops.one_hot(ops.maximum(labels, 0), scores.shape[-1], dtype="float32")
    score = ops.einsum("bmc,bpc->bmp", one_hot, scores)
    overlap = box_iou(objects, boxes)
    x, y = centres[:, 0], centres[:, 1]
    inside = (x > objects[..., 0:1]) & (x < objects[..., 2:3])
    inside = inside & (y > objects[..., 1:2]) & (y < objects[..., 3:4])
    eligible = ops.cast(inside, "float32") * exists[..., None]
    fit = ops.sqrt(score) * overlap**6 * eligible
    # The fit of a few positions may underflow to 0: these are none.
    least = ops.top_k(fit, positions)[0][..., -1:]
    chosen = ops.cast(ops.logical_and(fit >= least, fit > 0.0), "float32")
    owner = ops.argmax(overlap * chosen, axis=1)  # (B, P)
    rows = ops.arange(ops.shape(objects)[1], dtype="int32")
    own = ops.equal(ops.cast(owner, "int32")[:, None], rows[None, :, None])
    assigned = chosen * ops.cast(own, "float32")
    return fit * assigned, overlap, assigned


class _MapMetric(keras.metrics.Metric):
    """Base class of metrics that are quotients of sums over the objects of a map.

    Args:
        image_size: Height and width of the images.
        name: Name of the metric.
        dtype: See `keras.metrics.Metric`.
    """

    def __init__(self, image_size: tuple[int, int], name: str, dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self._direction = "up"
        self.image_size = (image_size[0], image_size[1])
        self.total = self.add_weight(name="total", shape=(), initializer="zeros")
        self.count = self.add_weight(name="count", shape=(), initializer="zeros")

    def result(self) -> Tensor:
        return self.total / ops.maximum(self.count, 1e-9)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype, "image_size": self.image_size}


@keras.saving.register_keras_serializable(package="keras_attn")
class BestFit(_MapMetric):
    """Mean over objects of the best `score * IoU` of any position, in [0, 1].

    It takes no notice of false detections, see `DetectionF1`.

    Args:
        image_size: Height and width of the images.
        name: Name of the metric.
        dtype: See `keras.metrics.Metric`.

    Example:

    >>> metric = BestFit((16, 16))
    >>> objects = np.array([[[2.0, 2.0, 12.0, 14.0, 0.0]]], "float32")
    >>> metric.update_state(objects, np.zeros((1, 2, 2, 5), "float32"))
    >>> 0.0 < float(metric.result()) < 1.0
    True
    """

    def __init__(
        self, image_size: tuple[int, int], name: str = "best_fit", dtype: Any = None
    ) -> None:
        super().__init__(image_size, name, dtype)

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Any = None) -> None:
        logits, boxes = decode_map(ops.cast(y_pred, "float32"), self.image_size)
        objects, labels, exists = split_targets(y_true)
        one_hot = ops.one_hot(ops.maximum(labels, 0), logits.shape[-1], dtype="float32")
        score = ops.einsum("bmc,bpc->bmp", one_hot, ops.sigmoid(logits))
        best = ops.max(score * box_iou(objects, boxes), axis=2)
        if sample_weight is not None:
            exists = exists * ops.reshape(ops.cast(sample_weight, "float32"), (-1, 1))
        self.total.assign_add(ops.sum(best * exists))
        self.count.assign_add(ops.sum(exists))


@keras.saving.register_keras_serializable(package="keras_attn")
class DetectionF1(_MapMetric):
    """F1 of the boxes that non-maximum suppression leaves, at a score of 0.3 and an IoU of 0.5.

    An object is found if a box of its label overlaps it by more than 0.5: F1 is twice the number of
    found objects, divided by the number of boxes and objects. It is computed in the graph of every
    step; `keras_attn.tasks.ObjectDetector.evaluate_split` has the average precision.

    Args:
        image_size: Height and width of the images.
        name: Name of the metric.
        dtype: See `keras.metrics.Metric`.

    Example:

    >>> metric = DetectionF1((16, 16))
    >>> objects = np.array([[[4.0, 4.0, 12.0, 12.0, 0.0]]], "float32")
    >>> metric.update_state(objects, np.full((1, 1, 1, 5), np.log(0.25), "float32"))
    >>> float(metric.result())  # a score of 0.2 is too low
    0.0
    """

    def __init__(self, image_size: tuple[int, int], name: str = "f1", dtype: Any = None) -> None:
        super().__init__(image_size, name, dtype)

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Any = None) -> None:
        logits, boxes = decode_map(ops.cast(y_pred, "float32"), self.image_size)
        objects, labels, exists = split_targets(y_true)
        boxes, names, _ = select_boxes(
            boxes, ops.sigmoid(logits), threshold=F1_SCORE, max_candidates=F1_CANDIDATES
        )
        matches = ops.logical_and(
            box_iou(objects, boxes) > F1_IOU, labels[:, :, None] == names[:, None, :]
        )
        found = ops.cast(ops.any(matches, axis=2), "float32") * exists
        weights = ops.ones_like(exists[:, 0])
        if sample_weight is not None:
            weights = ops.reshape(ops.cast(sample_weight, "float32"), (-1,))
        counts = ops.sum(ops.cast(names >= 0, "float32"), axis=1) + ops.sum(exists, axis=1)
        self.total.assign_add(ops.sum(2.0 * weights * ops.sum(found, axis=1)))
        self.count.assign_add(ops.sum(weights * counts))
