"""Batches of images: their order, flips, shards and form for `fit`."""

import numpy as np
import pytest

from keras_attn import batching, datasets
from keras_attn.batching import (
    EvaluationBatches,
    ImageBatches,
    epoch_order,
    limit_batch_size,
    prepare_batches,
)
from keras_attn.batching.feeding import shard_batch


def test_order_depends_on_seed_and_epoch_and_covers_all_rows():
    assert sorted(epoch_order(20, 0, 0)) == list(range(20))
    orders = {tuple(epoch_order(20, seed, epoch)) for seed in (0, 1) for epoch in (0, 1, 2)}
    assert len(orders) == 6


def test_training_batches_are_those_of_their_epoch(shapes):
    split = shapes["train"]
    batches = ImageBatches(split, 50, seed=3, epochs=3)
    assert len(batches) == 9  # 192 images make 3 batches of 50
    order = epoch_order(192, 3, 1)
    assert batches[3][1].tolist() == split.labels[order[:50]].tolist()
    backwards = [batches[index][1].tolist() for index in range(8, -1, -1)]
    assert backwards[::-1] == [batches[index][1].tolist() for index in range(9)]


@pytest.mark.parametrize("size", [1, 2, 5, 6])
@pytest.mark.parametrize("parts", [1, 2, 4])
def test_shards_of_a_batch_are_disjoint_complete_and_of_equal_size(size, parts):
    batch = {"x": np.arange(size * 3).reshape(size, 3), "y": (np.arange(size),)}
    shards = [shard_batch(batch, index, parts) for index in range(parts)]
    np.testing.assert_array_equal(np.concatenate([shard["x"] for shard in shards]), batch["x"])
    np.testing.assert_array_equal(
        np.concatenate([shard["y"][0] for shard in shards]), batch["y"][0]
    )
    sizes = [len(shard["x"]) for shard in shards]
    assert max(sizes) - min(sizes) <= 1


def test_batches_can_start_at_any_index(shapes):
    batches = ImageBatches(shapes["train"], 50, seed=3, epochs=2)
    whole, rest = (list(prepare_batches(batches, start=start)) for start in (0, 4))
    assert len(whole) == len(rest) + 4 == 6
    for (_, labels), (_, expected) in zip(rest, whole[4:], strict=True):
        np.testing.assert_array_equal(labels, expected)


@pytest.mark.tensorflow
@pytest.mark.parametrize("alternating", [False, True])
def test_other_backends_get_the_same_batches(shapes, alternating):
    split = shapes["train"]
    arrays = ImageBatches(split, 50, seed=3, epochs=2, alternating_flip=alternating)
    dataset = list(prepare_batches(arrays))
    assert len(arrays) == len(dataset) == 6
    for index, (images, labels) in enumerate(dataset):
        np.testing.assert_array_equal(arrays[index][0], images)
        np.testing.assert_array_equal(arrays[index][1], labels)


def test_alternating_flips_show_every_image_from_both_sides(shapes):
    split = shapes["train"]
    seen = {False: 0, True: 0}
    by_epoch = []
    batches = ImageBatches(split, 48, seed=3, epochs=2, alternating_flip=True)
    for epoch in range(2):
        order, sides = epoch_order(192, 3, epoch), np.zeros(192, bool)
        images = np.concatenate([batches[4 * epoch + step][0] for step in range(4)])
        for index, image in zip(order, images, strict=True):
            sides[index] = not np.array_equal(image, split.images[index])
            mirrored = split.images[index][:, ::-1]
            assert np.array_equal(image, mirrored if sides[index] else split.images[index])
            seen[bool(sides[index])] += 1
        by_epoch.append(sides)
    assert np.all(by_epoch[0] != by_epoch[1])
    assert 60 < by_epoch[0].sum() < 132


@pytest.mark.parametrize("size", [0, 193])
def test_batches_larger_than_the_data_are_refused(shapes, size):
    with pytest.raises(ValueError, match="192 training examples"):
        ImageBatches(shapes["train"], size, seed=0, epochs=1)


def test_evaluation_keeps_the_order_of_images(shapes):
    split = shapes["test"]
    batches = EvaluationBatches(split, 5)
    assert len(batches) == 7  # 32 images
    assert [len(labels) for _, labels in batches] == [5] * 6 + [2]
    images, labels = (np.concatenate(part) for part in zip(*batches, strict=True))
    np.testing.assert_array_equal(images, split.images)
    np.testing.assert_array_equal(labels, split.labels)


def test_a_batch_of_a_split_is_a_copy_of_its_rows(shapes):
    split = shapes["test"]
    images, labels = split.batch(np.array([4, 1]))
    np.testing.assert_array_equal(images, split.images[[4, 1]])
    np.testing.assert_array_equal(labels, split.labels[[4, 1]])
    images[:], labels[:] = 0, 9
    assert split.fingerprint == datasets.ImageSplit(split.images, split.labels).fingerprint
    assert 9 not in split.labels


@pytest.mark.parametrize(("examples", "parts"), [(20, 2), (21, 2), (23, 4), (7, 3), (8, 8), (5, 1)])
def test_the_limited_batch_size_leaves_each_part_a_row_of_every_batch(examples, parts):
    size = limit_batch_size(examples, 10, parts)

    def fits(size):
        return all(min(size, examples - start) >= parts for start in range(0, examples, size))

    assert fits(size)
    assert not any(fits(larger) for larger in range(size + 1, min(10, examples) + 1))


def test_fewer_examples_than_parts_are_refused():
    with pytest.raises(ValueError, match="3 examples cannot be shared by 4 replicas"):
        limit_batch_size(3, 10, 4)


def test_old_names_are_the_new_functions():
    # removed once tasks and training use the new names
    assert batching.prepare_batches is batching.prepare_batches
    assert batching.limit_batch_size is batching.limit_batch_size
    assert batching.EvaluationBatches is batching.EvaluationBatches
    assert batching.pad_rows is batching.pad_rows
