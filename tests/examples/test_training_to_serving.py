"""Two workers train a model, and a server answers with it."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from keras_attn import datasets, zoo
from tests.conftest import ROOT

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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "log"
    server = subprocess.Popen(
        [sys.executable, "run.py", f"model={tmp_path / 'served'}", "replicas=1", f"port={port}"],
        cwd=ROOT / "examples" / "serving",
        stdout=log.open("w"),
        stderr=subprocess.STDOUT,
    )
    try:
        end = time.monotonic() + 240
        while "is ready at" not in log.read_text():
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.5)
        url = f"http://127.0.0.1:{port}/v1/models/served:predict"
        content = (tmp_path / "image.png").read_bytes()
        request = urllib.request.Request(url, content, {"Content-Type": "image/png"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as response:
            outputs = json.load(response)["outputs"]
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(60)
        finally:
            server.kill()
    assert outputs["label"] == [expected.label]
    assert outputs["score"] == pytest.approx([expected.score], abs=1e-4)
