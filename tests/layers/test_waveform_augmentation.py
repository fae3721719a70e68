"""Augmentation of waveforms: what it changes, and that padding stays padding."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn.layers import (
    RandomNoise,
    RandomSpectralTilt,
    RandomSpeedPerturbation,
    RandomTimeShift,
    RandomTrim,
)
from keras_attn.layers.spectrogram import waveform_lengths

LAYERS = [
    lambda: RandomSpeedPerturbation(0.2, seed=3),
    lambda: RandomTimeShift(50, seed=3),
    RandomNoise,
    RandomSpectralTilt,
    RandomTrim,
]


def tones(count=16, samples=900, length=700, hertz=200.0):
    waveforms = np.zeros((count, samples), "float32")
    waveforms[:, :length] = 0.5 * np.cos(2 * np.pi * hertz * np.arange(length) / 8_000)
    return waveforms


def array(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("make", LAYERS)
def test_they_change_training_waveforms_alone(make):
    layer, waveforms = make(), tones()
    np.testing.assert_array_equal(array(layer(waveforms)), waveforms)
    changed = array(layer(waveforms, training=True))
    assert changed.shape == layer.compute_output_shape(waveforms.shape)
    assert np.isfinite(changed).all()
    # Each example has draws of its own, and padding stays zero.
    assert len({row.tobytes() for row in changed}) > 8
    lengths = array(waveform_lengths(changed))
    assert (lengths < changed.shape[1]).all()
    silence = array(layer(np.zeros((2, 50), "float32"), training=True))
    assert not silence.any()


def test_speed_changes_duration_and_pitch_alike():
    waveforms = tones(samples=1_000, length=1_000)
    changed = array(RandomSpeedPerturbation(0.2, seed=1)(waveforms, training=True))
    lengths = array(waveform_lengths(changed))
    assert 820 <= lengths.min() < 950
    assert 1_050 < lengths.max() <= 1_251
    for row, length in zip(changed, lengths, strict=True):
        # The same tone at the speed that gives this length, which is known to a sample.
        speeds = np.linspace(1_000 / length, 1_000 / (length - 1), 30)[:, None]
        expected = 0.5 * np.cos(2 * np.pi * 200 * speeds * np.arange(length) / 8_000)
        errors = np.abs(row[:length] - expected)[:, 5:-5].max(axis=1)
        assert errors.min() < 0.02


def test_a_delay_is_silence_before_the_waveform():
    waveforms = tones()
    changed = array(RandomTimeShift(50, seed=1)(waveforms, training=True))
    for row in changed:
        delay = int(np.flatnonzero(row)[0])
        assert 0 <= delay <= 50
        np.testing.assert_array_equal(row[delay : delay + 700], waveforms[0, :700])


def test_a_tilt_changes_the_ratio_of_high_and_low_tones():
    low, high = tones(count=64, hertz=200.0), tones(count=64, hertz=3_600.0)
    changed = array(RandomSpectralTilt(0.9, seed=1)(low + high, training=True))[:, :700]
    spectra = np.abs(np.fft.rfft(changed * np.hanning(700), 8_000, axis=1))
    ratios = 20 * np.log10(spectra[:, 3_600] / spectra[:, 200])
    assert -25 < ratios.min() < -15
    assert 15 < ratios.max() < 25


def test_a_trim_cuts_both_ends():
    waveforms = np.tile(np.arange(1.0, 101.0, dtype="float32"), (64, 1))
    changed = array(RandomTrim(0.3, seed=1)(waveforms, training=True))
    lengths = array(waveform_lengths(changed))
    starts = changed[:, 0]
    for row, start, length in zip(changed, starts, lengths, strict=True):
        np.testing.assert_array_equal(row[:length], np.arange(start, start + length))
    ends = starts + lengths
    assert 1 <= starts.min() < 5 < 25 < starts.max() <= 30
    assert 70 <= ends.min() < 76 < 96 < ends.max() <= 101
    with pytest.raises(ValueError, match=r"below 0\.5"):
        RandomTrim(0.5)


def test_noise_has_the_ratio_that_is_drawn_and_stays_out_of_padding():
    waveforms = tones(count=64)
    changed = array(RandomNoise(10.0, 30.0, seed=1)(waveforms, training=True))
    noise = changed - waveforms
    assert not noise[:, 700:].any()
    power = np.square(waveforms[:, :700]).mean(axis=1) / np.square(noise[:, :700]).mean(axis=1)
    ratios = 10 * np.log10(power)
    assert 8.5 < ratios.min() < 14
    assert 26 < ratios.max() < 31.5


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="must be below `highest_snr_db`"):
        RandomNoise(20.0, 10.0)
    with pytest.raises(ValueError, match="change"):
        RandomSpeedPerturbation(1.0)
    with pytest.raises(ValueError, match="samples"):
        RandomTimeShift(0)
    with pytest.raises(ValueError, match="batch, samples"):
        RandomSpeedPerturbation()(np.ones((2, 3, 4), "float32"))


@pytest.mark.tensorflow
def test_graphs_of_unknown_sizes():
    import tensorflow as tf

    waveforms = tones()
    for make in LAYERS:
        layer = make()
        function = tf.function(
            lambda x, layer=layer: layer(x, training=True),
            input_signature=[tf.TensorSpec((None, None))],
            autograph=False,
        )
        assert function(waveforms).shape == layer.compute_output_shape(waveforms.shape)
        assert layer.compute_output_shape((None, None)) == (None, None)
    assert keras.Sequential([keras.Input((None,)), RandomSpeedPerturbation()]).output_shape == (
        None,
        None,
    )
