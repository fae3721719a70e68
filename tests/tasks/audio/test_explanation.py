"""Explanations of sounds: attention over time, and the effect of segments."""

import json

import numpy as np
import pytest

from keras_attn.tasks._agreement import rank_correlation
from tests.tasks.audio.small_audio import chirp, make, trained

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def model():
    return trained(epochs=4)


def test_attention_and_segments_cover_the_sound(model):
    waveform = chirp(1, 0.3)
    explanation = model.explain(waveform, segment_seconds=0.06)
    frames = 30 - 1  # of 10 ms; the last is reached by the one before it
    assert explanation.spectrogram.shape == (frames, 20)
    assert explanation.seconds == pytest.approx(0.3)
    assert explanation.occlusion.shape == (5,)
    assert list(explanation.attention) == ["block_1", "attention"]
    for weights in explanation.attention.values():
        assert weights.shape == (15,)
        assert weights.sum() == pytest.approx(1.0, abs=1e-4)
    answer = model.classify(waveform)
    assert explanation.answer.label == answer.label
    assert explanation.answer.probabilities == pytest.approx(answer.probabilities, abs=1e-5)
    assert explanation.spectrogram.max() <= 0.01


def test_occlusion_is_the_change_of_log_odds(model):
    waveform = chirp(1, 0.3)
    explanation = model.explain(waveform, "falling", segment_seconds=0.1)
    features = model.spectrogram(waveform.samples[None]).numpy()

    def log_odds(features):
        logits = model.network(features).numpy()[0]
        return logits[0] - logits[1]

    for index in range(3):
        hidden = features.copy()
        hidden[:, 10 * index : 10 * index + 10] = 0.0
        expected = log_odds(features) - log_odds(hidden)
        assert explanation.occlusion[index] == pytest.approx(expected, abs=1e-3)
        # The derivative with respect to the scale of the segment's features.
        nearby = [features.copy() for _ in range(2)]
        nearby[0][:, 10 * index : 10 * index + 10] *= 1.01
        nearby[1][:, 10 * index : 10 * index + 10] *= 0.99
        slope = (log_odds(nearby[0]) - log_odds(nearby[1])) / 0.02
        assert explanation.gradient_times_input[index] == pytest.approx(slope, rel=0.05, abs=0.02)


def test_the_gradient_is_of_the_calibrated_scores():
    model = make(("a", "b", "c"))
    model.temperature.assign(3.0)
    waveform = chirp(1, 0.3)
    explanation = model.explain(waveform, "b", segment_seconds=0.3)
    features = model.spectrogram(waveform.samples[None]).numpy()

    def log_odds(scale):
        logits = model.network(features * np.float32(scale)).numpy()[0].astype("float64") / 3.0
        return logits[1] - np.logaddexp(logits[0], logits[2])

    slope = (log_odds(1.01) - log_odds(0.99)) / 0.02
    np.testing.assert_allclose(explanation.gradient_times_input, [slope], rtol=0.05, atol=1e-3)


def test_agreement_is_measured_over_the_segments(model):
    explanation = model.explain(chirp(1, 0.3), segment_seconds=0.1)  # 10, 10 and 9 frames
    weights = np.repeat(explanation.attention["block_1"] * 15, 2)
    scaled = np.interp(
        (np.arange(2900) + 0.5) / 2900, (np.arange(3000) + 0.5) / 3000, np.repeat(weights, 100)
    )
    means = [part.mean() for part in np.split(scaled, [1000, 2000])]
    expected = rank_correlation(np.array(means), np.abs(explanation.occlusion))
    assert explanation.agreement["block_1"] == expected
    assert list(explanation.agreement) == ["gradient_times_input", "block_1", "attention"]


def test_it_is_displayed_in_every_form(model, tmp_path):
    pytest.importorskip("matplotlib")
    explanation = model.explain(chirp(1))
    text = str(explanation)
    assert text.startswith("Answer: rising (")
    assert "Attention in layer 'attention'" in text
    assert max(map(len, text.splitlines())) <= 100
    values = json.loads(json.dumps(explanation.to_dict()))
    assert values["label"] == "rising"
    assert set(values["attention"]) == {"block_1", "attention"}
    assert "data:image/png;base64," in explanation.to_html()
    assert explanation.to_page().startswith("<!DOCTYPE html>")
    assert len(explanation.plot().axes) == 6  # with the color bar
    other = model.explain(chirp(1), "falling")
    assert "Explained: falling" in str(other)
    for name in ("occlusion", "gradient_times_input"):
        np.testing.assert_allclose(getattr(other, name), -getattr(explanation, name), atol=1e-4)


def test_a_network_without_attention_has_none_to_show():
    explanation = make(attention="none").explain(chirp(0))
    assert explanation.attention == {}
    assert "Attention" not in str(explanation)


def test_impossible_requests_are_refused(model):
    with pytest.raises(ValueError, match="Unknown label"):
        model.explain(chirp(0), "whisper")
    with pytest.raises(ValueError, match=r"`segment_seconds` must be at least 0\.01"):
        model.explain(chirp(0), segment_seconds=0.001)
    with pytest.raises(ValueError, match="is silent"):
        model.explain(np.zeros(800, "float32"), rate=8_000)
