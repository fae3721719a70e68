"""The example that serves SavedModels with Ray Serve."""

import ast
import base64
import importlib.util
import json
import struct
import sys

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.examples.servers import ask, serving

tf = pytest.importorskip("tensorflow")

EXAMPLE = ROOT / "examples" / "serving"
pytestmark = pytest.mark.tensorflow


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


served_model = example("served_model")


class Small(tf.Module):
    """Signatures of the kinds that tasks export."""

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "texts")])
    def classify(self, texts):
        tf.debugging.Assert(tf.reduce_all(texts != "bad"), ["the text bad"])
        score = tf.cast(tf.strings.length(texts), tf.float32)
        return {"label": tf.strings.upper(texts, "utf-8"), "score": tf.math.log(score)}

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, "images")])
    def pixels(self, images):
        return {"sum": tf.reduce_sum(tf.cast(images, tf.int32), (1, 2, 3))}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "image_bytes")])
    def files(self, image_bytes):
        def total(content):
            image = tf.io.decode_image(content, 3, expand_animations=False)
            return tf.reduce_sum(tf.cast(image, tf.int32))

        return {"sum": tf.map_fn(total, image_bytes, fn_output_signature=tf.int32)}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "files")])
    def sounds(self, files):
        return {"length": tf.strings.length(files)}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.int32, "counts")])
    def flat(self, counts):
        return {"numbers": tf.repeat(counts, counts)}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.int32, "counts")])
    def note(self, counts):
        return {"note": tf.strings.as_string(tf.size(counts))}

    @tf.function(input_signature=[tf.TensorSpec((None, None, 2), tf.float32, "values")])
    def forecast(self, values):
        return {"mean": tf.reduce_mean(values, 1), "missing": tf.math.is_nan(values)}

    @tf.function(
        input_signature=[
            tf.TensorSpec((None,), tf.string, "texts"),
            tf.TensorSpec((), tf.int64, "seed"),
        ]
    )
    def generate(self, texts, seed):
        row = tf.strings.as_string(seed + tf.range(tf.size(texts), dtype=tf.int64))
        return {"text": texts + row}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "模型" / "3"
    module = Small()
    signatures = {
        "serving_default": module.classify,
        "pixels": module.pixels,
        "bytes": module.files,
        "wav": module.sounds,
        "flat": module.flat,
        "note": module.note,
        "forecast": module.forecast,
        "generate": module.generate,
    }
    signatures = {name: each.get_concrete_function() for name, each in signatures.items()}
    tf.saved_model.save(module, str(path), signatures=signatures)
    (path / "assets").mkdir(exist_ok=True)
    (path / "assets" / "model.json").write_text('{"label_names": ["好"]}', encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def model(folder):
    return served_model.ServedModel(
        str(folder.parent), served_model.Limits(max_examples=3, max_text_bytes=9, max_pixels=100)
    )


def body(**content):
    return json.dumps(content).encode()


def answer(model, *requests):
    replies = []
    for request, outputs in zip(requests, model.run(list(requests)), strict=True):
        if isinstance(outputs, Exception):
            replies.append(outputs)
        else:
            replies.append(json.loads(model.reply(request, outputs)))
    return replies


def png(size=(2, 2), value=1):
    return tf.io.encode_png(np.full((*size, 3), value, np.uint8)).numpy()


def test_the_highest_version_of_a_folder_is_described(model, folder):
    description = model.describe()
    assert (description["name"], description["version"]) == ("模型", "3")
    assert description["model"]["label_names"] == ["好"]
    assert description["signatures"]["pixels"]["inputs"] == {
        "images": {"dtype": "uint8", "shape": [None, None, None, 3]}
    }
    with pytest.raises(FileNotFoundError, match="which has no saved_model"):
        served_model.ServedModel(str(folder / "assets"))


def test_columns_and_rows_are_answered_as_tensorflow_serving_does(model):
    texts = ["ab", "電影"]
    requests = [
        model.parse(body(inputs={"texts": texts})),
        model.parse(body(inputs=texts)),
        model.parse(body(instances=[{"texts": text} for text in texts])),
        model.parse(body(instances=texts)),
        model.parse(body(inputs={"texts": [{"b64": base64.b64encode(b"ab").decode()}]})),
        model.parse(body(signature_name="pixels", instances=[[[[1, 2, 255]]]])),
        model.parse_text("電影".encode()),
        model.parse_file(png(), "image_bytes"),
        model.parse_file(b"RIFF\xff\xfe" + bytes(20), "files"),
    ]
    columns, same, rows, bare, encoded, single, text, file, sound = answer(model, *requests)
    assert columns == same
    assert columns["outputs"]["label"] == ["AB", "電影"]
    assert rows == bare
    assert [row["label"] for row in rows["predictions"]] == ["AB", "電影"]
    assert encoded["outputs"]["label"] == ["AB"]
    assert single == {"predictions": [258]}  # a single output has no name
    assert text["outputs"]["label"] == ["電影"]
    assert file == {"outputs": [12]}
    assert sound == {"outputs": [26]}  # not UTF-8, and longer than a text may be


def test_missing_values_are_null_in_both_directions(model):
    request = model.parse(body(signature_name="forecast", inputs=[[[1, None], [2.5, 4]]]))
    (reply,) = answer(model, request)
    assert reply["outputs"] == {
        "mean": [[1.75, None]],
        "missing": [[[False, True], [False, False]]],
    }


def test_requests_share_a_batch_and_a_wrong_one_fails_alone(model, monkeypatch):
    executed = []
    execute = model._execute

    def record(signature, inputs):
        executed.append((signature, len(next(iter(inputs.values())))))
        return execute(signature, inputs)

    monkeypatch.setattr(model, "_execute", record)
    good = [model.parse(body(inputs=[text])) for text in ("a", "b")]
    pixels = [
        model.parse(body(signature_name="pixels", inputs=np.full(shape, value).tolist()))
        for value, shape in ((1, (1, 1, 1, 3)), (2, (1, 2, 1, 3)), (3, (2, 1, 1, 3)))
    ]
    replies = answer(model, good[0], *pixels, good[1])
    assert executed == [("serving_default", 2), ("pixels", 3), ("pixels", 1)]
    assert [reply["outputs"] for reply in replies[1:4]] == [[3], [12], [9, 9]]
    assert replies[4]["outputs"]["label"] == ["B"]

    first, wrong, last = answer(model, good[0], model.parse(body(inputs=["bad"])), good[1])
    assert (first["outputs"]["label"], last["outputs"]["label"]) == (["A"], ["B"])
    assert isinstance(wrong, served_model.RequestError)
    assert "the text bad" in str(wrong)
    assert wrong.status == 400


def test_outputs_without_a_row_for_each_example_are_not_cut(model):
    requests = [model.parse(body(signature_name="flat", inputs=counts)) for counts in ([2], [1, 3])]
    assert answer(model, *requests) == [
        {"outputs": [2, 2]},
        {"outputs": [1, 3, 3, 3]},
    ]
    (request,) = rows = [model.parse(body(signature_name="flat", instances=[1, 3]))]
    with pytest.raises(served_model.RequestError, match="not one row for each example"):
        model.reply(request, *model.run(rows))
    assert answer(model, model.parse(body(signature_name="note", inputs=[4, 4]))) == [
        {"outputs": "2"}
    ]


def test_a_header_that_is_not_the_first_chunk_is_refused(model):
    file = png((20, 20))
    hidden = file[:8] + struct.pack(">I4sIII", 8, b"zzZz", 1, 1, 0) + file[8:]
    with pytest.raises(served_model.RequestError, match="header"):
        model.parse_file(hidden, "image_bytes")


def test_requests_with_a_seed_are_not_answered_together(model):
    draw = model.parse(body(signature_name="generate", inputs={"texts": ["a"], "seed": 7}))
    assert answer(model, draw, draw) == [{"outputs": ["a7"]}] * 2


def test_the_smallest_request_of_each_signature_is_known_and_runs(model, monkeypatch):
    assert set(model._probes) == set(model.describe()["signatures"])
    for request in model._probes.values():
        (outputs,) = model.run([request])
        assert isinstance(outputs, dict), request.signature
    model.check()

    def fail(*_):
        raise tf.errors.InternalError(None, None, "lost")

    monkeypatch.setattr(model, "_execute", fail)
    with pytest.raises(tf.errors.InternalError):
        model.check()


@pytest.mark.parametrize(
    ("content", "message", "status"),
    [
        (b"", "EOF", 400),
        (b'{"inputs": ' + b"[" * 10**5, "recursion", 400),
        (b"[1]", "object", 400),
        (b'{"inputs": ["\xff"]}', "", 400),
        (b'{"inputs": ["\\ud800"]}', "", 400),
        (body(), "one of 'inputs' and 'instances'", 400),
        (body(inputs=["a"], verbose=1), "verbose", 400),
        (body(signature_name="x", inputs=["a"]), "signature_name must be one of", 404),
        (body(inputs={"images": ["a"]}), "names ['texts']", 400),
        (body(inputs=[1]), "must hold strings", 400),
        (body(inputs=["a", None]), "must hold strings", 400),
        (body(inputs=[["a"]]), "too many axes", 400),
        (body(inputs={"texts": "a"}), "too few axes", 400),
        (body(inputs=[]), "at least one example", 400),
        (body(instances=[]), "at least one example", 400),
        (body(inputs=["a"] * 4), "3 examples at most", 413),
        (body(inputs=["電影電影"]), "9 bytes at most", 413),
        (body(inputs=[{"b64": "*"}]), "not base64", 400),
        (body(inputs=[{"b64": "//4="}]), "not UTF-8", 400),
        (body(signature_name="pixels", inputs=[[[[1, 2, 256]]]]), "0..255", 400),
        (body(signature_name="pixels", inputs=[[[[1, 2, -1]]]]), "0..255", 400),
        (body(signature_name="pixels", inputs=[[[[1, 2, 10**400]]]]), "0..255", 400),
        (body(signature_name="pixels", inputs=[[[[1, 2, 0.5]]]]), "uint8. Received: 0.5", 400),
        (body(signature_name="pixels", inputs=[[[[1, 2, True]]]]), "Received: True", 400),
        (body(signature_name="pixels", inputs=[[[[1, 2, None]]]]), "Received: None", 400),
        (body(signature_name="pixels", inputs=[[[[1, 2]]]]), "(?, ?, ?, 3)", 400),
        (body(signature_name="pixels", inputs=[[[[1, 2, 3]], []]]), "same length", 400),
        (body(signature_name="forecast", inputs=[[[1, float("nan")]]]), "finite", 400),
        (body(signature_name="forecast", inputs=[[[1, 1e39]]]), "finite", 400),
        (body(signature_name="forecast", inputs=[[[1, 10**400]]]), "float32", 400),
        (body(signature_name="forecast", inputs=[[[1, "2"]]]), "Received: '2'", 400),
        (body(signature_name="generate", inputs={"texts": ["a"]}), "['seed', 'texts']", 400),
        (body(signature_name="generate", inputs={"texts": ["a"], "seed": 2**63}), "int64", 400),
        (body(signature_name="generate", instances=[{"texts": "a", "seed": 1}]), "'seed'", 400),
    ],
)
def test_wrong_requests_are_refused_with_the_reason(model, content, message, status):
    with pytest.raises(served_model.RequestError) as error:
        model.parse(content)
    assert message in str(error.value)
    assert error.value.status == status


def test_all_wrong_requests_are_refused_in_one_run(model):
    marks = test_wrong_requests_are_refused_with_the_reason.pytestmark
    for case in next(mark for mark in marks if mark.name == "parametrize").args[1]:
        test_wrong_requests_are_refused_with_the_reason(model, *case)


def test_files_are_refused_by_their_headers(model):
    for content, message, status in (
        (b"", "JPEG or PNG", 415),
        (b"GIF89a", "JPEG or PNG", 415),
        (png()[:20], "does not begin with a whole header", 400),
        (png((11, 10)), "100 pixels at most", 413),
        (b"\xff\xd8\xff\xe0", "damaged", 400),
        (tf.io.encode_jpeg(np.zeros((11, 10, 3), np.uint8)).numpy(), "100 pixels at most", 413),
    ):
        with pytest.raises(served_model.RequestError, match=message) as error:
            model.parse_file(content, "image_bytes")
        assert error.value.status == status
    damaged = model.parse_file(png()[:-20], "image_bytes")
    fine = model.parse_file(png(), "image_bytes")
    refused, kept = answer(model, damaged, fine)
    assert isinstance(refused, served_model.RequestError)
    assert kept == {"outputs": [12]}


def test_the_example_imports_nothing_but_what_its_requirements_bring():
    accepted = {*sys.stdlib_module_names, "app", "served_model"}
    accepted |= {"fastapi", "numpy", "pydantic", "pydantic_core", "ray", "starlette", "tensorflow"}
    for path in EXAMPLE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module]
            else:
                continue
            assert {name.partition(".")[0] for name in names} <= accepted, path.name


def test_the_page_and_the_readme_state_the_limits_of_the_code():
    limits = served_model.Limits()
    readme = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "pages" / "serving.md").read_text(encoding="utf-8")
    assert limits.max_body_bytes == 8 * 2**20
    assert limits.max_pixels == 20_000_000
    for text in (readme, page):
        for number in (
            "8 MiB",
            f"{limits.max_examples}",
            f"{limits.max_text_bytes:,}",
            "20 million",
        ):
            assert number in text


@pytest.mark.exhaustive
def test_the_server_answers_refuses_and_ends(folder, tmp_path):
    pytest.importorskip("ray.serve")
    blocked = tmp_path / "keras_attn"  # cannot be imported by the server
    blocked.mkdir()
    (blocked / "__init__.py").write_text("raise ImportError('not installed here')")
    options = (f"model={folder}", "name=small", "replicas=1", "max_body_bytes=1000")
    with serving(tmp_path / "log", *options, environment={"PYTHONPATH": str(tmp_path)}) as address:

        def send(path, *content):
            return ask(f"{address}{path}", *content)

        path = "/v1/models/small:predict"
        assert send("/")[1]["model"] == {"label_names": ["好"]}
        assert send("/v1/models/small")[1]["model_version_status"][0]["state"] == "AVAILABLE"
        assert send(path, body(inputs=["電影"]))[1]["outputs"]["label"] == ["電影"]
        assert send(path, png(), "image/png") == (200, {"outputs": [12]})
        assert send(path, "好".encode(), "text/plain")[1]["outputs"]["label"] == ["好"]
        for status, content, kind in (
            (400, b"{", "application/json"),
            (400, body(inputs=["bad"]), "application/json"),
            (413, b" " * 1_001, "application/json"),
            (415, b"<a/>", "text/xml"),
        ):
            received, reply = send(path, content, kind)
            assert received == status
            assert reply["error"]
        assert send("/v1/models/other:predict", body(inputs=["a"]))[0] == 404
