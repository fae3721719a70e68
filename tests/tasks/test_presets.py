"""Folders of models for hubs: what they hold, and what of a damaged or foreign one is refused."""

import json
import pathlib
import shutil
import sys

import h5py
import keras
import numpy as np
import pytest

import keras_attn
from keras_attn import _model_folders, tasks, zoo
from keras_attn._files import sha256
from tests.disk import full_disk
from tests.tasks.test_adaptation import TASKS

ENTRY = "shapes_small_attention_cnn"
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("uint8")
SAFETENSORS = "model.safetensors"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The folder of an entry's model. Tests change copies of it."""
    return zoo.build(ENTRY).save_to_preset(tmp_path_factory.mktemp("presets") / "shapes")


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "shapes")


def resign(folder):
    """Write the manifest anew, as somebody who changes files would."""
    (folder / "manifest.json").unlink()
    _model_folders.write_manifest(folder)


def change_config(folder, change):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))
    resign(folder)


@pytest.mark.tensorflow
@pytest.mark.parametrize("task", ["images", "generation"])
def test_folders_hold_the_whole_model(task, tmp_path):
    make, answer, *_ = TASKS[task]
    model = make()
    expected = answer(model)
    loaded = keras_attn.load(model.save_to_preset(tmp_path / "h5"))
    assert type(loaded) is type(model)
    np.testing.assert_array_equal(answer(loaded), expected)
    pytest.importorskip("safetensors")
    path = model.save_to_preset(tmp_path / "safetensors", weights_format="safetensors")
    assert not (path / "model.weights.h5").exists()
    again = type(model).from_preset(path)
    for own, weight in zip(model.variables, again.variables, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), own)


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("weights_format", ["h5", "safetensors"])
def test_quantized_models_and_lora(weights_format, tmp_path):
    if weights_format == "safetensors":
        pytest.importorskip("safetensors")
    labels = np.arange(4)
    model = zoo.build(ENTRY)
    model.enable_lora(rank=2)
    model.fit(IMAGES, labels, epochs=2, verbose=0)
    for name in ("lora", "int8"):
        path = model.save_to_preset(tmp_path / name, weights_format=weights_format)
        loaded = keras_attn.load(path)
        np.testing.assert_allclose(loaded.logits(IMAGES), model.logits(IMAGES), atol=1e-5)
        model = zoo.build(ENTRY)
        model.quantize("int8")
    np.testing.assert_array_equal(loaded.logits(IMAGES), model.logits(IMAGES))
    assert loaded.network.get_layer("logits").quantization_mode == "int8"


def test_the_card_has_the_metadata_of_the_hub(saved, tmp_path):
    yaml = pytest.importorskip("yaml")
    _, block, text = (saved / "README.md").read_text().split("---\n", 2)
    metadata = yaml.safe_load(block)
    results = metadata.pop("model-index")[0]["results"][0]
    assert metadata == {
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        "tags": ["keras_attn", "attention", "image_classification"],
        "datasets": ["shapes"],
        "metrics": ["accuracy"],
    }
    entry = zoo.describe(ENTRY)
    run = next(r for r in entry.runs() if r["seed"] == entry.results["weights"]["seed"])
    accuracy = pytest.approx(100 * run["metrics"]["test"]["accuracy"], abs=0.006)
    assert results["metrics"][0] == {
        "type": "accuracy", "name": "accuracy (%)", "value": accuracy
    }  # fmt: skip
    assert "## Results" in text and "](" not in text and "Train it again" not in text
    model = zoo.build(ENTRY)
    model.network.layers[-1].bias.assign_add([0.0, 0.0, 0.0, 1.0])  # no weights of the entry
    path = model.save_to_preset(tmp_path / "mine", license="cc-by-4.0", tags=["toys: red"])
    _, block, text = (path / "README.md").read_text().split("---\n", 2)
    metadata = yaml.safe_load(block)
    assert metadata["license"] == "cc-by-4.0"
    assert metadata["tags"][-1] == "toys: red"
    assert "model-index" not in metadata and "## Results" not in text


def test_what_is_not_part_of_a_folder(tmp_path):
    model = zoo.build(ENTRY, label_names=["a", "b", "c", "d"])
    model.compile("adam", loss=lambda y, p: keras.ops.mean(p), metrics=["accuracy"])
    model.optimizer.build(model.trainable_variables)
    model.optimizer.iterations.assign(1)
    path = model.save_to_preset(tmp_path / "fitted")
    with h5py.File(path / "model.weights.h5") as file:
        assert "optimizer" not in file
    loaded = keras_attn.load(path)
    np.testing.assert_array_equal(loaded.logits(IMAGES), model.logits(IMAGES))
    assert loaded.initialized_from == model.initialized_from
    assert loaded.compiled and type(loaded.loss) is not type(model.loss)  # as a new model is
    assert "optimizer" in dir(model)  # `save` writes its state


def test_arguments_are_checked(saved, tmp_path, monkeypatch):
    model = zoo.build(ENTRY)
    with pytest.raises(FileExistsError, match="not an empty folder"):
        model.save_to_preset(saved)
    with pytest.raises(ValueError, match=r"'h5' or 'safetensors'\. Received: 'npz'"):
        model.save_to_preset(tmp_path / "new", weights_format="npz")
    with pytest.raises(ValueError, match=r"identifier in lower case.*'Apache 2\.0'"):
        model.save_to_preset(tmp_path / "new", license="Apache 2.0")
    with pytest.raises(ValueError, match="list of words"):
        model.save_to_preset(tmp_path / "new", tags="toys")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r"keras-attn\[hub\]"):
        model.save_to_preset(tmp_path / "new", weights_format="safetensors")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"loaded as it is. Received: label_names, attention"):
        zoo.build(saved, label_names=["a", "b"], attention="none")
    with pytest.raises(ValueError, match="holds a ImageClassifier, and not a TextClassifier"):
        tasks.TextClassifier.from_preset(saved)
    with pytest.raises(ValueError, match="always checked"):
        zoo.build(ENTRY, sha256="0" * 64)


@pytest.mark.tensorflow
def test_models_that_could_not_be_used_are_refused(tmp_path):
    model = tasks.from_architecture("ngram_attention", ("bad", "good"), vocabulary_sizes=(50, 50))
    with pytest.raises(ValueError, match=r"no vocabulary.*Call `adapt`"):
        model.save_to_preset(tmp_path / "new")
    model = zoo.build(ENTRY)
    model.network.layers[-1].bias.assign([np.nan] * 4)
    with pytest.raises(ValueError, match="not finite"):
        model.save_to_preset(tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_on_a_full_disk(tmp_path):
    model = zoo.build(ENTRY)
    with full_disk(2**14), pytest.raises(OSError, match="nothing is left of it"):
        model.save_to_preset(tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_a_digest_pins_all_files_but_the_card(folder):
    digest = sha256(folder / "manifest.json")
    (folder / "README.md").write_text("# Another title")
    assert keras_attn.load(folder, sha256=digest.upper()).label_names[0] == "red"
    with pytest.raises(ValueError, match="not the file that `sha256` pins"):
        keras_attn.load(folder, sha256="0" * 64)
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        keras_attn.load(folder, sha256="main")


def test_damaged_folders_are_refused(folder):
    def reading(error, match):
        with pytest.raises(error, match=match):
            keras_attn.load(folder)

    weights = folder / "model.weights.h5"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1])
    reading(ValueError, r"model\.weights\.h5 is damaged: it has .* bytes")
    weights.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    reading(ValueError, "damaged or was changed: its SHA-256")
    weights.unlink()
    reading(FileNotFoundError, r"lacks model\.weights\.h5")
    resign(folder)
    reading(ValueError, r"must list config\.json, metadata\.json and one file of weights")
    weights.write_bytes(b"not HDF5")
    resign(folder)
    reading(ValueError, "cannot be read as an HDF5 file")
    manifest = folder / "manifest.json"
    for name in ("../model.weights.h5", "/etc/passwd", "a\\b", ".git", ""):
        entry = {"bytes": 1, "sha256": "0" * 64}
        manifest.write_text(json.dumps({"format": 1, "files": {name: entry}}))
        reading(ValueError, "not the name of a file in its folder")
    manifest.write_text(json.dumps({"format": 2, "files": {}}))
    reading(ValueError, "format 2, written by a newer version")
    manifest.write_text(json.dumps({"files": {}}))
    reading(ValueError, "not a manifest of this package")
    manifest.unlink()
    reading(FileNotFoundError, r"holds no manifest\.json")


def test_weights_that_do_not_fit_are_refused(folder):
    path = folder / "model.weights.h5"
    with h5py.File(path, "r+") as file:
        names = []
        file.visititems(lambda name, item: names.append(name) if hasattr(item, "shape") else None)
        first, second, third = names[:3]
        values = file[first][()]
        del file[first], file[second], file[third]
        file[first] = np.zeros((*values.shape, 1), values.dtype)
        file["more"] = np.zeros(3)
        file[third] = h5py.ExternalLink("other.h5", third)
    resign(folder)
    with pytest.raises(ValueError, match=r"does not fit the model of config\.json") as error:
        keras_attn.load(folder)
    for text in ("2 weights", "of the model missing", "1 weight (more) that the model does not"):
        assert text in str(error.value)
    assert f"{first} of shape" in str(error.value)


def test_damaged_safetensors_are_refused(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    folder = zoo.build(ENTRY).save_to_preset(tmp_path / "new", weights_format="safetensors")
    arrays = library.load_file(folder / SAFETENSORS)
    name = sorted(arrays)[0]
    library.save_file({**arrays, name: arrays[name][None]}, folder / SAFETENSORS)
    resign(folder)
    with pytest.raises(ValueError, match=f"{name} of shape"):
        keras_attn.load(folder)
    library.save_file({**arrays, name: np.full_like(arrays[name], np.nan)}, folder / SAFETENSORS)
    resign(folder)
    with pytest.raises(ValueError, match="not finite"):
        keras_attn.load(folder)
    (folder / SAFETENSORS).write_bytes(b"\x00" * 100)
    resign(folder)
    with pytest.raises(ValueError, match="cannot be read as a safetensors file"):
        keras_attn.load(folder)


def test_configurations_with_code_or_of_others_are_refused(folder):
    original = (folder / "config.json").read_bytes()

    def reading(match, change):
        (folder / "config.json").write_bytes(original)
        change_config(folder, change)
        with pytest.raises(ValueError, match=match):
            keras_attn.load(folder)

    def layer(**entry):
        return lambda config: config["config"]["network"]["config"]["layers"][1].update(entry)

    code = {"class_name": "__lambda__", "config": {"code": "4wEAAA=="}}
    reading("holds a Lambda, whose configuration is code",
            layer(class_name="Lambda", config={"function": code}))  # fmt: skip
    reading("holds a TFSMLayer", layer(class_name="TFSMLayer", config={"filepath": "x"}))
    custom = {"class_name": "Mine", "module": "mine", "registered_name": "mine>Mine"}
    reading("needs 'mine>Mine', which is not registered here", layer(**custom))
    reading("needs 'system', which is not registered here",
            layer(class_name="function", config="system", module="os",
                  registered_name="system"))  # fmt: skip
    reading("is the configuration of 'Sequential'",
            lambda c: c.update(class_name="Sequential", registered_name=None))  # fmt: skip
    reading("cannot be read as the configuration", lambda config: config.update(config={}))
    (folder / "config.json").write_text("[]")
    resign(folder)
    with pytest.raises(ValueError, match="must hold a JSON object"):
        keras_attn.load(folder)


def test_a_newer_version_warns(folder):
    path = folder / "metadata.json"
    metadata = {**json.loads(path.read_text()), "library_version": "9.1.0"}
    path.write_text(json.dumps(metadata))
    resign(folder)
    with pytest.warns(UserWarning, match=r"written by keras_attn 9\.1\.0"):
        keras_attn.load(folder)


def test_commands_take_folders(saved, tmp_path, monkeypatch):
    from keras_attn.cli import models

    monkeypatch.chdir(saved.parent)
    name = models.find_model(saved.name)
    task, build = models.locate(name)
    assert task.name == "image_classification"
    assert build().label_names[0] == "red"
    with pytest.raises(FileNotFoundError, match="`save_to_preset` or `train --data` wrote"):
        models.find_model(str(pathlib.Path("no", "model")))
