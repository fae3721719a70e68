"""Data sets: what is in them, what is cut from them, and what happens without them."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

from keras_attn import datasets
from keras_attn.datasets.cifar import CIFAR100_LABELS
from keras_attn.datasets.shapes import COLORS, SIZES
from tests.conftest import ROOT


def test_shapes_are_the_same_from_the_same_seed(shapes):
    again = datasets.shapes.draw_shapes(seed=1, sizes={"train": 192, "validation": 32, "test": 32})
    other = datasets.shapes.draw_shapes(seed=2, sizes={"train": 192})
    assert again["train"].fingerprint == shapes["train"].fingerprint
    assert other["train"].fingerprint != shapes["train"].fingerprint
    assert again["test"].fingerprint != again["validation"].fingerprint


def test_shapes_are_what_they_were_when_the_entry_was_trained():
    # A change of the drawing changes the meaning of every recorded number.
    assert datasets.load("shapes")["validation"].fingerprint[:16] == "e3cf8225e534bfab"


def test_shapes_hold_the_color_that_they_are_labelled_with_and_another(shapes):
    palette = np.array(list(COLORS.values()), float)
    split = shapes["train"]
    distance = np.abs(split.images[:, :, :, None, :] - palette).max(-1)
    visible = (distance < 45).sum(axis=(1, 2)) > 8  # (images, colors)
    assert visible[np.arange(len(split)), split.labels].mean() > 0.97
    assert abs(visible.sum(axis=1).mean() - 2) < 0.1


def test_shapes_labels_are_balanced():
    counts = np.bincount(datasets.load("shapes")["train"].labels)
    assert counts.min() > 0.22 * SIZES["train"]


def test_no_ten_pixels_of_a_shapes_image_show_two_figures():
    # What a position of the small network sees: attention, and nothing else, relates figures.
    from keras_attn.datasets import shapes as module

    cells = module._CELLS
    closest = np.abs(cells[:, None] - cells[None]).max(-1)[~np.eye(4, dtype=bool)].min()
    assert closest - 2 * module._JITTER - 2 * module._RADIUS >= 9


def test_validation_is_cut_from_train_and_always_the_same():
    labels = np.arange(100, dtype="int32")
    split = datasets.ImageSplit(np.zeros((100, 1, 1, 3), "uint8"), labels)
    train, validation = datasets.cut_validation(split, 10)
    assert (len(train), len(validation)) == (90, 10)
    assert sorted([*train.labels, *validation.labels]) == list(labels)
    assert validation.labels.tolist() == datasets.cut_validation(split, 10)[1].labels.tolist()
    assert validation.labels.tolist() == [7, 9, 39, 40, 52, 58, 78, 81, 84, 92]


@pytest.mark.tensorflow
def test_batches_of_a_split_cover_it_once(shapes):
    split = shapes["test"]
    plain = np.concatenate([labels for _, labels in split.batches(5)])
    shuffled = np.concatenate([labels for _, labels in split.batches(5, shuffle=True)])
    np.testing.assert_array_equal(plain, split.labels)
    assert sorted(shuffled) == sorted(split.labels)
    assert shuffled.tolist() != plain.tolist()


def test_float_images_are_no_split():
    with pytest.raises(ValueError, match="uint8"):
        datasets.ImageSplit(np.zeros((2, 4, 4, 3)), np.zeros(2, "int32"))


def test_unknown_data_set_suggests_a_near_one():
    with pytest.raises(ValueError, match="Did you mean 'cifar10'"):
        datasets.load("cifar-10")


def test_unknown_split_lists_those_there_are(shapes):
    with pytest.raises(KeyError, match="'validation'"):
        shapes["valid"]


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_a_data_set_that_is_not_on_disk_says_how_to_get_it(tmp_path, name):
    script = (
        "import sys, keras_attn\n"
        f"try: keras_attn.datasets.load({name!r}, {str(tmp_path)!r})['train']\n"
        "except keras_attn.datasets.DatasetNotFoundError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) in done.stdout
    assert f"t.load('{name}'" in done.stdout


def test_array_files_hold_what_they_were_made_of(tmp_path, shapes, monkeypatch):
    from keras_attn.datasets import cifar

    monkeypatch.setattr(cifar, "VALIDATION_SIZE", 40)
    original = datasets.ImageSplit(
        np.concatenate([shapes["train"].images, shapes["test"].images]),
        np.concatenate([shapes["train"].labels, shapes["test"].labels]),
    )
    train, validation = datasets.cut_validation(original, 40)
    splits = {"train": train, "validation": validation, "test": shapes["test"]}
    cifar.write_arrays("cifar10", splits, tmp_path / "arrays.npz")
    again = datasets.load("cifar10", tmp_path / "arrays.npz")
    assert {name: again[name].fingerprint for name in again} == {
        name: split.fingerprint for name, split in splits.items()
    }
    with pytest.raises(ValueError, match="holds the data set 'cifar10'"):
        datasets.load("cifar100", tmp_path / "arrays.npz")["train"]
    content = (tmp_path / "arrays.npz").read_bytes()
    (tmp_path / "arrays.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="damaged"):
        datasets.load("cifar10", tmp_path / "arrays.npz")["train"]


def test_a_missing_array_file_is_named(tmp_path):
    with pytest.raises(datasets.DatasetNotFoundError, match=r"none\.npz"):
        datasets.load("cifar10", tmp_path / "none.npz")["train"]


def test_an_array_file_has_its_ending(tmp_path):
    with pytest.raises(ValueError, match=r"\.npz"):
        datasets.save_arrays("cifar10", tmp_path / "arrays")


def test_files_that_are_no_images_are_refused(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(b"not an image")
    with pytest.raises(ValueError, match="PNG, JPEG"):
        datasets.decode_image(path)
    with pytest.raises(FileNotFoundError, match="absent"):
        datasets.decode_image(pathlib.Path(tmp_path, "absent.png"))


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGBA", 4), ("RGB", 3)])
def test_image_files_of_every_mode_become_rgb(tmp_path, mode, channels):
    from PIL import Image

    pixels = np.full((5, 7, channels), 90, "uint8")
    Image.fromarray(pixels.squeeze(), mode=None).convert(mode).save(tmp_path / "image.png")
    image = datasets.decode_image(tmp_path / "image.png")
    assert image.shape == (5, 7, 3)
    assert (image == 90).all()


@pytest.mark.slow
@pytest.mark.data
def test_cifar10_is_the_real_one():
    cifar = datasets.load("cifar10")
    assert {name: len(cifar[name]) for name in cifar} == {
        "train": 45_000,
        "validation": 5_000,
        "test": 10_000,
    }
    assert cifar["train"].images.shape[1:] == (32, 32, 3)
    counts = np.bincount(np.concatenate([cifar["train"].labels, cifar["validation"].labels]))
    assert counts.tolist() == [5_000] * 10
    assert np.bincount(cifar["test"].labels).tolist() == [1_000] * 10


@pytest.mark.data
def test_cifar10_labels_are_those_of_tfds():
    import tensorflow_datasets as tfds

    assert (
        tuple(tfds.builder("cifar10").info.features["label"].names)
        == datasets.describe_dataset("cifar10").label_names
    )


def test_cifar100_has_a_hundred_labels_in_the_order_of_its_makers():
    assert len(set(CIFAR100_LABELS)) == 100
    assert list(CIFAR100_LABELS) == sorted(CIFAR100_LABELS)
