"""The forecaster: what it reads, answers, learns, saves and refuses."""

import json

import keras
import numpy as np
import pandas as pd
import pytest

import keras_attn
from keras_attn import datasets, tasks
from tests.tasks.small_forecasters import (
    SMALL,
    draw_series,
    make_split,
    new_forecaster,
    times_of,
)

every_architecture = pytest.mark.parametrize("name", sorted(SMALL))


@pytest.fixture(scope="module")
def model():
    """A forecaster of two variables that has seen some windows."""
    model = new_forecaster()
    model.fit(make_split(), epochs=2, batch_size=32, verbose=0)
    return model


def make_frame(rows=60, **columns):
    values = draw_series(rows)
    return pd.DataFrame(
        {"a": values[:, 0], "b": values[:, 1], **columns}, index=pd.DatetimeIndex(times_of(rows))
    )


def test_a_forecast_is_in_the_units_of_the_series(model):
    forecast = model.forecast(draw_series(60))
    assert (forecast.mean.shape, forecast.mean.dtype) == ((24, 2), np.float32)
    assert abs(forecast.mean[:, 1].mean() - 1000.0) < 100.0 > abs(forecast.mean[:, 0]).max()
    assert list(forecast.quantiles) == [0.1, 0.9]
    assert np.all(forecast.quantiles[0.1] <= forecast.quantiles[0.9])
    assert forecast.times is None
    assert len(model.forecast(draw_series(60), horizon=5)) == 5


def test_arrays_frames_columns_of_times_and_files_give_the_same(model, tmp_path):
    frame = make_frame()
    expected = model.forecast(frame.to_numpy()).mean
    by_column = frame.reset_index(names="time")
    by_column.to_csv(tmp_path / "series.csv", index=False)
    for history in (frame, frame[["b", "a"]], by_column, tmp_path / "series.csv", make_split(60)):
        forecast = model.forecast(history)
        np.testing.assert_allclose(forecast.mean, expected, rtol=1e-5)
        assert forecast.times[0] == np.datetime64("2024-01-03T12:00:00")
        assert forecast.times[-1] - forecast.times[0] == np.timedelta64(23 * 3600, "s")
    answers = model.answers([frame, draw_series(60)])
    np.testing.assert_allclose([each.mean for each in answers], [expected] * 2, rtol=1e-5)


def test_of_a_long_history_the_last_rows_are_read_and_a_short_one_is_padded(model):
    values = draw_series(60)
    np.testing.assert_allclose(
        model.forecast(values).mean, model.forecast(values[-48:]).mean, rtol=1e-6
    )
    padded = np.concatenate([np.full((28, 2), np.nan), values[-20:]])
    np.testing.assert_allclose(
        model.forecast(values[-20:]).mean, model.forecast(padded).mean, rtol=1e-6
    )


@every_architecture
def test_missing_values_leave_forecasts_finite_and_change_no_other_window(name):
    model = new_forecaster(name)
    rows = model.history_length
    whole, gap = make_split(rows).values, make_split(rows).values
    gap[5:20] = np.nan
    windows = np.stack([whole, gap])
    inputs = windows
    if model.reads_time:
        inputs = {"values": windows, "times": 3600 * np.array([rows, rows])}
    forecasts = model.predict(inputs, verbose=0)
    assert np.isfinite(forecasts).all()
    alone = {key: value[:1] for key, value in inputs.items()} if model.reads_time else whole[None]
    np.testing.assert_allclose(model.predict(alone, verbose=0)[0], forecasts[0], rtol=1e-4)
    nothing = np.full_like(windows, np.nan)
    nothing = {**inputs, "values": nothing} if model.reads_time else nothing
    assert np.isfinite(model.predict(nothing, verbose=0)).all()


@every_architecture
def test_it_learns_a_daily_wave(name):
    model = new_forecaster(name, quantiles=())
    for layer in model.network.layers:
        if layer.name == "shortcut":  # which `adapt` has fitted: without it, all is to be learned
            layer.kernel.assign(np.zeros(layer.kernel.shape))
    series = make_split(600, noise=0.5)
    before = model.evaluate(series, verbose=0)
    model.compile(keras.optimizers.Adam(3e-3), model.loss)
    model.fit(series, epochs=4, batch_size=32, verbose=0, validation_data=make_split(300, seed=1))
    assert model.evaluate(series, verbose=0) < 0.8 * before


def test_fit_takes_windows_and_tf_data():
    import tensorflow as tf

    model, split = new_forecaster(), make_split(120)
    batches = split.batches(16, history=48, horizon=24)
    histories, targets = (np.concatenate(each) for each in zip(*batches, strict=True))
    loss = model.evaluate(histories, targets, verbose=0)
    assert model.evaluate(batches, verbose=0) == pytest.approx(loss, rel=1e-4)
    model.fit(histories, targets, verbose=0)
    model.fit(batches, verbose=0)
    expected = model.predict(histories, verbose=0)
    assert expected.shape == (len(histories), 24, 2, 3)
    from_tf = model.predict(tf.data.Dataset.from_tensor_slices(histories).batch(8), verbose=0)
    np.testing.assert_allclose(from_tf, expected, rtol=1e-4, atol=1e-3)


def test_indices_with_zones_periods_and_texts_are_times(model):
    frame = make_frame()
    expected = model.forecast(frame)
    zone = frame.index.tz_localize("UTC").tz_convert("Asia/Shanghai")
    for index in (zone, frame.index.to_period("h"), frame.index.astype(str)):
        with_index = frame.set_axis(index)
        for history in (with_index, with_index.reset_index(names="when")):
            forecast = model.forecast(history)
            np.testing.assert_array_equal(forecast.times, expected.times)
        with pytest.raises(ValueError, match="rise by equal intervals"):
            model.forecast(with_index[::-1])
    for index, match in (
        (range(60, 0, -1), "in no rising order"),
        ([f"row {i}" for i in range(60)], "'row 0', which is no time"),
        (pd.MultiIndex.from_product([["a"], range(60)]), "an index of 2 levels"),
        (pd.date_range("2024-01-01", periods=60, freq="MS"), "those of months"),
        (pd.date_range("2024-01-01", periods=60, freq="100ms"), "0.1 seconds apart"),
    ):
        with pytest.raises(ValueError, match=match):
            model.forecast(frame.set_axis(index))


def test_held_out_rows_alone_are_scored(model):
    split = make_split(120, start=90)
    batches = model._batches(model._series(split), 64, held_out=True)
    np.testing.assert_array_equal(batches.origins, np.arange(90, 120))
    after = datasets.SeriesSplit(split.values[42:], split.times[42:], split.names)
    assert model.evaluate(split, verbose=0) == pytest.approx(
        model.evaluate(after, verbose=0), rel=1e-5
    )


def test_values_far_from_zero_keep_their_changes():
    model, values = new_forecaster(adapted=False), draw_series(60).astype("float64")
    with pytest.raises(ValueError, match="'variable 0' must change by more than float32"):
        model.adapt(values + 1e9)
    model.adapt(values + 1e4)
    assert model.std.numpy()[0] == pytest.approx(values[:, 0].std(), rel=1e-3)
    far = model.standardize(values + 1e4)[:, 0]
    assert far.std() == pytest.approx(1.0, rel=1e-3)
    constant = np.stack([np.full(60, 0.1), values[:, 1]], axis=1)
    model.adapt(constant)
    assert model.std.numpy()[0] == 1.0


def test_a_history_of_one_row_has_no_invented_times():
    model = new_forecaster(adapted=False)
    model.adapt(draw_series(60))
    frame = make_frame().set_axis(model.variable_names, axis=1)
    assert model.forecast(frame[-1:]).times is None
    assert model.forecast(frame).times is not None


def test_the_calendar_is_read():
    model = new_forecaster("calendar_transformer")
    model.fit(make_split(), epochs=1, verbose=0)
    values = draw_series(168)
    by_day = [
        model.forecast(make_frame(168).set_index(pd.DatetimeIndex(times_of(168, day)))).mean
        for day in ("2024-01-01", "2024-01-03", "2024-01-08")
    ]
    assert by_day[0].shape == (48, 1)
    assert not np.allclose(by_day[0], by_day[1])  # Monday, Wednesday
    np.testing.assert_allclose(by_day[0], by_day[2], rtol=1e-6)  # Monday
    with pytest.raises(ValueError, match="must have times"):
        model.forecast(values)
    with pytest.raises(TypeError, match="dictionary of `values`"):
        model.predict(values[None], verbose=0)


@every_architecture
def test_it_saves_and_loads(name, tmp_path):
    model = new_forecaster(name)
    model.save(tmp_path / "model.keras")
    loaded = keras_attn.load(tmp_path / "model.keras")
    assert (loaded.variable_names, loaded.step) == (("a", "b"), 3600)
    split = make_split(200)
    expected = model.forecast(split)
    np.testing.assert_allclose(loaded.forecast(split).mean, expected.mean, rtol=1e-6)
    assert loaded.quantiles == model.quantiles
    model.write_assets(tmp_path)
    other = new_forecaster(name, adapted=False)
    other.read_assets(tmp_path)
    assert other.variable_names == ("a", "b")
    (tmp_path / "series.json").write_text(json.dumps({"variables": ["a"], "step_seconds": 1}))
    with pytest.raises(ValueError, match="names 1 variables"):
        other.read_assets(tmp_path)


def test_the_shortcut_is_fitted_by_adapt_and_not_trained():
    model = new_forecaster(center="last", shortcut=True)
    kernel = model.network.get_layer("shortcut").kernel.numpy()
    assert np.abs(kernel).max() > 0.01
    series = make_split()
    with_fit = model.evaluate_split(series)["mse"]
    model.network.get_layer("shortcut").kernel.assign(np.zeros_like(kernel))
    assert with_fit < 0.5 * model.evaluate_split(series)["mse"]
    model.network.get_layer("shortcut").kernel.assign(kernel)
    coverage = model.evaluate_split(series)["coverage"]
    assert 0.6 < coverage < 0.95  # of the quantiles 0.1 and 0.9, before training
    model.fit(series, epochs=1, verbose=0)
    np.testing.assert_array_equal(model.network.get_layer("shortcut").kernel.numpy(), kernel)


def test_all_windows_are_scored_with_histories_in_the_rows_before():
    model = new_forecaster()
    split = make_split(200, start=150)
    metrics = model.evaluate_split(split, horizons=(12, 24))
    assert model.evaluate_split(split, horizons=(24, 12)) == metrics
    assert metrics["interval"] == 0.8
    assert (metrics["windows_12"], metrics["windows_24"]) == (39, 27)
    values = model.standardize(split.values)
    errors = []
    for origin in range(150, 200 - 24 + 1):
        history = split.values[origin - 48 : origin]
        forecast = model.forecast(history).mean
        errors.append((model.standardize(forecast) - values[origin : origin + 24]) ** 2)
    assert metrics["mse_24"] == pytest.approx(np.mean(errors), rel=1e-4)
    assert metrics["mse"] == pytest.approx((metrics["mse_12"] + metrics["mse_24"]) / 2)
    assert list(metrics["mse_by_variable"]) == ["a", "b"]
    gap = make_split(200, start=150)
    gap.values[180] = np.nan
    assert np.isfinite(model.evaluate_split(gap)["mse"])


def test_answers_print_and_plot(model):
    forecast = model.forecast(make_frame())
    as_json = json.loads(json.dumps(forecast.to_dict()))
    assert len(as_json["times"]) == len(as_json["mean"]["a"]) == 24
    assert set(as_json["quantiles"]) == {"0.1", "0.9"}
    assert set(forecast.to_columns(1)) == {"until", "a"}
    frame = forecast.to_frame()
    assert list(frame.columns) == ["a", "b", "a 0.1", "b 0.1", "a 0.9", "b 0.9"]
    assert frame.index[0] == pd.Timestamp("2024-01-03 12:00")
    assert len(forecast.plot().axes) == 2
    assert len(forecast.plot(["b"], steps=10).axes) == 1
    assert len(model.forecast(draw_series(60)).plot().axes) == 2
    (axis, _) = model.forecast(draw_series(60), horizon=1).plot().axes
    assert axis.lines[1].get_marker() == "o"  # a line of one point is not visible
    with pytest.raises(ValueError, match="Did you mean 'b'"):
        forecast.plot(["bb"])


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda values: values[:, :1], ValueError, "2 variables.*Received: 1 variable"),
        (lambda values: values.astype(str), TypeError, "must be numbers of shape"),
        (lambda values: values[None, None], TypeError, r"shape \(1, 1, 60, 2\)"),
        (
            lambda values: np.where(values > 1000, np.inf, values),
            ValueError,
            "Received: inf in row",
        ),
        (lambda values: np.full_like(values, np.nan), ValueError, "must have a value in its last"),
        (lambda values: values[:0], ValueError, "must have a value in its last"),
        (lambda _: make_frame(text="x"), ValueError, "Received: 'x' in row 0 of the column 'text'"),
        (lambda _: make_frame()[["a"]], ValueError, "without 'b'"),
        (lambda _: make_frame().iloc[::-1], ValueError, "rise by equal intervals"),
        (lambda _: make_frame().drop(make_frame().index[3]), ValueError, r"asfreq\('h'\)"),
        (lambda _: make_frame().iloc[::2], ValueError, "1 hour. Received: rows every 2 hours"),
        (lambda _: make_frame(t=pd.DatetimeIndex(times_of(60))), ValueError, "times once"),
    ],
)
def test_histories_that_cannot_be_read(model, change, error, match):
    with pytest.raises(error, match=match):
        model.forecast(change(draw_series(60)))


def test_other_bad_input(model):
    for horizon in (0, 25, 2.5, "3"):
        with pytest.raises(ValueError, match="`horizon` must be an integer from 1 to 24"):
            model.forecast(draw_series(60), horizon=horizon)
    with pytest.raises(ValueError, match=r"shape \(N, 48, 2\).*Received: shape \(3, 40, 2\)"):
        model.predict(np.ones((3, 40, 2)), verbose=0)
    with pytest.raises(ValueError, match="more rows than the history of 48"):
        model.fit(draw_series(48), verbose=0)
    with pytest.raises(ValueError, match="`horizons` must be from 1 to 24"):
        model.evaluate_split(make_split(), horizons=(96,))
    with pytest.raises(TypeError, match=r"Received: one series of shape \(60, 2\). Call forecast"):
        model.predict(make_frame(), verbose=0)
    with pytest.raises(ValueError, match="as `validation_data`"):
        model.fit(make_frame(), validation_split=0.2, verbose=0)
    with pytest.raises(ValueError, match="`variable`: Unknown variable: received 0"):
        model.explain(draw_series(60), 0)
    fresh = new_forecaster(adapted=False)
    assert not fresh.autocast  # standardized values are not exact in bfloat16
    other = new_forecaster()
    other.compile("adam", "mse")
    with pytest.raises(ValueError, match="Received: loss='mse'"):
        other.fit(draw_series(60), verbose=0)
    for call in (fresh.fit, fresh.forecast):
        with pytest.raises(ValueError, match=r"Call forecaster.adapt\(series\)"):
            call(draw_series(60))
    missing = draw_series(60)
    missing[:, 1] = np.nan
    with pytest.raises(ValueError, match="Received: none of 'variable 1'"):
        fresh.adapt(missing)
    with pytest.raises(ValueError, match="has no labels"):
        tasks.from_architecture("patch_transformer", ("a", "b"))
    daily = new_forecaster("calendar_transformer", adapted=False)
    with pytest.raises(ValueError, match=r"whole days of 24 rows\. Received: no times"):
        daily.adapt(draw_series())
