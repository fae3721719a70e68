"""Two workers train a model, and a server answers with it."""

import os
import pathlib
import subprocess
import sys

import pytest

from keras_attn import datasets, zoo
from tests.conftest import ROOT
from tests.examples.servers import ask, serving

ENTRY = "shapes_small_attention_cnn"


def command(folder: pathlib.Path, *arguments: str) -> None:
    """Run `keras-attn` in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", "keras_attn", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.exhaustive
@pytest.mark.tensorflow
def test_a_server_answers_with_what_two_workers_trained(tmp_path):
    pytest.importorskip("ray.serve")
    from PIL import Image

    options = ("--workers", "2", "--tensorboard", "--epochs", "1", "--out", "run")
    command(tmp_path, "train", ENTRY, *options)
    assert list((tmp_path / "run" / "tensorboard").rglob("events*"))
    command(tmp_path, "export", ENTRY, "served/1", "--weights", "run/model.weights.h5")
    image = datasets.load("shapes")["test"].images[0]
    Image.fromarray(image).save(tmp_path / "image.png")
    model = zoo.build(ENTRY, weights=tmp_path / "run" / "model.weights.h5")
    expected = model.classify(image)
    options = (f"model={tmp_path / 'served'}", "replicas=1")
    with serving(tmp_path / "log", *options) as address:
        content = (tmp_path / "image.png").read_bytes()
        status, reply = ask(f"{address}/v1/models/served:predict", content, "image/png")
    assert status == 200
    outputs = reply["outputs"]
    assert outputs["label"] == [expected.label]
    assert outputs["score"] == pytest.approx([expected.score], abs=1e-4)
