"""Files of whole models: what they hold, and what is left of them on a full disk."""

import shutil
import zipfile

import h5py
import keras
import numpy as np
import pytest

import keras_attn
from keras_attn import zoo
from keras_attn.tasks import from_architecture
from tests.disk import full_disk
from tests.tasks.small_translators import new_translator

ENTRY = "shapes_small_attention_cnn"
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("uint8")
LABELS = np.array([0, 1, 2, 3])


def stored(path):
    """The size of the weights in a `.keras` file, and whether an optimizer is in it."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("model.weights.h5")
        with archive.open(info) as file, h5py.File(file) as weights:
            return info.file_size, "optimizer" in weights


def test_an_optimizer_that_took_no_step_is_not_saved(tmp_path):
    model = zoo.build(ENTRY)
    model.save(tmp_path / "new.keras")
    size, has_optimizer = stored(tmp_path / "new.keras")
    assert not has_optimizer
    assert size < 1.4 * 4 * model.count_params()  # bytes of float32
    loaded = keras_attn.load(tmp_path / "new.keras")
    np.testing.assert_array_equal(loaded.logits(IMAGES), model.logits(IMAGES))
    loaded.save(tmp_path / "again.keras")
    assert stored(tmp_path / "again.keras") == (size, False)
    assert loaded.fit(IMAGES, LABELS, verbose=0).history["loss"]
    loaded.save(tmp_path / "fitted.keras")
    assert stored(tmp_path / "fitted.keras")[1]


@pytest.mark.slow
def test_the_optimizer_state_is_saved_and_training_resumes(tmp_path):
    keras.utils.set_random_seed(0)
    model = zoo.build(ENTRY)
    model.compile(keras.optimizers.Adam(3e-3), model.loss, metrics=["accuracy"])
    model.fit(IMAGES, LABELS, shuffle=False, verbose=0)
    model.save(tmp_path / "fitted.keras")
    loaded = keras.saving.load_model(tmp_path / "fitted.keras")
    assert int(loaded.optimizer.iterations) == 1
    for one in (model, loaded):
        one.fit(IMAGES, LABELS, shuffle=False, verbose=0)
    np.testing.assert_allclose(loaded.logits(IMAGES), model.logits(IMAGES), atol=1e-5)
    loaded.save(tmp_path / "fitted.keras")
    assert int(keras.saving.load_model(tmp_path / "fitted.keras").optimizer.iterations) == 2


def test_how_a_model_is_compiled_is_saved_before_any_step(tmp_path):
    model = zoo.build(ENTRY)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.5), model.loss, metrics=["accuracy"])
    model.optimizer.learning_rate = 0.02
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is keras.optimizers.SGD
    assert loaded.optimizer.momentum == 0.5
    assert float(loaded.optimizer.learning_rate) == pytest.approx(0.02)
    assert len(loaded.evaluate(IMAGES, LABELS, verbose=0)) == 2


@pytest.mark.slow
def test_weights_files_keep_the_state_of_the_optimizer(tmp_path):
    model = zoo.build(ENTRY)
    model.fit(IMAGES, LABELS, verbose=0)
    model.save_weights(tmp_path / "mine.weights.h5")
    other = zoo.build(ENTRY)
    other.load_weights(tmp_path / "mine.weights.h5")
    np.testing.assert_array_equal(other.logits(IMAGES), model.logits(IMAGES))
    other.optimizer.build(other.trainable_variables)
    other.load_weights(tmp_path / "mine.weights.h5")
    assert int(other.optimizer.iterations) == 1


def test_a_clone_has_fresh_weights_and_no_origin(tmp_path):
    model = zoo.build(ENTRY, label_names=["a", "b"])
    clone = keras.models.clone_model(model)
    assert clone.initialized_from is None
    assert not np.allclose(clone.logits(IMAGES), model.logits(IMAGES))
    clone.adapt(IMAGES)
    model.save(tmp_path / "model.keras")
    assert keras_attn.load(tmp_path / "model.keras").initialized_from == model.initialized_from


@pytest.mark.tensorflow
def test_what_a_loaded_model_was_trained_on_is_not_replaced(tmp_path):
    texts, labels = ["a fine film", "fine", "a dull film", "dull"], [1, 1, 0, 0]
    for adapted in (True, False):
        model = from_architecture("ngram_attention", ("bad", "good"), vocabulary_sizes=(50, 50))
        if adapted:
            model.adapt(texts, labels)
        model.save(tmp_path / "texts.keras")
        loaded = keras_attn.load(tmp_path / "texts.keras")
        if adapted:
            with pytest.raises(ValueError, match=r"trained weights.*`adapt` would replace"):
                loaded.adapt(texts, labels)
        else:
            loaded.adapt(texts, labels)
            assert loaded.classify("fine").label == "good"
    images = from_architecture("small_attention_cnn", ("a", "b"), filters=(4, 8))
    images.save(tmp_path / "images.keras")
    keras_attn.load(tmp_path / "images.keras").adapt(IMAGES)
    images.adapt(IMAGES)
    images.save(tmp_path / "images.keras")
    with pytest.raises(ValueError, match="trained weights"):
        keras_attn.load(tmp_path / "images.keras").adapt(IMAGES)
    zoo.build(ENTRY).save_weights(tmp_path / "entry.weights.h5")
    model = zoo.build(ENTRY, weights=None)
    model.load_weights(tmp_path / "entry.weights.h5")
    for trained in (model, zoo.build(ENTRY)):
        with pytest.raises(ValueError, match="trained weights"):
            trained.adapt(IMAGES)


def test_a_disk_that_is_full_keeps_the_earlier_file(tmp_path):
    model = zoo.build(ENTRY)
    path = tmp_path / "model.keras"
    model.save(path)
    content = path.read_bytes()
    with (
        full_disk(20_000),
        pytest.raises(
            OSError, match=r"model could not be written to '.*model\.keras'.*File too large"
        ),
    ):
        model.save(path)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_disk_space_is_checked_before_anything_is_written(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    message = r"nothing is left of it: No space left on device: [\d,]+ bytes are needed, 1,000 are"
    with pytest.raises(OSError, match=message):
        zoo.build(ENTRY).save(tmp_path / "model.keras")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("model.txt", "export"), ("model.h5", "export"), ("model.weights.h5", "save_weights")],
)
def test_a_model_is_saved_as_a_keras_file_only(name, remedy, tmp_path):
    model = zoo.build(ENTRY)
    with pytest.raises(ValueError, match=rf"must end in \.keras.*{name}'.*model\.{remedy}\("):
        model.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_keras_says_what_is_wrong_with_a_folder(tmp_path):
    model = zoo.build(ENTRY)
    with pytest.raises(OSError, match="absent"):
        model.save(tmp_path / "absent" / "model.keras")


def test_frozen_layers_inside_blocks_stay_frozen(tmp_path):
    model = keras_attn.build("cifar10_attention_net_quick", label_names=["cat", "dog"])
    batch_norm = keras.layers.BatchNormalization

    def normalizations(model):
        return [layer for layer in model._flatten_layers() if isinstance(layer, batch_norm)]

    for layer in normalizations(model):
        layer.trainable = False
    model.compile(keras.optimizers.SGD(0.0), model.loss)
    model.save(tmp_path / "model.keras")
    loaded = keras_attn.load(tmp_path / "model.keras")
    assert len(normalizations(loaded)) > 2
    assert not any(layer.trainable for layer in normalizations(loaded))
    assert [w.path for w in loaded.trainable_weights] == [w.path for w in model.trainable_weights]


@pytest.mark.tensorflow
@pytest.mark.parametrize("task", ["texts", "pairs"])
def test_weights_of_another_vocabulary_are_refused(task, tmp_path):
    def make(examples):
        if task == "texts":
            model = from_architecture("ngram_attention", ("a", "b"), vocabulary_sizes=(40, 40))
        else:
            model = new_translator(vocabulary_size=330, model_dim=8, intermediate_dim=8)
        if examples:
            model.adapt(*examples)
        return model

    ours, theirs = (["soup", "bread"] * 3, ["a", "b"] * 3), (["goal", "race"] * 3, ["a", "b"] * 3)
    model, path = make(ours), tmp_path / "model.weights.h5"
    model.save_weights(path)
    make(ours).load_weights(path)
    for options in ({}, {"skip_mismatch": True}):
        with pytest.raises(ValueError, match="of a model with another vocabulary"):
            make(theirs).load_weights(path, **options)
    fresh = make(None)
    fresh.load_weights(path)
    with pytest.raises(
        ValueError, match=r"has loaded weights.*`adapt` on the same examples before"
    ):
        fresh.adapt(*ours)
    make(None).save(tmp_path / "fresh.keras")  # a model that is adapted after it is loaded
    keras_attn.load(tmp_path / "fresh.keras").adapt(*ours)
