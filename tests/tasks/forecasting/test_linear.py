"""Linear baselines, compared with least squares in NumPy; the loss and the metric."""

import numpy as np
import pytest

from keras_attn import datasets, tasks
from keras_attn.tasks.forecasting import linear
from keras_attn.tasks.forecasting.baselines import compare_with_baselines, evaluate_baselines
from keras_attn.tasks.forecasting.losses import step_weights
from tests.conftest import real_data_dir
from tests.tasks.small_forecasters import draw_series, make_dataset, new_forecaster

L, H = 12, 3
# Zeng et al., arXiv:2205.13504, with a history of 336.
PUBLISHED = {
    "nlinear": {96: 0.374, 192: 0.408, 336: 0.429, 720: 0.440},
    "dlinear": {96: 0.375, 192: 0.405, 336: 0.439, 720: 0.472},
}


@pytest.fixture(scope="module")
def windows():
    values = draw_series(200) / np.float32([1.0, 100.0])
    origins = np.arange(L, 200 - H + 1)
    return values, origins, *linear.series_windows(values, origins, L, H)


def test_nlinear_is_least_squares_on_the_history_without_its_last_value(windows):
    values, origins, rows, targets = windows
    moments = linear.Moments.of(values, origins, L, H)
    assert moments.count == len(rows)
    result = linear.nlinear(moments, 1e-9)(rows)
    design = np.column_stack([rows[:, :-1] - rows[:, -1:], np.ones(len(rows))])
    weights, *_ = np.linalg.lstsq(design, targets - rows[:, -1:], rcond=None)
    np.testing.assert_allclose(result, design @ weights + rows[:, -1:], atol=2e-2)


def test_dlinear_without_penalty_is_least_squares_on_the_history(windows):
    values, origins, rows, targets = windows
    result = linear.dlinear(linear.Moments.of(values, origins, L, H), 1e-9)(rows)
    design = np.column_stack([rows, np.ones(len(rows))])
    weights, *_ = np.linalg.lstsq(design, targets, rcond=None)
    np.testing.assert_allclose(result, design @ weights, atol=2e-2)


def test_a_penalty_shrinks_the_weights(windows):
    values, origins, *_ = windows
    moments = linear.Moments.of(values, origins, L, H)
    norms = [np.abs(linear.nlinear(moments, each).weights).sum() for each in (0.01, 1.0, 100.0)]
    assert norms[0] > norms[1] > norms[2]


def test_windows_with_missing_targets_are_left_out(windows):
    values, origins, *_ = windows
    gap = values.copy()
    gap[100, 0] = np.nan
    moments = linear.Moments.of(gap, origins, L, H)
    assert moments.count == 2 * len(origins) - H
    assert np.isfinite(moments.gram).all()
    repeat = linear.LinearMap(np.zeros((L, H), "f"), np.zeros(H, "f"), subtract_last=True)
    assert np.isfinite(linear.squared_error(repeat, gap, origins, L, H))
    nothing = np.full_like(values, np.nan)
    assert not linear.fit_shortcut(nothing, L, H, 0.1).any()


def test_baselines_are_scored_by_split_and_horizon():
    model, dataset = new_forecaster(), make_dataset()
    errors = evaluate_baselines(model, dataset, (12, 24), season=24)
    assert set(errors) == {"validation", "test"}
    assert set(errors["test"]) == {"last_value", "last_season", "nlinear", "dlinear"}
    test = errors["test"]
    assert test["nlinear"]["mse"] < test["last_season"]["mse"] < test["last_value"]["mse"]
    values = model.standardize(dataset["test"].values)
    steps = [np.square(values[o : o + 12] - values[o - 1]) for o in dataset["test"].origins(1, 12)]
    assert test["last_value"]["mse_12"] == pytest.approx(np.mean(steps), rel=1e-5)
    assert "last_season" not in evaluate_baselines(model, dataset, (24,), season=49)["test"]
    best = errors["test"]["dlinear"]["mse_24"]

    def compare(mse):
        return compare_with_baselines(model, dataset, {"test": {"mse": mse}})

    assert "The error of the model is 50 % larger. The baseline is better here." in compare(
        1.5 * best
    )
    assert f"the model {0.8 * best:.4g}; DLinear" in compare(0.8 * best)
    assert "20 % smaller" in compare(0.8 * best)
    assert "57 test windows of 24 steps" in compare(best)
    assert "too little to tell" in compare(1.001 * best)


@pytest.mark.slow
@pytest.mark.data("ett")
def test_linear_baselines_are_as_good_as_published():
    dataset = datasets.load("etth1", real_data_dir("ett"))
    model = tasks.from_architecture("patch_transformer", num_variables=7, horizon=720)
    model.adapt_to_split(dataset["train"])
    errors = evaluate_baselines(model, dataset, tuple(PUBLISHED["nlinear"]))["test"]
    for name, published in PUBLISHED.items():
        for horizon, error in published.items():
            assert errors[name][f"mse_{horizon}"] == pytest.approx(error, rel=0.025)


def test_the_loss_is_squared_error_and_pinball_loss_of_what_is_observed():
    random = np.random.default_rng(0)
    targets, forecasts = random.normal(size=(4, 5, 2)), random.normal(size=(4, 5, 2, 3))
    targets[0, 1, 1] = targets[3] = np.nan
    loss = tasks.ForecastLoss((0.2, 0.9), horizons=(2, 5), reduction="none")
    expected = []
    for y, f in zip(targets, forecasts, strict=True):
        below = y[..., None] - f[..., 1:]
        pinball = np.where(
            below > 0, np.array([0.2, 0.9]) * below, (np.array([0.2, 0.9]) - 1) * below
        )
        losses = (y - f[..., 0]) ** 2 + pinball.sum(axis=-1)
        weights = step_weights((2, 5), 5)[:, None] * ~np.isnan(y)
        expected.append(np.nansum(weights * losses) / max(weights.sum(), 1e-9))
    np.testing.assert_allclose(np.asarray(loss(targets, forecasts)), expected, rtol=1e-5)
    assert expected[3] == 0.0
    copy = tasks.ForecastLoss.from_config(loss.get_config())
    np.testing.assert_allclose(np.asarray(copy(targets, forecasts)), expected, rtol=1e-5)


def test_the_metric_leaves_out_windows_that_do_not_reach_a_horizon():
    targets = np.zeros((3, 4, 1))
    targets[2, 2:] = np.nan  # after the end of the series
    forecasts = np.array([1.0, 2.0, 10.0])[:, None, None, None] * np.ones((3, 4, 1, 1))
    error = tasks.ForecastError((2, 4))
    error.update_state(targets[:2], forecasts[:2])
    error.update_state(targets[2:], forecasts[2:])
    assert float(error.result()) == pytest.approx(((1 + 4 + 100) / 3 + (1 + 4) / 2) / 2)
