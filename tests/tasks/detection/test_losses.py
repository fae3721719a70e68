"""The loss of a dense detector, against loops in NumPy."""

import numpy as np
import pytest
from keras import ops

from keras_attn.tasks.detection.losses import BestFit, DetectionF1, DetectionLoss, decode_map
from tests.ops.test_boxes import areas, greedy, overlap

SIZE, GRID, LABELS = (24, 32), (3, 4), 2


def draw(seed, objects=3):
    """A map whose boxes overlap, and objects with a row of padding."""
    random = np.random.default_rng(seed)
    maps = random.normal(size=(2, *GRID, LABELS + 4)).astype("float32")
    maps[..., LABELS:] = random.uniform(-0.5, 0.6, (2, *GRID, 4))
    low = random.uniform(0, 12, (2, objects + 1, 2))
    targets = np.concatenate([low, low + random.uniform(9, 14, low.shape)], axis=-1)
    labels = random.integers(0, LABELS, (2, objects + 1, 1))
    labels[:, -1] = -1
    return maps, np.concatenate([targets, labels], axis=-1).astype("float32")


def decode(raw):
    """Logits and boxes of one map, position by position."""
    logits, boxes, centres = [], [], []
    for row in range(GRID[0]):
        for column in range(GRID[1]):
            values = raw[row, column]
            x, y = 8 * (column + 0.5), 8 * (row + 0.5)
            left, top, right, bottom = 8 * np.exp(values[LABELS:])
            logits.append(values[:LABELS])
            boxes.append([x - left, y - top, x + right, y + bottom])
            centres.append((x, y))
    return np.array(logits), np.array(boxes), centres


def loss_of(raw, targets, positions, box_weight):
    """The summed loss of an image, as the docstring of `DetectionLoss` describes it."""
    logits, boxes, centres = decode(raw)
    scores = 1 / (1 + np.exp(-logits))
    objects = [(row[:4], int(row[4])) for row in targets if row[4] >= 0]
    chosen = {}
    for number, (box, label) in enumerate(objects):
        fits = {}
        for place, (x, y) in enumerate(centres):
            if box[0] < x < box[2] and box[1] < y < box[3]:
                fits[place] = scores[place, label] ** 0.5 * overlap(box, boxes[place]) ** 6
        for place in sorted(fits, key=fits.get)[-positions:]:
            rival = chosen.get(place)
            if rival is None or overlap(objects[rival][0], boxes[place]) < overlap(
                box, boxes[place]
            ):
                chosen[place] = number
    targets_of = np.zeros_like(scores)
    box_loss = 0.0
    for number, (box, label) in enumerate(objects):
        places = [place for place, owner in chosen.items() if owner == number]
        if not places:
            continue
        fits = {p: scores[p, label] ** 0.5 * overlap(box, boxes[p]) ** 6 for p in places}
        best = max(overlap(box, boxes[p]) for p in places)
        for place in places:
            target = fits[place] / max(fits.values()) * best
            targets_of[place, label] = target
            shared, union, hull = areas(box, boxes[place])
            box_loss += target * (1 - shared / union + (hull - union) / hull)
    entropy = -(targets_of * np.log(scores) + (1 - targets_of) * np.log(1 - scores))
    return entropy.sum() + box_weight * box_loss


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("positions", [2, 10])
def test_the_loss_is_that_of_task_aligned_assignment(seed, positions):
    maps, targets = draw(seed)
    loss = DetectionLoss(SIZE, positions=positions, box_weight=3.0)
    expected = sum(
        loss_of(m.astype("float64"), t.astype("float64"), positions, 3.0)
        for m, t in zip(maps, targets, strict=True)
    )
    assert float(loss(targets, maps)) == pytest.approx(expected / 6, rel=1e-4)
    # The weight of an image counts its loss and its objects.
    weights = np.zeros(len(maps), "float32")
    weights[0] = 0.5
    alone = float(loss(targets[:1], maps[:1]))
    assert float(loss(targets, maps, sample_weight=weights)) == pytest.approx(alone, rel=1e-4)


def test_boxes_are_decoded_around_their_positions():
    maps, _ = draw(0)
    logits, boxes = map(ops.convert_to_numpy, decode_map(maps, SIZE))
    for row in range(2):
        expected = decode(maps[row])
        np.testing.assert_allclose(logits[row], expected[0])
        np.testing.assert_allclose(boxes[row], expected[1], rtol=1e-5, atol=1e-4)


def test_images_without_objects_have_the_loss_of_their_labels_alone():
    maps, targets = draw(0)
    targets[..., 4] = -1
    expected = np.logaddexp(0, maps[..., :LABELS]).sum()
    assert float(DetectionLoss(SIZE)(targets, maps)) == pytest.approx(expected, rel=1e-4)


def test_best_fit_is_the_mean_over_objects():
    maps, targets = draw(1)
    metric = BestFit(SIZE)
    metric.update_state(targets, maps)
    best = []
    for raw, rows in zip(maps, targets, strict=True):
        logits, boxes, _ = decode(raw)
        scores = 1 / (1 + np.exp(-logits))
        best += [
            max(s[int(row[4])] * overlap(row, b) for s, b in zip(scores, boxes, strict=True))
            for row in rows
            if row[4] >= 0
        ]
    assert float(metric.result()) == pytest.approx(np.mean(best), rel=1e-4)


def test_f1_counts_objects_that_are_found_and_boxes_that_are_not():
    maps, targets = draw(4)
    maps[..., :LABELS] += 1.0
    metric = DetectionF1(SIZE)
    metric.update_state(targets, maps)
    found, total = 0, 0
    for raw, rows in zip(maps, targets, strict=True):
        logits, boxes, _ = decode(raw)
        kept, names, _ = greedy(boxes, 1 / (1 + np.exp(-logits)), 0.3, 0.5, 100)
        objects = [row for row in rows if row[4] >= 0]
        total += len(names) + len(objects)
        found += sum(
            any(n == row[4] and overlap(row, b) > 0.5 for b, n in zip(kept, names, strict=True))
            for row in objects
        )
    assert found > 0
    assert float(metric.result()) == pytest.approx(2 * found / total, rel=1e-5)
