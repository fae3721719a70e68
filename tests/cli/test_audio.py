"""The command line on sounds: a folder of one's own words, answers, explanations, exports."""

import json

import pytest

from tests.cli import command_line
from tests.cli.command_line import figures, read_record, registered
from tests.tasks.audio.small_audio import chirp
from tests.tasks.audio.test_classifier import encode

pytestmark = pytest.mark.tensorflow

run = command_line.run
NAME = "fsdd_tiny"
RECIPE = """
task = "audio_classification"
description = "tiny"
dataset = "fsdd"
architecture = "keyword_attention"

[model]
num_mel_bins = 20
stem_filters = [4, 8]
model_dim = 16
num_layers = 1
num_heads = 2
intermediate_dim = 16
dropout = 0.0
frequency_width = 2

[augmentation]
delay = 80

[optimizer]
name = "adamw"
learning_rate = 0.01

[training]
epochs = 5
batch_size = 64
"""


@pytest.fixture(scope="module", autouse=True)
def catalogue(tmp_path_factory):
    with registered(tmp_path_factory.mktemp("catalogue"), NAME, RECIPE) as folder:
        yield folder


def speak(folder, count, start=0):
    """Write rising and falling chirps of two rates, into a folder for each."""
    for rising, label in enumerate(("falling", "rising")):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for index in range(start, start + count):
            rate = (8_000, 16_000)[index % 2]
            waveform = chirp(rising, 0.25, rate, seed=index)
            numbers = (waveform.samples * 32_767).round()
            (folder / label / f"{index}.wav").write_bytes(encode(numbers, rate))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, catalogue):
    """The folder of a run on a user's words, what the command printed, and held-out words."""
    folder = tmp_path_factory.mktemp("own")
    speak(folder / "words", 24)
    (folder / "words" / "rising" / "bad.wav").write_text("no sound")
    speak(folder / "later", 6, start=50)
    printed = command_line.run_in(
        folder, "train", NAME, "--data", "words", "--test-data", "later", "--epochs", "5"
    )
    return folder / "runs" / f"words-{NAME}-seed0", printed, folder / "later"


def test_a_folder_of_words_is_trained_on(trained):
    folder, printed, _ = trained
    assert "words: 49 files read, 48 kept, 1 skipped." in printed
    assert "1 not a WAV file (rising/bad.wav)" in printed
    assert "Sounds of 0.25 to 0.25 seconds, at 8,000 to 16,000 samples per second." in printed
    assert "Split: 44 train, 4 validation, 12 test." in printed
    assert "lowered to 11" in printed
    assert f"keras-attn predict runs/{folder.name}/model.keras seven.wav" in printed
    record = read_record(folder)
    assert record["data"]["label_names"] == ["falling", "rising"]
    assert record["metrics"]["test"]["accuracy"] > 0.7


@pytest.mark.slow
def test_its_model_is_evaluated_and_answers(run, trained, tmp_path):
    folder, _, later = trained
    printed = run("evaluate", folder, "--data", later)
    assert (figures(printed)["data"], figures(printed)["examples"]) == ("later", "12")
    (later / "x.mp3").write_bytes(b"ID3")
    printed = run("predict", folder, "--json", later)
    rows = [json.loads(line) for line in printed.splitlines()]
    assert len(rows) == 12
    assert {row["label"] for row in rows} <= {"falling", "rising"}
    assert all(row["waveform"].endswith(".wav") for row in rows)
    assert "1 file left out" in run.err
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no sound")
    message = run("predict", folder, later / "rising" / "50.wav", bad, code=1)
    assert "is not a WAV file that can be read" in message
    assert "1 of 2 waveforms could not be read. The others are answered." in message
    assert "There is no waveform file" in run("predict", folder, "none.wav", code=1)


@pytest.mark.slow
def test_its_answers_are_explained_and_exported(run, trained, tmp_path):
    pytest.importorskip("matplotlib")
    folder, _, later = trained
    sound, page = later / "rising" / "50.wav", tmp_path / "why.html"
    printed = run("explain", folder, sound, "--label", "rising", "--html", page)
    assert "Attention in layer 'attention'" in printed
    assert "data:image/png" in page.read_text(encoding="utf-8")
    printed = run("export", folder, tmp_path / "1")
    assert "waveforms float32 (B, n), rate int32 () -> label string (B,)" in " ".join(
        printed.split()
    )
    assert "--views is not for" in run("predict", folder, "--views", 2, sound, code=1)


@pytest.mark.slow
def test_mistakes_about_data_are_reported(run, tmp_path):
    assert "Sounds are read from a folder" in run(
        "train", NAME, "--data", __file__, "--out", tmp_path / "run", code=1
    )
    (tmp_path / "empty" / "yes").mkdir(parents=True)
    assert "has no sound that can be used" in run(
        "train", NAME, "--data", tmp_path / "empty", "--out", tmp_path / "run", code=1
    )
    message = run("train", NAME, "--data", tmp_path / "empty", "--text-column", "a", code=1)
    assert "--text-column: not for fsdd_tiny" in message
