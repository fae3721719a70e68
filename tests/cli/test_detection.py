"""The command line on images with boxes: training on one's own, answers, pictures and exports."""

import json

import pytest

from tests.cli import command_line
from tests.cli.command_line import read_record, registered
from tests.datasets.test_detection import item, voc
from tests.tasks.detection.small_detector import NAMES, draw_image

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

run = command_line.run
NAME = "bccd_tiny"
RECIPE = """
task = "object_detection"
description = "tiny"
dataset = "bccd"
architecture = "attention_detector"

[model]
image_size = [48, 64]
stem_filters = 8
stage_filters = [16, 16]
stage_blocks = [1, 1]
num_layers = 1
num_heads = 2
intermediate_dim = 24
head_filters = 16
batch_norm_momentum = 0.8

[optimizer]
name = "adamw"
learning_rate = 0.005

[training]
epochs = 2
batch_size = 16
"""


@pytest.fixture(scope="module", autouse=True)
def catalogue(tmp_path_factory):
    with registered(tmp_path_factory.mktemp("catalogue"), NAME, RECIPE) as folder:
        yield folder


def write(folder, count):
    """Write drawn images, each with an XML file."""
    import tensorflow as tf

    folder.mkdir()
    for index in range(count):
        image, boxes, labels = draw_image(index)
        (folder / f"{index:02}.png").write_bytes(tf.io.encode_png(image).numpy())
        items = [
            item(NAMES[label], *map(int, box)) for box, label in zip(boxes, labels, strict=True)
        ]
        (folder / f"{index:02}.xml").write_text(voc(*items, size=(48, 64)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, catalogue):
    """The folder of a run on a user's images, what the command printed, and the images."""
    pytest.importorskip("pycocotools")
    folder = tmp_path_factory.mktemp("own")
    write(folder / "shapes", 40)
    (folder / "shapes" / "bad.xml").write_text("no XML")
    printed = command_line.run_in(folder, "train", NAME, "--data", "shapes", "--epochs", "12")
    return folder / "runs" / f"shapes-{NAME}-seed0", printed, folder / "shapes"


def test_a_folder_of_images_is_trained_on(trained):
    folder, printed, _ = trained
    assert "shapes: 41 images read, 40 kept, 1 skipped." in printed
    assert "1 not an annotation of Pascal VOC (bad.xml)" in printed
    assert "Split: 32 train, 4 validation, 4 test." in printed
    assert "batches of 16 make few steps; they are lowered to 8" in printed
    record = read_record(folder)
    assert record["data"]["label_names"] == list(NAMES)
    assert set(record["metrics"]["test"]["ap50_by_label"]) == set(NAMES)


def test_its_model_is_evaluated_answers_and_draws(run, trained, tmp_path):
    pytest.importorskip("matplotlib")
    folder, _, images = trained
    assert "mAP50" in run("evaluate", folder, "--data", images)
    plots = tmp_path / "drawn"
    options = ("--json", "--threshold", "0.05", "--max-boxes", "2", "--plots", plots)
    printed = run("predict", folder, images / "00.png", images / "01.png", *options)
    rows = [json.loads(line) for line in printed.splitlines()]
    assert len(rows) == 2
    assert all(len(row["objects"]) <= 2 for row in rows)
    assert sorted(path.name for path in plots.iterdir()) == ["00.png", "01.png"]
    message = run("predict", folder, images / "00.png", "--plots", plots, code=1)
    assert "--plots writes a new folder" in message
    assert "`threshold` must be" in run(
        "predict", folder, images / "00.png", "--threshold", "2", code=1
    ).replace("--threshold must be", "`threshold` must be")
    printed = " ".join(run("export", folder, tmp_path / "1").split())
    assert "images uint8 (B, H, W, 3) -> boxes float32 (B, N, 4), labels string (B, N)" in printed


def test_mistakes_are_reported(run, tmp_path):
    (tmp_path / "a.json").write_text("{}")
    message = run("train", NAME, "--data", tmp_path / "a.json", "--out", tmp_path / "r", code=1)
    assert "is no file of COCO annotations" in message
    message = run("train", NAME, "--data", tmp_path, "--text-column", "a", code=1)
    assert "--text-column: not for bccd_tiny" in message
