"""The registry and its entries. A new entry is tested by being there."""

import itertools
import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

import keras_attn
from keras_attn import datasets, training, zoo
from keras_attn._files import sha256
from keras_attn.recipes import describe_task
from keras_attn.recipes.figures import segments
from keras_attn.recipes.recipe import WITHOUT_ATTENTION
from keras_attn.tasks import from_architecture
from keras_attn.zoo import cards, publishing, registry
from tests.conftest import ROOT, real_data_dir

EXPECTED_PARAMETERS = {
    "bccd_attention_detector": 761_127,
    "chnsenticorp_ngram_attention": 1_550_068,
    "cifar100_attention_net": 1_844_985,
    "cifar100_compact_transformer": 501_436,
    "cifar10_attention_net": 1_968_249,
    "cifar10_attention_net_large": 3_487_577,
    "cifar10_attention_net_quick": 594_873,
    "cifar10_compact_transformer": 489_826,
    "cifar10_compact_transformer_large": 3_571_074,
    "etth1_patch_transformer": 644_784,
    "fsdd_keyword_attention": 104_626,
    "imdb_ngram_attention": 1_275_068,
    "imdb_recurrent_attention": 2_056_302,
    "imdb_transformer": 2_073_582,
    "multi30k_en_de_transformer": 1_965_568,
    "multi30k_en_fr_recurrent": 2_513_536,
    "multi30k_en_fr_transformer": 1_965_568,
    "shakespeare_character_transformer": 1_190_144,
    "shapes_small_attention_cnn": 32_229,
    "tang_quatrain_transformer": 1_361_024,
    "tatoeba_en_fr_transformer": 2_093_568,
    "tatoeba_en_zh_transformer": 2_093_568,
    "traffic_transformer": 213_152,
    "weather_patch_transformer": 1_214_176,
}
every_entry = pytest.mark.parametrize("name", zoo.list())
every_trained_entry = pytest.mark.parametrize("name", zoo.list(pretrained=True))


def test_every_entry_has_an_expected_parameter_count():
    assert set(EXPECTED_PARAMETERS) == set(zoo.list())


@pytest.mark.slow
@every_entry
def test_entries_have_the_parameters_that_they_should(name):
    model = zoo.build(name, weights=None)
    assert model.network.count_params() == EXPECTED_PARAMETERS[name]


@every_entry
def test_entries_are_named_for_data_and_architecture(name):
    recipe = zoo.describe(name).recipe
    assert registry.NAME.fullmatch(name)
    assert name.startswith(f"{recipe.dataset}_")


@every_entry
def test_entries_and_their_variants_build(name):
    recipe = zoo.describe(name).recipe
    for variant in (None, *recipe.variants):
        model = from_architecture(
            recipe.architecture,
            datasets.describe_dataset(recipe.dataset).label_names,
            preprocessing=recipe.preprocessing,
            **recipe.settings(variant),
        )
        if recipe.task in ("forecasting", "object_detection"):  # the blocks attend
            kinds = {type(layer).__name__ for layer in model.network.layers}
            assert ("TransformerEncoderBlock" in kinds) == (variant != WITHOUT_ATTENTION)
        elif recipe.task not in (
            "translation",
            "text_generation",
        ):  # whose layers attend, each of them
            layers = [layer.name for layer in model.network.layers]
            assert ("attention" in layers) == (variant != WITHOUT_ATTENTION)


@every_trained_entry
def test_recorded_runs_are_of_the_recipe_as_it_is(name):
    entry = zoo.describe(name)
    assert entry.runs()
    for run in entry.results["runs"]:
        assert run["recipe_digest"] == entry.recipe.digest
        assert run["seed"] in entry.recipe.training.seeds
        assert run["commit"], "a published run comes from a checkout"
        for segment in segments(run):
            assert "+changes" not in segment["commit"], "a published run comes from committed code"
        least = {"translation": 500, "audio_classification": 300, "forecasting": 2_000}
        least["object_detection"] = 72
        if entry.recipe.task != "text_generation":  # whose test split may be one document
            assert run["metrics"]["test"]["examples"] >= least.get(entry.recipe.task, 600)


def test_a_recipe_of_targets_as_written_is_not_the_one_that_folded_them():
    recipe = zoo.describe("multi30k_en_de_transformer").recipe
    subwords = recipe.subwords.model_copy(update={"fold_targets": False})
    assert recipe.model_copy(update={"subwords": subwords}).digest != recipe.digest


@every_trained_entry
def test_weights_fit_the_limits_and_are_the_best_on_validation(name):
    entry = zoo.describe(name)
    files = [entry.results[kind] for kind in ("weights", "vocabulary") if kind in entry.results]
    for file in files:
        assert (entry.folder / file["file"]).stat().st_size == file["bytes"]
    translates = entry.recipe.task == "translation"
    keys = {"translation": "bleu", "forecasting": "mse", "text_generation": "loss"}
    keys["object_detection"] = "map50"
    assert sum(file["bytes"] for file in files) < (16_000_000 if translates else 25_000_000)
    metric = describe_task(entry.recipe.task).primary_metric
    sign = 1 if metric.greater_is_better else -1
    best = max(entry.runs(), key=lambda run: sign * run["metrics"]["validation"][metric.key])
    weights = entry.results["weights"]
    assert weights["seed"] == best["seed"]
    assert weights["values_sha256"] == best["weights_sha256"]
    assert sha256(entry.weights) == weights["sha256"]
    values = [metric.scale * value for value in weights["storage"]["validation"].values()]
    if weights["storage"]["dtype"] == "float16":
        assert abs(values[0] - values[1]) <= 0.02 + 1e-6
    assert metric.key == keys.get(entry.recipe.task, "accuracy")


def test_all_weights_together_fit_the_wheel():
    entries = [zoo.describe(name) for name in zoo.list(pretrained=True)]
    assert sum(entry.results["weights"]["bytes"] for entry in entries) < 80_000_000


@pytest.mark.parametrize("name", zoo.list("shapes_*", pretrained=True))
def test_weights_give_the_accuracy_that_is_recorded(name):
    _check_accuracy(name)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("name", zoo.list("cifar10_*", pretrained=True))
def test_weights_give_the_accuracy_that_is_recorded_on_real_data(name):
    _check_accuracy(name, every=10)  # all of them take minutes


@pytest.mark.slow
@pytest.mark.data("cifar100")
@pytest.mark.parametrize("name", zoo.list("cifar100_*", pretrained=True))
def test_weights_give_the_accuracy_that_is_recorded_on_a_hundred_classes(name):
    _check_accuracy(name, every=10)


def _published(name):
    runs = zoo.describe(name).runs()
    assert runs, name
    return runs


def test_image_entries_reached_what_they_were_made_for():
    runs = zoo.describe("cifar10_attention_net").runs()
    assert len(runs) >= 5
    assert np.mean([run["metrics"]["test"]["views_accuracy"] for run in runs]) >= 0.94
    for run in runs:
        assert run["parameters"] <= 2_000_000
        assert run["train_flops"] <= 0.36e15
    for run in _published("cifar10_attention_net_quick"):
        assert run["metrics"]["test"]["accuracy"] >= 0.90
        assert run["train_seconds"] <= 15 * 60
    for run in _published("cifar10_compact_transformer"):
        assert run["parameters"] <= 500_000
        assert run["metrics"]["test"]["accuracy"] >= 0.915
    for run in _published("cifar100_attention_net"):
        assert run["parameters"] <= 2_000_000
        assert run["metrics"]["test"]["accuracy"] >= 0.74
    for run in _published("cifar100_compact_transformer"):
        assert run["metrics"]["test"]["accuracy"] >= 0.705
    for run in _published("cifar10_attention_net_large"):
        assert run["parameters"] <= 4_000_000
        assert run["metrics"]["test"]["views_accuracy"] >= 0.96


def test_the_audio_entry_is_small_and_accurate():
    runs = _published("fsdd_keyword_attention")
    assert np.mean([run["metrics"]["test"]["accuracy"] for run in runs]) >= 0.98
    for run in runs:
        assert run["parameters"] <= 200_000


@pytest.mark.slow
@pytest.mark.data("fsdd")
def test_weights_give_the_accuracy_that_is_recorded_on_real_sounds():
    entry = zoo.describe("fsdd_keyword_attention")
    metrics = zoo.build(entry.name).evaluate_split(
        datasets.load("fsdd", real_data_dir("fsdd"))["validation"]
    )
    seed = entry.results["weights"]["seed"]
    recorded = next(run for run in entry.runs() if run["seed"] == seed)["metrics"]["validation"]
    assert metrics["accuracy"] == pytest.approx(recorded["accuracy"], abs=0.004)  # float16


def test_the_detector_of_blood_cells_is_precise_and_counts_right_on_average():
    for run in _published("bccd_attention_detector"):
        assert run["metrics"]["test"]["map50"] >= 0.85
        assert abs(run["metrics"]["test"]["count_bias"]) <= 0.1
        assert run["parameters"] <= 1_000_000


@pytest.mark.slow
@pytest.mark.data("bccd")
def test_weights_give_the_precision_that_is_recorded_on_real_blood_cells():
    pytest.importorskip("pycocotools")
    entry = zoo.describe("bccd_attention_detector")
    split = datasets.load("bccd", real_data_dir("bccd"))["validation"]
    metrics = zoo.build(entry.name).evaluate_split(split)
    seed = entry.results["weights"]["seed"]
    recorded = next(run for run in entry.runs() if run["seed"] == seed)["metrics"]["validation"]
    assert metrics["map50"] == pytest.approx(recorded["map50"], abs=0.004)  # float16


def test_the_baseline_of_the_attention_net_costs_as_much():
    entry = zoo.describe("cifar10_attention_net")
    with_, without = (
        entry.runs(variant)[0]["forward_flops"] for variant in ("", WITHOUT_ATTENTION)
    )
    assert without == pytest.approx(with_, rel=0.02)


@pytest.mark.slow
@pytest.mark.data("imdb_reviews")
@pytest.mark.parametrize("name", zoo.list("imdb_*", pretrained=True))
def test_weights_give_the_accuracy_that_is_recorded_on_real_texts(name):
    _check_accuracy(name, every=10)  # all of them take a minute a model


def test_the_demo_cannot_be_answered_without_attention():
    entry = zoo.describe("shapes_small_attention_cnn")
    with_, without = (
        np.mean([run["metrics"]["test"]["accuracy"] for run in runs])
        for runs in (entry.runs(), entry.runs(WITHOUT_ATTENTION))
    )
    assert with_ > without + 0.15


@pytest.mark.parametrize(
    ("name", "accuracy", "minutes"),
    [
        ("imdb_ngram_attention", 0.918, 10),
        ("imdb_recurrent_attention", 0.92, 60),
        ("imdb_transformer", 0.905, 60),
    ],
)
def test_text_entries_reached_what_they_were_made_for(name, accuracy, minutes):
    entry = zoo.describe(name)
    runs, baseline = entry.runs(), entry.runs(WITHOUT_ATTENTION)
    assert len(runs) >= 3
    assert len(baseline) >= 3
    assert np.mean([run["metrics"]["test"]["accuracy"] for run in runs]) >= accuracy
    for run in runs:
        assert run["parameters"] <= 10_000_000
        assert run["train_seconds"] * run["hardware"]["cores"] <= minutes * 60
        assert run["metrics"]["test"]["calibration_error"] < 0.03


def _check_accuracy(name, every=1):
    entry = zoo.describe(name)
    kept = entry.results["weights"]["seed"]
    recorded = next(run for run in entry.runs() if run["seed"] == kept)["metrics"]["test"]
    split = datasets.load(entry.recipe.dataset)["test"]
    assert len(split) == recorded["examples"]
    tolerance = 0.001  # another processor may round a close call the other way
    if every > 1:
        accuracy, size = recorded["accuracy"], len(split) // every
        split = split.take(slice(None, None, every))
        tolerance += 3 * np.sqrt(accuracy * (1 - accuracy) * (1 - 1 / every) / size)
    received = training.evaluate(zoo.build(name), split)
    assert received["accuracy"] == pytest.approx(recorded["accuracy"], abs=tolerance)


def test_generated_pages_are_up_to_date():
    assert publishing.stale_pages(write=False) == [], "run `keras-attn cards`"


def test_pages_that_show_a_missing_picture_are_stale(monkeypatch, tmp_path):
    page = "![Curves](curves.svg) ![Badge](https://example.org/a.svg) [text](none.md)"
    assert publishing.missing_pictures(tmp_path / "README.md", page) == ["curves.svg"]
    (tmp_path / "curves.svg").touch()
    assert publishing.missing_pictures(tmp_path / "README.md", page) == []
    missing = publishing.missing_pictures
    card = zoo.describe("imdb_transformer").folder / "README.md"
    monkeypatch.setattr(
        publishing,
        "missing_pictures",
        lambda path, page: ["curves.svg"] if path == card else missing(path, page),
    )
    assert publishing.stale_pages(write=False) == [card]


def test_listing_filters():
    assert zoo.list("imdb_t*") == ["imdb_transformer"]
    images, texts, sounds = (
        zoo.list(task=f"{kind}_classification") for kind in ("image", "text", "audio")
    )
    assert "imdb_ngram_attention" in texts
    translators = zoo.list(task="translation")
    assert "multi30k_en_de_transformer" in translators
    forecasters = zoo.list(task="forecasting")
    assert "etth1_patch_transformer" in forecasters
    generators = zoo.list(task="text_generation")
    generators += zoo.list(task="object_detection")
    everything = sorted(images + texts + sounds + translators + forecasters + generators)
    assert everything == zoo.list() == keras_attn.list_models()
    assert set(zoo.list(pretrained=True)) | set(zoo.list(pretrained=False)) == set(zoo.list())
    with pytest.raises(ValueError, match="Did you mean 'image_classification'"):
        zoo.list(task="image_clasification")


def test_unknown_entries_suggest_near_ones():
    with pytest.raises(ValueError, match="Did you mean 'cifar10_attention_net'"):
        zoo.build("cifar10_atention_net")


def test_importing_listing_and_describing_load_no_framework():
    script = (
        "import sys, keras_attn\n"
        "for name in keras_attn.list_models(): keras_attn.zoo.describe(name).recipe\n"
        "for name in keras_attn.recipes.list_tasks(): keras_attn.recipes.describe_task(name)\n"
        "for name in keras_attn.datasets.list_datasets(): "
        "keras_attn.datasets.describe_dataset(name)\n"
        "from keras_attn.zoo import cards\n"
        "for entry in keras_attn.zoo.registry.entries(): cards.card(entry)\n"
        "assert not {'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


def test_fresh_weights_differ_and_zoo_weights_do_not():
    name = "shapes_small_attention_cnn"

    def kernel(weights):
        return np.asarray(zoo.build(name, weights=weights).network.get_layer("logits").kernel)

    assert np.array_equal(kernel("zoo"), kernel("zoo"))
    assert not np.array_equal(kernel(None), kernel("zoo"))


@pytest.fixture
def entry(tmp_path, monkeypatch):
    """A copy of a trained entry under a name of its own."""
    source = zoo.describe("shapes_small_attention_cnn").folder
    shutil.copytree(source, tmp_path / "mine" / "shapes_mine")
    monkeypatch.setattr(registry, "_registered", {})
    assert zoo.register(tmp_path / "mine") == ["shapes_mine"]
    return zoo.describe("shapes_mine")


def test_a_catalogue_of_ones_own_is_listed_and_built(entry):
    assert "shapes_mine" in zoo.list()
    assert zoo.build("shapes_mine").count_params() > 0


def test_a_card_names_all_code_and_machines_of_a_run(entry):
    results = entry.results
    run = results["runs"][0]
    machine = {"accelerators": ["NVIDIA H200"], "cores": 16, "processor": "a processor"}
    run["earlier_pieces"] = [{"epoch": 0, "commit": "abc" * 10, "hardware": machine}]
    run["strategy"] = {"name": "MultiWorkerMirroredStrategy", "workers": 2, "replicas": 2}
    (entry.folder / "results.json").write_text(json.dumps(results))
    card = cards.card(zoo.describe("shapes_mine"))
    assert f"| `abcabcabca`, `{run['commit'][:10]}` |" in card
    assert "on 2 x NVIDIA H200 then 2 cores" in card


@pytest.mark.parametrize("damage", ["truncate", "flip"])
def test_damaged_weights_are_refused(entry, damage):
    content = bytearray(entry.weights.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    else:
        del content[len(content) // 2 :]
    entry.weights.write_bytes(content)
    with pytest.raises(zoo.WeightsError, match="SHA-256"):
        zoo.build("shapes_mine")


def test_missing_weights_are_named(entry):
    entry.weights.unlink()
    with pytest.raises(zoo.WeightsError, match=r"no weights file.*model\.weights\.h5"):
        zoo.build("shapes_mine")


def test_a_file_that_holds_no_weights_is_refused(tmp_path):
    path = tmp_path / "x.weights.h5"
    path.write_bytes(b"not hdf5")
    with pytest.raises(zoo.WeightsError, match="do not fit"):
        zoo.build("shapes_small_attention_cnn", weights=path)


@pytest.mark.parametrize(
    "overrides", [{"filters": (32, 48)}, {"attention": "none"}, {"key_channels": 8}]
)
def test_overrides_that_change_shapes_refuse_the_weights(overrides):
    with pytest.raises(zoo.WeightsError, match=rf"{next(iter(overrides))} changed.*weights=None"):
        zoo.build("shapes_small_attention_cnn", **overrides)
    assert zoo.build("shapes_small_attention_cnn", weights=None, **overrides).built


def test_overrides_that_change_no_shape_keep_the_weights():
    model = zoo.build("shapes_small_attention_cnn", attention="sigmoid", num_heads=2)
    assert model.network.get_layer("attention").normalizer == "sigmoid"


def test_fresh_weights_for_labels_of_ones_own():
    model = zoo.build("shapes_small_attention_cnn", weights=None, label_names=["a", "b"])
    assert model.label_names == ("a", "b")
    assert model.initialized_from is None
    for weights, labels in itertools.product((None, "zoo"), ("ab", ["a", "a"])):
        with pytest.raises(ValueError, match="different names"):
            zoo.build("shapes_small_attention_cnn", weights=weights, label_names=labels)


def test_unknown_overrides_are_refused():
    with pytest.raises(ValueError, match="atention"):
        zoo.build("shapes_small_attention_cnn", atention="none")


def test_folders_that_are_no_catalogue_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"recipe\.toml"):
        zoo.register(tmp_path)


def test_names_that_are_taken_or_malformed_are_refused(entry, tmp_path):
    shutil.copytree(entry.folder, tmp_path / "other" / "shapes_mine")
    with pytest.raises(ValueError, match="taken"):
        zoo.register(tmp_path / "other")
    shutil.copytree(entry.folder, tmp_path / "bad" / "Mine")
    with pytest.raises(ValueError, match="dataset_architecture"):
        zoo.register(tmp_path / "bad")


def test_entries_without_weights_say_how_to_get_them(entry):
    (entry.folder / "results.json").unlink()
    assert "shapes_mine" in zoo.list(pretrained=False)
    with pytest.raises(ValueError, match="keras-attn train shapes_mine"):
        zoo.build("shapes_mine")
    assert "Not trained yet" in cards.card(zoo.describe("shapes_mine"))


@pytest.mark.slow
def test_publishing_records_runs_and_ships_the_best(small_recipe, shapes, tmp_path, monkeypatch):
    folder = tmp_path / "zoo" / "shapes_tiny"
    folder.mkdir(parents=True)
    monkeypatch.setattr(registry, "_registered", {})
    _write_recipe(folder / "recipe.toml")
    zoo.register(tmp_path / "zoo")
    recipe = zoo.describe("shapes_tiny").recipe
    runs = [
        training.train(recipe, tmp_path / f"run{seed}{variant}", variant=variant, seed=seed,
                       dataset=shapes, verbose=0)
        for seed, variant in ((0, None), (1, None), (0, "no_attention"))
    ]  # fmt: skip
    entry = publishing.publish("shapes_tiny", [run.folder for run in runs])
    assert [run["seed"] for run in entry.runs()] == [0, 1]
    assert [run["seed"] for run in entry.runs("no_attention")] == [0]
    best = max(runs[:2], key=lambda run: run.record["metrics"]["validation"]["accuracy"])
    assert entry.results["weights"]["values_sha256"] == best.record["weights_sha256"]
    assert entry.results["weights"]["sha256"] == sha256(folder / "model.weights.h5")
    np.testing.assert_array_equal(
        zoo.build("shapes_tiny").predict(shapes["test"].images, verbose=0),
        best.model.predict(shapes["test"].images, verbose=0),
    )
    card = cards.card(entry)
    assert f"{100 * best.record['metrics']['test']['accuracy']:.2f} %" in card
    assert "(2 seeds)" in card
    # A second publication with one run replaces that run alone.
    again = publishing.publish("shapes_tiny", [runs[1].folder])
    assert len(again.results["runs"]) == 3
    # A run that falls behind one whose weights are not at hand is not published.
    (worse,) = (run for run in runs[:2] if run.record == best.record)
    record = json.loads((worse.folder / "record.json").read_text())
    record["metrics"]["validation"]["accuracy"] = 0.0
    (worse.folder / "record.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="Give its folder as well"):
        publishing.publish("shapes_tiny", [worse.folder])
    assert zoo.build("shapes_tiny").built


def test_publishing_refuses_what_is_no_run_of_the_recipe(entry, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no record\.json"):
        publishing.publish("shapes_mine", [tmp_path])
    run = dict(entry.runs()[0], recipe_digest="0")
    (tmp_path / "record.json").write_text(json.dumps(run))
    with pytest.raises(ValueError, match="not of the recipe"):
        publishing.publish("shapes_mine", [tmp_path])
    run["recipe_digest"] = entry.recipe.digest
    run["metrics"]["validation"]["accuracy"] = 1.0
    (tmp_path / "record.json").write_text(json.dumps(run))
    (tmp_path / "model.weights.h5").write_bytes(b"another file")
    with pytest.raises(ValueError, match=r"not the file that its record\.json names"):
        publishing.publish("shapes_mine", [tmp_path])


def _write_recipe(path: pathlib.Path):
    path.write_text(
        'task = "image_classification"\ndescription = "tiny"\ndataset = "shapes"\n'
        'architecture = "small_attention_cnn"\n'
        "[model]\nfilters = [4, 8]\nkey_channels = 4\n"
        '[variants.no_attention]\nattention = "none"\n'
        '[optimizer]\nname = "sgd"\nlearning_rate = 0.05\n'
        "[training]\nepochs = 1\nbatch_size = 32\nseeds = [0, 1]\n"
    )


def test_forecasters_reached_what_they_were_made_for():
    floors = {96: 0.375, 192: 0.405, 336: 0.439, 720: 0.472}  # the published DLinear
    runs = _published("etth1_patch_transformer")
    for horizon, floor in floors.items():
        errors = [run["metrics"]["test"][f"mse_{horizon}"] for run in runs]
        assert np.mean(errors) <= floor
        assert runs[0]["metrics"]["test"][f"windows_{horizon}"] == 2880 - horizon + 1
        assert runs[0]["baselines"]["test"]["nlinear"][f"mse_{horizon}"] < floor
