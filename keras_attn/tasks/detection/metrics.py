"""Metrics of detections: average precision by pycocotools, and counts."""

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

THRESHOLDS = np.round(np.arange(0.05, 0.96, 0.01), 2)  # that are tried for counts


def average_precision(
    detections: Sequence[Mapping[str, np.ndarray]],
    truths: Sequence[Mapping[str, np.ndarray]],
    label_names: Sequence[str],
) -> dict[str, Any]:
    """Return the average precision of detections, as COCO defines it.

    Args:
        detections: For each image `boxes` `(n, 4)`, `labels` and `scores` `(n,)`.
        truths: For each image the `boxes` and `labels` of its objects.
        label_names: The name of each label.

    Returns:
        `map50`, the mean over labels of the average precision at an IoU of 0.5; `map`, its mean
        over IoUs from 0.5 to 0.95; and `ap50_by_label`, where None is a label without objects.

    Raises:
        ImportError: pycocotools is not installed.

    Example:

    >>> boxes = np.array([[0.0, 0.0, 10.0, 10.0]])
    >>> truth = {"boxes": boxes, "labels": np.array([0])}
    >>> found = average_precision([{**truth, "scores": np.array([0.9])}], [truth], ("cell",))
    >>> round(found["map50"], 3)
    1.0
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise ImportError(
            "The average precision needs pycocotools: pip install 'keras-attn[train]'."
        ) from error
    if not sum(len(truth["labels"]) for truth in truths):
        none: dict[str, None] = dict.fromkeys(label_names)
        return {"map50": 0.0, "map": 0.0, "ap50_by_label": none}
    images = [{"id": index} for index in range(1, len(truths) + 1)]
    categories = [{"id": index, "name": name} for index, name in enumerate(label_names, start=1)]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": images,
            "categories": categories,
            "annotations": _annotations(truths),
        }
        truth.createIndex()
        found = COCO()
        found.dataset = {**truth.dataset, "annotations": _annotations(detections)}
        found.createIndex()
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    # (IoU, recall, label, area, number of detections): all areas, at most 100 detections.
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    by_label = [_mean(precision[0, :, index]) for index in range(len(label_names))]
    present = [value for value in by_label if value is not None]
    return {
        "map50": float(np.mean(present)),
        "map": float(precision[precision > -1].mean()),
        "ap50_by_label": dict(zip(label_names, by_label, strict=True)),
    }


def _mean(precision: np.ndarray) -> float | None:
    """Return the mean precision over recalls, or None for a label without objects."""
    return None if (precision < 0).all() else float(precision.mean())


def _annotations(examples: Sequence[Mapping[str, np.ndarray]]) -> list[dict[str, Any]]:
    """Return boxes in the form of COCO: left, top, width, height."""
    result: list[dict[str, Any]] = []
    for image, example in enumerate(examples, start=1):
        scores = example.get("scores", np.ones(len(example["labels"])))
        for box, label, score in zip(example["boxes"], example["labels"], scores, strict=True):
            left, top, right, bottom = map(float, box)
            result.append({
                "id": len(result) + 1,
                "image_id": image,
                "category_id": int(label) + 1,
                "bbox": [left, top, right - left, bottom - top],
                "area": (right - left) * (bottom - top),
                "iscrowd": 0,
                "score": float(score),
            })  # fmt: skip
    return result


def count_errors(
    detections: Sequence[Mapping[str, np.ndarray]],
    truths: Sequence[Mapping[str, np.ndarray]],
    thresholds: np.ndarray,
) -> dict[str, float | None]:
    """Return the errors of the number of objects in an image.

    Args:
        detections: See `average_precision`.
        truths: See `average_precision`.
        thresholds: Least score of the boxes of each label that count, `(C,)`.

    Returns:
        `count_error`, the mean over images of the difference of detected and annotated objects,
        divided by the mean number of annotated ones; `count_median_error`, the median over images
        of the difference divided by the annotated objects of the image itself; and `count_bias`,
        the difference over all images together. None if no image has objects.

    Example:

    >>> boxes = np.zeros((2, 4))
    >>> found = {"boxes": boxes, "labels": np.array([0, 0]), "scores": np.array([0.9, 0.2])}
    >>> truth = {"boxes": boxes, "labels": np.array([0, 0])}
    >>> count_errors([found], [truth], np.array([0.5]))
    {'count_error': 0.5, 'count_median_error': 0.5, 'count_bias': -0.5}
    """
    counts = np.array(
        [int((each["scores"] >= thresholds[each["labels"]]).sum()) for each in detections]
    )
    objects = np.array([len(truth["labels"]) for truth in truths])
    some = objects > 0
    if not some.any():
        return dict.fromkeys(("count_error", "count_median_error", "count_bias"))
    return {
        "count_error": float(np.abs(counts - objects).sum() / objects.sum()),
        "count_median_error": float(np.median(np.abs(counts - objects)[some] / objects[some])),
        "count_bias": float(counts.sum() / objects.sum() - 1.0),
    }


def best_thresholds(
    detections: Sequence[Mapping[str, np.ndarray]],
    truths: Sequence[Mapping[str, np.ndarray]],
    num_labels: int,
    default: float,
) -> np.ndarray:
    """Return the least score of each label by which the counts of its objects are best.

    The sum over images of the absolute differences of counts is minimal; of several such scores the
    one nearest to their median is returned.

    Args:
        detections: See `average_precision`.
        truths: See `average_precision`.
        num_labels: Number of labels.
        default: The score for labels without objects.

    Returns:
        float32 array `(C,)`.
    """
    result = np.full(num_labels, default, "float32")
    for label in range(num_labels):
        objects = np.array([(truth["labels"] == label).sum() for truth in truths])
        if not objects.sum():
            continue
        scores = [each["scores"][each["labels"] == label] for each in detections]
        counts = np.array([[(some >= t).sum() for some in scores] for t in THRESHOLDS])
        errors = np.abs(counts - objects).sum(axis=1)
        best = THRESHOLDS[errors == errors.min()]
        result[label] = best[np.abs(best - np.median(best)).argmin()]
    return result
