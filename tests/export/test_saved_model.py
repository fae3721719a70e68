"""SavedModels, as their users meet them."""

import json
import logging
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from keras_attn import datasets, zoo
from keras_attn.tasks import from_architecture
from tests.conftest import ROOT
from tests.disk import full_disk

pytestmark = pytest.mark.tensorflow
CLIENT = pathlib.Path(__file__).with_name("saved_model_client.py")


def ask(folder):
    done = subprocess.run(
        [sys.executable, str(CLIENT), str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [dict(np.load(path)) for path in sorted(folder.glob("answers-*.npz"))]


# One entry of each architecture.
ENTRIES = {
    zoo.describe(name).recipe.architecture: name for name in zoo.list(task="image_classification")
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name.startswith("shapes") else pytest.mark.slow)
        for name in ENTRIES.values()
    ],
)
def test_entries_run_without_keras_and_answer_the_same(name, tmp_path):
    model = zoo.build(name, weights="zoo" if zoo.describe(name).pretrained else None)
    random = np.random.default_rng(0)
    batches = [
        random.integers(0, 256, shape).astype("uint8")
        for shape in [(3, 32, 32, 3), (1, 41, 57, 3), (2, 1, 1, 3), (0, 32, 32, 3)]
    ]
    for index, images in enumerate(batches):
        np.save(tmp_path / f"images-{index}.npy", images)
    assert model.export(tmp_path / "model") == tmp_path / "model"
    for images, answers in zip(batches, ask(tmp_path), strict=True):
        assert set(answers) == {"label", "score", "probabilities"}
        assert answers["probabilities"].shape == (len(images), len(model.label_names))
        for index, expected in enumerate(model.classify(images)):
            assert answers["label"][index] == expected.label
            np.testing.assert_allclose(
                answers["probabilities"][index], list(expected.probabilities.values()), atol=1e-5
            )
            assert answers["score"][index] == pytest.approx(expected.score, abs=1e-5)


@pytest.fixture(scope="module")
def classifier():
    return from_architecture(
        "small_attention_cnn", datasets.describe_dataset("shapes").label_names, filters=(4, 8)
    )


def test_wrong_images_are_refused_by_the_messages_of_the_page_on_deployment(classifier, tmp_path):
    import tensorflow as tf

    serve = tf.saved_model.load(str(classifier.export(tmp_path / "1"))).signatures[
        "serving_default"
    ]
    pixels = np.zeros((1, 48, 64, 3), "uint8")
    body = json.dumps({"inputs": {"images": pixels.tolist()}})  # as TensorFlow Serving takes it
    answer = serve(images=tf.constant(json.loads(body)["inputs"]["images"], tf.uint8))
    index = int(answer["probabilities"][0].numpy().argmax())
    assert answer["label"].numpy()[0].decode() == classifier.label_names[index]

    page = (ROOT / "docs" / "pages" / "deployment.md").read_text(encoding="utf-8")
    table = page.partition("### Errors")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| [^|]+ \| `(?:\.\.\. )?(.+)` \|$", table, flags=re.M)
    wrong = [pixels.astype("float32"), pixels.astype("int32"), pixels[0], pixels[..., :1]]
    for images, message in zip(wrong, rows, strict=True):
        with pytest.raises(tf.errors.InvalidArgumentError, match=re.escape(message)):
            serve(images=tf.constant(images))


def test_a_folder_that_holds_something_is_left_alone(classifier, tmp_path):
    kept = tmp_path / "notes.txt"
    kept.write_text("mine")
    with pytest.raises(FileExistsError, match="not an empty folder"):
        classifier.export(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_folder_is_used_and_parents_are_made(classifier, tmp_path):
    classifier.export(tmp_path / "a" / "b" / "1")
    (tmp_path / "empty").mkdir()
    classifier.export(tmp_path / "empty")
    assert (tmp_path / "empty" / "saved_model.pb").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "empty"]


def test_an_export_does_not_log_its_temporary_folder(classifier, tmp_path, caplog):
    import tensorflow as tf

    with caplog.at_level("INFO", "tensorflow"):  # as in a notebook
        classifier.export(tmp_path / "model")
        assert tf.get_logger().level == logging.INFO
    assert caplog.records == []


def test_an_export_that_fails_leaves_nothing(classifier, tmp_path, monkeypatch):
    import tensorflow as tf

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", full)
    with pytest.raises(
        OSError, match=r"could not be written.*nothing is left of it: No space left"
    ):
        classifier.export(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_is_one_line(classifier, tmp_path, capfd):
    with (
        full_disk(10_000),
        pytest.raises(OSError, match=r"could not be written to .*nothing is left of it") as raised,
    ):
        classifier.export(tmp_path / "a" / "model")
    assert "\n" not in str(raised.value)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_arguments_of_keras_are_refused_and_not_ignored(classifier, tmp_path):
    with pytest.raises(TypeError, match="verbose"):
        classifier.export(tmp_path / "model", verbose=False)
    with pytest.raises(ValueError, match=r"Received: 'openvino'\. Accepted: 'saved_model', 'onnx'"):
        classifier.export(tmp_path / "model", format="openvino")
    with pytest.raises(ValueError, match="'tf_saved_model' is named 'saved_model' here"):
        classifier.export(tmp_path / "model", format="tf_saved_model")
