"""Augmentation: each change against plain NumPy."""

import numpy as np
import pytest
from keras import ops

from keras_attn.layers import CutMix, Cutout, Mixup, RandomFlip, RandomShift

IMAGES = np.random.default_rng(0).uniform(0, 255, (16, 6, 9, 3)).astype("float32")
LAYERS = [RandomFlip, lambda **k: RandomShift(2, **k), lambda **k: Cutout(3, **k)]
LAYERS += [lambda **k: Mixup(1.0, **k), lambda **k: CutMix(1.0, **k)]


def changed(layer):
    return ops.convert_to_numpy(layer(IMAGES, training=True))


@pytest.mark.parametrize("make", LAYERS)
def test_nothing_changes_outside_training(make):
    np.testing.assert_array_equal(ops.convert_to_numpy(make(seed=0)(IMAGES)), IMAGES)


@pytest.mark.parametrize("make", LAYERS)
def test_draws_follow_the_seed_and_move_on(make):
    layer = make(seed=1)
    first, second = changed(layer), changed(layer)
    np.testing.assert_array_equal(first, changed(make(seed=1)))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, changed(make(seed=2)))
    assert first.shape == IMAGES.shape


def test_flip_mirrors_about_half_of_the_images():
    layer = RandomFlip(seed=0)
    mirrored = 0
    for _ in range(20):
        for before, after in zip(IMAGES, changed(layer), strict=True):
            same, flipped = np.array_equal(after, before), np.array_equal(after, before[:, ::-1])
            assert same or flipped
            mirrored += flipped
    assert 110 < mirrored < 210  # of 320


def test_shift_moves_and_reflects():
    padded = np.pad(IMAGES, ((0, 0), (2, 2), (2, 2), (0, 0)), "reflect")
    seen = set()
    layer = RandomShift(2, seed=0)
    for _ in range(10):
        for index, after in enumerate(changed(layer)):
            places = [
                (y, x)
                for y in range(5)
                for x in range(5)
                if np.allclose(padded[index, y : y + 6, x : x + 9], after, atol=1e-3)
            ]
            assert len(places) == 1
            seen.update(places)
    assert len(seen) == 25


def test_a_shift_beyond_the_image_is_refused():
    with pytest.raises(ValueError, match="`pixels` must be less than the sides of the images"):
        changed(RandomShift(6, seed=0))


def test_cutout_greys_one_square():
    for before, after in zip(IMAGES, changed(Cutout(3, seed=0)), strict=True):
        cut = (after != before).any(-1)
        rows, columns = cut.any(1).sum(), cut.any(0).sum()
        assert 1 <= rows <= 4
        assert 1 <= columns <= 4
        assert cut.sum() == rows * columns
        np.testing.assert_array_equal(after[cut], 127.5)


def test_mixup_mixes_images_and_targets_by_the_same_share():
    layer = Mixup(1.0, seed=0)
    after = changed(layer)
    targets = ops.convert_to_numpy(layer.mix_targets(np.eye(16, dtype="float32")))
    partner = np.roll(IMAGES, 1, axis=0)
    share = targets[np.arange(16), np.arange(16)][:, None, None, None]
    np.testing.assert_allclose(after, share * IMAGES + (1 - share) * partner, atol=1e-3)
    np.testing.assert_allclose(targets.sum(-1), 1.0, atol=1e-6)
    assert share.std() > 0.1


def test_cutmix_mixes_targets_by_the_area_that_remains():
    layer = CutMix(1.0, seed=0)
    after = changed(layer)
    targets = ops.convert_to_numpy(layer.mix_targets(np.eye(16, dtype="float32")))
    unpasted = (after == IMAGES).all(-1).mean(axis=(1, 2))
    np.testing.assert_allclose(targets[np.arange(16), np.arange(16)], unpasted, atol=1e-6)
    pasted = (after == np.roll(IMAGES, 1, axis=0)).all(-1)
    np.testing.assert_array_equal(pasted, ~(after == IMAGES).all(-1))
