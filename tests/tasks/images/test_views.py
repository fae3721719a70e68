"""Several views of an image: which they are, and that all answers are by them."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import training
from keras_attn.tasks import from_architecture
from keras_attn.tasks.images.views import average_over_views


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
