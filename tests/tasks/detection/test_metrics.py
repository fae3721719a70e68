"""Average precision against a computation by the book, counts and their thresholds."""

import sys

import numpy as np
import pytest

from keras_attn.tasks.detection.metrics import average_precision, best_thresholds, count_errors
from tests.ops.test_boxes import draw_boxes, overlap

pytest.importorskip("pycocotools")


def examples(seed=0, images=6):
    """Objects, and detections that are moved, missing, wrong or of another label."""
    random = np.random.default_rng(seed)
    truths, detections = [], []
    for index in range(images):
        boxes = draw_boxes((8,), seed * 100 + index)
        labels = random.integers(0, 2, 8)
        found = boxes[:6] + random.normal(0, 2.0, (6, 4))
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        names = np.where(random.uniform(size=6) < 0.2, 1 - labels[:6], labels[:6])
        truths.append({"boxes": boxes, "labels": labels})
        detections.append({"boxes": found, "labels": names, "scores": random.uniform(size=6)})
    return detections, truths


def average_precision_at(detections, truths, label, least):
    """The mean, over 101 recalls, of the highest precision at that recall or a higher one."""
    objects = sum(int((truth["labels"] == label).sum()) for truth in truths)
    found = sorted(
        ((score, image, number)
         for image, each in enumerate(detections)
         for number, (score, name) in enumerate(zip(each["scores"], each["labels"], strict=True))
         if name == label),
        reverse=True,
    )  # fmt: skip
    taken, right = set(), []
    for _, image, number in found:
        best = max(
            ((overlap(detections[image]["boxes"][number], box), row)
             for row, box in enumerate(truths[image]["boxes"])
             if truths[image]["labels"][row] == label and (image, row) not in taken),
            default=(0.0, None),
        )  # fmt: skip
        right.append(best[0] >= least)
        if right[-1]:
            taken.add((image, best[1]))
    hits = np.cumsum(right)
    precision, recall = hits / np.arange(1, len(hits) + 1), hits / objects
    return np.mean([
        max(precision[recall >= level], default=0.0) for level in np.linspace(0, 1, 101)
    ])  # fmt: skip


def test_average_precision_is_that_of_the_definition():
    detections, truths = examples()
    received = average_precision(detections, truths, ("a", "b", "none"))
    expected = [average_precision_at(detections, truths, label, 0.5) for label in (0, 1)]
    by_label = received["ap50_by_label"]
    np.testing.assert_allclose([by_label["a"], by_label["b"]], expected, atol=1e-6)
    assert by_label["none"] is None
    assert received["map50"] == pytest.approx(np.mean(expected), abs=1e-6)
    every = [
        average_precision_at(detections, truths, label, least)
        for label in (0, 1)
        for least in np.arange(0.5, 0.96, 0.05)
    ]
    assert received["map"] == pytest.approx(np.mean(every), abs=1e-3)


def test_splits_without_objects_or_detections():
    none = {"boxes": np.zeros((0, 4)), "labels": np.zeros(0, int), "scores": np.zeros(0)}
    detections, truths = examples()
    assert average_precision([none] * 6, truths, ("a", "b"))["map50"] == 0.0
    assert average_precision(detections, [none] * 6, ("a", "b"))["ap50_by_label"]["a"] is None
    assert count_errors(detections, [none] * 6, np.ones(2))["count_error"] is None


def test_an_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    with pytest.raises(ImportError, match=r"pip install 'keras-attn\[train\]'"):
        average_precision([], [], ("a",))


def test_thresholds_give_the_best_counts():
    random = np.random.default_rng(0)
    truths, detections = [], []
    for _ in range(20):
        right, wrong = random.uniform(0.5, 1.0, 5), random.uniform(0.0, 0.4, 9)
        truths.append({"boxes": np.zeros((5, 4)), "labels": np.zeros(5, int)})
        labels = np.zeros(14, int)
        detections.append({"scores": np.concatenate([right, wrong]), "labels": labels})
    thresholds = best_thresholds(detections, truths, 2, 0.3)
    assert 0.4 <= thresholds[0] <= 0.5
    assert thresholds[1] == pytest.approx(0.3)  # a label without objects
    errors = count_errors(detections, truths, thresholds)
    assert errors == {"count_error": 0.0, "count_median_error": 0.0, "count_bias": 0.0}
    few = count_errors(detections, truths, np.array([1.1, 0.3]))
    assert few == {"count_error": 1.0, "count_median_error": 1.0, "count_bias": -1.0}


def test_thresholds_give_the_fewest_errors_of_all_that_are_tried():
    random = np.random.default_rng(0)
    for _ in range(30):
        scores = [np.round(random.random(random.integers(0, 9)), 2) for _ in range(5)]
        objects = [np.zeros(random.integers(0, 6), "int32") for _ in range(5)]
        found = [{"labels": np.zeros(len(s), "int32"), "scores": s} for s in scores]
        best = best_thresholds(found, [{"labels": o} for o in objects], 1, 0.3)[0]
        errors = {
            t: sum(
                abs((s >= t - 1e-6).sum() - len(o)) for s, o in zip(scores, objects, strict=True)
            )
            for t in np.round(np.arange(0.05, 0.96, 0.01), 2)
        }
        if sum(map(len, objects)):
            nearest = min(errors, key=lambda t: abs(t - best))
            assert errors[nearest] == min(errors.values())
