"""Class weights: the loss of a step, and their effect on imbalanced data."""

import csv

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import datasets, recipes, training
from keras_attn.layers import Mixup
from keras_attn.tasks._class_weights import class_weights
from keras_attn.tasks.calibration import softmax
from keras_attn.tasks.classification import classification_objective
from keras_attn.tasks.selection_metrics import selection_metric
from keras_attn.training.learner import Learner
from keras_attn.training.selection import Selection

WEIGHTS = np.array([0.5, 1.0, 4.0], "float32")
LOGITS = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
LABELS = np.array([0, 1, 2, 2, 0, 0])


def closed_form(targets, smoothing, weights=WEIGHTS):
    """The weighted mean of the cross-entropy, in float64."""
    example_weights = targets @ weights.astype("float64")
    smooth = targets * (1 - smoothing) + smoothing / 3
    losses = -(smooth * np.log(softmax(LOGITS.astype("float64")))).sum(axis=-1)
    return (example_weights * losses).sum() / example_weights.sum()


def learner(weights, smoothing=0.0, augmentations=()):
    task = keras.Sequential([keras.Input((3,)), keras.layers.Rescaling(1.0)])
    objective = classification_objective(smoothing, weights)
    result = Learner(task, objective, list(augmentations))
    result.compile(optimizer="sgd", loss=objective.loss, metrics=[objective.metric])
    return result


def loss_of(model, is_training):
    value = model.compute_loss(x=LOGITS, y=LABELS, y_pred=LOGITS, training=is_training)
    return float(ops.convert_to_numpy(value))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_of_a_step_is_the_weighted_mean(smoothing):
    one_hot = np.eye(3)[LABELS]
    weighted = learner(WEIGHTS, smoothing)
    assert loss_of(weighted, True) == pytest.approx(closed_form(one_hot, smoothing), rel=1e-5)
    # Validation is not weighted, and equal weights are none.
    plain = loss_of(learner(None, smoothing), True)
    assert loss_of(weighted, False) == pytest.approx(plain, rel=1e-6)
    assert loss_of(learner(np.ones(3, "float32"), smoothing), True) == pytest.approx(plain)


def test_epochs_are_compared_by_a_measure_in_which_rare_classes_count_as_much():
    """Plain accuracy prefers an epoch in which the rare class is not learned yet."""
    labels = np.array([0] * 18 + [1] * 2)
    names = ("usual", "rare")
    answers = {"early": np.zeros(20, int), "late": np.array([0] * 14 + [1] * 4 + [1] * 2)}
    values = {}
    for setting in ("balanced", {"rare": 4.0}, None):
        weights = class_weights(setting, labels, names)
        metric = selection_metric(setting, weights, labels, names)
        objective = classification_objective(0.0, weights, metric)
        assert objective.metrics[0].name == "accuracy"
        assert Selection(objective).monitor == f"val_{objective.selection.name}"
        for epoch, answer in answers.items():
            objective.selection.reset_state()
            objective.selection.update_state(labels, np.eye(2)[answer])
            values[objective.selection.name, epoch] = float(objective.selection.result())
    assert values["accuracy", "early"] > values["accuracy", "late"]
    assert values["balanced_accuracy", "early"] == pytest.approx(0.5)
    assert values["balanced_accuracy", "late"] == pytest.approx((14 / 18 + 1) / 2)
    assert values["weighted_accuracy", "late"] == pytest.approx((14 + 8) / 26)


@pytest.mark.slow
def test_a_run_with_class_weights_keeps_the_epoch_of_the_best_balanced_accuracy(
    small_text_recipe, small_remarks, tmp_path
):
    changes = {"training.class_weights": "balanced", "training.keep": "best"}
    recipe = recipes.change_recipe(small_text_recipe, changes)
    run = training.train(recipe, tmp_path / "run", dataset=small_remarks, verbose=0)
    with (tmp_path / "run" / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {"accuracy", "val_accuracy", "balanced_accuracy", "val_balanced_accuracy"} <= set(
        rows[0]
    )
    best = max(rows, key=lambda row: (float(row["val_balanced_accuracy"]), -float(row["val_loss"])))
    assert run.record["best_epoch"] == int(best["epoch"])


def test_an_example_that_is_mixed_of_several_classes_has_the_mean_of_their_weights():
    mixup = Mixup(1.0, seed=3)
    model = learner(WEIGHTS, 0.1, [mixup])
    mixup(np.zeros((6, 4, 4, 3), "float32"), training=True)
    ratio = ops.convert_to_numpy(mixup._last_call.ratio).reshape(-1, 1).astype("float64")
    one_hot = np.eye(3)[LABELS]
    mixed = ratio * one_hot + (1 - ratio) * np.roll(one_hot, 1, axis=0)
    assert not np.isin(mixed, (0, 1)).all()
    assert loss_of(model, True) == pytest.approx(closed_form(mixed, 0.1), rel=1e-5)


def test_the_size_of_a_batch_is_the_sum_of_its_weights_in_training():
    """So that replicas, whose parts have different weights, add up to the weighted mean."""
    one_hot = np.eye(3, dtype="float32")[LABELS]
    model = learner(WEIGHTS, 0.0)
    objective = model.objective
    weights = objective.example_weights(one_hot)
    assert float(model.loss_size(one_hot, weights)) == pytest.approx(WEIGHTS[LABELS].sum())
    assert float(model.loss_size(one_hot)) == 6
    parts = [slice(0, 2), slice(2, 6)]
    sizes = [float(model.loss_size(one_hot[part], weights[part])) for part in parts]
    losses = [
        float(objective.loss(one_hot[part], LOGITS[part], sample_weight=weights[part]))
        for part in parts
    ]
    total = sum(size * loss for size, loss in zip(sizes, losses, strict=True)) / sum(sizes)
    assert total == pytest.approx(closed_form(one_hot, 0.0), rel=1e-5)


@pytest.mark.parametrize("batch_size", [1, 4, 6])
def test_the_validation_loss_is_not_weighted_however_it_is_batched(batch_size):
    plain, weighted = (
        learner(weights).evaluate(LOGITS, LABELS, batch_size=batch_size, verbose=0)[0]
        for weights in (None, WEIGHTS)
    )
    assert plain == pytest.approx(closed_form(np.eye(3)[LABELS], 0.0, np.ones(3)), rel=1e-5)
    assert weighted == pytest.approx(plain, rel=1e-6)


def test_balanced_weights_are_those_of_scikit_learn():
    utils = pytest.importorskip("sklearn.utils.class_weight")
    labels = np.array([0] * 70 + [1] * 25 + [2] * 5)
    expected = utils.compute_class_weight("balanced", classes=np.arange(3), y=labels)
    weights = class_weights("balanced", labels, ("a", "b", "c"))
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    assert class_weights("balanced", labels, ("a", "b", "c", "never"))[3] == 1.0
    with pytest.raises(ValueError, match="Did you mean 'spam'"):
        class_weights({"spamm": 2.0}, np.array([0, 1]), ("spam", "ham"))


RECIPE = {
    "task": "text_classification",
    "description": "imbalanced",
    "dataset": "remarks",
    "architecture": "ngram_attention",
    "model": {"vocabulary_sizes": [100], "embedding_dim": 2, "ratio_classes": 2},
    "optimizer": {"name": "adamw", "learning_rate": 0.02},
    "training": {"epochs": 4, "batch_size": 32},
}


def imbalanced(size, seed):
    """Texts of ambiguous words, of which a tenth are of the class "rare"."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(size) % 10 == 0).astype("int32")
    chances = np.where(labels == 1, 0.65, 0.35)
    texts = [
        " ".join("odd" if draw else "usual" for draw in rng.random(4) < chance)
        for chance in chances
    ]
    return datasets.TextSplit(np.array(texts, dtype=object), labels)


@pytest.mark.slow
@pytest.mark.tensorflow
def test_balanced_weights_find_more_of_a_rare_class(tmp_path):
    splits = {name: imbalanced(600, seed) for seed, name in enumerate(("train", "test"))}
    splits["validation"] = splits["test"]
    readers = {name: (lambda split=split: split) for name, split in splits.items()}
    dataset = datasets.Dataset("imbalanced", ("common", "rare"), readers)
    reports = {}
    for weights in (None, "balanced"):
        values = {**RECIPE, "training": {**RECIPE["training"], "class_weights": weights}}
        run = training.train(
            recipes.parse_recipe(values), tmp_path / str(weights), dataset=dataset, verbose=0
        )
        reports[str(weights)] = run.model.report(splits["test"])
    recalls = {name: report.classes["rare"].recall for name, report in reports.items()}
    assert recalls["None"] < 0.2
    assert recalls["balanced"] > 0.5
    assert reports["balanced"].macro.f1 > reports["None"].macro.f1
    assert 'class_weights = "balanced"' in (tmp_path / "balanced" / "recipe.toml").read_text()
