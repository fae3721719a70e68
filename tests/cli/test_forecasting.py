"""Forecasting from the command line: `predict`, `evaluate` and `explain` read what `train` read."""

import json

import numpy as np
import pytest

from keras_attn import recipes
from keras_attn.recipes import parse_recipe
from keras_attn.tasks.forecasting.own_data import fit_to_series
from tests.cli import command_line
from tests.tasks.small_forecasters import SMALL, make_split, times_of

pytestmark = pytest.mark.tensorflow
run = command_line.run  # a fixture
NAME = "loads_patch_transformer"
RECIPE = {
    "task": "forecasting",
    "description": "Loads.",
    "dataset": "etth1",
    "architecture": "patch_transformer",
    "model": {**SMALL["patch_transformer"], "center": "last", "shortcut": True},
    "optimizer": {"name": "adamw", "learning_rate": 1e-3},
    "training": {"epochs": 1, "batch_size": 32, "ema": 0.9, "keep": "best"},
}
READ = ("--delimiter", ";", "--decimal", ",")


def write_loads(path, rows, minutes=30):
    """A table with semicolons and decimal commas, every half hour, and a column of texts."""
    times = times_of(1)[0] + np.arange(rows) * np.timedelta64(60 * minutes, "s")
    wave = 10 + np.sin(np.arange(rows) / 8)
    lines = [
        f"{str(time).replace('T', ' ')};{value:.3f};x"
        for time, value in zip(times, wave, strict=True)
    ]
    text = "\n".join(["when;load, in kW;note", *lines]).replace(".", ",")
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def entry(tmp_path):
    text = recipes.recipe_to_toml(parse_recipe(RECIPE))
    (tmp_path / "catalogue").mkdir()
    with command_line.registered(tmp_path / "catalogue", NAME, text) as folder:
        yield folder


def test_a_model_reads_tables_as_its_own_was_read(entry, run, tmp_path):
    path, folder = write_loads(tmp_path / "loads.csv", 600), tmp_path / "run"
    message = run("train", NAME, "--data", path, "--out", folder, "--delimiter", ";", code=1)
    assert "line 2: '10,000'" in message
    assert "Pass --decimal , to read decimal commas" in message
    message = run("train", NAME, "--data", path, "--out", folder, code=1)
    assert "pass --delimiter ';'" in message
    printed = run(
        *("train", NAME, "--data", path, "--out", folder, *READ),
        *("--step", "1h", "--time-column", "when"),
    )
    for part in (
        "300 times, every 1 hour",
        "Not read: 'note' (line 2: 'x').",
        "Split: 240 train, 30 validation, 30 test.",
        "model.horizon = 15",
        "over 16 test windows of 15 steps: the model",
    ):
        assert part in printed, printed
    new = write_loads(tmp_path / "new.csv", 200)
    answer = json.loads(run("predict", folder, new, *READ, "--json", "--horizon", 2))
    assert answer["times"] == ["2024-01-05T04:00:00", "2024-01-05T05:00:00"]
    assert set(answer["mean"]) == {"load, in kW"}
    assert "100 times, every 1 hour" in run.err
    assert "coverage (80 %)" in run("evaluate", folder, "--data", new, *READ)
    assert "Forecast of load, in kW" in run("explain", folder, new, *READ)
    assert "--decimal" in run("explain", "imdb_transformer", "x", "--decimal", ",", code=1)
    message = run("predict", folder, new, "--delimiter", ";", code=1)
    assert "Pass --decimal , to read decimal commas" in message


@pytest.mark.parametrize("minutes", [60, 15, 1440])
def test_each_architecture_adapts_its_settings_to_a_series(minutes):
    recipe = parse_recipe(
        {**RECIPE, "architecture": "calendar_transformer", "model": SMALL["calendar_transformer"]}
    )
    split = make_split(2_000)
    times = split.times[0] + np.arange(2_000) * np.timedelta64(60 * minutes, "s")
    split = type(split)(np.repeat(split.values, 2, axis=1)[:, :3], times, ("a", "b", "c"))
    if minutes == 1440:
        with pytest.raises(
            ValueError, match=r"rows every 86,400 seconds\. Use a patch_transformer"
        ):
            fit_to_series(recipe, split)
        return
    fitted, notes = fit_to_series(recipe, split)
    settings = fitted.settings()
    day = 1440 // minutes
    assert (settings["num_targets"], settings["num_variables"]) == (3, 3)
    assert settings.get("day_length", 24) == day
    assert settings["history"] == 7 * day
    assert fitted.forecast.season == day
    assert "Forecasts 3 variables." in notes
    few, notes = fit_to_series(parse_recipe(RECIPE), split.take(slice(0, 60)))
    assert any("too few to learn much from" in note for note in notes)
    assert few.settings()["patch_length"] == 3
