"""Models of the Hugging Face Hub, from a server on this machine."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import keras_attn
from keras_attn import _hub, zoo
from keras_attn._files import sha256
from tests.hub_server import REPOSITORY, serve

ROOT = pathlib.Path(__file__).parent.parent
NAME = f"hf://{REPOSITORY}"
OLD, NEW = "a" * 40, "b" * 40
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("uint8")


def run(hub, cache, mode, *models, **environment):
    """Run `hub_client.py`; return what each model gave, and what the process logged."""
    completed = subprocess.run(
        [sys.executable, ROOT / "tests" / "hub_client.py", mode, *models],
        env={
            **{k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")},
            "PYTHONPATH": str(ROOT),
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(cache),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert completed.returncode == 0, completed.stderr
    return json.loads(completed.stdout), completed.stderr


@pytest.fixture(scope="module")
def commits(tmp_path_factory):
    """The folders of two commits: the model of an entry, and the same with another head."""
    folder = tmp_path_factory.mktemp("commits")
    model = zoo.build("shapes_small_attention_cnn")
    folders = {OLD: model.save_to_preset(folder / OLD)}
    model.network.layers[-1].bias.assign_add([1.0, 2.0, 3.0, 4.0])
    return {**folders, NEW: model.save_to_preset(folder / NEW)}


def test_names_of_models():
    assert _hub.parse("hf://owner/a.b-c_d") == ("owner/a.b-c_d", None)
    assert _hub.parse("hf://owner/name@v1.0") == ("owner/name", "v1.0")
    assert _hub.parse("hf://owner/name@refs/pr/1") == ("owner/name", "refs/pr/1")
    for name in ("name", "a/b/c", "../b", "a/..", "a/b@", "a/b@c@d", "a/b@../c", "a/b c", ""):
        with pytest.raises(ValueError, match="hf://owner/name@revision"):
            _hub.parse(f"hf://{name}")


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"keras-attn\[hub\]"):
        keras_attn.load(NAME)


def test_commits_are_resolved_and_pinned(commits, tmp_path):
    pytest.importorskip("huggingface_hub")
    digest = sha256(commits[OLD] / "manifest.json")
    pinned = f"{NAME}@{OLD}"
    with serve(commits) as hub:
        models = (NAME, f"{pinned} {digest}", f"{NAME} {digest}")
        (newest, old, other), log = run(hub, tmp_path, "download", *models)
    assert pathlib.Path(newest["folder"]).name == NEW
    assert f"{NAME} is commit {NEW} now" in log
    assert f"Load the same files later by {NAME}@{NEW}" in log
    assert f"is commit {OLD}" not in log  # nothing was resolved
    folder = pathlib.Path(old["folder"])
    assert folder.name == OLD
    assert sorted(path.name for path in folder.iterdir()) == [
        *("config.json", "manifest.json", "metadata.json", "model.weights.h5"),
    ]  # what is loaded: not the card
    assert other["error"] == "ValueError"
    assert "not the file that `sha256` pins" in other["message"]
    loaded = keras_attn.load(folder, sha256=digest)
    model = zoo.build("shapes_small_attention_cnn")
    np.testing.assert_array_equal(loaded.logits(IMAGES), model.logits(IMAGES))


@pytest.mark.slow
def test_the_cache_is_enough(commits, tmp_path):
    pytest.importorskip("huggingface_hub")
    pinned = f"{NAME}@{OLD}"
    with serve(commits) as hub:
        online, _ = run(hub, tmp_path, "download", NAME, pinned)
        hub.requests.clear()
        assert run(hub, tmp_path, "download", pinned)[0] == online[1:]
        assert not hub.requests
    assert run(hub, tmp_path, "download", NAME)[0] == online[:1]  # the server is gone
    models = (NAME, pinned, f"{NAME}@other")
    (*cached, missing), _ = run(hub, tmp_path, "download", *models, HF_HUB_OFFLINE="1")
    assert cached == online
    assert missing["error"] == "ConnectionError"
    assert "is not in the cache" in missing["message"]


@pytest.mark.slow
def test_errors_of_a_hub_are_clear(commits, tmp_path):
    pytest.importorskip("huggingface_hub")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "config.json").write_text("{}")
    outside = tmp_path / "outside"
    outside.mkdir()
    entry = {"bytes": 1, "sha256": "0" * 64}
    manifest = {"format": 1, "files": {"../../secret": entry}}
    (outside / "manifest.json").write_text(json.dumps(manifest))
    folders = {"c" * 40: foreign, "d" * 40: outside, **commits}
    with serve(folders) as hub:
        names = ("hf://owner/other", f"{NAME}@v9", f"{NAME}@{'c' * 40}", f"{NAME}@{'d' * 40}")
        (missing, revision, no_manifest, escape), _ = run(
            hub, tmp_path / "cache", "download", *names
        )
        assert not any(file == "secret" for *_, file in hub.requests)
    assert missing["error"] == revision["error"] == no_manifest["error"] == "FileNotFoundError"
    assert "There is no model 'hf://owner/other'" in missing["message"]
    assert "no revision 'v9'" in revision["message"]
    assert "holds no manifest.json" in no_manifest["message"]
    assert escape["error"] == "ValueError"
    assert "not the name of a file in its folder" in escape["message"]


@pytest.mark.slow
@pytest.mark.tensorflow
def test_models_of_a_hub_are_built(commits, tmp_path):
    pytest.importorskip("huggingface_hub")
    with serve(commits) as hub:
        (newest, old), _ = run(hub, tmp_path, "build", NAME, f"{NAME}@{OLD}")
    expected = zoo.build("shapes_small_attention_cnn").logits(IMAGES)
    np.testing.assert_array_equal(np.float32(old["logits"]), expected)
    assert not np.allclose(np.float32(newest["logits"]), expected)
    assert old["logits"] == old["command"] and newest["logits"] == newest["command"]
