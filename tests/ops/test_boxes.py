"""Overlap of boxes and non-maximum suppression, against loops in NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn.ops import box_iou, generalized_iou, select_boxes


def draw_boxes(shape, seed=0):
    random = np.random.default_rng(seed)
    low = random.uniform(0, 40, (*shape, 2))
    return np.concatenate([low, low + random.uniform(4, 30, (*shape, 2))], -1).astype("float32")


def areas(one, other):
    """The area of the intersection, of the union and of the box around both."""
    shared = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    shared *= max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    union = sum((b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)) - shared
    hull = max(one[2], other[2]) - min(one[0], other[0])
    return shared, union, hull * (max(one[3], other[3]) - min(one[1], other[1]))


def overlap(one, other):
    shared, union, _ = areas(one, other)
    return shared / union


def greedy(boxes, scores, threshold, iou_threshold, max_boxes):
    """Greedy suppression for one image, by the book: boxes, labels and scores that are kept."""
    pairs = [
        (float(scores[p, c]), c, p)
        for p in range(len(boxes))
        for c in range(scores.shape[1])
        if scores[p, c] >= np.broadcast_to(threshold, scores.shape[1])[c]
    ]
    kept = []
    for score, label, place in sorted(pairs, reverse=True):
        rivals = [boxes[p] for _, c, p in kept if c == label]
        if all(overlap(boxes[place], rival) <= iou_threshold for rival in rivals):
            kept.append((score, label, place))
    kept = kept[:max_boxes]
    return boxes[[p for *_, p in kept]], [c for _, c, _ in kept], [s for s, *_ in kept]


def test_overlaps_are_those_of_the_definition_and_of_keras():
    boxes, others = draw_boxes((5,)), draw_boxes((7,), seed=1)
    received = ops.convert_to_numpy(box_iou(boxes, others))
    expected = [[overlap(one, other) for other in others] for one in boxes]
    np.testing.assert_allclose(received, expected, rtol=1e-5)
    keras_iou = keras.utils.bounding_boxes.compute_iou(boxes, others, "xyxy")
    np.testing.assert_allclose(received, ops.convert_to_numpy(keras_iou), rtol=1e-5)
    general = ops.convert_to_numpy(generalized_iou(boxes, others[:5]))
    for value, one, other in zip(general, boxes, others, strict=False):
        shared, union, hull = areas(one, other)
        assert value == pytest.approx(shared / union - (hull - union) / hull, abs=1e-5)


def test_boxes_without_area_overlap_nothing_and_give_finite_values():
    empty = np.array([[3.0, 3.0, 3.0, 3.0]], "float32")
    assert float(box_iou(empty, empty)[0, 0]) == 0.0
    assert np.isfinite(float(generalized_iou(empty, empty)[0]))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("threshold", [0.0, [0.2, 0.6, 0.9]])
def test_suppression_is_greedy_for_each_label(seed, threshold):
    boxes = draw_boxes((2, 60), seed)
    scores = np.random.default_rng(seed + 100).uniform(0.01, 1, (2, 60, 3)).astype("float32")
    limits = np.array(threshold, "float32")
    settings = {"iou_threshold": 0.3, "max_boxes": 25}
    outputs = select_boxes(boxes, scores, threshold=limits, **settings)
    kept_boxes, kept_labels, kept_scores = map(ops.convert_to_numpy, outputs)
    for row in range(2):
        expected = greedy(boxes[row], scores[row], limits, **settings)
        count = len(expected[1])
        np.testing.assert_allclose(kept_boxes[row, :count], expected[0])
        assert kept_labels[row].tolist() == expected[1] + [-1] * (25 - count)
        np.testing.assert_allclose(kept_scores[row, :count], expected[2])
        assert not kept_scores[row, count:].any()
        assert not kept_boxes[row, count:].any()


def test_a_chain_of_overlaps_is_resolved_from_its_highest_score_on():
    # Each box overlaps the next one: every second one is kept, which takes a round for each.
    left = np.arange(12.0) * 4.0
    boxes = np.stack([left, 0 * left, left + 10.0, 0 * left + 10.0], -1)[None].astype("float32")
    scores = np.linspace(0.9, 0.1, 12, dtype="float32")[None, :, None]
    _, labels, kept = select_boxes(boxes, scores, iou_threshold=0.3, max_boxes=12)
    assert int(ops.sum(labels == 0)) == 6
    np.testing.assert_allclose(ops.convert_to_numpy(kept)[0, :6], scores[0, ::2, 0])


def test_nothing_above_the_threshold_is_padding_alone():
    boxes, labels, scores = select_boxes(
        draw_boxes((1, 4)), np.full((1, 4, 2), 0.1, "float32"), threshold=0.5, max_boxes=3
    )
    assert ops.convert_to_numpy(labels).tolist() == [[-1] * 3]
    assert not ops.convert_to_numpy(scores).any()
    assert not ops.convert_to_numpy(boxes).any()
