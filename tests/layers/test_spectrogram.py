"""Log-mel spectrograms beside an implementation in NumPy, and their augmentation."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn.layers import LogMelSpectrogram, SpecAugment
from keras_attn.layers.spectrogram import mel_filters, waveform_lengths


def sounds(count=3, samples=1_237):
    """Tones of two frequencies in noise, of different lengths, padded by zeros."""
    random = np.random.default_rng(0)
    waveforms = np.zeros((count, samples), "float32")
    for index, row in enumerate(waveforms):
        length = samples - 311 * index
        time = np.arange(length) / 8_000
        tone = np.sin(2 * np.pi * 440 * time) + 0.3 * np.sin(2 * np.pi * (900 + 700 * time) * time)
        row[:length] = 0.2 * tone + random.normal(0.0, 0.02, length)
    return waveforms


def by_definition(samples, *, length=200, step=80, fft=256, bins=40, low=100, high=3800, db=50.0):
    """The decibels `(T, M)` of one waveform without padding: sums of a Fourier series in loops."""
    frames = 1 + max(0, -(-(len(samples) - length) // step))
    padded = np.concatenate([samples, np.zeros(length)]).astype("float64")
    window = np.array([np.sin(np.pi * n / length) ** 2 for n in range(length)])
    turns = np.exp(-2j * np.pi * np.outer(np.arange(fft // 2 + 1), np.arange(length)) / fft)
    power = np.stack(
        [
            np.abs(turns @ (padded[step * t : step * t + length] * window)) ** 2
            for t in range(frames)
        ]
    )
    to_mel = lambda hertz: 2595 * np.log10(1 + hertz / 700)  # noqa: E731
    edges = [to_mel(low) + (to_mel(high) - to_mel(low)) * k / (bins + 1) for k in range(bins + 2)]
    mel = np.zeros((frames, bins))
    for k in range(bins):
        for frequency in range(fft // 2 + 1):
            place = to_mel(frequency * 8_000 / fft)
            if edges[k] < place <= edges[k + 1]:
                weight = (place - edges[k]) / (edges[k + 1] - edges[k])
            elif edges[k + 1] < place < edges[k + 2]:
                weight = (edges[k + 2] - place) / (edges[k + 2] - edges[k + 1])
            else:
                continue
            mel[:, k] += weight * power[:, frequency]
    return 10 * np.log10(mel / mel.sum(axis=1).max() + 10 ** (-db / 10))


def array(tensor):
    return ops.convert_to_numpy(tensor)


def test_decibels_are_those_of_the_definition():
    layer, waveforms = LogMelSpectrogram(), sounds()
    layer.build(waveforms.shape)
    decibels, mask = map(array, layer.decibels(ops.convert_to_tensor(waveforms)))
    for row, (waveform, length) in enumerate(zip(waveforms, (1237, 926, 615), strict=True)):
        expected = by_definition(waveform[:length])
        assert mask[row].sum() == len(expected)
        np.testing.assert_allclose(decibels[row][mask[row]], expected, atol=2e-3)


@pytest.mark.tensorflow
def test_filters_are_those_of_tensorflow_by_another_scale():
    import tensorflow as tf

    theirs = tf.signal.linear_to_mel_weight_matrix(20, 129, 8_000, 125.0, 3_800.0).numpy()
    ours = mel_filters(20, 256, 8_000, 125.0, 3_800.0)
    # TensorFlow's scale is 1127 ln(1 + f / 700), the same up to rounding of its factor.
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_padding_and_gain_change_nothing():
    layer, waveforms = LogMelSpectrogram(mean_subtraction=0.5), sounds()
    layer.adapt(waveforms)
    features = array(layer(waveforms))
    padded = array(layer(np.pad(waveforms, ((0, 0), (0, 777)))))
    frames = features.shape[1]
    np.testing.assert_allclose(padded[:, :frames], features, atol=1e-5)
    assert not padded[:, frames:].any()
    for row, length in enumerate((1237, 926, 615)):
        alone = array(layer(waveforms[row : row + 1, :length]))[0]
        np.testing.assert_allclose(alone, features[row, : len(alone)], atol=1e-5)
        assert not features[row, len(alone) :].any()
    np.testing.assert_allclose(array(layer(0.01 * waveforms)), features, atol=1e-3)


def test_adapt_standardizes_the_frames_that_are_not_padding():
    layer, waveforms = LogMelSpectrogram(), sounds()
    layer.adapt(waveforms)
    features = array(layer(waveforms))
    rows = features[features.any(axis=-1)]
    np.testing.assert_allclose(rows.mean(axis=0), 0.0, atol=1e-4)
    np.testing.assert_allclose(rows.std(axis=0), 1.0, atol=1e-3)


def test_mean_subtraction_removes_the_mean_of_each_filter():
    waveforms = sounds()
    layer = LogMelSpectrogram(mean_subtraction=1.0)
    layer.build(waveforms.shape)
    layer.mean.assign(np.zeros(40))
    features = array(layer(waveforms))
    for row in features:
        np.testing.assert_allclose(row[row.any(axis=-1)].mean(axis=0), 0.0, atol=1e-4)


def test_silence_is_all_padding_and_a_sample_is_a_frame():
    layer = LogMelSpectrogram()
    assert not array(layer(np.zeros((2, 500), "float32"))).any()
    impulse = np.zeros((1, 500), "float32")
    impulse[0, 3] = 0.5
    features = array(layer(impulse))
    assert np.isfinite(features).all()
    assert features.any(axis=-1)[0].tolist() == [True, *[False] * 6]
    assert array(waveform_lengths(ops.convert_to_tensor(impulse))).tolist() == [4]
    assert array(layer(np.ones((1, 1), "float32"))).shape == (1, 1, 40)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sequence_stride": 201}, "`sequence_stride` must not exceed `sequence_length`"),
        ({"sequence_length": 300}, "Received: 80, 300 and 256"),
        ({"max_freq": 4_001.0}, "half of `sampling_rate`, 4000 Hz"),
        ({"min_freq": 3_900.0}, "min_freq=3900"),
        ({"top_db": 0.0}, "`top_db` must be above 0"),
        ({"mean_subtraction": 1.5}, "`mean_subtraction` must be from 0 to 1"),
        ({"num_mel_bins": 120}, "Lower `num_mel_bins`, or raise `fft_length`"),
        ({"sampling_rate": -1}, "sampling_rate"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        LogMelSpectrogram(**settings)


def test_spec_augment_masks_bands_and_a_span_in_training_alone():
    layer = SpecAugment(frequency_masks=1, frequency_width=6, time_fraction=0.5, seed=1)
    inputs = np.ones((64, 20, 16), "float32")
    inputs[:, 12:] = 0.0  # padding
    np.testing.assert_array_equal(array(layer(inputs)), inputs)
    outputs = array(layer(inputs, training=True))
    kept = outputs > 0
    assert not outputs[:, 12:].any()
    widths, spans = [], []
    for example in kept[:, :12]:
        bands, times = example.any(axis=0), example.any(axis=1)
        np.testing.assert_array_equal(example, times[:, None] & bands[None])  # a cross
        assert np.abs(np.diff(bands.astype(int))).sum() <= 2  # one band
        widths.append(16 - bands.sum())
        spans.append(12 - times.sum())
    assert 0 <= min(widths) < max(widths) <= 6
    assert 0 <= min(spans) < max(spans) <= 6
    assert len(set(map(tuple, kept.any(axis=1).tolist()))) > 8  # drawn for each example
    with pytest.raises(ValueError, match="`time_fraction` must be at least 0 and below 1"):
        SpecAugment(time_fraction=1.0)


@pytest.mark.tensorflow
def test_graphs_give_what_eager_code_gives():
    import tensorflow as tf

    layer, waveforms = LogMelSpectrogram(), sounds()
    layer.adapt(waveforms)
    graph = tf.function(layer, input_signature=[tf.TensorSpec((None, None))], autograph=False)
    np.testing.assert_allclose(graph(waveforms), layer(waveforms), atol=1e-5)
    copy = LogMelSpectrogram.from_config(layer.get_config())
    model = keras.Sequential([keras.Input((None,)), copy])
    assert model.output_shape == (None, None, 40)
