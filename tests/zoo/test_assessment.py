"""Published weights are calibrated, stored in float16, and shown with example answers."""

import json
import shutil

import h5py
import numpy as np
import pytest

from keras_attn import datasets, training, zoo
from keras_attn._files import sha256
from keras_attn.tasks.deletion_insertion import area_under_curve
from keras_attn.training.weights_files import store_as_float16
from keras_attn.zoo import assessment, cards, pictures, publishing, registry
from tests.zoo.catalogues import registering

NAME = "shapes_mine"
pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def drawn():
    return datasets.shapes.draw_shapes(seed=3, sizes={"train": 96, "validation": 300, "test": 100})


@pytest.fixture
def entry(tmp_path, monkeypatch):
    """A copy of a trained entry as it was before it was assessed."""
    monkeypatch.setattr(assessment, "EXPLAINED", 3)
    source = zoo.describe("shapes_small_attention_cnn")
    folder = tmp_path / "catalogue" / NAME
    folder.mkdir(parents=True)
    shutil.copy(source.folder / "recipe.toml", folder)
    model = zoo.build(source.name)
    model.temperature.assign(1.0)
    model.save_weights(folder / "model.weights.h5")
    results = json.loads((source.folder / "results.json").read_text())
    for key in ("examples", "explanations"):
        results.pop(key, None)
    for key in ("calibration", "storage", "values_sha256"):
        results["weights"].pop(key, None)
    results["weights"]["sha256"] = sha256(folder / "model.weights.h5")
    results["weights"]["bytes"] = (folder / "model.weights.h5").stat().st_size
    (folder / "results.json").write_text(json.dumps(results))
    with registering(tmp_path / "catalogue"):
        yield registry.describe(NAME)


def stored_dtypes(path):
    """The dtypes of all arrays of a weights file, with their numbers of axes."""
    found = set()
    with h5py.File(path) as file:
        file.visititems(
            lambda _, item: (
                found.add((item.dtype.name, item.ndim)) if hasattr(item, "ndim") else None
            )
        )
    return found


def test_weights_are_calibrated_and_stored_in_float16(entry, drawn):
    before = entry.results["weights"]["bytes"]
    assessed = assessment.assess(NAME, dataset=drawn)
    weights = assessed.results["weights"]
    assert weights["storage"]["dtype"] == "float16"
    assert ("float16", 4) in stored_dtypes(assessed.weights)
    assert not {dtype for dtype, ndim in stored_dtypes(assessed.weights) if ndim < 2} & {"float16"}
    assert weights["bytes"] < 0.7 * before
    model = zoo.build(NAME)  # which checks the digest
    assert model.variables[0].dtype == "float32"
    assert float(model.temperature) == pytest.approx(weights["calibration"]["temperature"])
    metrics = model.evaluate_split(drawn["validation"])
    assert metrics["accuracy"] == weights["storage"]["validation"]["float16"]
    error = weights["calibration"]["error"]["validation"]
    assert metrics["calibration_error"] == pytest.approx(error, abs=2e-3)


def test_examples_are_right_and_wrong_ones_in_the_order_of_the_data(entry, drawn):
    assessed = assessment.assess(NAME, dataset=drawn)
    answers = zoo.build(NAME).classify(drawn["validation"].images[:512])
    targets = [drawn.label_names[label] for label in drawn["validation"].labels[:512]]
    right = [a for a, target in zip(answers, targets, strict=True) if a.label == target][:3]
    wrong = [a for a, target in zip(answers, targets, strict=True) if a.label != target][:2]
    examples = assessed.results["examples"]
    assert [example["answer"] for example in examples] == [a.label for a in (*right, *wrong)]
    assert [e["answer"] == e["target"] for e in examples] == [True] * 3 + [False] * 2
    card = (assessed.folder / "README.md").read_text()
    assert card == cards.card(assessed)
    assert f"| {right[0].label} | {right[0].label} | {right[0].score:.3f} |" in card
    assert (assessed.folder / "examples.png").read_bytes().startswith(b"\x89PNG")
    calibration = assessed.results["weights"]["calibration"]
    before, after = (100 * calibration[key]["test"] for key in ("error_before", "error"))
    assert f"from {before:.2f} to {after:.2f} %" in card
    assert "stored in float16: validation accuracy" in card


def test_explanations_are_measured_and_drawn(entry, drawn):
    assessed = assessment.assess(NAME, dataset=drawn)
    results = assessed.results["explanations"]
    assert results["examples"] == 3
    methods = results["methods"]
    assert {"occlusion", "grad_cam", "rollout", "random"} <= set(methods)
    starts = {curves[key][0] for curves in methods.values() for key in ("deletion",)}
    ends = {curves["insertion"][-1] for curves in methods.values()}
    assert starts == ends  # the complete image
    faithful, chance = (
        area_under_curve(methods[name]["deletion"]) for name in ("occlusion", "random")
    )
    assert faithful < chance
    card = (assessed.folder / "README.md").read_text()
    assert f"| occlusion | {faithful:.3f} |" in card
    assert "explanations.svg" in card
    assert (assessed.folder / "explanations.svg").read_text().startswith("<?xml")


def test_weights_that_float16_changes_stay_in_float32(entry, drawn, monkeypatch):
    monkeypatch.setattr(assessment, "MAX_CHANGE", -1.0)
    exact = zoo.build(NAME)
    assessed = assessment.assess(NAME, dataset=drawn)
    assert assessed.results["weights"]["storage"]["dtype"] == "float32"
    assert "float16" not in {dtype for dtype, _ in stored_dtypes(assessed.weights)}
    model = zoo.build(NAME)
    for before, after in zip(exact.network.get_weights(), model.network.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_assessing_again_changes_nothing(entry, drawn):
    first = assessment.assess(NAME, dataset=drawn)
    content, weights = first.results, first.weights.read_bytes()
    again = assessment.assess(NAME, dataset=drawn)
    assert again.results == content
    assert again.weights.read_bytes() == weights


def test_publishing_another_run_keeps_what_was_assessed(entry, drawn, tmp_path):
    assessed = assessment.assess(NAME, dataset=drawn)
    seed = assessed.results["weights"]["seed"]
    worse = dict(next(run for run in entry.runs() if run["seed"] != seed))
    worse["metrics"]["validation"]["accuracy"] = 0.1
    (tmp_path / "record.json").write_text(json.dumps(worse))
    published = publishing.publish(NAME, [tmp_path])
    assert published.results["weights"] == assessed.results["weights"]
    assert published.results["examples"] == assessed.results["examples"]
    assert zoo.build(NAME).built
    # Weights that somebody has changed are not those of the run.
    published.weights.write_bytes(published.weights.read_bytes() + b" ")
    with pytest.raises(ValueError, match="Give its folder as well"):
        publishing.publish(NAME, [tmp_path])


def test_an_entry_without_weights_is_refused(small_entry):
    with pytest.raises(ValueError, match="no trained weights"):
        assessment.assess(small_entry)


@pytest.fixture
def small_entry(tmp_path):
    folder = tmp_path / "fresh" / "shapes_fresh"
    folder.mkdir(parents=True)
    shutil.copy(zoo.describe("shapes_small_attention_cnn").folder / "recipe.toml", folder)
    with registering(tmp_path / "fresh"):
        yield "shapes_fresh"


def test_values_outside_the_range_of_float16_keep_their_dtype(tmp_path):
    path = tmp_path / "a.weights.h5"
    arrays = {
        "kernel": np.array([[0.1, -2.0]], "float32"),
        "large": np.array([[7e4, 1.0]], "float32"),
        "bias": np.array([0.1], "float32"),
        "ids": np.array([[1, 2]], "int32"),
    }
    with h5py.File(path, "w") as file:
        for name, value in arrays.items():
            file[f"layers/{name}/vars/0"] = value
        file["layers/kernel"].attrs["name"] = "dense"
    store_as_float16(path)
    with h5py.File(path) as file:
        dtypes = {name: file[f"layers/{name}/vars/0"].dtype.name for name in arrays}
        assert dtypes == {
            "kernel": "float16",
            "large": "float32",
            "bias": "float32",
            "ids": "int32",
        }
        np.testing.assert_allclose(file["layers/kernel/vars/0"][()], arrays["kernel"], rtol=5e-4)
        assert file["layers/kernel"].attrs["name"] == "dense"


def test_curves_are_drawn_of_runs_that_recorded_them(tmp_path):
    path = tmp_path / pictures.CURVES
    assert not pictures.draw_curves({"": [{"seed": 0}]}, path)
    assert not path.exists()
    history = {"loss": [2.0, 1.0], "val_loss": [2.1, 1.2], "val_accuracy": [None, 0.5]}
    runs = {"": [{"history": history}], "no_attention": [{"history": history}]}
    assert pictures.draw_curves(runs, path)
    first = path.read_bytes()
    for text in (b"loss", b"accuracy", b"as published, validation", b"no_attention, training"):
        assert text in first
    assert pictures.draw_curves(runs, path)
    assert path.read_bytes() == first


def test_a_run_records_its_curves(small_recipe, drawn, tmp_path):
    run = training.train(small_recipe, tmp_path / "run", dataset=drawn, verbose=0)
    history, epochs = run.record["history"], run.record["epochs"]
    assert {"loss", "val_loss", "val_accuracy"} <= history.keys()
    assert all(len(values) == epochs for values in history.values())
    assert all(np.isfinite(values).all() for values in history.values())


def test_texts_in_tables_are_short_and_cannot_break_them():
    assert cards._cell("a | b\n*c*") == r"a \| b \*c\*"
    assert cards._cell("好" * 500) == "好" * cards.MAX_CHARACTERS + " ..."
    assert cards._cell(0.12345) == "0.123"


def test_the_data_set_of_the_entry_is_loaded_where_none_is_passed(entry):
    storage = assessment.assess(NAME).results["weights"]["storage"]
    seed = entry.results["weights"]["seed"]
    recorded = next(run for run in entry.runs() if run["seed"] == seed)
    accuracy = recorded["metrics"]["validation"]["accuracy"]
    assert storage["validation"]["float32"] == pytest.approx(accuracy, abs=2e-3)
