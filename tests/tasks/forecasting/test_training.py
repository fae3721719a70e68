"""Recipes of forecasting: training, records, cards, explanations, commands and own tables."""

import json

import numpy as np
import pytest

from keras_attn import datasets, recipes, training, zoo
from keras_attn.recipes import RecipeError, parse_recipe
from keras_attn.tasks.forecasting import _card
from keras_attn.tasks.forecasting.own_data import fit_to_series
from keras_attn.tasks.forecasting.training_data import WindowBatches
from keras_attn.zoo import publishing, registry
from tests.cli import command_line as commands
from tests.tasks.small_forecasters import (
    SMALL,
    draw_series,
    make_dataset,
    make_split,
    new_forecaster,
    times_of,
)

pytestmark = pytest.mark.tensorflow  # the command line trains with it
NAME = "drawn_patch_transformer"
RECIPE = {
    "task": "forecasting",
    "description": "Waves.",
    "dataset": "drawn",
    "architecture": "patch_transformer",
    "model": {**SMALL["patch_transformer"], "center": "last", "shortcut": True},
    "variants": {"no_attention": {"attention": "none"}},
    "forecast": {"horizons": [12, 24], "season": 24, "windows_per_epoch": 200},
    "optimizer": {"name": "adamw", "learning_rate": 1e-3},
    "training": {"epochs": 2, "batch_size": 32, "ema": 0.9, "keep": "best"},
}
command_line = commands.run  # a fixture


@pytest.fixture(scope="module", autouse=True)
def entry(tmp_path_factory):
    """An entry of a drawn data set, registered until the tests of this file end."""
    datasets.register_dataset("drawn", task="forecasting")(lambda data_dir=None: make_dataset())
    folder = tmp_path_factory.mktemp("catalogue")
    (folder / NAME).mkdir()
    text = recipes.recipe_to_toml(parse_recipe(RECIPE))
    (folder / NAME / "recipe.toml").write_text(text)
    zoo.register(folder)
    yield folder
    del registry._registered[NAME]
    datasets.unregister_dataset("drawn")


@pytest.fixture(scope="module")
def finished(entry, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    recipe = zoo.describe(NAME).recipe
    return [
        training.train(recipe, folder / str(variant), variant=variant, verbose=0)
        for variant in (None, "no_attention")
    ]


@pytest.fixture(scope="module")
def published(finished):
    return publishing.publish(NAME, [run.folder for run in finished])


def write_csv(path, rows=300):
    values = draw_series(rows)
    times = np.delete(times_of(rows), [50, 51]).astype(str)
    values = np.delete(values, [50, 51], axis=0)
    lines = [f"{time},{a},{b}" for time, (a, b) in zip(times, values, strict=True)]
    path.write_text("\n".join(["time,a,b", *lines]))
    return path


def test_the_record_holds_the_metrics_and_the_baselines(finished):
    record = finished[0].record
    assert json.loads((finished[0].folder / "record.json").read_text()) == record
    assert record["metrics"]["test"] == training.evaluate(
        finished[0].model, make_dataset()["test"], horizons=(12, 24)
    )
    assert record["metrics"]["test"]["windows_24"] == 80 - 24 + 1
    assert set(record["baselines"]["test"]) == {"last_value", "last_season", "nlinear", "dlinear"}
    assert record["metrics"]["test"]["mse"] < record["baselines"]["test"]["last_value"]["mse"]
    rows = (finished[0].folder / "log.csv").read_text().splitlines()
    titles, *rows = (row.split(",") for row in rows)
    best = min(float(row[titles.index("val_mse")]) for row in rows)
    assert record["metrics"]["validation"]["mse"] == pytest.approx(best, rel=1e-4)
    assert record["train_flops"] == 3 * record["forward_flops"] * (200 // 32 * 32) * 2


def test_the_card_shows_baselines_and_the_variant_by_horizon(published, finished):
    card = (published.folder / "README.md").read_text()
    test = finished[0].record["metrics"]["test"]
    baseline = finished[0].record["baselines"]["test"]["nlinear"]
    for part in (
        "| model | test at 12 | test at 24 | test mean | validation mean |",
        f"| as published (1 seed) | {test['mse_12']:.3f} | {test['mse_24']:.3f} |",
        "| no_attention (1 seed) |",
        f"| NLinear, by ridge regression | {baseline['mse_12']:.3f} |",
        "| last season |",
        "57 of 24 steps",
        'model.forecast("history.csv")',
        "a SavedModel that takes values float32 (B, L, V)",
        "the best on the validation split",
    ):
        assert part in card, card
    model = zoo.build(NAME)
    assert (model.variable_names, model.step) == (("a", "b"), 3600)
    np.testing.assert_allclose(
        model.forecast(make_split(90)).mean, finished[0].model.forecast(make_split(90)).mean, 1e-5
    )


def test_the_commands_forecast_evaluate_explain_and_export(published, command_line, tmp_path):
    run, options = command_line, ("--catalogue", published.folder.parent)
    path = write_csv(tmp_path / "series.csv")
    assert "mean squared error" in run(*options, "evaluate", NAME)
    assert f"{published.runs()[0]['metrics']['test']['mse']:.3f}" in run(*options, "show", NAME)
    (line,) = run(*options, "predict", NAME, path, "--json", "--horizon", 6).splitlines()
    answer = json.loads(line)
    assert answer["series"] == str(path)
    assert answer["times"][0] == str(times_of(301)[-1])
    assert len(answer["mean"]["b"]) == 6
    assert "until" in run(*options, "predict", NAME, path)
    assert "Forecast of a" in run(*options, "explain", NAME, path, "--variable", "a")
    assert "Did you mean" in run(*options, "explain", NAME, path, "--variable", "aa", code=1)
    printed = run(*options, "evaluate", NAME, "--data", path)
    assert "missing values: 2 times (0.7 %)" in printed
    assert "coverage (80 %)" in printed
    assert "values float32 (B, L, V)" in run(*options, "export", NAME, tmp_path / "1")
    assert "--horizon is not for" in run("predict", "imdb_transformer", "--horizon", 3, "x", code=1)
    (tmp_path / "bad.csv").write_text("time,a,b\n2024-01-01,1,x\n2024-01-02,2,3\n")
    assert "column 'b' must have finite numbers" in run(
        *options, "predict", NAME, tmp_path / "bad.csv", code=1
    )


def test_own_tables_are_trained_on_from_the_command_line(
    entry, command_line, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "mine.csv")
    printed = command_line(
        *("--catalogue", entry, "train", NAME, "--data", "mine.csv", "--epochs", "1"),
        *("--variables", "b", "--time-column", "time"),
    )
    for part in (
        "mine.csv: 298 rows read, 298 kept, 0 skipped.",
        "Split: 240 train, 30 validation, 30 test.",
        "Forecasts 1 variable.",
        "the best baseline on the validation rows",
        "model.keras history.csv",
    ):
        assert part in printed, printed
    saved = f"runs/mine-{NAME}-seed0/model.keras"
    assert "mean squared error" in command_line("evaluate", saved, "--data", "mine.csv")
    other = ("--catalogue", entry, "train", NAME, "--data", "mine.csv", "--out", "other")
    assert "Did you mean 'time'" in command_line(*other, "--time-column", "tim", code=1)
    assert "--text-column: not for" in command_line(*other, "--text-column", "a", code=1)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_explanations_show_attention_and_occlusion(name):
    model = new_forecaster(name)
    model.fit(make_split(), epochs=1, verbose=0)
    explanation = model.explain(make_split(300), "a")
    rows = model.history_length
    assert explanation.occlusion.shape == (len(explanation.segments), model.horizon)
    assert explanation.segments[0, 0] == 0
    assert explanation.segments[-1, 1] == rows == len(explanation.forecast.history)
    (weights,) = explanation.attention.values()
    assert weights.shape == (len(explanation.patches),)
    assert 0.0 < weights.sum() <= 1.0 + 1e-5
    (agreement,) = explanation.agreement.values()
    assert agreement is None or -1.0 <= agreement <= 1.0
    first, last = explanation.segments[-1]
    values = make_split(300).values[-rows:].copy()
    values[first:last] = np.nan
    hidden = datasets.SeriesSplit(values, make_split(300).times[-rows:], ("a", "b"))
    change = explanation.forecast.mean[:, 0] - model.forecast(hidden).mean[:, 0]
    np.testing.assert_allclose(explanation.occlusion[-1], change, atol=1e-3)
    json.dumps(explanation.to_dict())
    assert "Forecast of a" in str(explanation)
    assert "data:image/png" in explanation.to_page()
    if name == "patch_transformer":
        assert not new_forecaster(attention="none").explain(make_split(90)).attention


def test_batches_depend_on_seed_and_index_alone():
    values = draw_series(100)
    origins = np.arange(10, 90)
    options = {"seed": 3, "epochs": 3, "per_epoch": 32}
    one, other = (WindowBatches(values, origins, 8, 4, 16, **options) for _ in range(2))
    assert len(one) == 6
    for index in (5, 0, 3):
        for ours, theirs in zip(one[index], other[index], strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(one[0][0], one[2][0])
    with pytest.raises(ValueError, match="between 1 and the 32 windows"):
        WindowBatches(values, origins, 8, 4, 33, **options)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"horizons": [24, 12]}, "they must differ and rise"),
        ({"horizons": [48]}, "48 exceeds model.horizon, which is 24"),
        ({"shortcut_penalty": 0.0}, "forecast.shortcut_penalty"),
    ],
)
def test_impossible_recipes(change, match):
    with pytest.raises(RecipeError, match=match):
        parse_recipe({**RECIPE, "forecast": change})


def test_recipes_are_fitted_to_shorter_series():
    recipe, notes = fit_to_series(parse_recipe(RECIPE), make_split(100))
    assert recipe.model["history"] == 25
    assert recipe.model["horizon"] == 6  # a validation split of 12 rows has 7 windows
    assert recipe.forecast.horizons == []
    assert len(notes) == 3
    unchanged, notes = fit_to_series(parse_recipe(RECIPE), make_split(5000))
    assert unchanged.model == parse_recipe(RECIPE).model
    assert notes == []


def test_runs_before_the_interval_was_recorded_have_the_same_columns():
    test = {"mse": 0.5, "mse_8": 0.4, "coverage": 0.791}
    runs = [
        {"metrics": {"validation": {"mse": 0.5}, "test": {**test, **further}}}
        for further in ({}, {"interval": 0.8})
    ]
    before, after = map(_card.run_columns, runs)
    assert before == after
    assert before["coverage"] == "79.1 %"
