"""A trained body with a new head: from the zoo, saved, loaded, fine-tuned, frozen."""

import logging

import h5py
import keras
import numpy as np
import pytest

import keras_attn
from keras_attn import tasks, zoo
from keras_attn.tasks import ImageClassifier, TextClassifier
from tests.tasks.small_classifiers import LABELS, NAMES, NEW, SIZES, TEXTS, make

ENTRY = "shapes_small_attention_cnn"


@pytest.fixture(scope="module")
def trained():
    return zoo.build(ENTRY)


@pytest.fixture
def mine():
    return zoo.build(ENTRY, label_names=["warm", "cold"])


def new_head(labels=("a", "b", "c"), trained=None):
    """A text classifier of other labels, with the body of a trained one."""
    trained = trained or trained_texts()
    settings = {"vocabulary_sizes": SIZES, **trained.backbone_settings()}
    model = tasks.from_architecture("ngram_attention", labels, **settings)
    return model, model.copy_backbone(trained)


def trained_texts():
    model = make()
    model.adapt(TEXTS, LABELS)
    model.fit(TEXTS, np.array(LABELS), verbose=0)
    return model


def test_the_backbone_gives_the_features_that_the_head_reads(trained, shapes):
    images = shapes["test"].images
    features = trained.features(images, batch_size=10)
    assert features.shape == (len(images), trained.backbone.output_shape[-1])
    normalized = trained.normalization(images)
    np.testing.assert_allclose(features, trained.backbone(normalized), atol=1e-5)
    head = keras_attn.models.head(trained.network)
    logits = trained.logits(images) * float(trained.temperature)
    np.testing.assert_allclose(head(features), logits, atol=1e-4)
    assert trained.backbone is trained.backbone


def test_a_new_head_keeps_the_body_bit_for_bit_and_says_so(trained, shapes, caplog):
    images = shapes["test"].images
    with caplog.at_level(logging.WARNING, logger="keras_attn"):
        model = zoo.build(ENTRY, label_names=["warm", "cold"])
    (message,) = [record.getMessage() for record in caplog.records]
    (layer,) = model.initialized_from["new_layers"]
    assert message.startswith(f"{ENTRY}: the trained backbone is kept, and the head is new for 2")
    assert layer in message
    np.testing.assert_array_equal(model.features(images), trained.features(images))
    assert model.logits(images).shape == (len(images), 2)
    assert dict(model.initialized_from) == {
        "entry": ENTRY,
        "weights_sha256": zoo.describe(ENTRY).results["weights"]["sha256"],
        "new_layers": [layer],
    }
    assert trained.initialized_from is None


def test_a_number_of_classes_names_them_by_number(shapes):
    model = keras_attn.build(ENTRY, num_classes=3)
    assert model.label_names == ("0", "1", "2")
    assert model.classify(shapes["test"].images[0]).label in {"0", "1", "2"}


def test_the_own_labels_keep_the_head(trained, shapes, caplog):
    model = zoo.build(ENTRY, label_names=trained.label_names)
    assert model.initialized_from is None
    assert not caplog.records
    images = shapes["test"].images
    np.testing.assert_array_equal(model.logits(images), trained.logits(images))
    fresh = zoo.build(ENTRY, weights=None, label_names=["a", "b"])
    assert fresh.initialized_from is None


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        ({"label_names": ["a", "b"], "num_classes": 2}, "`label_names` or `num_classes`, not both"),
        ({"label_names": "ab"}, "list of different names"),
        ({"label_names": ["a", "a"]}, "list of different names"),
        ({"num_classes": 1}, "integer of at least 2"),
        ({"num_classes": True}, "integer of at least 2"),
        ({"num_classes": "2"}, "integer of at least 2"),
    ],
)
def test_impossible_labels_are_refused(labels, match):
    with pytest.raises(ValueError, match=match):
        zoo.build(ENTRY, **labels)


def test_where_the_body_came_from_is_saved_and_loaded(mine, shapes, tmp_path):
    mine.save(tmp_path / "model.keras")
    loaded = keras_attn.load(tmp_path / "model.keras")
    assert loaded.initialized_from == mine.initialized_from
    assert loaded.label_names == ("warm", "cold")
    images = shapes["test"].images
    np.testing.assert_allclose(loaded.logits(images), mine.logits(images), atol=1e-5)
    loaded.fit(images, [0, 1] * 16, verbose=0)
    loaded.save(tmp_path / "again.keras")
    assert keras_attn.load(tmp_path / "again.keras").initialized_from == mine.initialized_from


@pytest.mark.slow
def test_a_frozen_backbone_stays_and_the_head_learns(mine, shapes, tmp_path):
    images, labels = shapes["train"].images, (shapes["train"].labels > 1).astype("int32")
    mine.backbone.trainable = False
    mine.compile("adam", mine.loss)
    body, logits = mine.features(images), mine.logits(images)
    assert len(mine.trainable_variables) == 2  # kernel and bias of the head
    mine.fit(images, labels, epochs=2, verbose=0)
    np.testing.assert_array_equal(mine.features(images), body)
    assert np.abs(mine.logits(images) - logits).max() > 1e-3
    mine.save(tmp_path / "model.keras")
    loaded = keras_attn.load(tmp_path / "model.keras")
    assert len(loaded.trainable_variables) == 2
    np.testing.assert_allclose(loaded.logits(images), mine.logits(images), atol=1e-4)
    mine.backbone.trainable = True
    mine.compile("adam", mine.loss)
    mine.fit(images, labels, verbose=0)
    assert np.abs(mine.features(images) - body).max() > 0


def test_a_backbone_that_was_looked_at_changes_no_file(shapes, tmp_path):
    model = tasks.from_architecture("small_attention_cnn", ("a", "b"), filters=(4, 8))
    model.save_weights(tmp_path / "before.weights.h5")
    model.features(shapes["test"].images)
    model.backbone.trainable = False
    model.save_weights(tmp_path / "after.weights.h5")
    names = []
    for file in ("before", "after"):
        with h5py.File(tmp_path / f"{file}.weights.h5") as content:
            names.append([])
            content.visit(names[-1].append)
    assert names[0] == names[1]
    assert not [name for name in names[1] if "backbone" in name]
    assert any(name.startswith("layers/functional") for name in names[1])


def test_bodies_of_other_models_are_refused(trained, mine):
    with pytest.raises(ValueError, match="must come from a model of the same type"):
        mine.copy_backbone(keras.Sequential())
    other = tasks.from_architecture("small_attention_cnn", ("a", "b"), filters=(4, 8))
    with pytest.raises(ValueError, match=r"filters|shape|layer"):
        other.copy_backbone(trained)


def test_a_class_builds_entries_of_its_task(trained, shapes):
    model = ImageClassifier.from_preset(ENTRY, label_names=["a", "b"])
    assert model.label_names == ("a", "b")
    images = shapes["test"].images[:2]
    np.testing.assert_array_equal(model.features(images), trained.features(images))
    with pytest.raises(ValueError, match=r"entry for image_classification, and TextClassifier"):
        TextClassifier.from_preset(ENTRY)
    with pytest.raises(ValueError, match="Did you mean"):
        ImageClassifier.from_preset("shapes_small_attention_cn")


@pytest.mark.slow
@pytest.mark.tensorflow
def test_texts_keep_vocabulary_and_ratios(tmp_path):
    trained = trained_texts()
    model, new_layers = new_head(trained=trained)
    assert new_layers
    np.testing.assert_array_equal(model.features(TEXTS), trained.features(TEXTS))
    assert model.logits(NEW).shape == (len(NEW), 3)
    model.fit(TEXTS, ["a", "b", "c", "a", "b", "c", "a"], verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras_attn.load(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.logits(NEW), model.logits(NEW), atol=1e-5)
    model.initialized_from = {"entry": "imdb_ngram_attention"}
    with pytest.raises(ValueError, match=r"has trained weights, which depend on .* vocabulary"):
        model.adapt(TEXTS, [0, 1, 2, 0, 1, 2, 0])


@pytest.mark.slow
@pytest.mark.tensorflow
def test_a_text_entry_is_given_a_new_head():
    model = zoo.build("imdb_ngram_attention", label_names=["good", "bad", "mixed"])
    trained = zoo.build("imdb_ngram_attention")
    texts = ["An hour too long, and I loved every minute.", "Dull."]
    np.testing.assert_array_equal(model.features(texts), trained.features(texts))
    assert model.classify(texts[0]).label in {"good", "bad", "mixed"}
    assert model.initialized_from["entry"] == "imdb_ngram_attention"


def test_other_files_are_refused_with_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError, match="no model file"):
        keras_attn.load(tmp_path / "nothing.keras")
    with pytest.raises(FileNotFoundError, match=r"holds no manifest\.json"):
        keras_attn.load(tmp_path)
    (tmp_path / "text.keras").write_text("no model")
    with pytest.raises(ValueError, match=r"text\.keras cannot be read as a Keras model"):
        keras_attn.load(tmp_path / "text.keras")
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match=r"holds a Sequential.*keras\.saving\.load_model"):
        keras_attn.load(tmp_path / "other.keras")
    tasks.from_architecture("small_attention_cnn", NAMES, filters=(4, 8)).save(
        tmp_path / "whole.keras"
    )
    content = (tmp_path / "whole.keras").read_bytes()
    (tmp_path / "part.keras").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"part\.keras cannot be read as a Keras model"):
        keras_attn.load(tmp_path / "part.keras")


def test_a_loaded_backbone_can_be_unfrozen(tmp_path):
    model = zoo.build("shapes_small_attention_cnn", label_names=["a", "b"])
    everything = len(model.trainable_weights)
    model.backbone.trainable = False
    model.save(tmp_path / "frozen.keras")
    loaded = keras_attn.load(tmp_path / "frozen.keras")
    assert (loaded.backbone.trainable, len(loaded.trainable_weights)) == (False, 2)
    loaded.backbone.trainable = True
    assert len(loaded.trainable_weights) == everything
    model.backbone.trainable = True
    model.network.trainable = False
    model.network.layers[-1].trainable = True
    model.save(tmp_path / "head.keras")
    assert len(keras_attn.load(tmp_path / "head.keras").trainable_weights) == 2
    with pytest.raises(ValueError, match=r"has trained weights.*weights=None"):
        zoo.build("shapes_small_attention_cnn").adapt(np.zeros((4, 32, 32, 3), "uint8"))


@pytest.mark.parametrize("names", [[1, 2], [1, 0], {"a", "b"}, ["a", None]])
def test_label_names_are_strings_or_the_indices_themselves(names):
    with pytest.raises(ValueError, match="label_names"):
        zoo.build("shapes_small_attention_cnn", label_names=names)


def test_label_names_may_be_what_numpy_finds():
    for names in (np.unique(["b", "a", "b"]), [b"a", b"b"]):
        model = zoo.build("shapes_small_attention_cnn", label_names=names)
        assert model.label_names == ("a", "b")
    assert zoo.build("shapes_small_attention_cnn", num_classes=np.int64(3)).label_names[2] == "2"
