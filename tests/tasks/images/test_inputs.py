"""What `fit`, `evaluate`, `predict` and the answers of an image classifier take."""

import keras
import numpy as np
import pytest

from keras_attn.tasks import ImageClassifier, from_architecture

NAMES = ("dark", "light", "red")
COLORS = np.array([[20, 20, 20], [230, 230, 230], [220, 30, 30]])
SIZES = [(32, 32), (40, 24), (9, 50), (64, 64), (32, 32), (31, 33)]
LABELS = np.array([0, 1, 2, 2, 1, 0])


def new_model() -> ImageClassifier:
    keras.utils.set_random_seed(0)
    model = from_architecture("small_attention_cnn", NAMES, filters=(4, 8), key_channels=4)
    model.adapt(IMAGES)
    return model


def draw(size, label):
    noise = np.random.default_rng(0).integers(-20, 21, (*size, 3))
    return (COLORS[label] + noise).clip(0, 255).astype("uint8")


IMAGES = [draw(size, label) for size, label in zip(SIZES, LABELS, strict=True)]


@pytest.fixture(scope="module")
def model():
    return new_model()


@pytest.fixture(scope="module")
def resized(model):
    """The images as the network reads them, resized by `preprocess` one by one."""
    return np.stack([np.asarray(model.preprocess(image)) for image in IMAGES])


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    from PIL import Image

    folder = tmp_path_factory.mktemp("images")
    for index, image in enumerate(IMAGES):
        Image.fromarray(image).save(folder / f"{index}.png")
    return [folder / f"{index}.png" for index in range(len(IMAGES))]


class Batches(keras.utils.PyDataset):
    """Batches of two images of one size, and their labels."""

    def __init__(self, images, labels, **kwargs):
        super().__init__(**kwargs)
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.images) // 2

    def __getitem__(self, index):
        rows = slice(2 * index, 2 * index + 2)
        return self.images[rows], self.labels[rows]


def test_lists_and_paths_of_any_size_are_read(model, resized, paths):
    expected = model.predict_on_batch(resized)
    mixed = [*IMAGES[:3], *map(str, paths[3:])]
    for images in (IMAGES, tuple(IMAGES), paths, mixed):
        np.testing.assert_allclose(model.predict(images, verbose=0), expected, atol=1e-4)
        np.testing.assert_allclose(model.logits(images, batch_size=4), expected, atol=1e-4)
    assert [a.label for a in model.classify(paths)] == [a.label for a in model.classify(IMAGES)]
    np.testing.assert_allclose(
        model.features(paths, batch_size=4), model.features(resized), atol=1e-4
    )


@pytest.mark.slow
def test_columns_of_pandas_are_read(model, resized, paths):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"image": list(map(str, paths)), "label": [NAMES[i] for i in LABELS]})
    table = table.iloc[::-1]  # whose index is no 0, 1, 2
    expected = model.predict_on_batch(resized)[::-1]
    np.testing.assert_allclose(model.predict(table["image"], verbose=0), expected, atol=1e-4)
    assert [a.label for a in model.classify(table["image"])] == [
        NAMES[index] for index in expected.argmax(-1)
    ]
    loss = model.evaluate(table["image"], table["label"], verbose=0)
    other = model.evaluate(table["image"], table["label"].astype("category"), verbose=0)
    assert loss == pytest.approx(model.evaluate(resized, LABELS, verbose=0), abs=1e-4) == other
    fitted = new_model()
    history = fitted.fit(
        table["image"],
        table["label"],
        validation_data=(table["image"], table["label"]),
        epochs=2,
        verbose=0,
    ).history
    assert history["val_loss"][-1] < loss[0]


@pytest.mark.slow
def test_fit_takes_labels_as_indices_or_names():
    losses = []
    for labels in (LABELS, LABELS.tolist(), [NAMES[i] for i in LABELS]):
        model = new_model()
        history = model.fit(IMAGES, labels, epochs=2, shuffle=False, verbose=0).history
        losses.append(history["loss"])
        assert losses[-1] == pytest.approx(losses[0], rel=1e-4)
        assert history["loss"][1] < history["loss"][0]


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (["dark", "light", "red", "red", "light", "green"], r"names in .*Received: 'green'\."),
        ([0, 1, 2, 2, 1, 3], r"integers from 0 to 2.*Received: 3\."),
        (np.array([0, 1, 2, 2, 1, -1]), r"integers from 0 to 2.*Received: -1\."),
    ],
)
def test_labels_that_the_model_does_not_have_are_refused(model, labels, match):
    for use in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=match):
            use(IMAGES, labels, verbose=0)
    with pytest.raises(ValueError, match=match):
        new_model().fit(IMAGES, LABELS, validation_data=(IMAGES, labels), verbose=0)


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("size", [(32, 32), (48, 20)])
def test_data_sets_of_tensorflow_are_read_with_indices_or_names(size):
    import tensorflow as tf

    model = new_model()
    images = np.stack([draw(size, label) for label in LABELS])
    names = [NAMES[label] for label in LABELS]
    expected = model.evaluate(images, LABELS, verbose=0)
    for labels in (LABELS, names):
        dataset = tf.data.Dataset.from_tensor_slices((images, labels)).batch(4)
        assert model.evaluate(dataset, verbose=0) == pytest.approx(expected, abs=1e-4)
        history = new_model().fit(dataset, validation_data=dataset, epochs=2, verbose=0).history
        assert history["val_loss"][-1] < expected[0]
    only = dataset.map(lambda images, _: images)
    np.testing.assert_allclose(
        model.predict(only, verbose=0), model.predict(images, verbose=0), atol=1e-4
    )
    wrong = tf.data.Dataset.from_tensor_slices((images, [*names[1:], "green"])).batch(4)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Labels must be names in"):
        model.evaluate(wrong, verbose=0)


@pytest.mark.slow
def test_batches_of_keras_are_read_with_indices_or_names(model):
    images = np.stack([draw((20, 44), label) for label in LABELS])
    expected = model.evaluate(images, LABELS, verbose=0)
    for labels in (LABELS, [NAMES[label] for label in LABELS]):
        batches = Batches(images, labels)
        assert model.evaluate(batches, verbose=0) == pytest.approx(expected, abs=1e-4)
        history = new_model().fit(batches, validation_data=batches, epochs=2, verbose=0).history
        assert history["val_loss"][-1] < expected[0]
    np.testing.assert_allclose(
        model.predict(batches, verbose=0), model.predict(images, verbose=0), atol=1e-4
    )


def test_weights_of_examples_are_taken(model):
    weights = [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]
    loss = model.evaluate(IMAGES, LABELS, sample_weight=np.array(weights), verbose=0)[0]
    only = model.evaluate(IMAGES[2:4], LABELS[2:4], verbose=0)[0]
    assert loss * 6 == pytest.approx(only * 2, rel=1e-4)


def test_floats_are_images_of_0_to_255(model, resized):
    np.testing.assert_allclose(
        model.predict(resized.astype("float64"), verbose=0), model.predict(resized, verbose=0)
    )
    scaled = resized / 255
    for use in (model.predict, model.logits, model.features, model.evaluate):
        with pytest.raises(ValueError, match=r"0\.\.255.*from 0 to 0\.\d+.*images \* 255"):
            use(scaled)
    with pytest.raises(ValueError, match=r"0\.\.255"):
        model.fit(scaled, LABELS)
    assert np.isfinite(model.logits(np.zeros((1, 32, 32, 3), "float32"))).all()  # a black image


def test_a_list_is_classified_in_batches(model, monkeypatch):
    sizes, original = [], model.predict_on_batch
    monkeypatch.setattr(model, "predict_on_batch", lambda x: sizes.append(len(x)) or original(x))
    answers = model.classify(IMAGES, batch_size=4)
    assert sizes == [4, 2]
    together = model.classify(IMAGES)
    assert sizes == [4, 2, 6]
    assert [a.label for a in answers] == [a.label for a in together]
    np.testing.assert_allclose([a.score for a in answers], [a.score for a in together], atol=1e-5)


@pytest.mark.tensorflow
@pytest.mark.parametrize("views", [1, 6])
def test_answers_trace_the_network_once(views):
    model, traced = new_model(), []
    original = model.network.call
    model.network.call = lambda *args, **kwargs: traced.append(1) or original(*args, **kwargs)
    images = np.stack([draw((32, 32), label) for label in LABELS])
    model.logits(images, views=views)
    model.classify(images[:4], views=views)  # of another size: from now on of any
    first = len(traced)
    for size in (1, 3, 5, 6):
        model.logits(images[:size], views=views)
        model.classify(images[:size], views=views)
    assert len(traced) == first <= 2


@pytest.mark.tensorflow
def test_data_sets_of_floats_in_0_to_1_or_of_single_images_are_refused(model, resized):
    import tensorflow as tf

    scaled = tf.data.Dataset.from_tensor_slices((resized / 255, LABELS))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"values in 0\.\.255"):
        model.evaluate(scaled.batch(3), verbose=0)
    with pytest.raises(ValueError, match=r"dataset\.batch"):
        model.evaluate(scaled, verbose=0)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_images_of_other_channels_are_refused_everywhere(model, channels):
    images = np.zeros((2, 32, 32, channels), "uint8")
    for use in (model.classify, model.logits, model.features, model.predict, model.evaluate):
        with pytest.raises(ValueError, match="3 channels"):
            use(images)


@pytest.mark.tensorflow
def test_images_of_tf_data_have_3_channels():
    import tensorflow as tf

    model = new_model()
    for channels in (1, 2, 4):
        images = np.zeros((2, 32, 32, channels), "uint8")
        dataset = tf.data.Dataset.from_tensor_slices((images, [0, 1])).batch(2)
        with pytest.raises(ValueError, match="3 channels"):
            model.fit(dataset, verbose=0)


@pytest.mark.slow
def test_photos_are_upright_wherever_they_are_read(model, tmp_path):
    from PIL import Image

    upright = IMAGES[1]  # (40, 24, 3)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    photo = tmp_path / "photo.png"
    Image.fromarray(np.rot90(upright).copy()).save(photo, exif=exif)
    expected = model.logits([upright])
    np.testing.assert_allclose(model.logits([photo]), expected, atol=1e-5)
    np.testing.assert_allclose(model.predict([str(photo)], verbose=0), expected, atol=1e-5)
    np.testing.assert_allclose(model.features([photo]), model.features([upright]), atol=1e-5)
    assert model.classify(photo) == model.classify(upright)
    np.testing.assert_array_equal(model.explain(photo).image, model.explain(upright).image)
    losses = [
        new_model().fit([image], [1], verbose=0).history["loss"] for image in (photo, upright)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    with Image.open(photo) as image:  # as Pillow opens it
        assert model.classify(image) == model.classify(upright)
        np.testing.assert_allclose(model.logits([image]), expected, atol=1e-5)


def test_the_size_of_files_is_limited(model, tmp_path, paths):
    from PIL import Image

    photo = tmp_path / "large.png"
    Image.new("RGB", (50, 40)).save(photo)
    for use in (model.classify, model.explain):
        with pytest.raises(ValueError, match=r"50 x 40 = 2,000 pixels.*max_pixels=2000"):
            use(photo, max_pixels=1999)
        assert use(photo, max_pixels=2000)
    limited = new_model()
    limited.max_pixels = 1999
    for use in (limited.logits, limited.predict, limited.classify, limited.features):
        with pytest.raises(ValueError, match="limit of 1,999"):
            use([photo])
    with pytest.raises(ValueError, match="limit of 1,999"):
        limited.fit([photo], [0], verbose=0)
    assert limited.classify(photo, max_pixels=2000)


def test_long_lists_are_resized_in_groups(model, resized, monkeypatch):
    from keras_attn.tasks.images import fitting

    monkeypatch.setattr(fitting, "GROUP_PIXELS", 1)
    np.testing.assert_allclose(model.preprocess_inputs(IMAGES), resized, atol=1e-4)


def test_a_group_of_large_images_is_resized_before_the_next_image_is_read(model, monkeypatch):
    """So that a list of photos needs the memory of one group."""
    from keras_attn.tasks.images import fitting

    events, read, resize = [], fitting.read_image, model._resize

    def recorded_read(image, limit):
        events.append("read")
        return read(image, limit)

    def recorded_resize(images):
        events.append(len(images))
        return resize(images)

    monkeypatch.setattr(fitting, "read_image", recorded_read)
    monkeypatch.setattr(model, "_resize", recorded_resize)
    images = [draw((40, 24), label) for label in (0, 1, 2)]
    assert model.preprocess_inputs(images).shape == (3, *model.image_shape)
    assert events == ["read", "read", "read", 3]
    events.clear()
    monkeypatch.setattr(fitting, "GROUP_PIXELS", 40 * 24 - 1)
    model.preprocess_inputs(images)
    assert events == ["read", "read", 1, "read", 1, 1]


@pytest.mark.parametrize(("value", "match"), [(300.0, "floats up to 300"), (6e4, "16 bits")])
def test_floats_above_255_are_refused(model, value, match):
    x = np.full((2, 8, 8, 3), value, "float32")
    for use in (model.logits, lambda x: model.fit(x, LABELS[:2], verbose=0)):
        with pytest.raises(ValueError, match=match):
            use(x)


def test_errors_of_images_are_returned_among_the_answers(model, tmp_path):
    image, gray = np.zeros((32, 32, 3), "uint8"), np.zeros((32, 32), "uint8")
    images = [image, tmp_path / "missing.png", image, gray]
    first, missing, second, wrong = model.answers(images, errors="return", batch_size=2)
    assert first == second == model.classify(image)
    assert isinstance(missing, FileNotFoundError) and isinstance(wrong, ValueError)
    with pytest.raises(FileNotFoundError, match=r"missing\.png"):
        model.answers(images)
    with pytest.raises(ValueError, match="'raise' or 'return'"):
        model.answers(images, errors="ignore")


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("convert", "match"),
    [
        (lambda x: x.astype("uint16") * 257, "uint8 or floats.*elements of uint16.*by 257"),
        (lambda x: x.astype("int64"), r"elements of int64.*tf.cast\(images, 'uint8'\)"),
        (lambda x: x > 128, "elements of bool.*Multiply booleans by 255"),
        (lambda x: x.astype("float32") * 257, "values in 0..255.*images / 257"),
    ],
)
def test_data_sets_of_other_values_are_refused(model, resized, convert, match):
    import tensorflow as tf

    x = convert(resized.astype("uint8"))
    batches = tf.data.Dataset.from_tensor_slices((x, LABELS)).batch(3)
    with pytest.raises((TypeError, tf.errors.InvalidArgumentError), match=match):
        model.evaluate(batches, verbose=0)


def test_images_of_zeros_and_ones_issue_a_warning(model, resized):
    with pytest.warns(UserWarning, match="uint8 with the values 0 and 1 alone"):
        model.classify((resized > 128).astype("uint8"))


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_images_of_pillow_with_16_bits_are_read_as_their_files(model, tmp_path, mode):
    from PIL import Image

    values = np.random.default_rng(0).integers(0, 65536, (32, 32)).astype("uint16")
    Image.fromarray(values).save(tmp_path / "gray.png")
    with Image.open(tmp_path / "gray.png") as file:
        image = file.copy()
    assert image.mode == "I;16"
    if mode != image.mode:
        image = Image.frombytes(mode, image.size, values.astype(">u2").tobytes())
    expected = model.logits([tmp_path / "gray.png"])
    np.testing.assert_array_equal(model.logits([image]), expected)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_images_of_pillow_without_a_range_are_refused(model, mode):
    from PIL import Image

    with pytest.raises(ValueError, match=f"one of mode '{mode}', whose range is not known"):
        model.classify(Image.new(mode, (32, 32), 70_000))


@pytest.mark.parametrize("columns", [1, 2])
def test_weights_may_be_a_column(model, columns):
    weights = np.linspace(0.1, 1.0, 6)
    expected = model.evaluate(IMAGES, LABELS, sample_weight=weights, verbose=0)
    column = weights[:, None] if columns == 2 else keras.ops.convert_to_tensor(weights)
    received = model.evaluate(IMAGES, LABELS[:, None], sample_weight=column, verbose=0)
    assert received == pytest.approx(expected)


def test_fit_without_adapt_issues_a_warning(monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", lambda self, *_, **__: self.optimizer.build([]))
    model = from_architecture("small_attention_cnn", NAMES, filters=(4, 8), key_channels=4)
    with pytest.warns(UserWarning, match=r"Call `adapt\(images\)` with the training images"):
        model.fit(IMAGES, LABELS, verbose=0)
    model.fit(IMAGES, LABELS, verbose=0)  # once is enough


def test_messages_name_the_shape_that_was_passed(model):
    batch = np.zeros((4, 40, 40, 3), "uint8")
    with pytest.raises(
        ValueError, match=r"Expected one image.*\(4, 40, 40, 3\), a batch.*images\["
    ):
        model.explain(batch)
    with pytest.raises(ValueError, match=r"Received: uint8 of shape \(4, 40, 40\)\. "):
        model.classify(batch[..., 0])
