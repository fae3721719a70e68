"""The web server of the page: what it refuses, and what it does not hand out."""

import io
import json
import pathlib
import signal

import pytest

pytest.importorskip("gradio")

import httpx
from PIL import Image

from keras_attn.app import server
from tests.app.served import served
from tests.conftest import ROOT

pytestmark = pytest.mark.exhaustive


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def client(folder):
    with (
        served(folder, "shapes_small_attention_cnn", "imdb_ngram_attention") as (_, address),
        httpx.Client(base_url=address, trust_env=False, timeout=60) as client,
    ):
        yield client


def test_the_page_loads_nothing_from_elsewhere(client):
    response = client.get("/")
    assert response.status_code == 200
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'self' ")
    assert "http" not in policy
    config = client.get("/config").json()
    assert config["analytics_enabled"] is False
    style = client.get("/theme.css").text
    assert "https://" not in style


@pytest.mark.parametrize("host", ["attacker.example", "10.0.0.1", "127.0.0.1.attacker.example"])
def test_other_names_of_the_machine_are_refused(client, host):
    assert client.get("/", headers={"Host": host}).status_code == 400
    assert client.get("/", headers={"Host": "localhost:7860"}).status_code == 200


def test_files_of_the_machine_are_not_handed_out(client, folder):
    weights = ROOT / "zoo/shapes_small_attention_cnn/model.weights.h5"
    paths = [
        *(ROOT / "pyproject.toml", weights, folder / "stderr", "/etc/passwd"),
        *("/proc/self/environ", pathlib.Path.home() / ".profile", "stderr", "~/.profile"),
    ]
    for path in paths:
        for route in ("gradio_api/file=", "file=", "gradio_api/file/", "static/", "assets/"):
            for name in (f"{path}", f"..%2f..%2f..%2f{path}", f"..%2f{path}", f"file:%2f%2f{path}"):
                response = client.get(f"/{route}{name}")
                assert response.status_code in (400, 403, 404, 405), (route, name)


def test_uploads_are_limited(client, folder):
    content = b"0" * (server.MAX_UPLOAD + 1)
    response = client.post("/gradio_api/upload", files={"files": ("big.png", content)})
    assert response.status_code == 413
    response = client.post("/gradio_api/upload", files={"files": ("../../a.png", b"0")})
    assert response.status_code == 200
    (path,) = map(pathlib.Path, json.loads(response.text))
    assert path.name == "a.png"
    assert path.is_relative_to(folder / "temporary")


def test_uploads_of_other_sites_are_refused(client):
    files = {"files": ("a.png", b"0")}
    for origin, status in (("https://attacker.example", 403), (str(client.base_url), 200)):
        headers = {"Origin": origin.rstrip("/")}
        response = client.post("/gradio_api/upload", files=files, headers=headers)
        assert response.status_code == status
    headers = {"Origin": "https://models.example", "X-Forwarded-Host": "models.example"}
    assert client.post("/gradio_api/upload", files=files, headers=headers).status_code == 200


def png():
    image = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(image, "PNG")
    return image.getvalue()


def test_a_path_in_place_of_an_upload_is_refused(client):
    (uploaded,) = client.post("/gradio_api/upload", files={"files": ("a.png", png())}).json()
    assert client.get(f"/gradio_api/file={uploaded}").content == png()
    config = client.get("/config").json()
    component = next(each for each in config["components"] if each["type"] == "image")
    events = [each for each in config["dependencies"] if component["id"] in each["inputs"]]
    refused = (
        ROOT / "notebooks",
        ROOT / "pyproject.toml",
        ROOT / "docs/pages/app.png",
        "/etc/passwd",
        f"{client.base_url}a.png",
    )
    for number, path in enumerate([uploaded, *refused]):
        (event, *_) = events
        data = [None] * len(event["inputs"])
        data[0] = "shapes_small_attention_cnn"
        data[1] = {"path": str(path), "meta": {"_type": "gradio.FileData"}}
        session = f"session{number}"
        body = {"data": data, "fn_index": event["id"], "session_hash": session}
        joined = client.post("/gradio_api/queue/join", json=body)
        assert joined.status_code == 200
        messages = client.get(f"/gradio_api/queue/data?session_hash={session}").text
        succeeded = '"success":true' in messages.replace(" ", "")
        assert succeeded == (path == uploaded), messages[-2000:]
        assert "image that can be read" not in messages  # it was not opened
        assert "root:" not in messages


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_folder_of_uploads_is_removed_at_the_end(number, tmp_path):
    with served(tmp_path, "imdb_ngram_attention") as (process, _):
        assert any((tmp_path / "temporary").glob("keras_attn_app_*"))
        process.send_signal(number)
        assert process.wait(timeout=20) == (0 if number == signal.SIGINT else 143)
    assert (tmp_path / "stderr").read_text() == ""
    assert not any((tmp_path / "temporary").glob("keras_attn_app_*"))
