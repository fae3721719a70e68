"""Several views of an image: which they are, and that all answers are by them."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import training
from keras_attn.recipes import RecipeError, parse_recipe
from keras_attn.tasks import from_architecture
from keras_attn.tasks.images.views import average_over_views
from tests.conftest import make_small_recipe


@pytest.fixture(scope="module")
def classifier(shapes):
    keras.utils.set_random_seed(0)
    model = from_architecture(
        "small_attention_cnn", shapes.label_names, filters=(4, 8), key_channels=4
    )
    model.adapt(shapes["train"].images)
    return model


def by_hand(logits, images, views):
    """Jordan's description, with NumPy."""

    def both(x):
        return (logits(x) + logits(x[:, :, ::-1])) / 2

    if views == 1:
        return logits(images)
    if views == 2:
        return both(images)
    wide = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    up_left, down_right = wide[:, :-2, :-2], wide[:, 2:, 2:]
    return both(images) / 2 + (both(up_left) + both(down_right)) / 4


@pytest.mark.parametrize("views", [1, 2, 6])
def test_views_are_those_of_numpy(views):
    random = np.random.default_rng(0)
    images = random.normal(size=(3, 6, 5, 2)).astype("float32")
    weights = random.normal(size=(6, 5, 2, 4)).astype("float32")  # every pixel counts
    received = average_over_views(
        lambda x: ops.einsum("bhwc,hwcn->bn", x, ops.convert_to_tensor(weights)),
        ops.convert_to_tensor(images),
        views,
    )
    expected = by_hand(lambda x: np.einsum("bhwc,hwcn->bn", x, weights), images, views)
    np.testing.assert_allclose(ops.convert_to_numpy(received), expected, atol=1e-4)


def test_another_number_of_views_is_refused(classifier, shapes):
    for ask in (classifier.classify, classifier.logits):
        with pytest.raises(ValueError, match=r"`views` must be 1.*2.*6.*Received: 3"):
            ask(shapes["test"].images[:2], views=3)


def test_classify_logits_and_evaluate_agree_on_the_views(classifier, shapes):
    split = shapes["test"]
    logits = classifier.logits(split.images, batch_size=7, views=6)
    answers = classifier.classify(split.images, views=6)
    labels = [classifier.label_names.index(answer.label) for answer in answers]
    assert labels == logits.argmax(-1).tolist()
    told = training.evaluate(classifier, split, views=6)
    assert told["views"] == 6
    assert told["views_accuracy"] == pytest.approx(np.mean(labels == split.labels))
    one = classifier.classify(split.images[0], views=6)
    assert one.score == pytest.approx(answers[0].score, abs=1e-5)
    plain = classifier.classify(split.images)
    assert any(abs(a.score - b.score) > 1e-4 for a, b in zip(answers, plain, strict=True))
    assert "views" not in training.evaluate(classifier, split)


@pytest.mark.tensorflow
def test_a_saved_model_averages_over_views(classifier, shapes, tmp_path):
    import tensorflow as tf

    classifier.export(tmp_path / "six", views=6)
    serve = tf.saved_model.load(str(tmp_path / "six")).signatures["serving_default"]
    images = shapes["test"].images[:4]
    received = serve(images=tf.constant(images))["probabilities"].numpy()
    for row, answer in zip(received, classifier.classify(images, views=6), strict=True):
        np.testing.assert_allclose(row, list(answer.probabilities.values()), atol=1e-5)
    with pytest.raises(ValueError, match="Received: 4"):
        classifier.export(tmp_path / "four", views=4)


def uncertain_rows(classifier, images, threshold):
    """Whether the score of each image is below a threshold, by the images themselves."""
    logits = classifier.logits(images).astype("float64")
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return shares.max(axis=1) < threshold


def middle_score(classifier, images):
    """A threshold that about half of the images are below."""
    logits = classifier.logits(images).astype("float64")
    return float(
        np.median((np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).max(axis=1))
    )


def test_further_views_are_those_of_uncertain_images_alone(classifier, shapes):
    split = shapes["test"]
    threshold = middle_score(classifier, split.images)
    uncertain = uncertain_rows(classifier, split.images, threshold)
    assert 0 < uncertain.sum() < len(uncertain)
    one, six = (classifier.logits(split.images, views=views) for views in (1, 6))
    expected = np.where(uncertain[:, None], six, one)
    options = {"views": 6, "views_threshold": threshold}
    for batch_size in (5, 256):
        received = classifier.logits(split.images, batch_size=batch_size, **options)
        np.testing.assert_allclose(received, expected, atol=1e-5)
    answers = classifier.classify(split.images, **options)
    assert [classifier.label_names.index(a.label) for a in answers] == list(expected.argmax(axis=1))
    metrics = training.evaluate(classifier, split, **options)
    assert metrics["views_share"] == pytest.approx(uncertain.mean())
    correct = expected.argmax(axis=1) == split.labels
    assert metrics["views_accuracy"] == pytest.approx(correct.mean())
    assert "views_share" not in training.evaluate(classifier, split, views=6)


@pytest.mark.tensorflow
def test_a_saved_model_selects_the_uncertain_images(classifier, shapes, tmp_path):
    tf = pytest.importorskip("tensorflow")
    images = shapes["test"].images
    threshold = middle_score(classifier, images)
    classifier.export(tmp_path / "m", views=6, views_threshold=threshold)
    serve = tf.saved_model.load(str(tmp_path / "m")).signatures["serving_default"]
    expected = classifier.classify(images, views=6, views_threshold=threshold)
    scores = serve(images=tf.constant(images))["score"].numpy()
    np.testing.assert_allclose(scores, [answer.score for answer in expected], atol=1e-4)
    certain = images[~uncertain_rows(classifier, images, threshold)]
    assert len(serve(images=tf.constant(certain))["label"]) == len(certain)  # no further views
    assert len(serve(images=tf.constant(images[:0]))["label"]) == 0


@pytest.mark.parametrize("threshold", [0.0, 1.5, float("nan"), "0.5", True, None])
def test_another_threshold_is_refused(classifier, shapes, threshold):
    images = shapes["test"].images[:2]
    for ask in (classifier.classify, classifier.logits):
        with pytest.raises(ValueError, match=r"`views_threshold` must be .*Received: "):
            ask(images, views=6, views_threshold=threshold)


def test_a_threshold_needs_several_views(classifier, shapes):
    images = shapes["test"].images[:2]
    with pytest.raises(ValueError, match=r"needs several views.*views=1.*views=6"):
        classifier.classify(images, views_threshold=0.5)
    with pytest.raises(ValueError, match="needs several views"):
        classifier.serving_function(views_threshold=0.5)
    recipe = make_small_recipe().model_dump()
    recipe["training"] |= {"views_threshold": 0.5}
    with pytest.raises(RecipeError, match="views_threshold: it needs views = 2 or views = 6"):
        parse_recipe(recipe)
