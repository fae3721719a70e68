"""Exports of audio classifiers: the SavedModel without Keras, and LiteRT."""

import json
import subprocess
import sys

import numpy as np
import pytest

from keras_attn.datasets import Waveform, decode_wav
from keras_attn.datasets.waveforms import pad_waveforms
from keras_attn.tasks.audio.resampling import resample, resample_in_graph
from keras_attn.tasks.audio.wav_in_graph import decode_wav_in_graph
from tests.datasets.test_wav import encode, wav
from tests.tasks.audio.small_audio import chirp, draw, trained

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def model():
    return trained(epochs=3)


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    return model.export(tmp_path_factory.mktemp("serving") / "1")


@pytest.fixture(scope="module")
def signatures(exported):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(exported))
    return {"loaded": loaded, **loaded.signatures}


def expected(model, waveforms):
    return np.array([list(a.probabilities.values()) for a in model.classify(waveforms)])


def serve(signatures, samples, rate):
    import tensorflow as tf

    answer = signatures["serving_default"]
    return answer(waveforms=tf.constant(samples, tf.float32), rate=tf.constant(rate))


def test_waveforms_of_every_rate_are_answered_as_in_python(model, signatures):
    for rate in (4_000, 8_000, 11_025, 16_000, 44_100, 48_000):
        waveforms = [chirp(1, 0.21, rate), chirp(0, 0.3, rate, seed=1)]
        samples = pad_waveforms([waveform.samples for waveform in waveforms], 500)
        outputs = serve(signatures, samples, rate)
        received = outputs["probabilities"].numpy()
        np.testing.assert_allclose(received, expected(model, waveforms), atol=2e-5)
        labels = [answer.label for answer in model.classify(waveforms)]
        assert [label.decode() for label in outputs["label"].numpy()] == labels
        np.testing.assert_allclose(outputs["score"], received.max(axis=-1))


def test_files_are_decoded_and_may_differ_in_rate_and_channels(model, signatures):
    import tensorflow as tf

    files, waveforms = [], []
    for rate, channels in ((8_000, 1), (16_000, 2), (22_050, 1)):
        waveform = chirp(1, 0.25, rate)
        samples = np.repeat(waveform.samples[:, None], channels, axis=1)
        files.append(tf.audio.encode_wav(samples, rate).numpy())
        waveforms.append(files[-1])
    received = signatures["wav"](files=tf.constant(files))["probabilities"].numpy()
    np.testing.assert_allclose(received, expected(model, waveforms), atol=2e-5)
    files = [pcm(waveform.samples, 8_000, bits) for waveform in draw(1, 9).waveforms
             for bits in (8, 16, 24, 32)]  # fmt: skip
    received = signatures["wav"](files=tf.constant(files))["probabilities"].numpy()
    np.testing.assert_allclose(received, expected(model, files), atol=2e-5)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"It.*is not a WAV file"):
        signatures["wav"](files=tf.constant([b"no sound"]))
    long = pcm(np.r_[np.full(900, 0.1), np.zeros(79_101)], 8_000, 16)  # by its header
    with pytest.raises(tf.errors.InvalidArgumentError, match="at most 10 seconds"):
        signatures["wav"](files=tf.constant([long]))
    with pytest.raises(ValueError, match=r"too long: 10\.0 seconds"):
        model.classify(long)


def pcm(samples, rate, bits):
    return wav(encode(samples, bits), bits=bits, rate=rate)


def test_files_of_every_format_are_decoded_as_in_python():
    import tensorflow as tf

    decode = tf.function(
        decode_wav_in_graph, input_signature=[tf.TensorSpec((), tf.string)], autograph=False
    )
    random = np.random.default_rng(0)
    odd = b"LIST\x03\0\0\0abc\0"
    for channels, extensible in ((1, False), (3, True)):
        options = {"channels": channels, "extensible": extensible, "before": odd}
        values = random.uniform(-1.0, 1.0, 20 * channels)
        files = [wav(encode(values, bits), bits=bits, **options) for bits in (8, 16, 24, 32)]
        for bits in (32, 64):
            content = values.astype(f"<f{bits // 8}").tobytes()
            files.append(wav(content, encoding=3, bits=bits, **options))
        for content in files:
            samples, rate = decode(content)
            assert int(rate) == 16_000
            np.testing.assert_allclose(samples, decode_wav(content).samples, atol=1e-6)
    good = wav(encode(values, 16))
    for content, message in (
        (b"", "is not a WAV file"),
        (b"ID3" + bytes(60), "is not a WAV file"),
        (good[:20], "no format or no samples"),
        (good[:-2], "more samples than there are"),
        (wav(b""), "is empty"),
        (wav(b"abcd", encoding=7, bits=8), "is compressed"),
        (wav(b"abcd" * 99, channels=40), "number of channels"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            decode(content)
        with pytest.raises(ValueError, match="file"):
            decode_wav(content)


def test_what_is_empty_or_silent_has_equal_probabilities(signatures):
    import tensorflow as tf

    for shape in ((2, 0), (2, 900)):
        received = serve(signatures, np.zeros(shape), 8_000)["probabilities"].numpy()
        np.testing.assert_allclose(received, 0.5)
    assert serve(signatures, np.zeros((0, 900)), 8_000)["label"].shape == (0,)
    assert signatures["wav"](files=tf.constant([], tf.string))["label"].shape == (0,)


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (np.full((1, 900), np.nan), 8_000, "Samples must be in -1..1"),
        (np.full((1, 900), 3e4), 8_000, "divide those of 16 bits"),
        (np.ones((1, 900)), 0, "`rate` must be from 1000"),
        (np.ones((1, 900)), -8_000, "`rate` must be from 1000"),
        (np.eye(2, 900, 198), 8_000, "at least 0.025 seconds"),  # of which one is a window
        (np.ones((1, 80_001)), 8_000, "at most 10 seconds"),
    ],
)
def test_what_the_model_does_not_take_fails(signatures, samples, rate, message):
    import tensorflow as tf

    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        serve(signatures, samples, rate)


CLIENT = """
import json, sys
sys.modules["keras"] = sys.modules["keras_attn"] = None  # an import of either fails
import numpy as np, tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
assert sorted(loaded.signatures) == ["serve", "serving_default", "wav"]
samples = np.load(sys.argv[2])
a = loaded.signatures["serving_default"](waveforms=tf.constant(samples), rate=tf.constant(16000))
file = tf.audio.encode_wav(samples[0][:, None], 16000)
b = loaded.signatures["wav"](files=file[None])
print(json.dumps([a["probabilities"].numpy().tolist(), b["probabilities"].numpy().tolist()]))
"""


@pytest.mark.slow
def test_it_runs_without_keras(model, exported, tmp_path):
    waveform = chirp(1, 0.3, 16_000)
    np.save(tmp_path / "a.npy", waveform.samples[None])
    command = [sys.executable, "-c", CLIENT, str(exported), str(tmp_path / "a.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    arrays, files = json.loads(done.stdout)
    np.testing.assert_allclose(arrays, expected(model, [waveform]), atol=2e-5)
    np.testing.assert_allclose(files, arrays, atol=2e-3)  # of 16 bits


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_a_litert_model_answers_the_same(model, tmp_path):
    import tensorflow as tf

    path = model.export(tmp_path / "model.tflite", format="litert", seconds=0.5)
    interpreter = tf.lite.Interpreter(str(path))
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert source["shape"].tolist() == [1, 4_000]
    operations = {each["op_name"] for each in interpreter._get_ops_details()}
    assert not [name for name in operations if name.startswith("Flex")]
    for waveform in (*draw(4, 8).waveforms, Waveform(np.zeros(10), 8_000)):
        samples = np.zeros((1, 4_000), "float32")
        samples[0, : len(waveform.samples)] = waveform.samples
        interpreter.set_tensor(source["index"], samples)
        interpreter.invoke()
        received = interpreter.get_tensor(target["index"])
        logits = model(samples).numpy()
        shares = np.exp(logits) / np.exp(logits).sum()
        np.testing.assert_allclose(received, shares, atol=1e-5)
    with pytest.raises(ValueError, match=r"must end in '\.tflite'"):
        model.export(tmp_path / "model.lite", format="litert")
    with pytest.raises(ValueError, match="`seconds` must be above 0"):
        model.export(tmp_path / "model.tflite", format="litert", seconds=11)


@pytest.mark.parametrize("rate", [16_000, 44_100, 11_025, 4_000, 8_001])
def test_resampling_keeps_low_tones_and_removes_high_ones(rate):
    time = np.arange(rate // 2) / rate
    low = np.sin(2 * np.pi * 700 * time)
    expected = np.sin(2 * np.pi * 700 * np.arange(4_000) / 8_000)
    received = resample(low, rate, 8_000)
    assert received.shape == (4_000,) or rate == 8_001
    inner = slice(60, -60)
    np.testing.assert_allclose(received[inner], expected[: len(received)][inner], atol=2e-3)
    if rate > 11_000:
        high = np.sin(2 * np.pi * 4_600 * time)
        assert np.abs(resample(high, rate, 8_000)[inner]).max() < 0.02


def test_resampling_in_a_graph_is_that_in_numpy():
    random = np.random.default_rng(0)
    samples = np.zeros((2, 1_500), "float32")
    samples[0, :1_000] = random.uniform(-1, 1, 1_000)
    samples[1] = random.uniform(-1, 1, 1_500)
    for rate in (16_000, 22_050, 3_999):
        received = resample_in_graph(samples, np.array([1_000, 1_500]), np.int32(rate), 8_000)
        for row, length in enumerate((1_000, 1_500)):
            one = resample(samples[row, :length], rate, 8_000)
            np.testing.assert_allclose(received[row, : len(one)], one, atol=1e-4)
            assert not received[row, len(one) :].numpy().any()
