"""Images with boxes: Pascal VOC, COCO and BCCD, and what is dropped, with the reason."""

import io
import json
import tarfile

import numpy as np
import pytest

from keras_attn import datasets
from keras_attn.datasets.files._annotations import parse_voc
from tests.conftest import real_data_dir

SIZE = (24, 32)  # of the images


def png(seed=0, size=SIZE):
    import tensorflow as tf

    image = np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype("uint8")
    return tf.io.encode_png(image).numpy()


def item(label, *sides):
    names = ("xmin", "ymin", "xmax", "ymax")
    box = "".join(f"<{n}>{side}</{n}>" for n, side in zip(names, sides, strict=False))
    return f"<object><name>{label}</name><bndbox>{box}</bndbox></object>"


def voc(*items, size=SIZE, filename=""):
    stated = f"<size><width>{size[1]}</width><height>{size[0]}</height></size>" if size else ""
    return f"<annotation><filename>{filename}</filename>{stated}{''.join(items)}</annotation>"


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.fixture
def faulty(tmp_path):
    """A folder in the layout of LabelImg with every fault."""
    good = item("cell", 2, 3, 12, 13)
    files = {f"{name}.png": png(index) for index, name in enumerate("abcdefg")}
    files |= {
        "a.xml": voc(good, item("Cell ", 0, 0, 40, 10), good, item("cell", 5, 5, 5, 9)),
        "b.xml": voc(item("", 1, 1, 2, 2), item("cell", 1, "x", 2, 2), item("cell", 40, 1, 50, 2)),
        "c.xml": voc(good, size=(9, 9)),
        "d.xml": "no XML",
        "e.xml": voc(good, size=None),
        "h.xml": voc(good),
        "i.xml": voc(good, filename="g.png"),
        "f.png": b"no image",
        "f.xml": voc(good),
        "j.png": png(9),
        "notes.txt": "x",
    }
    write(tmp_path / "cells", files)
    return tmp_path / "cells"


def test_faults_are_dropped_and_reported(faulty):
    table = datasets.read_detection(faulty)
    assert table.paths == ("a", "b", "e", "i")
    assert table.label_names == ("Cell", "cell")
    assert [labels.tolist() for labels in table.split.labels] == [[1, 0], [], [1], [1]]
    assert table.split.boxes[0].tolist() == [[2, 3, 12, 13], [0, 0, 32, 10]]
    printed = str(table.account)
    for line in (
        f"{faulty}: 9 images read, 4 kept, 5 skipped.",
        "Objects: 'Cell' 1, 'cell' 3.",
        "Dropped: 1 object repeated (same label and coordinates) (a).",
        "Dropped: 1 object without area (a).",
        "Dropped: 1 object without label (b).",
        "Dropped: 1 object without four numbers as coordinates (b).",
        "Dropped: 1 object outside of the image (b).",
        "Cut at the border of the image: 1 box.",
        "Without an object: 1 image, such as b.",
        "Labels that differ in upper and lower case alone: 'Cell', 'cell'.",
        "  1 not an annotation of Pascal VOC (d.xml)",
        "  1 without an image of its own (h.xml)",
        "  1 without annotation (j.png)",
        "  1 with an image that cannot be read (f)",
        "  1 with an image of another size, once it is upright, than the annotation states (c)",
    ):
        assert line in printed.splitlines() or line in printed


def test_lists_of_splits_and_folders_of_splits(tmp_path):
    names = [f"{number:02}" for number in range(12)]
    files = {f"JPEGImages/{name}.png": png(int(name)) for name in names}
    files |= {f"Annotations/{name}.xml": voc(item("a", 1, 1, 9, 9)) for name in names}
    write(tmp_path / "voc", files)
    lists = {"train": names[:8], "val": names[8:10], "test": names[10:11]}
    for name, some in lists.items():
        write(tmp_path / "voc", {f"ImageSets/Main/{name}.txt": "\n".join(some)})
    table = datasets.read_detection(tmp_path / "voc")
    assert "1 in none of the lists of splits (11)" in str(table.account)
    dataset = datasets.split_detection(table)
    assert {name: len(split) for name, split in dataset.items()} == {
        "train": 8, "validation": 2, "test": 1,
    }  # fmt: skip
    with pytest.raises(ValueError, match="names images for test"):
        datasets.split_detection(table, test=0.2)
    for name, part in (("train", range(10)), ("valid", range(10, 12))):
        write(tmp_path / "parts", {f"{name}/{n}.png": png(n) for n in part})
        write(tmp_path / "parts", {f"{name}/{n}.xml": voc(item("a", 1, 1, 9, 9)) for n in part})
    dataset = datasets.split_detection(datasets.read_detection(tmp_path / "parts"), test=0.2)
    assert {name: len(split) for name, split in dataset.items()} == {
        "train": 8, "validation": 2, "test": 2,
    }  # fmt: skip


def coco(**changes):
    boxes = [[1, 2, 10, 12], [20, 5, 30, 10], [0, 0, 32, 24]]
    content = {
        "images": [{"id": 7, "file_name": "a.png", "width": 32, "height": 24},
                   {"id": 8, "file_name": "b.png"}, {"id": 9, "file_name": "gone.png"}],
        "categories": [{"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}],
        "annotations": [
            {"image_id": 7, "category_id": 5, "bbox": boxes[0]},
            {"image_id": 7, "category_id": 3, "bbox": boxes[1]},
            {"image_id": 8, "category_id": 3, "bbox": boxes[2], "iscrowd": 1},
            {"image_id": 8, "category_id": 3, "bbox": [1, 2, 3]},
        ],
    }  # fmt: skip
    return json.dumps({**content, **changes})


def test_coco_boxes_are_left_top_width_height(tmp_path):
    write(tmp_path, {"images/a.png": png(0), "b.png": png(1), "boxes.json": coco()})
    table = datasets.read_detection(tmp_path / "boxes.json")
    assert table.paths == ("a.png", "b.png")
    assert table.split.boxes[0].tolist() == [[1, 2, 11, 14], [20, 5, 32, 15]]
    assert [table.label_names[label] for label in table.split.labels[0]] == ["dog", "cat"]
    printed = str(table.account)
    assert "1 without an image of its own (gone.png)" in printed
    assert "Dropped: 1 object marked as a crowd (b.png)." in printed
    assert "Cut at the border of the image: 1 box." in printed
    write(tmp_path / "other", {"a.png": png(5)})
    moved = datasets.read_detection(tmp_path / "boxes.json", image_folder=tmp_path / "other")
    assert moved.paths == ("a.png",)
    small = datasets.read_detection(tmp_path / "boxes.json", image_size=(12, 12))
    assert small.split.images[0].shape == (9, 12, 3)
    np.testing.assert_allclose(
        small.split.boxes[0], np.array([[1, 2, 11, 14], [20, 5, 32, 15]]) * 12 / 32, atol=1e-5
    )


def test_coco_files_may_list_images_twice_and_objects_of_others(tmp_path):
    box = [1, 2, 10, 12]
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "./a.png"}]
    objects = [
        {"image_id": 1, "category_id": 3, "bbox": box},
        {"image_id": 2, "category_id": 5, "bbox": box},
        {"image_id": 99, "category_id": 5, "bbox": box},
        {"image_id": 1, "category_id": 8, "bbox": box},
    ]
    write(tmp_path, {"a.png": png(), "a.json": coco(images=images, annotations=objects)})
    table = datasets.read_detection(tmp_path / "a.json")
    assert [table.label_names[label] for label in table.split.labels[0]] == ["cat", "dog"]
    for part in ("1 object of images that the file does not list", "Listed twice: ./a.png.",
                 "1 object of a category that is not listed"):  # fmt: skip
        assert part in str(table.account)
    images[1] = {"id": 1, "file_name": "b.png"}
    write(tmp_path, {"a.json": coco(images=images)})
    with pytest.raises(ValueError, match=r"an id of its own.*'a\.png' and 'b\.png'"):
        datasets.read_detection(tmp_path / "a.json")


def test_each_image_of_voc_has_one_annotation(tmp_path):
    good, other = item("cell", 2, 3, 12, 13), item("dot", 2, 3, 12, 13)
    write(tmp_path / "a", {"1.jpg": png(1), "1.png": png(2), "1.XML": voc(good, filename="1.png"),
                           "2.xml": voc(other, filename="1.png")})  # fmt: skip
    table = datasets.read_detection(tmp_path / "a")
    assert table.label_names == ("cell",)
    assert np.array_equal(table.split.images[0], datasets.decode_image(tmp_path / "a" / "1.png"))
    for part in ("1 without an image of its own (2.xml)", "1 without annotation (1.jpg)"):
        assert part in str(table.account)


def test_lists_of_splits_that_contradict_are_refused(tmp_path):
    files = {f"JPEGImages/{name}.png": png(index) for index, name in enumerate("ab")}
    files |= {f"Annotations/{name}.xml": voc(item("a", 1, 1, 9, 9)) for name in "ab"}
    files |= {"ImageSets/Main/train.txt": "\ufeffa\nz", "ImageSets/Main/val.txt": "b"}
    write(tmp_path, files)
    table = datasets.read_detection(tmp_path)
    assert table.parts == ("train", "validation")
    assert "Listed without an annotated image: 1 name, such as z." in str(table.account)
    write(tmp_path, {"ImageSets/Main/val.txt": "a\nb"})
    with pytest.raises(ValueError, match="1 image in two, such as 'a'"):
        datasets.read_detection(tmp_path)


@pytest.mark.parametrize(
    ("files", "path", "message"),
    [
        ({}, "none", "no folder or file"),
        ({"a.png": b""}, "", "holds no images with annotations of Pascal VOC"),
        ({"a.json": "[]"}, "a.json", "must hold a JSON object"),
        ({"a.json": '{"images": []}'}, "a.json", "is no file of COCO annotations"),
        ({"a.json": coco()}, "a.json", "names no image that is on disk"),
        ({"a.png": png(), "a.xml": voc()}, "", "no image with an object that can be used"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, files, path, message):
    write(tmp_path, files)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        datasets.read_detection(tmp_path / path)


def test_labels_may_be_given(tmp_path):
    write(tmp_path, {"a.png": png(), "a.xml": voc(item("b", 1, 1, 9, 9))})
    table = datasets.read_detection(tmp_path, label_names=("a", "b"))
    assert table.split.labels[0].tolist() == [1]
    with pytest.raises(ValueError, match="not among `label_names`"):
        datasets.read_detection(tmp_path, label_names=("a",))
    with pytest.raises(ValueError, match="needs 10 images at least"):
        datasets.split_detection(table)


def test_annotations_of_other_kinds_are_no_voc():
    for content in ("<html></html>", "<annotation>", b"\xff"):
        with pytest.raises(ValueError, match=r"root|XML"):
            parse_voc(content)


def test_splits_check_their_arrays_and_have_fingerprints():
    image, box = np.zeros((8, 8, 3), "uint8"), np.array([[1, 2, 5, 6]], "float32")
    one = np.array([0], "int32")
    split = datasets.DetectionSplit((image, image), (box, box), (one, one))
    assert split.take([1]).fingerprint != split.fingerprint
    moved = datasets.DetectionSplit((image, image), (box, box + 1), (one, one))
    assert moved.fingerprint != split.fingerprint
    for parts in (
        ((image,), (box, box), (one,)),
        ((image[0],), (box,), (one,)),
        ((image,), (box,), (one.astype("int64"),)),
        ((image,), (box[0],), (one,)),
    ):
        with pytest.raises(ValueError, match=r"A split|An image"):
            datasets.DetectionSplit(*parts)


def bccd():
    """The content of a small BCCD: one image a split, and a box without area."""
    import tensorflow as tf

    image = np.full((*SIZE, 3), 128, "uint8")
    files = {}
    for index, name in enumerate(("train", "val", "test")):
        files[f"ImageSets/Main/{name}.txt"] = f"B{index}\n".encode()
        files[f"JPEGImages/B{index}.jpg"] = tf.io.encode_jpeg(image).numpy()
        content = voc(item("WBC", 1, 2, 9, 9), item("RBC", 5, 5, 5, 5))
        files[f"Annotations/B{index}.xml"] = content.encode()
    return files


@pytest.mark.parametrize("archive", [False, True])
def test_bccd_is_read_from_a_folder_and_the_archive(tmp_path, archive):
    folder = tmp_path / "bccd"
    if archive:
        folder.mkdir()
        with tarfile.open(folder / "BCCD.tar.xz", "w:xz") as file:
            for name, content in bccd().items():
                member = tarfile.TarInfo(f"BCCD/{name}")
                member.size = len(content)
                file.addfile(member, io.BytesIO(content))
    else:
        write(folder / "BCCD", bccd())
    split = datasets.load("bccd", tmp_path)["validation"]
    assert split.boxes[0].tolist() == [[1, 2, 9, 9]]
    assert split.labels[0].tolist() == [datasets.load("bccd").label_names.index("WBC")]
    assert "Dropped: 1 object without area (B1)." in str(split.account)


def test_bccd_that_is_absent_or_damaged(tmp_path):
    with pytest.raises(datasets.DatasetNotFoundError, match=r"Looked for BCCD, BCCD\.tar\.xz"):
        datasets.load("bccd", tmp_path)["train"]
    (tmp_path / "BCCD").mkdir()
    with pytest.raises(ValueError, match="incomplete or damaged"):
        datasets.load("bccd", tmp_path)["train"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "BCCD.tar.xz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="incomplete or damaged"):
        datasets.load("bccd", tmp_path / "other")["train"]


@pytest.mark.slow
@pytest.mark.data("bccd")
def test_the_published_files_have_two_boxes_without_area():
    dataset = datasets.load("bccd", real_data_dir("bccd"))
    sizes = {name: len(split) for name, split in dataset.items()}
    assert sizes == {"train": 205, "validation": 87, "test": 72}
    labels = np.concatenate([each for split in dataset.values() for each in split.labels])
    assert np.bincount(labels).tolist() == [361, 4155 - 2, 372]
    dropped = [str(split.account).count("without area") for split in dataset.values()]
    assert dropped == [1, 1, 0]
