"""ONNX and LiteRT models, run without TensorFlow, against the models that they were made of."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from keras_attn import recipes
from keras_attn.datasets.waveforms import pad_waveforms
from keras_attn.tasks import from_architecture
from tests.export.test_hostile_inputs import WORDS, small_model
from tests.tasks.audio.small_audio import chirp
from tests.tasks.small_forecasters import new_forecaster

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:.*tf.lite"),
]
CLIENT = pathlib.Path(__file__).with_name("formats_client.py")
RANDOM = np.random.default_rng(0)


def images(*shape):
    return RANDOM.integers(0, 256, shape).astype("uint8")


def run_client(folder):
    command = [sys.executable, str(CLIENT), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def outputs_of(folder, name):
    return dict(np.load(folder / f"{name}.out.npz"))


def check(received, expected, tolerance=2e-5):
    assert set(received) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(received[name], values, rtol=1e-4, atol=tolerance, err_msg=name)


@pytest.mark.slow
def test_onnx_models_answer_the_same_without_tensorflow(tmp_path):
    pytest.importorskip("tf2onnx")
    pytest.importorskip("onnxruntime")
    import tensorflow as tf

    detector = from_architecture("attention_detector", ("a", "b"), image_size=(32, 48))
    detector.score_thresholds.assign([0.0, 0.0])
    for weight in detector.network.weights:  # equal scores may come in any order
        weight.assign_add(RANDOM.normal(0.0, 0.05, weight.shape).astype("float32"))
    classifier, text = small_model("small_attention_cnn"), small_model("text_transformer")
    waveforms = [chirp(1, 0.21, 8_000).samples, chirp(0, 0.3, 8_000, seed=1).samples]
    forecaster = new_forecaster("calendar_transformer")
    values = RANDOM.normal(size=(2, forecaster.history_length, forecaster.num_variables))
    values[0, 3] = np.nan
    cases = {
        "image": (classifier, {"images": images(3, *classifier.image_shape)}),
        "boxes": (detector, {"images": images(2, 32, 48, 3)}),
        "text": (text, {"token_ids": text.encoder([*WORDS, "a", ""]).numpy()}),
        "sound": (small_model("keyword_attention"), {"waveforms": pad_waveforms(waveforms, 40)}),
        "series": (
            forecaster,
            {"values": values.astype("float32"), "times": np.array([3_600, 10**9])},
        ),
    }
    expected = {}
    for name, (model, inputs) in cases.items():
        model.export(tmp_path / f"{name}.onnx", format="onnx")
        np.savez(tmp_path / f"{name}.npz", **inputs)
        function, signature = model.onnx_function()
        assert [each.name for each in signature.inputs] == list(inputs)
        outputs = function(**{key: tf.constant(value) for key, value in inputs.items()})
        strings = [key for key, value in outputs.items() if value.dtype == tf.string]
        expected[name] = {k: v.numpy() for k, v in outputs.items() if k not in strings}
    run_client(tmp_path)
    for name, outputs in expected.items():
        check(outputs_of(tmp_path, name), outputs, 5e-4 if name == "boxes" else 2e-5)
    info = json.loads((tmp_path / "text.onnx.json").read_text(encoding="utf-8"))
    assert info["label_names"] == ["a", "b"]
    words = info["vocabularies"][0]
    ids = [info["first_term_id"] + words.index(word) for word in words]
    assert text.encoder(words).numpy()[:, 0, 0].tolist() == ids


@pytest.mark.slow
def test_litert_models_answer_the_same_without_tensorflow(tmp_path):
    Interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter
    model = small_model("small_attention_cnn")
    same, larger = images(1, *model.image_shape), images(1, 50, 41, 3)
    model.export(tmp_path / "same.tflite", format="litert")
    model.export(tmp_path / "larger.tflite", format="litert", image_size=(50, 41))
    options = {"quantization": "int8", "calibration": images(60, *model.image_shape)}
    model.export(tmp_path / "int8.tflite", format="litert", **options)
    inputs = {"same": same, "larger": larger, "int8": same}
    for name, array in inputs.items():
        np.savez(tmp_path / f"{name}.npz", images=array)
    run_client(tmp_path)
    for name in ("same", "larger", "int8"):
        (answer,) = model.classify(inputs[name])
        expected = {"probabilities": [list(answer.probabilities.values())]}
        check(outputs_of(tmp_path, name), expected, 0.05 if name == "int8" else 2e-5)
    kinds = [
        {detail["dtype"] for detail in Interpreter(str(path)).get_tensor_details()}
        for path in (tmp_path / "same.tflite", tmp_path / "int8.tflite")
    ]
    assert np.int8 in kinds[1] - kinds[0]
    info = json.loads((tmp_path / "same.tflite.json").read_text(encoding="utf-8"))
    assert info["label_names"] == ["a", "b"]


def test_quantization_needs_examples_and_names_what_it_takes(tmp_path):
    model = small_model("small_attention_cnn")
    path = tmp_path / "model.tflite"
    with pytest.raises(ValueError, match="`quantization` to int8 needs `calibration`"):
        model.export(path, format="litert", quantization="int8")
    with pytest.raises(ValueError, match="`quantization` must be 'int8'"):
        model.export(path, format="litert", quantization="int4", calibration=images(1, 8, 8, 3))
    with pytest.raises(ValueError, match="`image_size` must be height and width"):
        model.export(path, format="litert", image_size=32)
    with pytest.raises(TypeError, match="Received: views"):
        model.export(tmp_path / "model.onnx", format="onnx", views=2)
    assert list(tmp_path.iterdir()) == []


def test_every_task_has_or_refuses_every_format():
    names = {"saved_model", "onnx", "litert", "ctranslate2"}
    for task in map(recipes.describe_task, recipes.list_tasks()):
        assert {*task.export_formats, *task.refused_formats} == names, task.name
        assert not set(task.export_formats) & set(task.refused_formats)
        for name, reason in task.refused_formats.items():
            with pytest.raises(ValueError, match=f"no format '{name}'.*Accepted: 'saved_model'"):
                task.export_format(name)
            assert any(f"'{nearest}'" in reason for nearest in task.export_formats), reason
