"""Training runs: what they leave, that they repeat, and that they survive."""

import json
import shutil
import subprocess

import keras
import numpy as np
import pytest

from keras_attn import datasets, recipes, training
from keras_attn.optimizers import WarmupDecay
from keras_attn.tasks import from_architecture
from keras_attn.tasks.classification import classification_objective
from keras_attn.training.learner import Learner, SwapEMAWeights
from keras_attn.training.optimizer import build_optimizer
from tests.training.runs import checkpoints_in, weights_of


def test_a_run_leaves_weights_logs_and_a_record(finished, shapes):
    names = {path.name for path in finished.folder.iterdir()}
    assert {"model.weights.h5", "best.weights.h5", "log.csv", "record.json"} <= names
    assert not [name for name in names if name.startswith("partial")]
    record = json.loads((finished.folder / "record.json").read_text())
    assert record == finished.record
    assert record["seed"] == 0
    assert record["epochs"] == 3
    assert record["train_seconds"] > 0
    assert record["versions"]["keras"] == keras.__version__
    assert record["hardware"]["cores"] >= 1
    assert record["data"]["train_sha256"] == shapes["train"].fingerprint
    assert record["train_flops"] == 3 * record["forward_flops"] * 192 * 3
    assert set(record["metrics"]) == {"validation", "test"}
    assert record["strategy"] == {"name": "none", "workers": 1, "replicas": 1}
    assert record["earlier_pieces"] == []
    log = (finished.folder / "log.csv").read_text().splitlines()
    assert len(log) == 4


def test_the_record_holds_the_accuracy_of_the_saved_weights(finished, shapes):
    fresh = from_architecture(
        "small_attention_cnn", shapes.label_names, filters=(4, 8), key_channels=4
    )
    fresh.load_weights(finished.folder / "model.weights.h5")
    split = shapes["test"]
    predicted = fresh.predict(split.images, verbose=0).argmax(-1)
    assert finished.record["metrics"]["test"]["accuracy"] == pytest.approx(
        np.mean(predicted == split.labels)
    )


@pytest.mark.slow
def test_a_run_repeats_bit_for_bit_by_its_seed(finished, small_recipe, shapes, tmp_path):
    again = training.train(small_recipe, tmp_path / "again", dataset=shapes, verbose=0)
    other = training.train(small_recipe, tmp_path / "other", dataset=shapes, seed=9, verbose=0)
    for a, b in zip(weights_of(finished), weights_of(again), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(weights_of(finished)[0], weights_of(other)[0])


def test_a_run_that_was_interrupted_ends_as_one_that_was_not(
    finished, small_recipe, shapes, tmp_path, monkeypatch
):
    class Interrupt(Exception):
        pass

    class Stop(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if int(self.model.optimizer.iterations) == 14:  # in the third epoch
                raise Interrupt

    from keras_attn.training import trainer

    settings, of_here = {"dataset": shapes, "verbose": 0}, trainer.provenance()
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "provenance", lambda: {**of_here, "commit": "earlier"})
        with pytest.raises(Interrupt):
            training.train(small_recipe, tmp_path / "run", callbacks=[Stop()], **settings)
    assert checkpoints_in(tmp_path / "run") == ["00001-0000000", "00002-0000000"]
    resumed = training.train(small_recipe, tmp_path / "run", resume=True, **settings)
    for a, b in zip(weights_of(finished), weights_of(resumed), strict=True):
        np.testing.assert_array_equal(a, b)
    assert resumed.record["metrics"] == finished.record["metrics"]
    assert resumed.record["commit"] == of_here["commit"]
    (piece,) = resumed.record["earlier_pieces"]
    assert piece == {"epoch": 0, **of_here, "commit": "earlier", "precision": "float32"}
    assert len((tmp_path / "run" / "log.csv").read_text().splitlines()) == 4


def test_the_best_weights_load_into_a_classifier(finished, shapes):
    import csv

    with (finished.folder / "log.csv").open() as log:
        best = max(float(row["val_accuracy"]) for row in csv.DictReader(log))
    classifier = from_architecture(
        "small_attention_cnn", shapes.label_names, filters=(4, 8), key_channels=4
    )
    classifier.load_weights(finished.folder / "best.weights.h5")
    received = training.evaluate(classifier, shapes["validation"])
    assert received["accuracy"] == pytest.approx(best, abs=1e-6)


def test_a_checkpoint_of_another_run_is_refused(finished, small_recipe, shapes):
    with pytest.raises(training.CheckpointError, match="seed"):
        training.train(small_recipe, finished.folder, dataset=shapes, seed=1, resume=True)
    changed = small_recipe.model_copy(
        update={"optimizer": small_recipe.optimizer.model_copy(update={"learning_rate": 0.5})}
    )
    with pytest.raises(
        training.CheckpointError,
        match=r"`optimizer\.learning_rate` is .* in the checkpoint, and 0\.5 here",
    ):
        training.train(changed, finished.folder, dataset=shapes, resume=True)
    splits = {"train": lambda: shapes["test"], "validation": lambda: shapes["validation"]}
    other = datasets.Dataset(shapes.name, shapes.label_names, splits)
    with pytest.raises(training.CheckpointError, match="training data"):
        training.train(small_recipe, finished.folder, dataset=other, resume=True)


def test_resuming_nothing_and_overwriting_something_are_refused(
    finished, small_recipe, shapes, tmp_path
):
    with pytest.raises(training.CheckpointError, match="no checkpoint"):
        training.train(small_recipe, tmp_path / "new", dataset=shapes, resume=True)
    assert not (tmp_path / "new").exists()
    with pytest.raises(FileExistsError, match="--resume"):
        training.train(small_recipe, finished.folder, dataset=shapes)


@pytest.mark.parametrize("resume", [True, "auto"])
def test_a_finished_run_that_is_resumed_changes_nothing(finished, small_recipe, shapes, resume):
    def written():
        paths = [path for path in finished.folder.rglob("*") if path.is_file()]
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}

    before = written()
    again = training.train(small_recipe, finished.folder, dataset=shapes, resume=resume, verbose=0)
    assert written() == before
    assert again.record == finished.record
    for a, b in zip(weights_of(finished), weights_of(again), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_finished_run_whose_weights_are_gone_is_finished_again(
    finished, small_recipe, shapes, tmp_path
):
    folder = tmp_path / "run"
    shutil.copytree(finished.folder, folder)
    (folder / "model.weights.h5").unlink()
    again = training.train(small_recipe, folder, dataset=shapes, resume=True, verbose=0)
    assert (folder / "model.weights.h5").is_file()
    assert again.record["metrics"] == finished.record["metrics"]


@pytest.mark.parametrize("metrics", [[], ["accuracy", "sparse_top_k_categorical_accuracy"]])
def test_a_model_is_evaluated_however_it_is_compiled(finished, shapes, metrics):
    classifier = from_architecture(
        "small_attention_cnn", shapes.label_names, filters=(4, 8), key_channels=4
    )
    classifier.load_weights(finished.folder / "model.weights.h5")
    classifier.compile("sgd", keras.losses.SparseCategoricalCrossentropy(), metrics=metrics)
    told = training.evaluate(classifier, shapes["test"])
    assert told == pytest.approx(finished.record["metrics"]["test"], abs=1e-6)
    probabilities = keras.ops.softmax(classifier.predict(shapes["test"].images, verbose=0))
    right = np.array(probabilities)[np.arange(len(shapes["test"])), shapes["test"].labels]
    assert told["loss"] == pytest.approx(-np.log(right).mean(), abs=1e-5)


@pytest.mark.parametrize(("speedup", "expected"), [(3.0, "mixed_bfloat16"), (1.2, "float32")])
def test_the_precision_of_the_hardware_is_chosen_and_recorded(
    small_recipe, shapes, tmp_path, monkeypatch, speedup, expected
):
    from keras_attn.training import precision

    monkeypatch.setattr(precision, "bfloat16_speedup", lambda: speedup)
    settings = {"epochs": 1, "precision": "auto"}
    recipe = small_recipe.model_copy(
        update={"training": small_recipe.training.model_copy(update=settings)}
    )
    trained_in = set()

    class Look(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            trained_in.add(self.model.task.network.dtype_policy.name)

    run = training.train(recipe, tmp_path / "run", dataset=shapes, callbacks=[Look()], verbose=0)
    assert trained_in == {expected}
    assert run.record["precision"] == expected
    assert run.record["earlier_pieces"] == []


def test_a_resumed_run_keeps_its_precision(small_recipe, shapes, tmp_path, monkeypatch):
    from keras_attn.training import precision

    class Interrupt(Exception):
        pass

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise Interrupt

    settings = {"epochs": 2, "precision": "auto"}
    recipe = small_recipe.model_copy(
        update={"training": small_recipe.training.model_copy(update=settings)}
    )
    settings = {"dataset": shapes, "verbose": 0}
    monkeypatch.setattr(precision, "bfloat16_speedup", lambda: 3.0)
    with pytest.raises(Interrupt):
        training.train(recipe, tmp_path / "run", callbacks=[Stop()], **settings)
    monkeypatch.setattr(precision, "bfloat16_speedup", lambda: 1.0)
    run = training.train(recipe, tmp_path / "run", resume=True, **settings)
    assert run.record["precision"] == "mixed_bfloat16"


def test_the_speed_of_the_hardware_in_bfloat16_is_measured(monkeypatch):
    from keras_attn.training import precision

    speedup = precision.bfloat16_speedup.__wrapped__
    assert speedup() > 0.0
    seconds = {"float32": 6.0, "bfloat16": 2.0}
    monkeypatch.setattr(
        precision,
        "_seconds_of_products",
        lambda matrix: seconds[keras.backend.standardize_dtype(matrix.dtype)],
    )
    assert speedup() == 3.0


def test_several_workers_need_a_precision_by_name():
    from keras_attn.training.precision import check_precision

    check_precision("auto", 1)
    check_precision("mixed_bfloat16", 2)
    with pytest.raises(ValueError, match=r"2 workers.*Received: 'auto'. Use 'float32'"):
        check_precision("auto", 2)


def test_processors_with_amx_are_named_so(tmp_path, monkeypatch):
    from keras_attn.training import provenance

    cpuinfo = tmp_path / "cpuinfo"
    monkeypatch.setattr(provenance, "CPUINFO", cpuinfo)
    for flags, expected in (("avx2 amx_bf16", "A processor with AMX"), ("avx2", "A processor")):
        cpuinfo.write_text(f"model name\t: A processor\nflags\t\t: {flags}\n")
        assert provenance.provenance()["hardware"]["processor"] == expected


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_and_keeps_float32_weights(
    small_recipe, shapes, tmp_path, precision
):
    recipe = small_recipe.model_copy(
        update={"training": small_recipe.training.model_copy(update={"precision": precision})}
    )
    trained_in = set()

    class Look(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            trained_in.add(self.model.task.network.get_layer("stage_1").compute_dtype)

    run = training.train(recipe, tmp_path / "run", dataset=shapes, callbacks=[Look()], verbose=0)
    assert trained_in == {precision[6:]}
    assert {w.dtype for w in run.model.weights} == {"float32"}
    # What is kept, and measured, computes in float32.
    assert run.model.network.get_layer("stage_1").compute_dtype == "float32"
    assert np.isfinite(run.record["metrics"]["test"]["loss"])
    header, *_, last = (run.folder / "log.csv").read_text().splitlines()
    logged = float(dict(zip(header.split(","), last.split(","), strict=True))["val_accuracy"])
    assert run.record["metrics"]["validation"]["accuracy"] == pytest.approx(logged, abs=0.1)


def test_float16_scales_its_loss(small_recipe, shapes, tmp_path):
    class StopError(Exception):
        pass

    class Look(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.optimizer = self.model.optimizer
            raise StopError

    training_ = small_recipe.training.model_copy(update={"precision": "mixed_float16"})
    recipe, look = small_recipe.model_copy(update={"training": training_}), Look()
    with pytest.raises(StopError):
        training.train(recipe, tmp_path / "run", dataset=shapes, callbacks=[look], verbose=0)
    assert isinstance(look.optimizer, keras.optimizers.LossScaleOptimizer)


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"filtres": (4, 8)}},
        {"variants": {"no_attention": {"attention": "nothing"}}},
        {"architecture": "small_attention_cn"},
    ],
)
def test_a_model_that_cannot_be_built_is_refused_before_anything_is_made(
    small_recipe, tmp_path, change
):
    recipe = small_recipe.model_copy(update=change)
    with pytest.raises(recipes.RecipeError, match=r"(?s)recipe's \[.*(Accepted|Received)"):
        training.train(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_strategy_that_cannot_be_leaves_no_folder(small_recipe, tmp_path):
    with pytest.raises(ValueError, match="Did you mean 'mirrored'"):
        training.train(small_recipe, tmp_path / "run", strategy="miror")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"resume": "yes"}, "True, False or 'auto'. Received: 'yes'"),
        ({"checkpoint_steps": 0}, "positive number of steps.*Received: 0"),
        ({"checkpoint_steps": "5"}, "Received: '5'"),
    ],
)
def test_impossible_ways_to_resume_are_refused(small_recipe, tmp_path, settings, match):
    with pytest.raises(ValueError, match=match):
        training.train(small_recipe, tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


def test_where_the_code_came_from_must_be_a_commit(monkeypatch):
    from keras_attn.training.provenance import provenance

    monkeypatch.setenv("KERAS_ATTN_COMMIT", "main")
    with pytest.raises(ValueError, match=r"40 hexadecimal digits.*Received: 'main'"):
        provenance()
    monkeypatch.setenv("KERAS_ATTN_COMMIT", "a" * 40)
    assert provenance()["commit"] == "a" * 40


@pytest.mark.parametrize(
    ("changed", "expected"),
    [("results.json", False), ("code.py", True), ("zoo/entry/recipe.toml", True)],
)
def test_changes_of_code_and_recipes_are_recorded(tmp_path, monkeypatch, changed, expected):
    from keras_attn.training import provenance

    def git(*arguments):
        author = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        subprocess.run(["git", *author, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    for name in ("results.json", "code.py", "zoo/entry/recipe.toml", "package/provenance.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    git("add", ".")
    git("commit", "-m", "first")
    monkeypatch.delenv("KERAS_ATTN_COMMIT", raising=False)
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "package/provenance.py"))
    (tmp_path / changed).write_text("x = 1")
    assert provenance.provenance()["commit"].endswith("+changes") is expected


def test_a_missing_data_set_leaves_no_folder(small_recipe, tmp_path):
    recipe = small_recipe.model_copy(update={"dataset": "cifar10"})
    with pytest.raises(datasets.DatasetNotFoundError):
        training.train(recipe, tmp_path / "run", data_dir=tmp_path / "nowhere")
    assert not (tmp_path / "run").exists()


@pytest.mark.tensorflow  # on JAX the variables are not at hand within an epoch
def test_averages_are_those_of_all_weights(shapes):
    keras.utils.set_random_seed(0)
    classifier = from_architecture("small_attention_cnn", shapes.label_names, filters=(4, 8))
    learner = Learner(classifier, classification_objective(0.0), [], ema_decay=0.5)
    learner.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))
    split, seen, expected = shapes["train"], [], None

    class Record(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append([np.array(w) for w in classifier.get_weights()])

    learner.fit(
        split.images, split.labels, batch_size=48, epochs=1, verbose=0, callbacks=[Record()]
    )
    for step, weights in enumerate(seen):
        keep = min(0.5, step / (step + 9))
        expected = (
            weights
            if expected is None
            else [keep * a + (1 - keep) * w for a, w in zip(expected, weights, strict=True)]
        )
    current = classifier.get_weights()
    learner.exchange()
    for average, wanted in zip(classifier.get_weights(), expected, strict=True):
        np.testing.assert_allclose(average, wanted, atol=1e-5, rtol=1e-4)
    learner.exchange()
    for again, before in zip(classifier.get_weights(), current, strict=True):
        np.testing.assert_array_equal(again, before)


@pytest.mark.tensorflow
def test_validation_sees_the_averages_and_training_the_weights(shapes):
    classifier = from_architecture("small_attention_cnn", shapes.label_names, filters=(4, 8))
    learner = Learner(classifier, classification_objective(0.0), [], ema_decay=0.9)
    learner.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))
    held = {}

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            held["training"] = [np.array(w) for w in classifier.get_weights()]
            held["averages"] = [np.array(w) for w in learner.ema_weights]

        def on_test_batch_end(self, batch, logs=None):
            held["test"] = [np.array(w) for w in classifier.get_weights()]

    split = shapes["train"]
    learner.fit(
        split.images,
        split.labels,
        batch_size=64,
        epochs=2,
        verbose=0,
        validation_data=(split.images, split.labels),
        callbacks=[SwapEMAWeights(), Look()],
    )
    for tested, average in zip(held["test"], held["averages"], strict=True):
        np.testing.assert_array_equal(tested, average)
    for kept, average in zip(classifier.get_weights(), held["averages"], strict=True):
        np.testing.assert_array_equal(kept, average)
    assert not np.array_equal(held["training"][2], held["averages"][2])


@pytest.mark.parametrize("decay", ["linear", "cosine", "constant"])
def test_schedules_warm_up_and_end_where_they_should(decay):
    schedule = WarmupDecay(2.0, warmup_steps=4, total_steps=20, decay=decay, final_fraction=0.1)
    rates = [float(schedule(step)) for step in range(21)]
    assert rates[:4] == pytest.approx([0.5, 1.0, 1.5, 2.0])
    last = {"linear": 0.2 + 1.8 / 16, "cosine": 0.2 + 0.9 * (1 - np.cos(np.pi / 16))}
    assert rates[19] == pytest.approx(last.get(decay, 2.0))
    assert rates[20] == pytest.approx(2.0 if decay == "constant" else 0.2)  # after the last step
    assert rates[12] == pytest.approx(2.0 if decay == "constant" else 1.1)
    assert WarmupDecay.from_config(schedule.get_config()).get_config() == schedule.get_config()


@pytest.mark.parametrize("architecture", ["small_attention_cnn", "compact_transformer"])
def test_weight_decay_leaves_biases_and_normalizations_alone(small_recipe, architecture):
    optimizer = build_optimizer(small_recipe, 6)
    variables = from_architecture(architecture, ("a", "b")).trainable_variables
    optimizer.build(variables)
    decayed = {v.name for v in variables if optimizer._use_weight_decay(v)}
    assert "kernel" in decayed
    assert {v.name for v in variables} - decayed == {"gamma", "beta", "bias"}


def test_the_rate_warms_up_and_falls_over_the_epochs_of_the_recipe(small_recipe):
    rate = build_optimizer(small_recipe, 6).get_config()["learning_rate"]["config"]
    assert (rate["warmup_steps"], rate["total_steps"]) == (6, 18)


def test_inverse_square_root_decay_continues_the_warm_up():
    schedule = WarmupDecay(2.0, warmup_steps=4, total_steps=20, decay="inverse_sqrt")
    rates = [float(schedule(step)) for step in (0, 3, 4, 15, 99)]
    expected = [2 * min(n / 4, (4 / n) ** 0.5) for n in (1, 4, 5, 16, 100)]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)
