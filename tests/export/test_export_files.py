"""Metadata of SavedModels, and the requests that warm up TensorFlow Serving."""

import json

import numpy as np
import pytest

from keras_attn import __version__, zoo
from keras_attn.export.warmup import WARMUP_FILE, prediction_log, prediction_log_class
from tests.export.test_hostile_inputs import small_model
from tests.tasks.small_forecasters import new_forecaster

pytestmark = pytest.mark.tensorflow


def info_of(folder):
    return json.loads((folder / "assets" / "model.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_a_model_of_the_zoo_says_what_it_is_until_its_weights_change(tmp_path):
    name = "shapes_small_attention_cnn"
    model = zoo.build(name)
    folder = model.export(tmp_path / "1")
    assert info_of(folder) == {
        "library": f"keras_attn {__version__}",
        "task": "image_classification",
        "entry": name,
        "label_names": list(model.label_names),
    }
    card = (zoo.describe(name).folder / "README.md").read_text(encoding="utf-8")
    assert (folder / "assets" / "README.md").read_text(encoding="utf-8") == card
    model.weights[0].assign_add(np.ones(model.weights[0].shape))
    changed = model.export(tmp_path / "2")
    assert info_of(changed)["entry"] is None
    assert not (changed / "assets" / "README.md").exists()
    assert zoo.build(name, weights=None).published is None


def requests_of(folder):
    import tensorflow as tf

    for record in tf.data.TFRecordDataset(str(folder / WARMUP_FILE)):
        request = prediction_log_class().FromString(record.numpy()).predict_log.request
        yield (
            request.model_spec.signature_name,
            {each.key: tf.constant(tf.make_ndarray(each.value)) for each in request.inputs},
        )


CASES = ["small_attention_cnn", "keyword_attention", "calendar_transformer"]


def model_of(kind):
    if kind == "calendar_transformer":
        return new_forecaster(kind)
    return small_model(kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", CASES)
def test_a_server_can_run_the_requests(kind, tmp_path):
    import tensorflow as tf

    model = model_of(kind)
    folder = model.export(tmp_path / "1")
    signatures = tf.saved_model.load(str(folder)).signatures
    requests = dict(requests_of(folder))
    assert set(requests) == {"serving_default", *model.description.further_signatures}
    for name, inputs in requests.items():
        arguments = signatures[name].structured_input_signature[1]
        assert {key: (spec.dtype) for key, spec in arguments.items()} == {
            key: value.dtype for key, value in inputs.items()
        }
        signatures[name](**inputs)


def test_requests_are_those_of_tensorflow_serving():
    log = prediction_log("serving_default", {"texts": ["a"], "seed": np.int64(3)})
    serving = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    request = serving.PredictionLog.FromString(log.SerializeToString()).predict_log.request
    assert request.model_spec.signature_name == "serving_default"
    assert request.inputs["texts"].string_val == [b"a"]
    assert request.inputs["seed"].int64_val == [3]
