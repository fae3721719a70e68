"""Boxes: overlap, and greedy non-maximum suppression in parallel.

Boxes are `(left, top, right, bottom)`, the format `"xyxy"` of Keras, in any unit.
"""

from keras import ops

from keras_attn._types import Tensor

EPSILON = 1e-7


def box_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the intersection over union of all pairs of boxes.

    The overlap with a box without area is 0.

    Args:
        boxes: Float tensor `(..., N, 4)`.
        others: Float tensor `(..., M, 4)`.

    Returns:
        Tensor `(..., N, M)`, in [0, 1].

    Example:

    >>> import numpy as np
    >>> boxes = np.array([[0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 2.0]], "float32")
    >>> print(ops.convert_to_numpy(box_iou(boxes, boxes[1:])).round(3)[:, 0])
    [0.333 1.   ]
    """
    first, second = boxes[..., :, None, :], others[..., None, :, :]
    shared = _area(
        ops.maximum(first[..., :2], second[..., :2]), ops.minimum(first[..., 2:], second[..., 2:])
    )
    union = _area(first[..., :2], first[..., 2:]) + _area(second[..., :2], second[..., 2:]) - shared
    return shared / ops.maximum(union, EPSILON)


def generalized_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the generalized intersection over union of corresponding boxes.

    It is the intersection over union, minus the share of the smallest box around both that neither
    of them covers: unlike the former it has a gradient where they do not meet (Rezatofighi et al.,
    arXiv:1902.09630).

    Args:
        boxes: Float tensor `(..., 4)`.
        others: Float tensor of the same shape.

    Returns:
        Tensor `(...)`, in [-1, 1].

    Example:

    >>> import numpy as np
    >>> boxes = np.array([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 2.0, 1.0]], "float32")
    >>> others = np.array([[3.0, 0.0, 4.0, 1.0], [0.0, 0.0, 2.0, 2.0]], "float32")
    >>> ops.convert_to_numpy(generalized_iou(boxes, others)).round(3).tolist()
    [-0.5, 0.5]
    """
    low, high = boxes[..., :2], boxes[..., 2:]
    other_low, other_high = others[..., :2], others[..., 2:]
    shared = _area(ops.maximum(low, other_low), ops.minimum(high, other_high))
    union = _area(low, high) + _area(other_low, other_high) - shared
    hull = _area(ops.minimum(low, other_low), ops.maximum(high, other_high))
    iou = shared / ops.maximum(union, EPSILON)
    return iou - (hull - union) / ops.maximum(hull, EPSILON)


def select_boxes(
    boxes: Tensor,
    scores: Tensor,
    *,
    threshold: float | Tensor = 0.0,
    iou_threshold: float = 0.5,
    max_boxes: int = 100,
    max_candidates: int = 400,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the boxes that greedy non-maximum suppression keeps, for each label by itself.

    In order of their scores, boxes are kept unless they overlap a kept one of the same label by
    more than `iou_threshold`. All pairs are compared at once, and the comparison is repeated until
    it changes nothing, which gives the greedy result (as Cluster-NMS, Zheng et al.,
    arXiv:2005.03572).

    Args:
        boxes: Float tensor `(B, P, 4)`.
        scores: Float tensor `(B, P, C)`, the score of each label.
        threshold: Least score of a box, a number or one for each label, `(C,)`.
        iou_threshold: Largest overlap of two boxes of a label.
        max_boxes: Number of boxes to return.
        max_candidates: Number of pairs of box and label with the highest scores that are compared.

    Returns:
        The boxes `(B, N, 4)`, their labels, int32 `(B, N)`, and scores `(B, N)`, highest scores
        first; `N` is `max_boxes`, or less if there are fewer candidates. Rows without a box have
        label -1, score 0 and coordinates 0.

    Example:

    >>> import numpy as np
    >>> boxes = np.array([[[0, 0, 10, 10], [1, 0, 11, 10], [30, 0, 40, 10]]], "float32")
    >>> scores = np.array([[[0.9], [0.8], [0.7]]], "float32")
    >>> _, labels, kept = select_boxes(boxes, scores, max_boxes=3)
    >>> print(ops.convert_to_numpy(labels), ops.convert_to_numpy(kept).round(1))
    [[ 0  0 -1]] [[0.9 0.7 0. ]]
    """
    positions, num_labels = scores.shape[1:]
    scores = ops.where(scores >= threshold, scores, ops.full_like(scores, -1.0))
    flat = ops.reshape(scores, (-1, positions * num_labels))
    candidates, index = ops.top_k(flat, min(max_candidates, positions * num_labels))
    index = ops.cast(index, "int32")
    labels = index % num_labels
    boxes = ops.take_along_axis(boxes, (index // num_labels)[..., None], axis=1)
    rank = ops.arange(candidates.shape[1])
    rival = ops.logical_and(rank[:, None] < rank[None, :], labels[:, :, None] == labels[:, None, :])
    rival = ops.logical_and(rival, box_iou(boxes, boxes) > iou_threshold)  # (B, better, worse)
    rival = ops.cast(rival, "float32")
    eligible = ops.cast(candidates > 0.0, "float32")

    def suppress(kept: Tensor) -> Tensor:
        rivals = ops.squeeze(ops.matmul(kept[:, None, :], rival), axis=1)
        return eligible * ops.cast(rivals < 0.5, "float32")

    # The result is right for the first `n` candidates after `n` rounds, and is usually so for all
    # of them after a few.
    _, kept = ops.while_loop(
        lambda before, kept: ops.any(before != kept),
        lambda _, kept: (kept, suppress(kept)),
        (eligible, suppress(eligible)),
    )
    final = ops.where(kept > 0.5, candidates, ops.full_like(candidates, -1.0))
    final, order = ops.top_k(final, min(max_boxes, candidates.shape[1]))
    exists = final > 0.0
    order = ops.cast(order, "int32")
    boxes = ops.take_along_axis(boxes, order[..., None], axis=1)
    labels = ops.take_along_axis(labels, order, axis=1)
    return (
        ops.where(exists[..., None], boxes, ops.zeros_like(boxes)),
        ops.where(exists, labels, ops.full_like(labels, -1)),
        ops.where(exists, final, ops.zeros_like(final)),
    )


def _area(low: Tensor, high: Tensor) -> Tensor:
    """Return the areas `(...)` between corners `(..., 2)`, 0 where there is none."""
    sides = ops.maximum(high - low, 0.0)
    return sides[..., 0] * sides[..., 1]
