"""Trained bodies of entries under new heads, for labels of one's own."""

import hashlib
import json
import logging
import shutil

import numpy as np
import pytest

import keras_attn
from keras_attn import datasets, recipes, training, zoo
from keras_attn.zoo import cards, publishing, registry

IMAGES, TEXTS = "shapes_small_attention_cnn", "imdb_transformer"
SENTENCES = ["A fine film, and a long one.", "Dull.", "", "I would not see it again."]


def inputs_of(name):
    """Raw inputs of an entry."""
    if name == TEXTS:
        return SENTENCES
    return np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("uint8")


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("name", [IMAGES, "cifar10_attention_net", TEXTS])
def test_a_new_head_keeps_the_trained_backbone(name, caplog):
    inputs = inputs_of(name)
    trained = keras_attn.build(name)
    with caplog.at_level(logging.WARNING, "keras_attn"):
        model = keras_attn.build(name, label_names=["low", "middle", "high"])
    assert model.label_names == ("low", "middle", "high")
    np.testing.assert_array_equal(model.features(inputs), trained.features(inputs))
    assert model.logits(inputs).shape == (4, 3)
    origin = model.initialized_from
    assert origin["entry"] == name
    assert origin["weights_sha256"] == zoo.describe(name).results["weights"]["sha256"]
    assert origin["new_layers"]
    body = {id(variable) for variable in model.backbone.variables}
    new = {layer.name for layer in model.network.layers
           if any(id(variable) not in body for variable in layer.weights)}  # fmt: skip
    assert set(origin["new_layers"]) == new
    (message,) = (record.getMessage() for record in caplog.records)
    assert f"{name}: the trained backbone is kept" in message
    assert "new for 3 labels" in message
    assert all(layer in message for layer in new)


def test_classes_without_names_are_numbered():
    model = zoo.build(IMAGES, num_classes=3)
    assert model.label_names == ("0", "1", "2")
    assert model.initialized_from["entry"] == IMAGES
    fresh = zoo.build(IMAGES, weights=None, num_classes=3)
    assert fresh.label_names == ("0", "1", "2")
    assert fresh.initialized_from is None


def test_the_labels_of_the_data_set_keep_the_trained_head():
    labels = datasets.describe_dataset("shapes").label_names
    model = zoo.build(IMAGES, label_names=list(labels))
    assert model.initialized_from is None
    images = inputs_of(IMAGES)
    np.testing.assert_array_equal(model.logits(images), zoo.build(IMAGES).logits(images))
    other_order = zoo.build(IMAGES, label_names=labels[::-1])  # not what the head was trained for
    assert other_order.initialized_from["entry"] == IMAGES


@pytest.mark.parametrize("weights", ["zoo", None])
@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"num_classes": 2, "label_names": ["a", "b"]}, "not both"),
        ({"num_classes": 1}, "integer of at least 2"),
        ({"num_classes": True}, "integer of at least 2"),
        ({"num_classes": 2.0}, "integer of at least 2"),
        ({"label_names": "ab"}, "different names"),
        ({"label_names": ["a", "a"]}, "different names"),
        ({"label_names": []}, "label_names|classes"),
        ({"label_names": ["a"]}, "label_names|classes"),
    ],
)
def test_impossible_labels_are_refused(arguments, match, weights):
    with pytest.raises(ValueError, match=match):
        zoo.build(IMAGES, weights=weights, **arguments)


def test_the_head_is_trained_while_the_body_is_frozen(tmp_path):
    """And a saved model keeps where it came from, and what was frozen."""
    split = datasets.load("shapes")["train"].take(slice(0, 96))
    labels = ["warm" if label in (0, 3) else "cold" for label in split.labels]
    model = zoo.build(IMAGES, label_names=["cold", "warm"])
    model.backbone.trainable = False
    model.compile("adam", model.loss, metrics=["accuracy"])
    body, whole = model.backbone.get_weights(), model.network.get_weights()
    losses = model.fit(split.images, labels, epochs=3, batch_size=32, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    for before, after in zip(body, model.backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert any(
        not np.array_equal(before, after)
        for before, after in zip(whole, model.network.get_weights(), strict=True)
    )
    model.save(tmp_path / "mine.keras")
    again = keras_attn.load(tmp_path / "mine.keras")
    assert again.initialized_from == model.initialized_from
    np.testing.assert_array_equal(again.logits(split.images), model.logits(split.images))


def test_weights_of_a_file_are_loaded_and_named(tmp_path):
    path = tmp_path / "mine.weights.h5"
    trained = zoo.build(IMAGES)
    trained.network.set_weights([0.5 * weight for weight in trained.network.get_weights()])
    trained.save_weights(path)
    model = zoo.build(IMAGES, weights=path, label_names=["a", "b"])
    images = inputs_of(IMAGES)
    np.testing.assert_array_equal(model.features(images), trained.features(images))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert model.initialized_from["weights_sha256"] == digest


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("name", [IMAGES, TEXTS])
def test_weights_of_a_model_with_a_new_head_are_loaded_whole(name, tmp_path):
    labels = ["low", "middle", "high"]
    mine = zoo.build(name, label_names=labels)
    mine.save_weights(tmp_path / "mine.weights.h5")
    mine.write_assets(tmp_path)
    again = zoo.build(name, weights=tmp_path / "mine.weights.h5", label_names=labels)
    inputs = inputs_of(name)
    np.testing.assert_array_equal(again.logits(inputs), mine.logits(inputs))
    with pytest.raises(ValueError, match="trained weights"):
        again.adapt(inputs, [0, 1, 2, 0])


def test_an_ambiguous_head_needs_new_head(tmp_path):
    path = tmp_path / "mine.weights.h5"
    trained = zoo.build(IMAGES)
    trained.save_weights(path)
    labels, images = ["a", "b", "c", "d"], inputs_of(IMAGES)
    with pytest.raises(zoo.WeightsError, match=r"4 labels.*new_head=False.*new_head=True"):
        zoo.build(IMAGES, weights=path, label_names=labels)
    same = zoo.build(IMAGES, weights=path, label_names=labels, new_head=False)
    np.testing.assert_array_equal(same.logits(images), trained.logits(images))
    other = zoo.build(IMAGES, weights=path, label_names=labels, new_head=True)
    assert other.initialized_from["new_layers"]
    assert not np.allclose(other.logits(images), trained.logits(images))
    with pytest.raises(zoo.WeightsError, match="do not fit"):
        zoo.build(IMAGES, weights=path, label_names=labels[:3], new_head=False)
    with pytest.raises(ValueError, match=r"`new_head` says.*Leave it out"):
        zoo.build(IMAGES, label_names=labels, new_head=False)


@pytest.mark.slow
def test_a_run_that_starts_from_a_trained_body_is_recorded_and_carded(
    tmp_path, monkeypatch, shapes
):
    folder = tmp_path / "zoo" / "shapes_tuned"
    folder.mkdir(parents=True)
    source = (zoo.describe(IMAGES).folder / "recipe.toml").read_text(encoding="utf-8")
    (folder / "recipe.toml").write_text(f'initial_entry = "{IMAGES}"\n{source}', encoding="utf-8")
    monkeypatch.setattr(registry, "_registered", {})
    zoo.register(tmp_path / "zoo")
    recipe = zoo.describe("shapes_tuned").recipe
    assert recipe.digest != zoo.describe(IMAGES).recipe.digest
    values = recipe.model_dump()
    values["training"] |= {"epochs": 1, "batch_size": 96}
    short = recipes.parse_recipe(values)
    with pytest.raises(recipes.RecipeError, match=f"initial_model=keras_attn.build\\('{IMAGES}'"):
        training.train(short, tmp_path / "run", dataset=shapes, verbose=0)
    initial = zoo.build(IMAGES)
    run = training.train(short, tmp_path / "run", dataset=shapes, initial_model=initial, verbose=0)
    assert run.record["initial"]["entry"] == IMAGES
    assert len(run.record["initial"]["weights_sha256"]) == 64
    # From here on it stands for a run of the entry's own recipe.
    record = {**run.record, "recipe_digest": recipe.digest}
    (run.folder / "record.json").write_text(json.dumps(record))
    entry = publishing.publish("shapes_tuned", [run.folder])
    card = cards.card(entry)
    assert f"training started from the trained backbone of [`{IMAGES}`](../{IMAGES}/" in card
    shutil.rmtree(tmp_path / "zoo")


@pytest.mark.parametrize("name", ["labels", "class_names", "num_labels"])
def test_other_names_of_the_labels_are_suggested(name):
    with pytest.raises(TypeError, match=f"build: received an unknown argument `{name}`. Pass `lab"):
        keras_attn.build("shapes_small_attention_cnn", **{name: ["a", "b"]})
    with pytest.raises(ValueError, match=r"`label_names` must have at least two names.*\['a'\]"):
        keras_attn.build("shapes_small_attention_cnn", label_names=["a"])
