"""Explanations of images: what moved the answer, beside attention."""

import json

import keras
import numpy as np
import pytest
from rich.console import Console

from keras_attn import tasks

NAMES = ("a", "b", "<c>")


def make(**settings):
    keras.utils.set_random_seed(0)
    settings = {"filters": (4, 8), "key_channels": 4, **settings}
    return tasks.from_architecture("small_attention_cnn", NAMES, **settings)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype("uint8")


@pytest.fixture(scope="module")
def model(image):
    model = make()
    model.adapt(image[None])
    return model


def log_odds(model, image, label):
    share = model.classify(image).probabilities[label]
    return np.log(share) - np.log1p(-share)


@pytest.mark.parametrize("label", [None, *NAMES])
def test_occlusion_is_what_the_model_says_of_the_image_without_the_square(model, image, label):
    explanation = model.explain(image, label, patch_size=16)
    assert explanation.answer.label == model.classify(image).label
    assert explanation.label == (label or explanation.answer.label)
    assert explanation.occlusion.shape == (2, 2)
    logits = model.logits(image[None].astype("float32"))[0].astype("float64")
    index = NAMES.index(explanation.label)
    whole = logits[index] - np.logaddexp.reduce(np.delete(logits, index))
    for row in range(2):
        for column in range(2):
            hidden = image.astype("float32")
            hidden[16 * row : 16 * row + 16, 16 * column : 16 * column + 16] = image.mean((0, 1))
            logits = model.logits(hidden[None])[0].astype("float64")
            odds = logits[index] - np.logaddexp.reduce(np.delete(logits, index))
            assert explanation.occlusion[row, column] == pytest.approx(whole - odds, abs=1e-4)


def test_attention_is_what_each_position_receives(model, image):
    explanation = model.explain(image)
    (received,) = explanation.attention.values()
    expected = tasks.attention_maps(model, image[None])[0].received()
    np.testing.assert_allclose(received, expected, atol=1e-6)
    assert received.sum() == pytest.approx(1.0, abs=1e-4)
    assert make(attention="none").explain(image).attention == {}


def test_images_of_any_size_and_files_are_explained(model, image, tmp_path):
    from PIL import Image

    Image.fromarray(image).save(tmp_path / "image.png")
    expected = model.explain(image)
    again = model.explain(tmp_path / "image.png")
    np.testing.assert_array_equal(again.occlusion, expected.occlusion)
    large = model.explain(np.repeat(image, 3, axis=0))
    assert large.image.shape == (32, 32, 3)
    assert large.occlusion.shape == expected.occlusion.shape == (8, 8)


def test_it_is_shown_in_every_form(model, image):
    explanation = model.explain(image, "<c>")
    back = json.loads(json.dumps(explanation.to_dict()))
    assert back["label"] == "<c>"
    assert back["answer"]["label"] == explanation.answer.label
    np.testing.assert_allclose(back["occlusion"], explanation.occlusion)
    console = Console(width=120)
    with console.capture() as capture:
        console.print(explanation)
    assert f"Answer: {explanation.answer.label}" in capture.get()
    lines = [line.ljust(2 + 2 * 8) for line in capture.get().splitlines()]
    for title, values in zip(
        ("Change of log-odds", "Attention"),
        (explanation.occlusion, *explanation.attention.values()),
        strict=True,
    ):
        (start,) = (row for row, line in enumerate(lines) if line.startswith(title))
        shown = lines[start + 1 : start + 9]
        row, column = np.unravel_index(np.abs(values).argmax(), values.shape)
        strongest = "-█" if values[row, column] < 0 else "██"
        assert shown[row][2 + 2 * column : 4 + 2 * column] == strongest
        marks = {line[2 + 2 * i] for line in shown for i in range(8)}
        assert ("-" in marks) == (values / np.abs(values).max() < -0.2).any()
    html = explanation.to_html()
    assert html.startswith("<img")
    assert "<c>" not in html
    assert html in explanation.to_page()
    assert explanation._repr_html_() == html
    assert len(explanation.plot().axes) >= 3


def test_what_cannot_be_explained_is_refused(model, image):
    with pytest.raises(ValueError, match="Unknown label: received 'd'"):
        model.explain(image, "d")
    for wrong in (0, 33, 2.0, True):
        with pytest.raises(ValueError, match="`patch_size` must be an integer from 1 to 32"):
            model.explain(image, patch_size=wrong)
    with pytest.raises(ValueError, match="height, width, 3"):
        model.explain(np.stack([image, image]))
