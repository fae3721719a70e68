"""Every trained entry answers as it did when its figures were recorded.

`answers.json` holds the answers of the published weights. Labels and texts must be the same;
numbers may differ by the rounding of other processors. After other weights are published:

    python -m tests.zoo.test_answers NAME...
"""

import json
import pathlib
import sys

import numpy as np
import pandas as pd
import pytest

from keras_attn import zoo
from keras_attn.datasets import Waveform

pytestmark = pytest.mark.tensorflow
PATH = pathlib.Path(__file__).with_name("answers.json")
ANSWERS = json.loads(PATH.read_text(encoding="utf-8"))
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
PROMPTS = ["", "ROMEO:\n", "春望\n"]
# Tolerances of the numbers of an answer, by their name.
TOLERANCES = {
    **{"logits": 2e-3, "views": 2e-3, "scores": 1e-3, "score": 1e-3, "mean": 2e-3},
    **{"probabilities": 1e-4, "leave_one_out": 1e-3, "attention": 1e-4},
}


def images():
    """Three images of noise, and three of large squares."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (3, 32, 32, 3)).astype("uint8")
    squares = random.integers(0, 256, (3, 4, 4, 3)).astype("uint8")
    return np.concatenate([noise, squares.repeat(8, axis=1).repeat(8, axis=2)])


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


def of_images(model):
    answers = model.classify(images())
    return {
        "labels": [answer.label for answer in answers],
        "scores": [answer.score for answer in answers],
        "logits": model.logits(images()),
        "views": model.logits(images(), views=6),
    }


def of_texts(model):
    answers, explanation = model.classify(TEXTS), model.explain(TEXTS[0])
    return {
        "labels": [answer.label for answer in answers],
        "probabilities": [list(answer.probabilities.values()) for answer in answers],
        "leave_one_out": explanation.leave_one_out,
        "attention": explanation.attention,
    }


def of_sounds(model):
    labels = [answer.label for answer in model.classify(sounds())]
    return {"labels": labels, "logits": model.logits(sounds())}


def of_boxes(model):
    # The whole map, thinned out: labels of boxes in noise depend on rounding.
    return {"logits": model.predict(images(), verbose=0)[:, ::8, ::8]}


def of_sentences(model):
    answers = model.translate(SENTENCES)
    texts = [answer.text for answer in answers]
    return {
        "texts": texts,
        "scores": [answer.score for answer in answers],
        "score": model.score(SENTENCES, texts),
    }


def of_prompts(model):
    answers = model.generate(PROMPTS, beam_size=1, max_length=40)
    texts = [answer.completion for answer in answers]
    scores = [answer.score for answer in answers]
    return {"texts": texts, "scores": scores, "score": model.score(TEXTS)}


def of_series(model):
    random = np.random.default_rng(0)
    center, std = (np.asarray(x) for x in (model.mean, model.std))
    rows = center + std * random.normal(size=(model.history_length, len(center))).cumsum(0) / 20
    if any(info.name == "times" for info in model.signature.inputs):
        times = pd.date_range("2024-01-01", periods=len(rows), freq="h")
        rows = pd.DataFrame(rows, times, columns=list(model.variable_names))
    mean = model.forecast(rows).mean
    count = mean.shape[1]  # covariates are not forecast
    steps = mean[[0, len(mean) // 2, -1]]
    return {"mean": (steps - center[:count]) / std[:count]}


OF_TASK = {
    "audio_classification": of_sounds,
    "forecasting": of_series,
    "image_classification": of_images,
    "object_detection": of_boxes,
    "text_classification": of_texts,
    "text_generation": of_prompts,
    "translation": of_sentences,
}


def answers_of(name):
    answers = OF_TASK[zoo.describe(name).recipe.task](zoo.build(name))
    return {
        key: np.round(np.asarray(value, "float64"), 5).tolist() if key in TOLERANCES else value
        for key, value in answers.items()
    }


def test_answers_are_of_every_trained_entry():
    assert sorted(ANSWERS) == zoo.list(pretrained=True)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name.startswith(("cifar", "fsdd")) else pytest.mark.slow)
        for name in zoo.list(pretrained=True)
    ],
)
def test_entries_answer_as_they_did(name):
    received, expected = answers_of(name), ANSWERS[name]
    assert received.keys() == expected.keys()
    for key, value in expected.items():
        if key in TOLERANCES:
            np.testing.assert_allclose(received[key], value, atol=TOLERANCES[key], err_msg=key)
        else:
            assert received[key] == value


if __name__ == "__main__":
    for entry in sys.argv[1:] or zoo.list(pretrained=True):
        ANSWERS[entry] = answers_of(entry)
    lines = [
        f"{json.dumps(n)}: {json.dumps(ANSWERS[n], ensure_ascii=False)}" for n in sorted(ANSWERS)
    ]
    PATH.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
