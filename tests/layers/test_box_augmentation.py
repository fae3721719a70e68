"""Augmentation of images with boxes: boxes stay around what they were drawn around."""

import numpy as np
import pytest
from keras import ops

from keras_attn.layers import RandomColor, RandomPlacement

HEIGHT, WIDTH = 48, 64
BOX = [20.0, 14.0, 40.0, 26.0]


def picture(box=BOX, count=24):
    """Images with a white rectangle, and its box in the first of two rows of targets."""
    images = np.full((count, HEIGHT, WIDTH, 3), 20.0, "float32")
    left, top, right, bottom = map(int, box)
    images[:, top:bottom, left:right] = 255.0
    targets = np.full((count, 2, 5), -1.0, "float32")
    targets[:, 0] = [*box, 1.0]
    return images, targets


def array(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("turn", [True, False])
def test_boxes_are_where_the_rectangle_is(turn):
    layer = RandomPlacement(zoom=1.4, stretch=1.2, shift=0.1, turn=turn, seed=1)
    images, targets = picture()
    placed = array(layer(images, training=True))
    boxes = array(layer.augment_targets(targets))
    shapes = set()
    for image, (box, padding) in zip(placed, boxes, strict=True):
        rows, columns = np.nonzero(image[..., 0] > 190.0)
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(box[:4], found, atol=1.6)
        assert (box[4], padding[4]) == (1.0, -1.0)
        shapes.add(bool(box[2] - box[0] > box[3] - box[1]))
    assert shapes == ({True, False} if turn else {True})  # a quarter makes it upright
    assert len({box.tobytes() for box in boxes}) == len(boxes)


def test_eight_ways_to_turn_and_mirror_are_exact_and_equally_frequent():
    images, targets = picture(count=400)
    images[:, 14:20, 20:24] = 128.0  # a corner, by which the eight differ
    layer = RandomPlacement(seed=2)
    placed = array(layer(images[:, :, 8:56], training=True))  # a square of 48 pixels
    boxes = array(layer.augment_targets(targets - np.array([8, 0, 8, 0, 0], "float32")))
    values, counts = np.unique(placed.reshape(400, -1), axis=0, return_counts=True)
    assert len(values) == 8
    assert counts.min() > 25
    for image, (box, _) in zip(placed[:40], boxes, strict=False):
        left, top, right, bottom = box[:4].round().astype(int)
        assert (image[top:bottom, left:right] >= 127.0).all()
        assert (image >= 127.0).sum() == 3 * 20 * 12


def test_boxes_that_leave_the_image_are_cut_or_become_padding():
    layer = RandomPlacement(shift=0.9, turn=False, min_visible=0.5, seed=3)
    images, targets = picture(count=200)
    placed = array(layer(images, training=True))
    boxes = array(layer.augment_targets(targets))[:, 0]
    kept = boxes[:, 4] >= 0
    assert 20 < kept.sum() < 180
    assert (boxes[:, :4] >= 0).all()
    assert (boxes[:, :4] <= [WIDTH, HEIGHT, WIDTH, HEIGHT]).all()
    sides = boxes[:, 2:4] - boxes[:, :2]
    assert (sides[kept].prod(axis=-1) >= 0.5 * 20 * 12 - 1).all()
    assert (placed == 127.5).any()  # grey moves in


@pytest.mark.parametrize(
    "layer", [RandomPlacement(zoom=1.5, shift=0.2), RandomColor(0.3, 0.2, 0.1)], ids=str
)
def test_nothing_changes_outside_of_training(layer):
    images, _ = picture(count=2)
    np.testing.assert_array_equal(array(layer(images)), images)


def test_colors_change_by_image_and_stay_in_range():
    images = np.random.default_rng(0).uniform(0, 255, (8, 6, 6, 3)).astype("float32")
    changed = array(RandomColor(0.5, 0.3, 0.2, seed=1)(images, training=True))
    assert changed.min() >= 0.0
    assert changed.max() <= 255.0
    # Each channel of an image is mapped by a line of its own where nothing is clipped.
    for before, after in zip(images, changed, strict=True):
        for channel in range(3):
            inside = (after[..., channel] > 0) & (after[..., channel] < 255)
            x, y = before[..., channel][inside], after[..., channel][inside]
            slope, offset = np.polyfit(x, y, 1)
            assert 0.49 < slope < 1.51
            np.testing.assert_allclose(y, slope * x + offset, atol=0.01)


@pytest.mark.parametrize("settings", [{"zoom": 0.5}, {"stretch": 0.9}, {"shift": 1.0}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ValueError, match="RandomPlacement"):
        RandomPlacement(**settings)
