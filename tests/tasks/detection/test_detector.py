"""The detector: what it learns and takes, its answers, files, exports and explanations."""

import dataclasses
import json
import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest

import keras_attn
from keras_attn import recipes, training
from keras_attn.recipes import parse_recipe
from keras_attn.tasks.detection.inputs import fit_images, fit_images_in_graph, fitted_size
from tests.tasks.detection.small_detector import (
    NAMES,
    SMALL,
    draw,
    draw_image,
    make,
    shapes,
    trained,
)

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def model():
    model = trained()
    held_out = draw(8, 2)
    model.calibrate(held_out.inputs, held_out.targets)
    return model


def same(answer, other, atol=1e-3):
    assert answer.labels == other.labels
    np.testing.assert_allclose(answer.boxes, other.boxes, atol=atol)
    np.testing.assert_allclose(answer.scores, other.scores, atol=1e-5)


def test_it_learns_to_find_and_to_count(model):
    pytest.importorskip("pycocotools")
    metrics = model.evaluate_split(draw(16, 3))
    assert metrics["map50"] > 0.8
    assert metrics["count_error"] < 0.2
    assert (metrics["examples"], metrics["objects"]) == (16, 32)
    assert set(metrics["ap50_by_label"]) == set(NAMES)
    split = draw(16, 3)
    loss, best_fit = model.evaluate(split.inputs, split.targets, batch_size=16, verbose=0)
    assert metrics["loss"] == pytest.approx(loss, rel=1e-4)
    assert 0.3 < best_fit < 1.0


def test_boxes_are_in_pixels_of_each_image(model):
    images, expected = [], []
    for factor in (1, 2, 3):
        image, boxes, labels = draw_image(3_001)
        images.append(image.repeat(factor, axis=0).repeat(factor, axis=1))
        expected.append(sorted(map(tuple, np.c_[boxes * factor, labels])))
    # A wider image: padded at the bottom, so that all of it is smaller.
    image, boxes, labels = draw_image(3_001)
    images.append(np.concatenate([image, np.full((48, 64, 3), 100, "uint8")], axis=1))
    answers = model.detect(images)
    for answer, objects, factor in zip(answers, expected, (1, 2, 3), strict=False):
        found = sorted((*each.box, NAMES.index(each.label)) for each in answer)
        assert len(found) == len(objects)
        np.testing.assert_allclose(found, objects, atol=4 * factor)
    for one, answer in zip(images, answers, strict=True):
        same(model.detect(one), answer)
        assert (answer.boxes[:, 2:] <= [one.shape[1], one.shape[0]]).all()


def test_answers_are_iterated_counted_written_and_drawn(model):
    pytest.importorskip("matplotlib")
    image, _, _ = draw_image(3_000)
    answer = model.detect(image, threshold=0.2)
    assert len(answer) == len(list(answer)) == sum(answer.counts.values())
    written = json.loads(json.dumps(answer.to_dict()))
    assert [each["label"] for each in written["objects"]] == list(answer.labels)
    assert list(answer.scores) == sorted(answer.scores, reverse=True)
    assert len(answer.to_columns(1)["highest scores"].split(";")) == 1
    assert "data:image/png" in answer._repr_html_()
    assert model.detect(image, threshold=1.0).describe() == "none"
    assert len(model.detect(image, threshold=0.01, max_boxes=1)) == 1
    with pytest.raises(ValueError, match="A plot needs the image"):
        dataclasses.replace(answer, image=None).plot()


def test_objects_may_be_padded_named_and_in_other_formats():
    import tensorflow as tf

    model, split = make(), draw(4)
    xywh = [
        np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=-1)
        for boxes in split.boxes
    ]
    sizes = np.array([64, 48, 64, 48])
    names = [[NAMES[label] for label in labels] for labels in split.labels]
    padded = {
        "boxes": np.array([[*boxes, [-1] * 4] for boxes in split.boxes]),
        "labels": np.array([[*labels, -1] for labels in split.labels]),
    }
    forms = {
        "xyxy": [split.targets, padded],
        "xywh": [[{"boxes": b, "labels": n} for b, n in zip(xywh, names, strict=True)]],
        "rel_xyxy": [
            [{"boxes": b / sizes, "labels": n} for b, n in zip(split.boxes, names, strict=True)]
        ],
    }
    expected = model.evaluate(split.inputs, split.targets, verbose=0)
    for box_format, targets in forms.items():
        for each in targets:
            received = model.evaluate(split.inputs, each, bounding_box_format=box_format, verbose=0)
            np.testing.assert_allclose(received, expected, rtol=1e-5)
    dataset = split.batches(2)
    np.testing.assert_allclose(model.evaluate(dataset, verbose=0)[1], expected[1], rtol=1e-5)
    column = pd.Series(split.targets)
    np.testing.assert_allclose(model.evaluate(split.inputs, column, verbose=0), expected, rtol=1e-5)
    for label, sides in ((7, BOX[0]), (0, BOX[0][::-1])):
        wrong = {"boxes": np.array([[sides]] * 4, "float32"), "labels": np.full((4, 1), label)}
        batches = tf.data.Dataset.from_tensor_slices((np.stack(split.images), wrong)).batch(2)
        with pytest.raises(tf.errors.InvalidArgumentError, match="must have labels from 0 to 1"):
            model.evaluate(batches, verbose=0)


@pytest.mark.slow  # it compiles a training step
def test_images_without_objects_and_one_label_are_trained_on():
    model = make(label_names=("thing",))
    split = draw(4)
    none = {"boxes": [], "labels": []}
    targets = [{"boxes": b, "labels": ["thing"] * 2} for b in split.boxes[:3]]
    model.adapt(split.inputs)
    history = model.fit(split.inputs, [*targets, none], verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert np.isfinite(model.evaluate(split.inputs[:1], [none], verbose=0)).all()
    assert np.isfinite(model.predict(split.inputs)).all()


BOX = [[1.0, 1.0, 9.0, 9.0]]


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([{"boxes": BOX, "labels": ["cat"]}], "Unknown label at index 0"),
        ([{"boxes": BOX, "labels": [2]}], "indices from 0 to 1"),
        ([{"boxes": BOX, "labels": [0, 1]}], r"boxes \(n, 4\) and labels \(n,\)"),
        ([{"boxes": [[9.0, 1.0, 1.0, 9.0]], "labels": [0]}], "must be finite and have an area"),
        ([{"boxes": [[60.0, 40.0, 90.0, 44.0]], "labels": [0]}], "a box outside"),
        ([{"boxes": [[0.1, 0.2, 0.5, 0.9]], "labels": [0]}], "relative coordinates, as it seems"),
        ([{"boxes": BOX}], "dictionary with the keys 'boxes'"),
        ([], "objects for each image"),
        ([BOX], "Received: list at index 0"),
    ],
)
def test_objects_that_do_not_fit_are_refused(targets, message):
    model = make()
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit([np.zeros((48, 64, 3), "uint8")], targets, verbose=0)
    with pytest.raises(ValueError, match="bounding_box_format"):
        model.fit([np.zeros((48, 64, 3), "uint8")], [], bounding_box_format="xyhw")
    with pytest.raises(ValueError, match=r"boxes of a tf\.data\.Dataset must be 'xyxy'"):
        model.fit(draw(2).batches(2), bounding_box_format="xywh")
    for options in ({"threshold": 2.0}, {"max_boxes": 0}, {"iou_threshold": "a"}):
        with pytest.raises(ValueError, match=next(iter(options))):
            model.detect(np.zeros((48, 64, 3), "uint8"), **options)
    with pytest.raises(ValueError, match="`class_weight` is not supported"):
        model.fit([np.zeros((48, 64, 3), "uint8")], [], class_weight={0: 1.0})
    with pytest.raises(TypeError, match="uint8"):
        model.detect(np.zeros((48, 64, 3)))


def test_it_is_saved_whole(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras_attn.load(tmp_path / "model.keras")
    split = draw(3, 3)
    for answer, other in zip(model.detect(split.inputs), loaded.detect(split.inputs), strict=True):
        same(answer, other)
    assert (loaded.label_names, loaded.iou_threshold) == (NAMES, 0.5)


CLIENT = """
import sys
sys.modules["keras"] = sys.modules["keras_attn"] = sys.modules["tf_keras"] = None
import numpy as np, tensorflow as tf
serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
answers = serve(images=tf.constant(np.load(sys.argv[2])))
np.savez(sys.argv[3], **{name: value.numpy() for name, value in answers.items()})
for shape in ((0, 9, 9, 3), (1, 1, 1, 3)):
    assert serve(images=tf.zeros(shape, tf.uint8))["boxes"].shape[0] == shape[0]
for wrong in (tf.zeros((1, 9, 9, 4), tf.uint8), tf.zeros((9, 9, 3), tf.uint8)):
    try:
        serve(images=wrong)
    except (tf.errors.InvalidArgumentError, TypeError, ValueError):
        continue
    raise AssertionError(wrong.shape)
"""


@pytest.mark.slow
def test_its_saved_model_answers_without_keras(model, tmp_path):
    model.export(tmp_path / "1", max_boxes=20)
    images = np.stack(draw(3, 3, size=(90, 150), objects=3).images)
    np.save(tmp_path / "images.npy", images)
    files = [str(tmp_path / name) for name in ("1", "images.npy", "answers.npz")]
    subprocess.run([sys.executable, "-c", CLIENT, *files], check=True)
    served = np.load(tmp_path / "answers.npz", allow_pickle=True)
    for row, answer in enumerate(model.detect(images, max_boxes=20)):
        count = int(served["counts"][row])
        assert count == len(answer) > 0
        labels = [label.decode() for label in served["labels"][row]]
        assert labels == [*answer.labels, *[""] * (len(labels) - count)]
        np.testing.assert_allclose(served["boxes"][row, :count], answer.boxes, atol=0.02)
        np.testing.assert_allclose(served["scores"][row, :count], answer.scores, atol=1e-4)


@pytest.mark.parametrize("size", [(48, 64), (90, 150), (31, 7), (1, 1), (1, 500)])
def test_images_are_fitted_alike_in_graphs(size):
    images = np.random.default_rng(0).integers(0, 256, (2, *size, 3)).astype("uint8")
    expected = keras.ops.convert_to_numpy(fit_images(images, (48, 64)))
    received, factors = fit_images_in_graph(keras.ops.convert_to_tensor(images), (48, 64))
    np.testing.assert_allclose(received.numpy(), expected, atol=1e-3)
    height, width = fitted_size(*size, (48, 64))
    np.testing.assert_allclose(factors, [width / size[1], height / size[0]], rtol=1e-6)
    assert (expected[:, height:] == 127.5).all()
    assert (expected[:, :, width:] == 127.5).all()


def test_an_explanation_shows_what_the_object_depends_on(model):
    pytest.importorskip("matplotlib")
    image, _, _ = draw_image(3_002)
    explanation = model.explain(image)
    assert explanation.target == next(iter(model.detect(image)))
    # The square whose absence matters most is in the box of the object, or next to it.
    rows, columns = explanation.occlusion.shape
    row, column = np.unravel_index(explanation.occlusion.argmax(), (rows, columns))
    left, top, right, bottom = explanation.target.box
    side = 48 // 8
    assert left - side <= column * side <= right
    assert top - side <= row * side <= bottom
    (weights,) = explanation.attention.values()
    assert weights.shape == (3, 4)
    assert weights.sum() == pytest.approx(1.0, abs=1e-3)
    (agreement,) = explanation.agreement.values()
    assert -1.0 <= agreement <= 1.0
    json.dumps(explanation.to_dict())
    assert "agreement" in str(explanation)
    assert "data:image/png" in explanation.to_page()
    with pytest.raises(ValueError, match="no object 9 of disc"):
        model.explain(image, "disc", index=9)
    with pytest.raises(ValueError, match="Unknown label"):
        model.explain(image, "cat")


@pytest.mark.slow
def test_a_trained_backbone_gets_a_new_head(model):
    mine = make(label_names=("a", "b", "c"))
    assert mine.copy_backbone(model) == ["labels"]
    split = draw(2)
    ours, theirs = (each.predict(split.inputs)[..., -4:] for each in (mine, model))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    with pytest.raises(ValueError, match="does not fit that of the trained network"):
        make(head_filters=8).copy_backbone(model)


RECIPE = {
    "task": "object_detection",
    "description": "tiny",
    "dataset": "bccd",
    "architecture": "attention_detector",
    "model": {key: list(v) if isinstance(v, tuple) else v for key, v in SMALL.items()},
    "augmentation": {"zoom": 1.1, "shift": 0.1, "turn": True, "contrast": 0.1},
    "optimizer": {"name": "adamw", "learning_rate": 0.005},
    "training": {"epochs": 2, "batch_size": 8, "ema": 0.8},
}


@pytest.mark.slow
def test_a_recipe_trains_it_and_sets_the_thresholds(tmp_path):
    pytest.importorskip("pycocotools")
    run = training.train(parse_recipe(RECIPE), tmp_path, dataset=shapes(), verbose=0)
    thresholds = keras.ops.convert_to_numpy(run.model.score_thresholds)
    np.testing.assert_allclose(list(run.record["score_thresholds"].values()), thresholds)
    assert set(run.record["history"]) >= {
        "best_fit",
        "f1",
        "loss",
        "val_best_fit",
        "val_f1",
        "val_loss",
    }
    assert run.record["metrics"]["test"]["examples"] == 16
    description = recipes.describe_task("object_detection")
    columns = description.metric_columns(run.record["metrics"]["test"])
    assert {"mAP50", "disc", "square", "error of counts"} <= set(columns)
    page = "\n".join(description.card_results(parse_recipe(RECIPE), {"": [run.record]}))
    assert "AP50 of disc" in page
    pictures = run.model.example_answers(shapes()["validation"])
    assert [each.input.shape for each in pictures] == [(48, 64, 3)] * 3
