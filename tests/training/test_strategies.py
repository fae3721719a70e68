"""Strategies: what several devices and several workers train is what one device trains."""

import json
import os
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from keras_attn import training
from keras_attn.training import strategies
from keras_attn.training.launcher import launch
from tests.conftest import ROOT

pytestmark = pytest.mark.tensorflow
SPREADS = {
    "mirrored-2": ("--strategy", "mirrored", "--devices", "2"),
    "workers-2": ("--strategy", "multi_worker"),
}


# In a process of its own, for the launcher takes signals.
LAUNCH = """
import pathlib, sys
from keras_attn.training.launcher import launch
sys.exit(launch(sys.argv[2:], 2, pathlib.Path(sys.argv[1])))
"""


def as_workers(folder, *given):
    """A command that runs another as two workers, whose logs lie beside a run's folder."""
    return [sys.executable, "-c", LAUNCH, f"{folder}-workers", *given]


def command(kind, folder, *options):
    return [sys.executable, "-m", "tests.training.train_spread", kind, str(folder), *options]


def run(kind, folder, *options):
    """A run in a process of its own, or in two if it is of several workers."""
    if "multi_worker" in options:
        given = as_workers(folder, *command(kind, folder, *options))
    else:
        given = command(kind, folder, *options)
    return subprocess.run(given, cwd=ROOT, capture_output=True, text=True, check=False)


def weights_in(folder):
    with np.load(folder / "weights.npz") as arrays:
        return [arrays[name] for name in arrays.files]


def check_equal(folder, expected):
    for received, value in zip(weights_in(folder), weights_in(expected), strict=True):
        np.testing.assert_allclose(received, value, rtol=1e-5, atol=1e-5)


def served(folder):
    """What a run's SavedModel answers."""
    import tensorflow as tf

    serve = tf.saved_model.load(str(folder / "serving")).signatures["serving_default"]
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("uint8")
    return serve(images=tf.constant(images))["probabilities"].numpy()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Runs on one device, by kind."""
    done = {}

    def get(kind):
        if kind not in done:
            done[kind] = tmp_path_factory.mktemp("alone") / kind
            finished = run(kind, done[kind])
            assert finished.returncode == 0, finished.stderr[-3000:]
        return done[kind]

    return get


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("kind", "spread"),
    [
        ("images", "mirrored-2"),  # with workers: see the job that lost one
        ("texts", "mirrored-2"),
        ("pairs", "workers-2"),
    ],
)
def test_a_strategy_trains_what_one_device_trains(kind, spread, alone, tmp_path):
    done = run(kind, tmp_path / "run", *SPREADS[spread])
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    # The script compares the replicas of a process with each other, to the bit.
    assert f"replicas: {1 if 'workers' in spread else spread[-1]}" in done.stdout
    check_equal(tmp_path / "run", alone(kind))
    if kind == "images":
        answers = [served(folder) for folder in (tmp_path / "run", alone(kind))]
        np.testing.assert_allclose(*answers, atol=1e-4)
    records = [json.loads((f / "record.json").read_text()) for f in (tmp_path / "run", alone(kind))]
    for split, metrics in records[0]["metrics"].items():
        assert metrics["loss"] == pytest.approx(records[1]["metrics"][split]["loss"], rel=1e-4)
    logs = [(f / "log.csv").read_text().splitlines() for f in (tmp_path / "run", alone(kind))]
    assert logs[0][0] == logs[1][0]
    for line, other in zip(logs[0][1:], logs[1][1:], strict=True):
        received, expected = (np.array(x.split(","), float) for x in (line, other))
        np.testing.assert_allclose(received, expected, rtol=1e-4)


@pytest.mark.exhaustive
def test_mixed_precision_is_mirrored(tmp_path):
    options = ("--precision", "mixed_float16")  # the losses are scaled
    done = run("images", tmp_path / "run", *SPREADS["mirrored-2"], *options)
    assert done.returncode == 0, done.stderr[-3000:]
    assert all(np.isfinite(value).all() for value in weights_in(tmp_path / "run"))


@pytest.mark.exhaustive
def test_a_job_that_lost_a_worker_reports_it_and_resumes_from_the_checkpoint(alone, tmp_path):
    folder = tmp_path / "run"
    started = time.monotonic()
    lost = run("images", folder, *SPREADS["workers-2"], "--kill-at", "8")  # in the second epoch
    assert time.monotonic() - started < 180
    assert lost.returncode == 75, lost.stdout[-3000:] + lost.stderr[-3000:]
    assert "WorkerLostError: Worker 0 of 2 lost another" in lost.stdout
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["00001-0000000"]
    done = run("images", folder, *SPREADS["workers-2"], "--resume")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    check_equal(folder, alone("images"))


@pytest.mark.slow
def test_replicas_augment_by_numbers_of_their_own():
    script = """
import numpy as np, tensorflow as tf
from keras_attn.layers.augmentation import ReplicaSeeds
from keras_attn.training.strategies import distribution
strategy = distribution("mirrored", 2).strategy
with strategy.scope():
    seeds = ReplicaSeeds(3)
step = tf.function(lambda: strategy.run(seeds.next))
for _ in range(2):
    print([np.array(x).tolist() for x in strategy.experimental_local_results(step())])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["[[3, 0], [1000006, 0]]", "[[3, 1], [1000006, 1]]"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["CutMix", "Mixup"])
def test_replicas_mix_their_targets_as_their_images(kind):
    script = f"""
import keras, numpy as np, tensorflow as tf
from keras_attn.layers.augmentation import {kind}
from keras_attn.training.strategies import distribution
strategy = distribution("mirrored", 2).strategy
with strategy.scope():
    layer = {kind}(1.0, seed=3)
images = tf.ones((4, 9, 9, 1)) * tf.reshape(tf.constant([0.0, 1.0, 0.0, 1.0]), (4, 1, 1, 1))
def step():
    mixed = layer(images, training=True)
    # Here the replicas take turns, as they do in a batch normalization.
    tf.distribute.get_replica_context().merge_call(lambda strategy: None)
    targets = layer.mix_targets(tf.reduce_mean(images, axis=(1, 2)))
    return tf.reduce_mean(mixed, axis=(1, 2)), targets
mixed, targets = tf.function(lambda: strategy.run(step))()
shown = [strategy.experimental_local_results(x) for x in (mixed, targets)]
for x, y in zip(*shown):
    np.testing.assert_allclose(x, y, atol=1e-5)
assert not np.allclose(shown[0][0], shown[0][1])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_workers_at_different_epochs_are_refused(tmp_path):
    script = (
        "from keras_attn.training.strategies import distribution\n"
        "spread = distribution('multi_worker')\n"
        "spread.check_together(3, 7)\n"
        "try: spread.check_together(3, 7 + spread.worker)\n"
        "except ValueError as error: print(error, flush=True)"
    )
    process = started(script, tmp_path / "run")
    printed, _ = process.communicate(timeout=120)
    assert "epoch and step [(3, 7), (3, 8)]" in printed


@pytest.mark.parametrize(
    ("hosts", "task", "expected"),
    [
        ({"worker": ["a:1", "b:1", "c:1"]}, ("worker", 2), (3, 2, False)),
        ({"worker": ["a:1", "b:1"]}, ("worker", 0), (2, 0, True)),
        ({"chief": ["a:1"], "worker": ["b:1", "c:1"]}, ("chief", 0), (3, 0, True)),
        ({"chief": ["a:1"], "worker": ["b:1", "c:1"]}, ("worker", 0), (3, 1, False)),
        ({"worker": ["a:1"]}, ("worker", 0), (1, 0, True)),
        ({}, (None, None), (1, 0, True)),
    ],
)
def test_the_cluster_is_that_of_a_given_strategy(monkeypatch, hosts, task, expected):
    """As of Slurm: nothing of it stands in TF_CONFIG."""
    import types

    monkeypatch.delenv("TF_CONFIG", raising=False)
    spec = types.SimpleNamespace(as_dict=lambda: hosts)
    resolver = types.SimpleNamespace(cluster_spec=lambda: spec, task_type=task[0], task_id=task[1])
    given = types.SimpleNamespace(scope=None, cluster_resolver=resolver)
    spread = strategies.distribution(given)
    assert (spread.workers, spread.worker, spread.chief) == expected


def test_a_strategy_is_refused_where_keras_does_not_run_on_tensorflow(monkeypatch):
    import tensorflow as tf

    given = tf.distribute.OneDeviceStrategy("CPU:0")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    for strategy in (given, "one_device"):
        with pytest.raises(ValueError, match="is one of TensorFlow, and Keras runs on 'jax'"):
            strategies.distribution(strategy)


def test_copies_for_r_drop_stay_on_one_replica(monkeypatch, tmp_path):
    from keras_attn.recipes import parse_recipe
    from tests.training.train_spread import PAIRS

    class Two:
        num_replicas_in_sync = 2

    monkeypatch.setattr(strategies, "distribution", lambda *_: strategies.Distribution(Two()))
    recipe = parse_recipe({**PAIRS, "training": {**PAIRS["training"], "r_drop": 1.0}})
    with pytest.raises(ValueError, match=r"must stay on one replica.*2 replicas"):
        training.train(recipe, tmp_path / "run")


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("options", "failure"),
    [([], "convert a value (PerReplica"), (["--built"], "Invalid reduction dimension 0")],
)
def test_keras_itself_still_fails_with_several_workers(tmp_path, options, failure):
    """When this fails Keras has mended it: drop what `Learner` does about it.

    The first is of `_maybe_symbolic_build`; the second, once that is out of the way, of
    `make_train_function` (keras-team/keras issue 20585).
    """
    module = ("-m", "tests.training.plain_fit")
    plain = as_workers(tmp_path / "plain", sys.executable, *module, *options)
    done = subprocess.run(plain, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert failure in done.stderr


def test_what_the_learner_overrides_is_there():
    """These two are private to Keras: without them a distributed batch is averaged again."""
    for name in ("_maybe_symbolic_build", "_symbolic_build"):
        assert callable(getattr(keras.Model, name))


@pytest.mark.exhaustive
def test_one_device_trains_and_exports(small_recipe, shapes, tmp_path):
    import tensorflow as tf

    run = training.train(
        small_recipe, tmp_path / "run", dataset=shapes, strategy="one_device", verbose=0
    )
    assert run.record["epochs"] == 3
    run.model.export(tmp_path / "serving")
    serve = tf.saved_model.load(str(tmp_path / "serving")).signatures["serving_default"]
    images = shapes["test"].images[:5]
    labels = [answer.label for answer in run.model.classify(images)]
    received = serve(images=tf.constant(images))["label"].numpy()
    assert [label.decode() for label in received] == labels


def test_a_batch_that_replicas_cannot_share_equally_is_refused(small_recipe, tmp_path, monkeypatch):
    class Three:
        num_replicas_in_sync = 3

    monkeypatch.setattr(strategies, "distribution", lambda *_: strategies.Distribution(Three()))
    with pytest.raises(ValueError, match=r"batch of 32 .* 3 replicas.*batch_size = 30"):
        training.train(small_recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    settings = small_recipe.training.model_copy(update={"batch_size": 33})
    small_recipe.model_copy(update={"training": settings}).check_replicas(3)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (("miror",), "Did you mean 'mirrored'"),
        (("none", 2), "leaves devices to Keras.*'mirrored'"),
        (("mirrored", ["CPU:0", "GPU:7"]), "'GPU:7'.*'CPU:0'"),
        (("mirrored", []), "at least one device"),
        (("mirrored", 0), "at least 1"),
        (("multi_worker", 2), "CUDA_VISIBLE_DEVICES"),
        ((3,), "tf.distribute.Strategy. Received: 3"),
    ],
)
def test_impossible_strategies_are_refused(given, match):
    with pytest.raises(ValueError, match=rf"(?s){match}"):
        strategies.distribution(*given)


@pytest.mark.parametrize(
    ("config", "match"),
    [
        (None, "Received: ''"),
        ("{", "reads the environment's TF_CONFIG"),
        ({"cluster": {"worker": ["a:1"]}}, "'task'"),
        (
            {"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}},
            "no worker 1 in it",
        ),
        (
            {"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}},
            "no ps 0 in it",
        ),
    ],
)
def test_a_cluster_that_is_none_is_refused(monkeypatch, config, match):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config is not None:
        text = config if isinstance(config, str) else json.dumps(config)
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match=rf"{match}.*--workers 2") as raised:
        strategies.distribution("multi_worker")
    assert "host-1:2222" in str(raised.value)


# The launcher, with workers that are no training.


def started(script, folder):
    given = as_workers(folder, sys.executable, "-c", script)
    return subprocess.Popen(
        given, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


TASK = "import json, os, sys, time; task = json.loads(os.environ['TF_CONFIG'])\n"


def test_workers_know_each_other(tmp_path):
    script = TASK + "print(task['task']['index'], len(set(task['cluster']['worker'])))"
    process = started(script, tmp_path / "run")
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert printed.split() == ["0", "2"]
    assert (tmp_path / "run-workers" / "worker-1.log").read_text().split() == ["1", "2"]


def test_a_failing_worker_ends_the_job_and_is_shown(tmp_path):
    script = TASK + ("if task['task']['index']: sys.exit('no room')\ntime.sleep(1); sys.exit(9)")
    process = started(script, tmp_path / "run")
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 9  # what the chief made of it
    assert "Worker 1 ended with 1" in printed
    assert "no room" in printed


def test_a_failing_chief_leaves_no_worker_behind(tmp_path):
    script = TASK + (
        "print(os.getpid(), flush=True)\n"
        "time.sleep(0.5 if task['task']['index'] == 0 else 600); sys.exit(3)"
    )
    process = started(script, tmp_path / "run")
    process.communicate(timeout=60)
    assert process.returncode == 3
    other = int((tmp_path / "run-workers" / "worker-1.log").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(other, 0)


def test_sigterm_goes_to_the_chief_and_the_others_end_with_it(tmp_path):
    script = TASK + (
        "import signal\n"
        "def stop(*_): print('checkpoint', flush=True); sys.exit(75)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "print('ready', flush=True); time.sleep(600)"
    )
    process = started(script, tmp_path / "run")
    assert process.stdout.readline().strip() == "ready"
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 75
    assert "checkpoint" in printed


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_stops_the_chief_and_the_second_one_kills_the_job(tmp_path, times):
    script = TASK + (
        "import signal\n"
        "def stop(*_): print('saving', flush=True); time.sleep(600 if TIMES == 2 else 0); "
        "sys.exit(75)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "print('ready', flush=True); time.sleep(600)"
    ).replace("TIMES", str(times))
    process = started(script, tmp_path / "run")
    assert process.stdout.readline().strip() == "ready"
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        while process.poll() is None and process.stdout.readline().strip() not in ("saving", ""):
            pass
    printed, _ = process.communicate(timeout=60)
    # Python ends by the signal itself where nothing catches KeyboardInterrupt.
    assert process.returncode == (130 if times == 1 else -signal.SIGINT), printed


def test_one_worker_is_no_job(tmp_path):
    with pytest.raises(ValueError, match="at least 2 workers"):
        launch(["true"], 1, tmp_path)
