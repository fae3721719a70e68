"""Reading of WAV files, beside the standard library, SciPy's formats by hand, and TensorFlow."""

import io
import shutil
import struct
import wave

import numpy as np
import pytest

from keras_attn import datasets
from keras_attn.datasets import Waveform, WaveformSplit, decode_wav

SAMPLES = np.array([0.0, 0.5, -0.5, 0.25, -1.0])


def chunk(name, content):
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def wav(content, *, encoding=1, channels=1, rate=16_000, bits=16, extensible=False, before=b""):
    """The bytes of a WAV file with these samples, which are encoded already."""
    frame = channels * bits // 8
    code = 0xFFFE if extensible else encoding
    form = struct.pack("<HHIIHH", code, channels, rate, rate * frame, frame, bits)
    if extensible:
        form += struct.pack("<HHIH", 22, bits, 0, encoding) + b"\x00\x00\x10\x00\x80\x00\x00\xaa"
        form += b"\x008\x9bq"
    body = b"WAVE" + chunk(b"fmt ", form) + before + chunk(b"data", content)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def encode(samples, bits):
    """Samples in -1..1 as PCM of these bits."""
    if bits == 8:
        return np.round(samples * 127 + 128).astype("u1").tobytes()
    numbers = np.round(samples * (2 ** (bits - 1) - 1)).astype("int64")
    return b"".join(int(number).to_bytes(bits // 8, "little", signed=True) for number in numbers)


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
@pytest.mark.parametrize("extensible", [False, True])
def test_integers_of_every_width(bits, extensible):
    waveform = decode_wav(wav(encode(SAMPLES, bits), bits=bits, extensible=extensible))
    assert waveform.rate == 16_000
    assert waveform.samples.dtype == np.float32
    np.testing.assert_allclose(waveform.samples, SAMPLES, atol=2.0 ** (2 - bits))


@pytest.mark.parametrize("bits", [32, 64])
def test_floats(bits):
    content = SAMPLES.astype(f"<f{bits // 8}").tobytes()
    np.testing.assert_allclose(decode_wav(wav(content, encoding=3, bits=bits)).samples, SAMPLES)


def test_channels_are_mixed_down_and_other_chunks_are_skipped():
    left_and_right = np.stack([SAMPLES, -SAMPLES / 2], axis=1).ravel()
    content = wav(encode(left_and_right, 16), channels=2, before=chunk(b"LIST", b"odd"))
    np.testing.assert_allclose(decode_wav(content).samples, SAMPLES / 4, atol=1e-4)


@pytest.mark.tensorflow
def test_the_standard_library_and_tensorflow_read_the_same(tmp_path):
    import tensorflow as tf

    random = np.random.default_rng(0)
    numbers = random.integers(-(2**15), 2**15, (400, 2)).astype("<i2")
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((2, 2, 22_050, 0, "NONE", ""))
        file.writeframes(numbers.tobytes())
    ours = decode_wav(tmp_path / "a.wav")
    theirs, rate = tf.audio.decode_wav((tmp_path / "a.wav").read_bytes())
    assert ours.rate == rate == 22_050
    np.testing.assert_allclose(ours.samples, theirs.numpy().mean(axis=1), atol=1e-6)


def test_a_stream_without_a_size_is_read_to_its_end():
    content = bytearray(wav(encode(SAMPLES, 16)))
    place = content.index(b"data") + 4
    content[place : place + 4] = b"\xff\xff\xff\xff"
    assert len(decode_wav(bytes(content)).samples) == len(SAMPLES)


GOOD = wav(encode(SAMPLES, 16))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: it has no bytes"),
        (b"RIFF", "is not a WAV file"),
        (b"hello world, this is text", "is not a WAV file that can be read. Accepted: WAV"),
        (b"ID3\x04" + b"\0" * 40, "Its content is MP3"),
        (b"OggS" + b"\0" * 40, "Its content is Ogg"),
        (b"fLaC" + b"\0" * 40, "Its content is FLAC"),
        (GOOD[:30], "is truncated: it ends in its header"),
        (GOOD[:36], "is truncated: it has no samples"),
        (GOOD[:-4], "its header says 10 bytes of samples, and 6 are there"),
        (wav(b""), "is empty: it has no samples"),
        (wav(b"\0" * 8, encoding=7, bits=8), "is compressed: its encoding is mu-law"),
        (wav(b"\0" * 8, encoding=0x55), "is compressed: its encoding is MP3"),
        (wav(b"\0" * 8, encoding=0x1234), "its encoding is the code 4660"),
        (wav(b"\0" * 8, bits=12), "has samples of 12 bits"),
        (wav(b"\0" * 8, channels=0), "it has 0 channels"),
        (wav(b"\0" * 8, rate=0), "damaged, or no sound: `rate` must be"),
        (wav(np.array([np.nan], "<f4").tobytes(), encoding=3, bits=32), "NaN or infinity"),
        (wav(np.array([3e4], "<f4").tobytes(), encoding=3, bits=32), "in -1..1.*up to 30000"),
    ],
)
def test_files_that_cannot_be_read_say_why(content, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        decode_wav(content)
    (tmp_path / "bad.wav").write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.wav"):
        decode_wav(tmp_path / "bad.wav")


def test_paths_and_durations(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no WAV file"):
        decode_wav(tmp_path / "none.wav")
    with pytest.raises(ValueError, match="is a folder"):
        decode_wav(tmp_path)
    long = wav(b"\1\0" * 1_600, rate=8_000)
    with pytest.raises(ValueError, match=r"too long: 0\.2 seconds, and at most 0\.1"):
        decode_wav(long, max_seconds=0.1)
    assert decode_wav(long, max_seconds=None).seconds == 0.2


def test_integers_are_scaled_and_floats_must_be():
    for kind, number in (("int16", 2**14), ("int32", 2**30), ("uint8", 192)):
        assert Waveform(np.array([number], kind), 8_000).samples.tolist() == [0.5]
    with pytest.raises(ValueError, match=r"up to 16384.*Divide samples of 16 bits by 32768"):
        Waveform(np.array([2.0**14]), 8_000)
    with pytest.raises(TypeError, match="Received: int64"):
        Waveform(np.array([1]), 8_000)
    with pytest.raises(ValueError, match="NaN or infinity"):
        Waveform(np.array([np.inf]), 8_000)
    with pytest.raises(ValueError, match=r"shape \(2, 3, 4\)"):
        Waveform(np.ones((2, 3, 4)), 8_000)
    for rate in (0, -8_000, 999, 1e9, 8_000.5, float("nan")):
        with pytest.raises(ValueError, match="`rate` must be the number of samples per second"):
            Waveform(np.ones(3), rate)
    for rate in ("8000", None, True):
        with pytest.raises(TypeError, match="`rate` must be"):
            Waveform(np.ones(3), rate)


def test_splits():
    waveforms = tuple(Waveform(np.full(n, 0.1), 8_000) for n in (3, 5, 4))
    split = WaveformSplit(waveforms, np.array([1, 0, 1], "int32"), ("a", "b", "a"))
    part = split.take(np.array([True, False, True]))
    assert (len(part), part.speakers, part.labels.tolist()) == (2, ("a", "a"), [1, 1])
    assert part.fingerprint != split.fingerprint == split.take(slice(None)).fingerprint
    with pytest.raises(ValueError, match="one int32 label per waveform"):
        WaveformSplit(waveforms, np.array([1, 0]))
    with pytest.raises(ValueError, match="1 speaker"):
        WaveformSplit(waveforms, split.labels, ("a",))


@pytest.mark.tensorflow
def test_batches_of_a_split_have_one_rate():
    waveforms = [Waveform(np.full(n, 0.1), 8_000) for n in (3, 5)]
    split = WaveformSplit(tuple(waveforms), np.array([1, 0], "int32"))
    ((samples, labels),) = split.batches(2)
    assert samples.shape == (2, 5)
    assert samples[0].numpy().tolist() == pytest.approx([0.1, 0.1, 0.1, 0.0, 0.0])
    assert labels.numpy().tolist() == [1, 0]
    other = WaveformSplit((waveforms[0], Waveform(np.ones(3), 16_000)), split.labels)
    with pytest.raises(ValueError, match="rates of 8000, 16000"):
        other.batches(2)


def write(path, samples, rate=8_000):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(wav(encode(np.asarray(samples), 16), rate=rate))


def test_a_folder_of_words(tmp_path):
    random = np.random.default_rng(0)
    for word, count in (("no", 12), ("yes", 12)):
        for index in range(count):
            write(tmp_path / "words" / word / f"{index}.wav", random.uniform(-0.5, 0.5, 240))
    root = tmp_path / "words"
    shutil.copy(root / "no" / "0.wav", root / "no" / "again.wav")
    write(root / "yes" / "both.wav", np.full(240, 0.3))
    write(root / "no" / "both.wav", np.full(240, 0.3))
    write(root / "no" / "silent.wav", np.zeros(50))
    write(root / "no" / "short.wav", np.pad(np.full(24, 0.3), (0, 400)))
    write(root / "no" / "long.wav", np.full(80_001, 0.3))
    (root / "no" / "bad.wav").write_bytes(b"no sound")
    (root / "no" / "song.wav").write_bytes(b"ID3" + bytes(50))
    (root / "no" / "x.mp3").write_bytes(b"ID3")
    (root / "no" / "notes.txt").write_text("x")
    (root / "maybe").mkdir()
    table = datasets.read_waveforms(root)
    account = str(table.account)
    assert (len(table), table.label_names, table.name) == (24, ("no", "yes"), "words")
    for part in (
        "34 files read, 24 kept, 10 skipped",
        "1 silent (no/silent.wav)",
        "1 too short, under 0.025 seconds (no/short.wav)",
        "1 too long, over 10 seconds (no/long.wav)",
        "1 not a WAV file (no/bad.wav)",
        "1 not a WAV file: the content is MP3 (no/song.wav)",
        "1 duplicate (the same samples as an earlier sound of the label)",
        "2 contradictory",
        "1 in a format that is not read; convert to WAV (no/x.mp3)",
        "1 not a WAV file by its suffix (no/notes.txt)",
        "Folders without a usable sound, no labels: 'maybe'",
        "Sounds of 0.03 to 0.03 seconds, at 8,000 samples per second",
    ):
        assert part in account, account
    split = datasets.split_waveforms(table, validation=0.2, test=0.2)
    assert {name: len(part) for name, part in split.items()} == {
        "train": 16, "validation": 4, "test": 4,
    }  # fmt: skip
    assert repr(table) == "WaveformTable('words', 24 sounds, labels: 'no' 12, 'yes' 12)"
    with pytest.raises(ValueError, match="has no sound that can be used"):
        datasets.read_waveforms(root, label_names=["maybe", "never"])


def test_folders_of_splits(tmp_path):
    random = np.random.default_rng(0)
    for part, count in (("train", 8), ("test", 2)):
        for word in ("no", "yes"):
            for index in range(count):
                write(tmp_path / part / word / f"{index}.wav", random.uniform(-0.5, 0.5, 240))
    table = datasets.read_waveforms(tmp_path)
    split = datasets.split_waveforms(table, validation=0.25)
    assert {name: len(part) for name, part in split.items()} == {
        "train": 12, "validation": 4, "test": 4,
    }  # fmt: skip
    with pytest.raises(ValueError, match="has a folder for test"):
        datasets.split_waveforms(table, test_data=table)
    with pytest.raises(FileNotFoundError, match="Sounds are read from a folder"):
        datasets.read_waveforms(tmp_path / "none")


def test_bytes_of_the_standard_library_are_read():
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((1, 1, 11_025, 0, "NONE", ""))
        file.writeframes(encode(SAMPLES, 8))
    np.testing.assert_allclose(decode_wav(stream.getvalue()).samples, SAMPLES, atol=0.02)
