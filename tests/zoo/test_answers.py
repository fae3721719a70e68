"""Every trained entry answers as it did when its figures were recorded.

`answers.json` holds answers of version 0.1; those of the entries on CIFAR-100 and FSDD, which it
did not have, are of the version that trained them. Labels and texts must be the same; numbers may
differ by the rounding of other processors.
"""

import json
import pathlib

import numpy as np
import pytest

from keras_attn import zoo
from keras_attn.datasets import Waveform

pytestmark = pytest.mark.tensorflow
ANSWERS = json.loads(pathlib.Path(__file__).with_name("answers.json").read_text(encoding="utf-8"))
TEXTS = [
    "An hour too long, and I loved every minute.",
    "Dull, dull, dull: not one good scene.",
    "It is a film.",
]
SENTENCES = [
    "Two dogs are playing in the snow.",
    "A man in a red shirt is riding a bicycle.",
    "I do not know what to say.",
]


def images():
    """Three images of noise, and three of large squares."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (3, 32, 32, 3)).astype("uint8")
    squares = random.integers(0, 256, (3, 4, 4, 3)).astype("uint8")
    return np.concatenate([noise, squares.repeat(8, axis=1).repeat(8, axis=2)])


def entries(task):
    return zoo.list(task=task, pretrained=True)


def test_answers_are_of_every_trained_entry():
    assert sorted(ANSWERS) == zoo.list(pretrained=True)


@pytest.mark.parametrize("name", entries("image_classification"))
def test_images(name):
    model, expected = zoo.build(name), ANSWERS[name]
    logits = model.logits(images())
    np.testing.assert_allclose(logits, expected["logits"], atol=1e-3)
    np.testing.assert_allclose(model.logits(images(), views=6), expected["views"], atol=1e-3)
    answers = model.classify(images())
    assert [answer.label for answer in answers] == expected["labels"]
    for answer, row in zip(answers, np.array(expected["logits"]), strict=True):
        shares = np.exp(row) / np.exp(row).sum()
        assert answer.score == pytest.approx(shares.max(), abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", entries("text_classification"))
def test_texts(name):
    model, expected = zoo.build(name), ANSWERS[name]
    answers = model.classify(TEXTS)
    assert [answer.label for answer in answers] == expected["labels"]
    probabilities = [list(answer.probabilities.values()) for answer in answers]
    np.testing.assert_allclose(probabilities, expected["probabilities"], atol=1e-4)
    explanation = model.explain(TEXTS[0])
    np.testing.assert_allclose(explanation.leave_one_out, expected["leave_one_out"], atol=1e-3)
    np.testing.assert_allclose(explanation.attention, expected["attention"], atol=1e-4)


def sounds():
    """Three chirps and three bursts of noise, of different lengths and rates."""
    random = np.random.default_rng(0)
    waveforms = []
    for index, rate in enumerate((8_000, 16_000, 44_100)):
        time = np.arange(round((0.3 + 0.1 * index) * rate)) / rate
        chirp = 0.3 * np.sin(2 * np.pi * (300 + 900 * (1 + index) * time) * time)
        noise = random.normal(0.0, 0.1, len(time)) * np.hanning(len(time))
        waveforms += [Waveform(chirp, rate), Waveform(noise, rate)]
    return waveforms


@pytest.mark.parametrize("name", entries("audio_classification"))
def test_sounds(name):
    model, expected = zoo.build(name), ANSWERS[name]
    np.testing.assert_allclose(model.logits(sounds()), expected["logits"], atol=2e-3)
    assert [answer.label for answer in model.classify(sounds())] == expected["labels"]


@pytest.mark.slow
@pytest.mark.parametrize("name", entries("translation"))
def test_sentences(name):
    model, expected = zoo.build(name), ANSWERS[name]
    answers = model.translate(SENTENCES)
    texts = [answer.text for answer in answers]
    assert texts == expected["texts"]
    np.testing.assert_allclose([a.score for a in answers], expected["scores"], atol=1e-3)
    np.testing.assert_allclose(model.score(SENTENCES, texts), expected["score"], atol=1e-3)
