"""Translators in the zoo: how they are built, published and told of."""

import json

import numpy as np
import pytest

from keras_attn import datasets, zoo
from keras_attn.tasks import Translator, from_architecture
from keras_attn.tasks.translation.quality import corpus_bleu
from keras_attn.training import artifacts
from keras_attn.zoo import cards, publishing, registry
from tests.conftest import real_data_dir

pytestmark = pytest.mark.tensorflow

TRANSLATION = """
task = "translation"
description = "tiny"
dataset = "multi30k_en_fr"
architecture = "translation_transformer"
[model]
vocabulary_size = 300
model_dim = 8
encoder_layers = 1
decoder_layers = 1
[variants.twice]
decoder_layers = 2
[optimizer]
name = "adamw"
learning_rate = 0.01
[training]
epochs = 1
batch_size = 9
seeds = [0, 1]
"""


def with_data():
    for name in zoo.list(task="translation", pretrained=True):
        folder = "fra-eng" if name.startswith("tatoeba") else "multi30k"
        yield pytest.param(name, folder, marks=pytest.mark.data(folder))


@pytest.mark.exhaustive
@pytest.mark.parametrize(("name", "folder"), list(with_data()))
def test_weights_translate_as_well_as_is_recorded(name, folder):
    entry = zoo.describe(name)
    kept = entry.results["weights"]["seed"]
    recorded = next(run for run in entry.runs() if run["seed"] == kept)["metrics"]["test"]
    split = datasets.load(entry.recipe.dataset, real_data_dir(folder))["test"]
    assert len(split) == recorded["examples"]
    model = zoo.build(name)
    _, accuracy = model.evaluate(split.sources, split.targets, verbose=0)  # its loss is smoothed
    tokens = model.encode(split.sources, split.targets).target_lengths.sum()
    loss = -model.score(split.sources, split.targets).sum() / tokens
    assert loss == pytest.approx(recorded["loss"], abs=1e-3)
    assert accuracy == pytest.approx(recorded["accuracy"], abs=1e-3)
    some = split.take(slice(None, None, 5))  # all of them take a minute a model
    found = model.translate(list(some.sources), recorded["beam_size"])
    bleu = corpus_bleu([best.text for best in found], some)["bleu"]
    low, high = recorded["bleu_interval"]
    # The interval of a fifth is wider by the root of five; half as much again is for chance.
    assert bleu == pytest.approx(recorded["bleu"], abs=1.5 * 5**0.5 * (high - low) / 2)


@pytest.mark.parametrize(
    ("name", "bleu"),
    [
        ("multi30k_en_de_transformer", 39.5),
        ("multi30k_en_fr_transformer", 60.0),
        ("multi30k_en_fr_recurrent", 55.0),
    ],
)
def test_translators_reached_the_least_that_they_were_made_for(name, bleu):
    for run in zoo.describe(name).runs():
        assert run["parameters"] <= 3_000_000
        assert run["train_seconds"] * run["hardware"]["cores"] <= 2 * 180 * 60  # of one core's time
        assert set(run["metrics"]) == {"validation", "test", "test_2017", "test_coco"}
        test = run["metrics"]["test"]
        assert test["token_language"] == name[12:14]
        assert test["bleu_lowercased_tokens"] >= bleu


@pytest.mark.slow
def test_the_sentence_of_the_tutorials_is_translated():
    model = zoo.build("tatoeba_en_fr_transformer")
    found = model.translate(["I am a student.", "I am a student"])
    assert {answer.text for answer in found} <= {"Je suis étudiant.", "Je suis étudiante."}


def test_translators_have_no_labels_and_know_their_settings():
    name = "multi30k_en_de_transformer"
    small = {"vocabulary_size": 300, "model_dim": 8, "encoder_layers": 1, "decoder_layers": 1}
    for weights in ("zoo", None):
        with pytest.raises(ValueError, match="is for translation, and has no labels"):
            zoo.build(name, weights=weights, label_names=["a", "b"])
    with pytest.raises(ValueError, match=r"'once'.*Accepted: 'max_length', 'lowercase'"):
        zoo.build(name, weights=None, preprocessing={"once": True})
    model = zoo.build(
        name, weights=None, preprocessing={"max_length": 9, "lowercase": True}, **small
    )
    assert isinstance(model, Translator)
    assert (model.max_length, model.min_count) == (9, 2)
    assert model.tokenizer.normalizer.lowercase
    with pytest.raises(RuntimeError, match="no pieces"):
        model.translate("A dog.")
    model.adapt(["A dog."], ["Ein Hund."])
    assert isinstance(model.translate("A dog.", 1).text, str)


def translated(folder, entry, seed, variant="", **figures):
    """A run of a translator that was never trained, with figures of its own."""
    recipe = entry.recipe
    model = from_architecture(
        recipe.architecture, preprocessing=recipe.preprocessing, **recipe.settings(variant or None)
    )
    model.adapt(["A dog runs."], ["Un chien court."])
    folder.mkdir()
    metrics = {
        "accuracy": 0.5, "loss": 1.0, "examples": 1_014, "beam_size": 5, "bleu_signature": "b|1",
        "bleu_interval": [35.84, 38.46], "chrf": 57.1, "chrf_signature": "c|1",
        "bleu_lowercased_tokens": 39.0,
    }  # fmt: skip
    record = {
        "variant": variant, "seed": seed, "finished": "2026-11-21T10:00:00Z", "commit": "0" * 40,
        "recipe_digest": recipe.digest, "train_seconds": 90.0, "versions": {"keras": "3"},
        "hardware": {"accelerators": [], "cores": 2, "processor": "a processor"},
        "parameters": model.network.count_params(), "forward_flops": 10**6,
        "train_flops": 10**12, "data": {"name": recipe.dataset},
        "metrics": {split: {**metrics, "bleu": bleu} for split, bleu in figures.items()},
        **artifacts.save(model, folder),
    }  # fmt: skip
    (folder / "record.json").write_text(json.dumps(record))
    return model


def test_translators_are_published_by_their_bleu(tmp_path, monkeypatch):
    folder = tmp_path / "zoo" / "pairs_tiny"
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(TRANSLATION)
    monkeypatch.setattr(registry, "_registered", {})
    zoo.register(folder)
    entry = zoo.describe("pairs_tiny")
    shown = "`keras-attn train pairs_tiny`"
    assert shown in cards.card(entry)
    best = translated(tmp_path / "a", entry, 1, validation=38.0, test=37.2, test_2017=30.0)
    entry = publishing.publish("pairs_tiny", [tmp_path / "a"])
    card = cards.card(entry)
    assert 'model.translate("Two dogs play in the snow.")  # text, score' in card
    assert "a SavedModel that takes texts string (B,)\n" in card
    assert "| as published | test (Flickr 2016) | 1,014 | 37.2 [35.8, 38.5] | 57.1 | 39.0 |" in card
    assert "| as published | test_2017 (Flickr 2017) | 1,014 | 30.0 [" in card
    assert "| as published | 1 | 38.00 BLEU | 37.20 BLEU | 1.5 | 2026-11-21 |" in card
    assert "beam search with a beam size of 5" in card
    assert "over seeds" not in card
    assert card.count("`b|1`") == card.count("`c|1`") == 1
    assert "37.2 BLEU (1 seed) | - | 1.5 min on 2 cores (a processor) |" in cards.table([entry])
    # A run with better answers on the test split, and worse ones to choose by.
    translated(tmp_path / "b", entry, 0, validation=37.9, test=39.2, test_2017=31.0)
    translated(tmp_path / "c", entry, 0, "twice", validation=20.0, test=20.0, test_2017=20.0)
    entry = publishing.publish("pairs_tiny", [tmp_path / "b", tmp_path / "c"])
    assert entry.results["weights"]["seed"] == 1
    card = cards.card(entry)
    assert "| as published | test (Flickr 2016) | 1,014 | 38.2 ± 1.4 | 57.1 ± 0.0 |" in card
    assert "| twice | validation | 1,014 | 20.0 [35.8, 38.5] |" in card
    assert "over seeds" in card
    assert "the best on the validation split" in card
    assert "38.2 ± 1.4 BLEU (2 seeds)" in cards.table([entry])
    built = zoo.build("pairs_tiny")
    assert built.tokenizer.pieces == best.tokenizer.pieces
    for received, expected in zip(built.get_weights(), best.get_weights(), strict=True):
        np.testing.assert_array_equal(received, expected)
    with pytest.raises(zoo.WeightsError, match="decoder_layers changed"):
        zoo.build("pairs_tiny", decoder_layers=2)
    (folder / "vocabulary.txt").write_text("changed\n")
    with pytest.raises(zoo.WeightsError, match="SHA-256"):
        zoo.build("pairs_tiny")
