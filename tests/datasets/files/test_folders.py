"""Folders of images: which files are read, which are skipped and why, and how they are split."""

import os
import shutil

import numpy as np
import pytest

from keras_attn import datasets

pytest.importorskip("PIL")
from PIL import Image

pytestmark = pytest.mark.tensorflow
SIZE = (8, 8)


def draw(path, seed, size=SIZE, mode="RGB"):
    """Write an image of noise by the suffix of its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"RGB": 3, "L": 1, "RGBA": 4}[mode]
    values = np.random.default_rng(seed).integers(0, 256, (*size, channels), "uint8")
    Image.fromarray(values.squeeze()).save(path)
    return values


def many(root, labels, count, start=0):
    for number, label in enumerate(labels):
        for index in range(count):
            draw(root / label / f"{index}.png", start + 1_000 * number + index)


def read(root, **options):
    return datasets.read_images(root, image_size=SIZE, **options)


def reasons(table):
    account = table.account
    assert account.kept == len(table) == sum(account.examples.values())
    assert account.kept + sum(part.count for part in account.skipped.values()) == account.rows
    return {
        reason.split(" (")[0].split(";")[0]: part.lines for reason, part in account.skipped.items()
    }


def test_images_of_any_size_and_format_are_read(tmp_path):
    pixels = draw(tmp_path / "cat" / "a.png", 1)
    draw(tmp_path / "cat" / "deeper" / "b.JPG", 2, (30, 20))
    draw(tmp_path / "dog" / "gray.bmp", 3, mode="L")
    draw(tmp_path / "dog" / "clear.png", 4, mode="RGBA")
    draw(tmp_path / "dog" / "saved.jfif", 5, (9, 8))
    draw(tmp_path / "dog" / "small.webp", 6, (9, 8))
    table = read(tmp_path)
    assert table.images.shape == (6, 8, 8, 3)
    assert table.images.dtype == np.uint8
    assert table.paths == (
        "cat/a.png", "cat/deeper/b.JPG", "dog/clear.png", "dog/gray.bmp", "dog/saved.jfif",
        "dog/small.webp",
    )  # fmt: skip
    assert table.labels == ("cat", "cat", "dog", "dog", "dog", "dog")
    assert (table.images[0] == pixels).all()
    assert "3 images are resized to 8x8 (height x width), from 9x8 to 30x20." in str(table.account)
    assert "6 files read, 6 kept, 0 skipped" in str(table.account)


def test_images_are_resized_as_a_classifier_does(tmp_path):
    from keras_attn import tasks

    draw(tmp_path / "cat" / "a.png", 1, (40, 24))
    draw(tmp_path / "dog" / "a.png", 2)
    model = tasks.from_architecture("small_attention_cnn", ("cat", "dog"), image_size=8)
    expected = model.preprocess_inputs([str(tmp_path / "cat" / "a.png")])[0]
    assert np.abs(read(tmp_path).images[0] - expected).max() <= 0.5 + 1e-4


def test_every_file_that_is_skipped_is_accounted_for(tmp_path):
    many(tmp_path, ("cat", "dog"), 3)
    draw(tmp_path / "loose.png", 50)
    (tmp_path / "README.md").write_text("pets")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    shutil.copy(tmp_path / "cat" / "0.png", tmp_path / "cat" / "._0.png")
    (tmp_path / "cat" / ".ipynb_checkpoints").mkdir()
    shutil.copy(tmp_path / "cat" / "0.png", tmp_path / "cat" / ".ipynb_checkpoints" / "0.png")
    (tmp_path / "cat" / "notes.txt").write_text("x")
    (tmp_path / "cat" / "x.tiff").write_bytes(b"x")
    (tmp_path / "cat" / "text.png").write_text("no image")
    (tmp_path / "cat" / "empty.jpg").write_bytes(b"")
    (tmp_path / "cat" / "cut.png").write_bytes((tmp_path / "cat" / "1.png").read_bytes()[:60])
    (tmp_path / "cat" / "broken.png").symlink_to(tmp_path / "none.png")
    shutil.copy(tmp_path / "cat" / "1.png", tmp_path / "cat" / "zcopy.png")
    shutil.copy(tmp_path / "dog" / "2.png", tmp_path / "cat" / "zdog.png")
    (tmp_path / "bird").mkdir()
    (tmp_path / "fish").mkdir()
    (tmp_path / "fish" / "f.png").write_text("no image")
    table = read(tmp_path)
    assert table.label_names == ("cat", "dog")
    assert reasons(table) == {
        "hidden": (".DS_Store", "cat/._0.png", "cat/.ipynb_checkpoints/0.png"),
        "not an image by its suffix": ("README.md", "cat/notes.txt"),
        "outside the folders of labels": ("loose.png",),
        "in a format that is not read": ("cat/x.tiff",),
        "unreadable as an image": (
            "cat/broken.png", "cat/cut.png", "cat/empty.jpg", "cat/text.png", "fish/f.png",
        ),
        "duplicate": ("cat/zcopy.png",),
        "contradictory": ("cat/zdog.png", "dog/2.png"),
    }  # fmt: skip
    shown = str(table.account)
    assert "1 duplicate (the same pixels as an earlier image of the label) (cat/zcopy.png)" in shown
    assert "Folders without a usable image, no labels: 'bird', 'fish'." in shown
    assert "The first image that cannot be used: There is no image file " in shown


def test_names_of_labels_are_in_any_script(tmp_path):
    names = ("猫", "собака", "chien é", "1.0", "ไก่")
    many(tmp_path, names, 1)
    (tmp_path / "chien é").rename(tmp_path / "chien e\u0301")  # as macOS writes it
    assert set(read(tmp_path).label_names) == {"猫", "собака", "chien é", "1", "ไก่"}
    table = read(tmp_path, label_names=["собака", "猫"])
    assert table.label_names == ("собака", "猫")
    assert table.account.skipped["unknown label"].count == 3


@pytest.mark.skipif(os.name == "nt", reason="names are bytes on POSIX alone")
def test_a_folder_whose_name_is_not_utf8_is_refused(tmp_path):
    many(tmp_path, ("cat", "dog"), 1)
    try:
        (tmp_path / os.fsdecode(b"caf\xe9")).mkdir()
    except OSError:
        pytest.skip("the file system takes UTF-8 alone")
    with pytest.raises(ValueError, match="names of labels must be UTF-8"):
        read(tmp_path)


def test_links_are_followed_and_end(tmp_path):
    many(tmp_path / "store", ("cat", "dog"), 2)
    (tmp_path / "set").mkdir()
    for label in ("cat", "dog"):
        (tmp_path / "set" / label).symlink_to(tmp_path / "store" / label)
    (tmp_path / "store" / "cat" / "up").symlink_to(tmp_path / "store" / "cat")
    assert read(tmp_path / "set").labels == ("cat", "cat", "dog", "dog")


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "dev", "testing")])
def test_folders_of_splits_are_recognized(tmp_path, names):
    for number, (name, count) in enumerate(zip(names, (10, 3, 2), strict=True)):
        many(tmp_path / name, ("cat", "dog"), count, start=100 * number)
    table = read(tmp_path)
    assert table.label_names == ("cat", "dog")
    found = datasets.split_images(table)
    assert {name: len(split) for name, split in found.items()} == {
        "train": 20,
        "validation": 6,
        "test": 4,
    }
    shutil.rmtree(tmp_path / names[1])
    found = datasets.split_images(read(tmp_path), validation=0.2)
    assert {name: len(split) for name, split in found.items()} == {
        "train": 16,
        "validation": 4,
        "test": 4,
    }
    shutil.copy(tmp_path / names[0] / "cat" / "0.png", tmp_path / names[2] / "cat" / "copy.png")
    with pytest.warns(UserWarning, match="1 of the 5 test images also occur"):
        found = datasets.split_images(read(tmp_path))
    assert len(found["test_unseen"]) == 4
    with pytest.raises(ValueError, match="has a folder for test, and `test_data` was given"):
        datasets.split_images(read(tmp_path), test_data=table)
    (tmp_path / "extra").mkdir()
    with pytest.raises(ValueError, match=r"folders of splits.*beside others: extra"):
        read(tmp_path)


def test_labels_named_as_splits_are_labels(tmp_path):
    many(tmp_path, ("train", "test", "bus"), 1)
    assert read(tmp_path).label_names == ("bus", "test", "train")
    shutil.rmtree(tmp_path / "bus")
    assert read(tmp_path).label_names == ("test", "train")


def test_the_cut_is_stratified_and_depends_on_the_seed(tmp_path):
    many(tmp_path, ("cat", "dog"), 20)
    table = read(tmp_path)
    cuts = [datasets.split_images(table, seed=seed) for seed in (0, 0, 1)]
    assert cuts[0]["test"].fingerprint == cuts[1]["test"].fingerprint
    assert cuts[0]["test"].fingerprint != cuts[2]["test"].fingerprint
    assert (
        cuts[0]["train"].fingerprint == datasets.split_images(read(tmp_path))["train"].fingerprint
    )
    for split in cuts[0].values():
        assert np.bincount(split.labels)[0] == np.bincount(split.labels)[1]
    images = np.concatenate([split.images for split in cuts[0].values()])
    assert len({image.tobytes() for image in images}) == 40


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda root: None, FileNotFoundError, "does not exist"),
        (lambda root: root.write_text("a,b"), FileNotFoundError, "is a file"),
        (lambda root: root.mkdir(), ValueError, "must hold a folder of images for each label"),
        (lambda root: draw(root / "a.png", 1), ValueError, "must hold a folder"),
        (lambda root: (root / "cat").mkdir(parents=True), ValueError, "no image that can be used"),
    ],
)
def test_what_is_no_folder_of_labels_says_so(tmp_path, make, error, message):
    make(tmp_path / "pets")
    with pytest.raises(error, match=message):
        read(tmp_path / "pets")


def test_one_label_cannot_be_learned(tmp_path):
    many(tmp_path, ("cat",), 12)
    with pytest.raises(ValueError, match="two labels at least"):
        datasets.split_images(read(tmp_path))


@pytest.mark.parametrize("size", [8, (8,), (8, 0), (8.0, 8)])
def test_the_size_is_height_and_width(tmp_path, size):
    with pytest.raises(ValueError, match="`image_size` must be"):
        datasets.read_images(tmp_path, image_size=size)


def test_a_fraction_beside_a_folder_of_the_split_is_refused(tmp_path):
    for part in ("train", "test"):
        many(tmp_path / part, ("cat", "dog"), 6, start=50 if part == "test" else 0)
    table = read(tmp_path)
    assert set(datasets.split_images(table)) >= {"train", "validation", "test"}
    with pytest.raises(ValueError, match=r"has a folder for test\. Received both, `test=0\.2`"):
        datasets.split_images(table, test=0.2)
