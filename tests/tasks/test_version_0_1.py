"""Models that version 0.1 saved load, and answer as they did."""

import json

import numpy as np
import pytest

import keras_attn
from tests.tasks.version_0_1 import make

pytestmark = pytest.mark.tensorflow
ANSWERS = json.loads((make.FOLDER / "answers.json").read_text())


def load(name):
    return keras_attn.load(make.FOLDER / f"{name}.keras")


def test_an_image_classifier():
    model = load("image_classifier")
    assert model.label_names == ("cat", "dog", "owl")
    logits = model.logits(make.images())
    np.testing.assert_allclose(logits, ANSWERS["image_classifier"], atol=1e-4)
    assert model.backbone.output_shape == (None, 8)


def test_a_text_classifier():
    model = load("text_classifier")
    assert model.encoder.max_length == 12
    assert float(model.temperature) != 1.0
    probabilities = [list(answer.probabilities.values()) for answer in model.classify(make.TEXTS)]
    np.testing.assert_allclose(probabilities, ANSWERS["text_classifier"], atol=1e-5)
    assert model.explain(make.TEXTS[0]).tokens == ("a", "fine", "film", "to", "love")


def test_a_translator():
    model = load("translator")
    assert model.max_length == 20
    answers = model.translate([source.upper() for source in make.SOURCES])
    expected = ANSWERS["translator"]
    assert [answer.text for answer in answers] == [text for text, _ in expected]
    np.testing.assert_allclose([a.score for a in answers], [s for _, s in expected], atol=1e-3)
