"""The task: images in, answers out; a Keras model in between."""

import keras
import numpy as np
import pytest

from keras_attn import datasets
from keras_attn.tasks import ImageClassifier, from_architecture

LABELS = datasets.describe_dataset("shapes").label_names


@pytest.fixture(scope="module")
def classifier(shapes):
    keras.utils.set_random_seed(0)
    model = from_architecture("small_attention_cnn", LABELS, filters=(4, 8), key_channels=4)
    model.adapt(shapes["train"].images)
    return model


def test_answers_are_the_softmax_of_the_logits(classifier, shapes):
    images = shapes["test"].images[:5]
    logits = classifier.predict(images, verbose=0)
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    expected = exponentials / exponentials.sum(-1, keepdims=True)
    answers = classifier.classify(images)
    for answer, row in zip(answers, expected, strict=True):
        assert answer.label == LABELS[row.argmax()]
        assert answer.score == pytest.approx(row.max(), abs=1e-5)
        assert list(answer.probabilities) == list(LABELS)
        np.testing.assert_allclose(list(answer.probabilities.values()), row, atol=1e-5)


def test_the_number_of_classes_is_that_of_the_labels():
    with pytest.raises(ValueError, match=r"leave out `num_classes`.*num_classes=5"):
        from_architecture("small_attention_cnn", LABELS, num_classes=5)


def test_a_single_image_gives_a_single_answer(classifier, shapes):
    image = shapes["test"].images[0]
    assert classifier.classify(image) == classifier.classify(image[None])[0]


def test_batches_do_not_depend_on_their_size(classifier, shapes):
    images = shapes["test"].images[:7]
    one, many = classifier.classify(images, batch_size=2), classifier.classify(images)
    assert [a.label for a in one] == [b.label for b in many]
    np.testing.assert_allclose([a.score for a in one], [b.score for b in many], atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 3), (31, 77, 3), (200, 150, 3)])
def test_images_of_any_size_are_labelled(classifier, shape):
    assert classifier.classify(np.full(shape, 90, "uint8")).label in LABELS


def test_an_enlarged_image_gets_nearly_the_same_answer(classifier, shapes):
    image = shapes["test"].images[3]
    enlarged = np.repeat(np.repeat(image, 4, axis=0), 4, axis=1)
    small, large = classifier.classify(image), classifier.classify(enlarged)
    for label in LABELS:
        assert small.probabilities[label] == pytest.approx(large.probabilities[label], abs=0.05)


def test_paths_and_lists_of_both_are_labelled(classifier, shapes, tmp_path):
    from PIL import Image

    image = shapes["test"].images[0]
    Image.fromarray(image).save(tmp_path / "image.png")
    expected = classifier.classify(image)
    assert classifier.classify(tmp_path / "image.png") == expected
    assert classifier.classify(str(tmp_path / "image.png")) == expected
    mixed = classifier.classify([tmp_path / "image.png", image[:20]])
    assert mixed[0] == expected
    assert len(mixed) == 2


def test_an_empty_batch_gives_no_answers(classifier):
    assert classifier.classify(np.zeros((0, 32, 32, 3), "uint8")) == []
    assert classifier.classify([]) == []


@pytest.mark.parametrize(
    ("images", "error", "match"),
    [
        (np.zeros((32, 32, 3), "float32"), TypeError, r"images \* 255"),
        (np.full((2, 32, 32, 3), 255), TypeError, r"int64 of.*images\.astype\('uint8'\)\.$"),
        (np.zeros((32, 32, 3), "float32"), TypeError, r"0\.\.255 with images\.round\(\)"),
        (np.zeros((32, 32, 3), bool), TypeError, r"images\.astype\('uint8'\) \* 255\.$"),
        (b"\x89PNG", TypeError, r"bytes, 4 of them.*decode_image\(path\).*tf\.io\.decode_image"),
        ([b"\x89PNG"], TypeError, r"decode_image\(path\).*tf\.io\.decode_image"),
        (5, TypeError, "image of Pillow"),
        (np.zeros((9, 32, 32), "uint8"), ValueError, r"np\.repeat\(images\[\.\.\., None\]"),
        (np.zeros((32, 32), "uint8"), ValueError, "height, width, 3"),
        (np.zeros((32, 32, 1), "uint8"), ValueError, "Repeat a gray image"),
        (np.zeros((32, 32, 4), "uint8"), ValueError, "Drop the alpha"),
        (np.zeros((2, 3, 32, 32), "uint8"), ValueError, "Put the channels last"),
        (np.zeros((0, 5, 3), "uint8"), ValueError, r"\(0, 5, 3\)"),
    ],
)
def test_what_is_no_uint8_rgb_image_is_refused(classifier, images, error, match):
    with pytest.raises(error, match=match):
        classifier.classify(images)


def test_batches_of_gray_images_without_channels_are_refused_with_a_remedy(classifier):
    images = np.zeros((2, 32, 32), "uint8")
    with pytest.raises(ValueError, match=r"np\.repeat\(images\[\.\.\., None\], 3, axis=-1\)"):
        classifier.logits(images)
    with pytest.raises(ValueError, match=r"images\[None\]"):
        classifier.logits(np.zeros((32, 32, 3), "uint8"))


def test_labels_must_fit_the_network(classifier):
    with pytest.raises(ValueError, match="3 names for 4 outputs"):
        ImageClassifier(classifier.network, LABELS[:3])


def test_nothing_is_learned_of_no_images(classifier):
    with pytest.raises(ValueError, match="needs images"):
        classifier.adapt(np.zeros((0, 32, 32, 3), "uint8"))


def test_it_saves_and_loads_as_a_keras_model(classifier, shapes, tmp_path):
    classifier.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.label_names == classifier.label_names
    images = shapes["test"].images
    np.testing.assert_array_equal(
        again.predict(images, verbose=0), classifier.predict(images, verbose=0)
    )


@pytest.mark.slow
def test_it_fits_and_evaluates_as_it_comes(shapes):
    keras.utils.set_random_seed(1)
    model = from_architecture("small_attention_cnn", LABELS, filters=(8, 16), pool="max")
    split = shapes["train"]
    model.adapt(split.images)
    before = model.evaluate(split.images, split.labels, verbose=0)[0]
    model.fit(split.batches(32), epochs=4, shuffle=False, verbose=0)
    loss, accuracy = model.evaluate(split.images, split.labels, verbose=0)
    assert loss < before
    assert accuracy == pytest.approx(
        np.mean(model.predict(split.images, verbose=0).argmax(-1) == split.labels)
    )


@pytest.mark.tensorflow
def test_preprocess_maps_over_a_dataset(classifier, shapes):
    import tensorflow as tf

    images = np.repeat(shapes["test"].images[:4], 2, axis=1)
    dataset = tf.data.Dataset.from_tensor_slices((images, shapes["test"].labels[:4])).batch(2)
    batches = list(dataset.map(classifier.preprocess))
    assert [tuple(x.shape) for x, _ in batches] == [(2, 32, 32, 3)] * 2
    assert np.concatenate([y for _, y in batches]).tolist() == shapes["test"].labels[:4].tolist()


def test_images_of_the_right_size_are_not_changed_by_preprocess(classifier, shapes):
    images = shapes["test"].images[:2]
    np.testing.assert_array_equal(np.asarray(classifier.preprocess(images)), images)
