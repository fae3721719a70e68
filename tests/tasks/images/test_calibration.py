"""Calibration of the scores of image classifiers."""

import types

import keras
import numpy as np
import pytest

import keras_attn
from keras_attn import training
from keras_attn.recipes import change_recipe
from keras_attn.tasks import expected_calibration_error
from keras_attn.training.checkpoint import _variables
from tests.conftest import ROOT

NAMES = ("red", "green", "blue", "yellow")


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    return keras_attn.build("shapes_small_attention_cnn")


@pytest.fixture(scope="module")
def held_out(shapes):
    return shapes["train"].images, shapes["train"].labels


def test_scores_become_those_of_the_highest_likelihood(model, held_out):
    images, labels = held_out
    before = model.evaluate_split(keras_attn.datasets.ImageSplit(images, labels))
    answers = model.classify(images)
    model.temperature.assign(5.0)  # underconfident, as after label smoothing
    flat = model.evaluate_split(keras_attn.datasets.ImageSplit(images, labels))
    temperature = model.calibrate(images, [NAMES[label] for label in labels])
    assert temperature == float(model.temperature) != 5.0
    after = model.evaluate_split(keras_attn.datasets.ImageSplit(images, labels))
    assert after["loss"] <= before["loss"] < flat["loss"]
    assert after["accuracy"] == before["accuracy"] == flat["accuracy"]
    assert after["calibration_error"] < flat["calibration_error"]
    assert [a.label for a in model.classify(images)] == [a.label for a in answers]
    scores = np.array([list(a.probabilities.values()) for a in model.classify(images)])
    expected = expected_calibration_error(scores, labels)
    assert after["calibration_error"] == pytest.approx(expected, abs=1e-6)
    for factor in (0.9, 1.1):
        model.temperature.assign(temperature * factor)
        other = model.evaluate_split(keras_attn.datasets.ImageSplit(images, labels))
        assert other["loss"] > after["loss"]


def test_every_answer_is_calibrated_and_files_hold_the_temperature(model, held_out, tmp_path):
    images = held_out[0][:8]
    model.temperature.assign(1.0)
    plain = model.logits(images)
    model.temperature.assign(2.0)
    np.testing.assert_allclose(model.logits(images), plain / 2, rtol=1e-6)
    np.testing.assert_allclose(model.predict(images, verbose=0), plain / 2, rtol=1e-5, atol=1e-6)
    scores = [answer.score for answer in model.classify(images)]
    model.save(tmp_path / "model.keras")
    loaded = keras_attn.load(tmp_path / "model.keras")
    assert [answer.score for answer in loaded.classify(images)] == scores
    model.save_weights(tmp_path / "model.weights.h5")
    other = keras_attn.build("shapes_small_attention_cnn", weights=None)
    other.load_weights(tmp_path / "model.weights.h5")
    assert float(other.temperature) == 2.0


def test_a_new_head_starts_without_calibration(model):
    model.temperature.assign(2.0)
    names = ("a", "b")
    other = keras_attn.build("shapes_small_attention_cnn", weights=None, label_names=names)
    other.copy_backbone(model)
    assert float(other.temperature) == 1.0


@pytest.mark.tensorflow
def test_an_export_is_calibrated(model, held_out, tmp_path):
    import tensorflow as tf

    model.temperature.assign(3.0)
    scores = [answer.score for answer in model.classify(held_out[0][:4])]
    serve = tf.saved_model.load(str(model.export(tmp_path / "serving")))
    outputs = serve.signatures["serving_default"](images=tf.constant(held_out[0][:4]))
    np.testing.assert_allclose(outputs["score"], scores, rtol=1e-5)


def test_a_run_is_calibrated_on_its_validation_split(shapes, small_recipe, tmp_path):
    recipe = change_recipe(small_recipe, {"training.label_smoothing": 0.3})
    run = training.train(recipe, tmp_path / "run", dataset=shapes, verbose=0)
    temperature = float(run.model.temperature)
    assert run.record["temperature"] == pytest.approx(temperature) != 1.0
    split = shapes["validation"]
    assert run.model.calibrate(split.images, split.labels) == pytest.approx(temperature, rel=1e-4)
    assert run.record["metrics"]["test"]["calibration_error"] >= 0.0


def test_a_model_of_version_0_1_has_no_temperature():
    model = keras_attn.load(ROOT / "tests" / "tasks" / "version_0_1" / "image_classifier.keras")
    assert float(model.temperature) == 1.0


@pytest.mark.parametrize(
    ("images", "labels", "match"),
    [
        (2, [0], r"one label for each image, and at least one image.*2 images, labels of shape"),
        (0, [], "at least one image. Received: 0 images"),
        (1, ["purple"], "purple"),
    ],
)
def test_labels_that_do_not_fit(model, images, labels, match):
    with pytest.raises(ValueError, match=match):
        model.calibrate(np.zeros((images, 32, 32, 3), "uint8"), labels)


def test_checkpoints_are_as_those_of_before_calibration(model):
    learner = types.SimpleNamespace(
        task=model,
        metrics=[],
        variables=model.variables,
        optimizer=types.SimpleNamespace(variables=[]),
    )
    left_out = [v for v in model.variables if all(v is not w for w in _variables(learner))]
    assert [variable.path for variable in left_out] == [model.temperature.path]
