"""The audio classifier: fitting, answers, padding, saving, a new head, training by a recipe."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_attn
from keras_attn import datasets, models, training
from keras_attn.datasets import Waveform
from keras_attn.layers import LogMelSpectrogram
from keras_attn.recipes import parse_recipe
from keras_attn.tasks import AudioClassifier, from_architecture
from keras_attn.tasks.audio.resampling import resample
from tests.tasks.audio.small_audio import NAMES, SMALL, chirp, chirps, draw, make, trained

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def model():
    return trained()


def probabilities(answers):
    return np.array([list(answer.probabilities.values()) for answer in answers])


def test_it_learns_what_depends_on_the_order_in_time(model):
    held_out = draw(64, 4)
    metrics = model.evaluate_split(held_out)
    assert metrics["accuracy"] > 0.9
    assert metrics["examples"] == 64
    loss, accuracy = model.evaluate(held_out.inputs, held_out.labels, verbose=0)
    assert accuracy == pytest.approx(metrics["accuracy"])
    assert loss == pytest.approx(metrics["loss"], rel=1e-4)
    report = model.report(held_out)
    assert report.confusion.sum() == 64
    backwards = [Waveform(w.samples[::-1].copy(), w.rate) for w in held_out.waveforms]
    assert model.report(backwards, 1 - held_out.labels).metrics["accuracy"] > 0.9


def test_every_form_of_a_sound_has_the_same_answer(model, tmp_path):
    waveform = chirp(1)
    numbers = (waveform.samples * 32_767).round().astype("int16")
    exact = Waveform(numbers, 8_000)
    (tmp_path / "a.wav").write_bytes(encode(numbers, 8_000))
    expected = model.classify(exact)
    assert expected.label == "rising"
    forms = [
        model.classify(tmp_path / "a.wav"),
        model.classify(str(tmp_path / "a.wav")),
        model.classify((tmp_path / "a.wav").read_bytes()),
        model.classify(numbers, rate=8_000),
        model.classify(exact.samples, rate=8_000),
        model.classify(exact.samples.tolist(), rate=8_000),
        model.classify(np.pad(exact.samples, (0, 90_000)), rate=8_000),  # padding has no length
        *model.classify([exact, tmp_path / "a.wav"]),
        *model.classify(numbers[None], rate=8_000),
        *model.classify([numbers, exact.samples], rate=8_000),
        *model.answers([exact]),
    ]
    for answer in forms:
        np.testing.assert_allclose(probabilities([answer]), probabilities([expected]), atol=1e-6)
    assert isinstance(model.classify([exact]), list)
    assert model.classify([]) == []


def encode(numbers, rate):
    import tensorflow as tf

    samples = numbers.astype("float32")[:, None] / 32_768
    return tf.audio.encode_wav(samples, rate).numpy()


def test_neither_padding_nor_neighbours_change_an_answer(model):
    waveforms = [chirp(1, 0.2), chirp(0, 0.45, seed=1), chirp(1, 0.31, seed=2)]
    together = model.logits(waveforms)
    for row, waveform in enumerate(waveforms):
        for zeros in (0, 1, 79, 801):
            padded = Waveform(np.pad(waveform.samples, (0, zeros)), 8_000)
            np.testing.assert_allclose(model.logits([padded])[0], together[row], atol=2e-5)
    batch = datasets.waveforms.pad_waveforms([w.samples for w in waveforms])
    for zeros in (0, 37, 500):
        logits = ops.convert_to_numpy(model(np.pad(batch, ((0, 0), (0, zeros)))))
        np.testing.assert_allclose(logits, together, atol=2e-5)


def test_loudness_changes_no_answer_and_silence_has_none(model):
    waveform = chirp(0)
    loud = model.logits([waveform])
    quiet = model.logits([Waveform(0.001 * waveform.samples, 8_000)])
    np.testing.assert_allclose(quiet, loud, atol=1e-3)
    silent = ops.convert_to_numpy(model(np.zeros((2, 900), "float32")))
    np.testing.assert_array_equal(silent, 0.0)


@pytest.mark.parametrize("rate", [16_000, 11_025, 44_100])
def test_other_rates_are_resampled(model, rate):
    own = chirp(1, 0.4)
    other = Waveform(resample(own.samples, 8_000, rate), rate)  # there and back again
    logits = model.logits([own, other])
    np.testing.assert_allclose(logits[1], logits[0], atol=0.5)
    assert logits.argmax(axis=-1).tolist() == [1, 1]
    with pytest.raises(AssertionError):  # at a wrong rate it is another sound
        np.testing.assert_allclose(
            model.logits([Waveform(other.samples, 8_000)]), logits[:1], atol=0.5
        )


@pytest.mark.parametrize(
    ("x", "options", "error", "message"),
    [
        (np.zeros(800, "float32"), {"rate": 8_000}, ValueError, "is silent"),
        (np.zeros(0, "float32"), {"rate": 8_000}, ValueError, "is empty"),
        (np.r_[np.ones(199), np.zeros(800)], {"rate": 8_000}, ValueError, r"too short: 0\.02"),
        (np.ones(399).tolist(), {"rate": 16_000}, ValueError, r"too short: 0\.02"),
        (np.ones(90_000, "float32"), {"rate": 8_000}, ValueError, r"too long: 11\.2 seconds"),
        (np.ones(800, "float32"), {}, ValueError, "pass `rate`"),
        (np.ones((2, 800), "float32"), {}, ValueError, "pass `rate`"),
        (np.ones(800, "float32"), {"rate": 0}, ValueError, "`rate` must be"),
        (np.ones(800, "float32"), {"rate": -1}, ValueError, "`rate` must be"),
        (np.full(800, np.nan), {"rate": 8_000}, ValueError, "NaN"),
        (np.full(800, 20_000.0), {"rate": 8_000}, ValueError, "Divide samples of 16 bits"),
        (np.ones(800, "int64"), {"rate": 8_000}, TypeError, "int64"),
        (np.ones((800, 2), "float32"), {"rate": 8_000}, ValueError, "looks like one sound of 2"),
        (np.ones((2, 3, 4), "float32"), {"rate": 8_000}, ValueError, r"shape \(2, 3, 4\)"),
        ({"a": 1}, {"rate": 8_000}, TypeError, "Received: dict"),
        ([None], {"rate": 8_000}, TypeError, "NoneType"),
        ("none.wav", {}, FileNotFoundError, "none.wav"),
        ([Waveform(np.ones(9), 8_000)], {"rate": 8_000}, ValueError, "Leave it out"),
        (Waveform(np.ones(9), 8_000), {"rate": 8_000}, ValueError, "Leave it out"),
    ],
)
def test_bad_input_is_refused_with_the_reason(model, x, options, error, message):
    with pytest.raises(error, match=message):
        model.classify(x, **options)


def test_sounds_that_cannot_be_used_are_returned_as_errors(model, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    sounds = [chirp(0), tmp_path / "bad.wav", chirp(1)]
    answers = model.answers(sounds, errors="return")
    assert [getattr(answer, "label", None) for answer in answers] == ["falling", None, "rising"]
    assert "is not a WAV file" in str(answers[1])
    with pytest.raises(ValueError, match="is not a WAV file"):
        model.answers(sounds)
    with pytest.raises(ValueError, match="`errors` must be"):
        model.answers(sounds, errors="ignore")


def test_fit_takes_lists_arrays_files_columns_and_data_sets(tmp_path):
    import pandas as pd

    model, split = make(), draw(16, 5)
    names = [NAMES[label] for label in split.labels]
    model.adapt(split.inputs)
    arrays = [waveform.samples for waveform in split.waveforms]
    padded = datasets.waveforms.pad_waveforms(arrays)
    paths = []
    for index, samples in enumerate(arrays):
        paths.append(tmp_path / f"{index}.wav")
        paths[-1].write_bytes(encode((samples * 32_767).round(), 8_000))
    settings = {"batch_size": 8, "verbose": 0}
    history = model.fit(split.inputs, names, epochs=2, validation_split=0.25, **settings).history
    assert set(history) == {"accuracy", "loss", "val_accuracy", "val_loss"}
    model.fit(arrays, names, rate=8_000, validation_data=(arrays, names), **settings)
    model.fit(padded, split.labels, rate=8_000, class_weight="balanced", **settings)
    model.fit(pd.Series(list(map(str, paths))), pd.Series(names), **settings)
    model.fit(split.batches(8), validation_data=split.batches(8), verbose=0)
    expected = model.predict(split.inputs, verbose=0)
    np.testing.assert_allclose(expected, model.logits(split.inputs), atol=2e-5)
    np.testing.assert_allclose(model.predict(padded, rate=8_000, verbose=0), expected, atol=2e-5)
    with pytest.raises(ValueError, match="pass `rate`"):
        model.fit(arrays, names, **settings)
    with pytest.raises(ValueError, match="must have the rate of the model, 8,000"):
        model.fit(split.batches(8), rate=16_000, verbose=0)
    with pytest.raises(ValueError, match="There must be at least one"):
        model.fit([], [], **settings)
    with pytest.raises(ValueError, match="whisper"):
        model.fit(split.inputs[:2], ["rising", "whisper"], **settings)


def test_a_saved_model_answers_the_same(model, tmp_path):
    waveforms = draw(6, 6).inputs
    model.calibrate(waveforms, [NAMES[0]] * 6)
    assert float(model.temperature.value) != 1.0
    model.save(tmp_path / "model.keras")
    loaded = keras_attn.load(tmp_path / "model.keras")
    assert isinstance(loaded, AudioClassifier)
    assert loaded.label_names == NAMES
    assert (loaded.rate, loaded.max_seconds) == (8_000, 10.0)
    np.testing.assert_allclose(loaded.logits(waveforms), model.logits(waveforms), atol=1e-6)
    model.temperature.assign(1.0)


def test_a_new_head_keeps_backbone_and_statistics(model):
    mine = make(("a", "b", "c"))
    assert mine.copy_backbone(model) == ["logits"]
    waveforms = draw(5, 7).inputs
    features = model.features(waveforms, batch_size=2)
    assert features.shape == (5, SMALL["model_dim"])
    np.testing.assert_allclose(mine.features(waveforms), features, atol=1e-6)
    assert mine.logits(waveforms).shape == (5, 3)
    with pytest.raises(ValueError, match="must come from a model of the same type"):
        mine.copy_backbone(from_architecture("small_attention_cnn", ("a", "b")))


def test_a_recipe_sets_the_longest_sound():
    recipe = parse_recipe({**RECIPE, "audio": {"max_seconds": 20.0}})
    assert recipe.digest != parse_recipe(RECIPE).digest
    mine = make(preprocessing=recipe.preprocessing)
    assert mine.max_seconds == 20.0
    reader = mine.description.table
    assert reader.read_options(recipe) == reader.read_options(mine)
    assert reader.read_options(mine) == {"min_seconds": 0.025, "max_seconds": 20.0}


def test_parts_that_do_not_fit_are_refused():
    network = models.build("keyword_attention", num_classes=2, **SMALL)
    with pytest.raises(ValueError, match="reads frames of 20 features"):
        AudioClassifier(network, NAMES, LogMelSpectrogram())
    with pytest.raises(ValueError, match="`max_seconds` must be above 0"):
        AudioClassifier(network, NAMES, LogMelSpectrogram(num_mel_bins=20), max_seconds=0)
    with pytest.raises(ValueError, match="must divide `model_dim`"):
        models.build("keyword_attention", num_heads=3)
    with pytest.raises(ValueError, match="`frequency_width` must not exceed"):
        models.build("keyword_attention", frequency_width=41)


RECIPE = {
    "task": "audio_classification",
    "description": "small",
    "dataset": "fsdd",
    "architecture": "keyword_attention",
    "model": {**SMALL, "stem_filters": [4, 8], "time_stride": 2},
    "variants": {"no_attention": {"attention": "none"}},
    "spectrogram": {"mean_subtraction": 0.2},
    "augmentation": {"speed": 0.1, "delay": 100, "trim": 0.05, "tilt": 0.3, "noise": [20.0, 50.0]},
    "optimizer": {"name": "adamw", "learning_rate": 0.01},
    "training": {"epochs": 6, "batch_size": 16, "label_smoothing": 0.1, "ema": 0.9},
}


def test_a_recipe_trains_it(tmp_path):
    recipe, data = parse_recipe(RECIPE), chirps()
    run = training.train(recipe, tmp_path / "run", dataset=data, verbose=0)
    record = run.record
    assert record["metrics"]["test"]["accuracy"] > 0.8
    assert record["temperature"] == pytest.approx(float(run.model.temperature.value), rel=1e-6)
    assert record["parameters"] == run.model.network.count_params()
    assert training.evaluate(run.model, data["test"]) == record["metrics"]["test"]
    resumed = training.train(recipe, tmp_path / "run", dataset=data, resume=True, verbose=0)
    waveforms = data["test"].inputs[:4]
    logits = run.model.logits(waveforms)
    np.testing.assert_allclose(resumed.model.logits(waveforms), logits, atol=1e-5)
    example, *_ = run.model.example_answers(data["validation"])
    assert example.input.dtype == np.uint8
    assert example.input.shape[0] == 3 * SMALL["num_mel_bins"]
    with pytest.raises(ValueError, match=r"augmentation\.noise"):
        parse_recipe({**RECIPE, "augmentation": {"noise": [10.0]}})


def test_the_baseline_without_attention_sees_no_other_position():
    model = make(attention="none")
    assert models.attention_pooling(model.network) is None
    assert "pool" in [layer.name for layer in model.network.layers]


@pytest.mark.exhaustive
def test_it_trains_on_another_backend_as_well():
    # `keras.ops` alone computes features and augmentation; only the export needs TensorFlow.
    import os
    import subprocess
    import sys

    script = (
        "import numpy as np\n"
        "from tests.tasks.audio.small_audio import draw, make, trained\n"
        "model = trained(epochs=2)\n"
        "print(model.evaluate_split(draw(64, 4))['accuracy'])\n"
    )
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert float(done.stdout.split()[-1]) > 0.7


def test_symbolic_calls_have_shapes():
    model = make()
    inputs = keras.Input((None,))
    assert model(inputs).shape == (None, 2)
