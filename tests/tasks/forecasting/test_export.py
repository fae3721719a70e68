"""SavedModels of forecasters: in a process without keras, and for values that no user means."""

import json
import subprocess
import sys

import numpy as np
import pytest

from keras_attn import models
from tests.tasks.small_forecasters import SMALL, make_split, new_forecaster, times_of

pytestmark = pytest.mark.tensorflow
every_architecture = pytest.mark.parametrize("name", sorted(SMALL))

CLIENT = """
import json, sys
sys.modules["keras"] = sys.modules["keras_attn"] = None  # an import of either fails
import numpy as np, tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
assert sorted(loaded.signatures) == ["serve", "serving_default"]
inputs = {k: tf.constant(v) for k, v in np.load(sys.argv[2]).items()}
answers = loaded.signatures["serving_default"](**inputs)
np.savez(sys.argv[3], **{k: v.numpy() for k, v in answers.items()})
"""


def test_every_architecture_is_exported_here():
    assert set(SMALL) == set(models.list_architectures("forecasting"))


def inputs_of(model, values):
    inputs = {"values": values}
    if model.reads_time:
        last = times_of(values.shape[1])[-1:].astype("int64")
        inputs["times"] = np.repeat(last, len(values))
    return inputs


@pytest.mark.slow
@every_architecture
def test_a_saved_model_of_raw_values_runs_without_keras(name, tmp_path):
    model = new_forecaster(name)
    model.fit(make_split(), epochs=1, verbose=0)
    rows = model.history_length + 30
    values = np.stack([make_split(rows, seed=seed).values for seed in (0, 1)])
    values[0, 40:60, 0] = np.nan
    np.savez(tmp_path / "inputs.npz", **inputs_of(model, values))
    command = [sys.executable, "-c", CLIENT, str(model.export(tmp_path / "1"))]
    command += [str(tmp_path / "inputs.npz"), str(tmp_path / "answers.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(tmp_path / "answers.npz") as answers:
        for window, mean, quantiles in zip(
            values, answers["mean"], answers["quantiles"], strict=True
        ):
            split = make_split(rows)
            split.values[:] = window
            forecast = model.forecast(split)
            np.testing.assert_allclose(mean, forecast.mean, rtol=1e-4, atol=1e-3)
            expected = np.stack(list(forecast.quantiles.values()), axis=-1)
            np.testing.assert_allclose(quantiles, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.slow
@every_architecture
def test_a_saved_model_answers_or_refuses_any_values(name, tmp_path):
    import tensorflow as tf

    model = new_forecaster(name)
    serve = tf.saved_model.load(str(model.export(tmp_path / "1"))).signatures["serving_default"]
    random = np.random.default_rng(0)
    for length in (1, 7, model.history_length, 3 * model.history_length):
        values = random.normal(size=(3, length, 2)).astype("float32")
        values[0] = np.nan
        values[1, random.random(length) < 0.5] = np.nan
        answer = serve(**{k: tf.constant(v) for k, v in inputs_of(model, values).items()})
        assert np.isfinite(answer["mean"].numpy()).all()
        assert np.isfinite(answer["quantiles"].numpy()).all()
    empty = inputs_of(model, np.zeros((0, model.history_length, 2), "float32"))
    empty = {k: tf.constant(v) for k, v in empty.items()}
    assert serve(**empty)["mean"].shape == (0, model.horizon, model.num_targets)
    other = inputs_of(model, np.zeros((1, model.history_length, 3), "float32"))
    with pytest.raises((tf.errors.InvalidArgumentError, ValueError)):
        serve(**{k: tf.constant(v) for k, v in other.items()})


def test_signatures_name_what_is_read():
    plain, calendar = (new_forecaster(name, adapted=False) for name in sorted(SMALL, reverse=True))
    assert str(plain.signature).startswith("values float32 (B, L, V) -> mean float32 (B, H, K)")
    assert str(calendar.signature).startswith("values float32 (B, L, V), times int64 (B,)")
    with pytest.raises(TypeError, match=r"takes a path\. Received: views"):
        plain.export("1", views=2)
    assert json.dumps(plain.get_config()["variables"]) == "[]"
