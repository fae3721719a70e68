"""What `fit`, `evaluate` and calls take for all tasks, and what they say of the rest."""

import pathlib

import keras
import numpy as np
import pandas as pd
import pytest

from keras_attn.recipes import tasks
from keras_attn.tasks import from_architecture

pytestmark = [
    pytest.mark.tensorflow,
    # Keras says so of every generator without `steps_per_epoch`.
    pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning"),
]

NAMES = ("bad", "good")
TEXTS = ["a fine film", "so fine", "a dull film", "so dull"]
LABELS = np.array([1, 1, 0, 0])
STRINGS = [NAMES[label] for label in LABELS]
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("uint8")
TARGETS = ["un bon film", "si bon", "un film nul", "si nul"]


def texts_model():
    keras.utils.set_random_seed(0)
    model = from_architecture("ngram_attention", NAMES, vocabulary_sizes=(50, 50))
    model.adapt(TEXTS, LABELS)
    return model


def images_model():
    keras.utils.set_random_seed(0)
    model = from_architecture("small_attention_cnn", NAMES, filters=(4, 8), key_channels=4)
    model.adapt(IMAGES)
    return model


def pairs_model():
    keras.utils.set_random_seed(0)
    model = from_architecture("recurrent_translator", vocabulary_size=300, model_dim=8, units=8)
    model.adapt(TEXTS * 5, TARGETS * 5)
    return model


MODELS = {"texts": texts_model, "images": images_model, "pairs": pairs_model}
INPUTS = {"texts": TEXTS, "images": IMAGES, "pairs": TEXTS}
OUTPUTS = {"texts": STRINGS, "images": STRINGS, "pairs": TARGETS}


@pytest.fixture(scope="module")
def models():
    return {name: make() for name, make in MODELS.items()}


@pytest.mark.slow
@pytest.mark.parametrize("task", MODELS)
def test_validation_data_may_be_a_list(models, task):
    x, y = INPUTS[task], OUTPUTS[task]
    results = [
        models[task].fit(x, y, validation_data=validation, epochs=1, verbose=0).history["val_loss"]
        for validation in ([x, y], (x, y))
    ]
    assert np.isfinite(results).all()


@pytest.mark.slow
@pytest.mark.parametrize("task", MODELS)
def test_generators_of_raw_batches_are_read(models, task):
    x, y = INPUTS[task], OUTPUTS[task]

    def batches():
        for rows in (slice(0, 3), slice(3, 4)):
            yield list(x[rows]), y[rows]

    model = models[task]
    expected = (
        model.evaluate([*x[:3]], y[:3], verbose=0)[0],
        model.evaluate([*x[3:]], y[3:], verbose=0)[0],
    )
    one = model.evaluate(((list(x[:3]), y[:3]) for _ in range(1)), verbose=0)[0]
    assert one == pytest.approx(expected[0], rel=1e-4)
    assert np.isfinite(model.evaluate(batches(), verbose=0)).all()
    history = model.fit(batches(), validation_data=batches(), verbose=0).history
    assert np.isfinite([*history["loss"], *history["val_loss"]]).all()


def test_generators_may_yield_a_list_of_texts(models):
    batches = (TEXTS[rows] for rows in (slice(0, 3), slice(3, 4)))
    logits = models["texts"].predict(batches, verbose=0)
    np.testing.assert_allclose(logits, models["texts"].logits(TEXTS), atol=1e-5)


@pytest.mark.parametrize("task", MODELS)
def test_data_loaders_of_torch_are_refused_with_a_remedy(models, task):
    loader_type = type("DataLoader", (), {"__module__": "torch.utils.data.dataloader"})
    for use in (models[task].fit, models[task].evaluate, models[task].predict):
        with pytest.raises(TypeError, match=r"DataLoader of torch.*generator of its batches"):
            use(loader_type())
    with pytest.raises(TypeError, match=r"DataLoader of torch"):
        models[task].fit(INPUTS[task], OUTPUTS[task], validation_data=loader_type(), verbose=0)


def test_epoch_hooks_of_a_pydataset_are_called(models):
    class Batches(keras.utils.PyDataset):
        begins, ends = 0, 0

        def __len__(self):
            return 1

        def __getitem__(self, index):
            return TEXTS, STRINGS

        def on_epoch_begin(self):
            self.begins += 1

        def on_epoch_end(self):
            self.ends += 1

    batches = Batches()
    models["texts"].fit(batches, epochs=2, verbose=0)
    assert batches.begins == 2
    assert batches.ends >= 2


@pytest.mark.slow
@pytest.mark.parametrize("task", MODELS)
def test_data_sets_without_shapes_are_read(models, task):
    import tensorflow as tf

    x, y = INPUTS[task], OUTPUTS[task]
    kind = tf.uint8 if task == "images" else tf.string
    dataset = tf.data.Dataset.from_generator(lambda: iter([(x, y)]), output_types=(kind, tf.string))
    expected = models[task].evaluate(x, y, verbose=0)
    assert models[task].evaluate(dataset, verbose=0) == pytest.approx(expected, rel=1e-4)
    assert np.isfinite(models[task].fit(dataset, verbose=0).history["loss"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("task", ["texts", "images"])
def test_labels_and_weights_without_shapes_are_read_or_refused(models, task):
    import tensorflow as tf

    x, kind = INPUTS[task], tf.uint8 if task == "images" else tf.string
    weights = np.array([1.0, 0.0, 0.0, 0.0], "float32")
    dataset = tf.data.Dataset.from_generator(
        lambda: iter([(x, LABELS, weights)]), output_types=(kind, tf.int64, tf.float32)
    )
    loss = models[task].evaluate(dataset, verbose=0)[0]
    assert 4 * loss == pytest.approx(
        models[task].evaluate(x[:1], LABELS[:1], verbose=0)[0], rel=1e-4
    )
    floats = tf.data.Dataset.from_generator(
        lambda: iter([(x, np.eye(2)[LABELS])]), output_types=(kind, tf.float32)
    )
    with pytest.raises(ValueError, match="output_signature"):
        models[task].fit(floats, verbose=0)


@pytest.mark.parametrize("task", MODELS)
def test_elements_that_are_dictionaries_or_too_long_are_refused(models, task):
    import tensorflow as tf

    x, y = INPUTS[task], OUTPUTS[task]
    by_name = tf.data.Dataset.from_tensor_slices({"text": x, "label": y}).batch(2)
    with pytest.raises(ValueError, match=r"keys 'text', 'label'.*element\['text'\].*as_supervised"):
        models[task].fit(by_name, verbose=0)
    long = tf.data.Dataset.from_tensor_slices((x, y, y, y)).batch(2)
    with pytest.raises(ValueError, match=r"4 parts"):
        models[task].fit(long, verbose=0)
    with pytest.raises(ValueError, match=r"dataset\.batch|batches"):
        models[task].fit(tf.data.Dataset.from_tensor_slices((x, y)), verbose=0)


@pytest.mark.parametrize("task", ["texts", "images"])
def test_inputs_without_labels_are_refused(models, task):
    import tensorflow as tf

    alone = tf.data.Dataset.from_tensor_slices(INPUTS[task]).batch(2)
    for use in (models[task].fit, models[task].evaluate):
        for x in (INPUTS[task], alone):
            with pytest.raises(ValueError, match=rf"must be a label for each of the {task}"):
                use(x, verbose=0)


@pytest.mark.parametrize("task", ["texts", "images"])
def test_labels_of_validation_data_are_checked(models, task):
    x, y = INPUTS[task], OUTPUTS[task]
    for validation in ((x,), (x, None), [x, None, np.ones(4)]):
        with pytest.raises(ValueError, match=rf"label for each.*validation_data=\({task}, labels"):
            models[task].fit(x, y, validation_data=validation, verbose=0)
    with pytest.raises(ValueError, match=r"in `validation_data`.*shape \(4, 2\).*argmax"):
        models[task].fit(x, y, validation_data=(x, np.eye(2)[LABELS]), verbose=0)


STRINGS_OF_PANDAS = "a list, tuple, array or column of pandas of strings"
REFUSALS = {
    "texts": f"^`texts` must be {STRINGS_OF_PANDAS}.* Received: ",
    "images": r"^Images must (be a uint8 array|have shape) \(height, width, 3\).* Received: ",
    "pairs": f"^`sources` must be {STRINGS_OF_PANDAS}.* Received: ",
}


@pytest.mark.parametrize("task", MODELS)
@pytest.mark.parametrize(
    "x", [{"text": TEXTS}, {"a", "b"}, 5, None, object(), [None], [5], [("a", 1)]]
)
def test_what_is_no_input_is_refused_by_its_type(models, task, x):
    model = models[task]
    answers = model.translate if task == "pairs" else model.classify
    errors = (TypeError, ValueError) if task == "images" else TypeError
    for use, message in (
        (lambda x: model.fit(x, OUTPUTS[task], verbose=0), REFUSALS[task]),
        (answers, REFUSALS[task].replace("sources", "texts")),
    ):
        with pytest.raises(errors, match=message):
            use(x)


@pytest.mark.parametrize(
    "x", [["a", None], ["a", float("nan")], np.array(["a", None]), ["a", pd.NA], ["a", pd.NaT]]
)
def test_missing_texts_are_named_with_a_remedy(models, x):
    for use in (models["texts"].classify, models["texts"].logits, models["pairs"].translate):
        with pytest.raises(TypeError, match=r"as element 1\. Replace what is missing by \"\""):
            use(x)


def test_one_text_is_refused_by_the_name_of_its_argument(models):
    with pytest.raises(TypeError, match=r"`sources` must be a list.*one string: 'a'.*into a list"):
        models["pairs"].encode("a", ["b"])
    with pytest.raises(TypeError, match=r"`targets` must be .*shape \(\)\. Put a single text into"):
        models["pairs"].encode(["a"], np.array("b"))


def test_tables_of_pandas_are_refused_and_columns_read(models):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"text": TEXTS, "label": STRINGS})
    for x in (table, table[["text"]]):
        with pytest.raises(
            TypeError, match=r"shape \(4, \d\).*one column, such as table\['text'\]"
        ):
            models["texts"].fit(x, table["label"], verbose=0)
    assert len(models["texts"].classify(table["text"])) == 4


def test_calls_take_raw_inputs_outside_of_graphs(models):
    texts, images = models["texts"], models["images"]
    expected = texts.logits(TEXTS)
    for x in (TEXTS, tuple(TEXTS), np.array(TEXTS), np.array(TEXTS, object)):
        np.testing.assert_allclose(np.asarray(texts(x)), expected, atol=1e-5)
    larger = IMAGES.repeat(2, axis=1)
    np.testing.assert_allclose(np.asarray(images(list(larger))), images.logits(larger), atol=1e-5)
    with pytest.raises(TypeError, match=r"encode.*translate\(texts\).*list"):
        models["pairs"](TEXTS)
    for wrong in ("a film", np.array([["a film"]]), np.array([["a film"]], object)):
        with pytest.raises(TypeError, match=r"into a list|one column"):
            texts(wrong)
    pillow = pytest.importorskip("PIL.Image").new("RGB", (32, 32))
    for one in ("a.png", pathlib.Path("a.png"), pillow):
        with pytest.raises(TypeError, match="Put the image in a list"):
            images(one)
    with pytest.raises(ValueError, match=r"0\.\.255"):
        images(IMAGES / 255)
    for channels in (1, 2, 4):
        with pytest.raises(ValueError, match="3 channels"):
            images(keras.ops.zeros((2, 32, 32, channels), "uint8"))


@pytest.mark.slow
def test_class_weights_change_steps_as_weights_of_examples_do():
    import tensorflow as tf

    weights = {"good": 3.0}
    of_examples = np.where(LABELS == 1, 3.0, 1.0)
    models = [texts_model() for _ in range(3)]
    models[0].fit(TEXTS, STRINGS, sample_weight=of_examples, shuffle=False, verbose=0)
    models[1].fit(TEXTS, STRINGS, class_weight=weights, shuffle=False, verbose=0)
    dataset = tf.data.Dataset.from_tensor_slices((TEXTS, STRINGS)).batch(4)
    models[2].fit(dataset, class_weight=weights, verbose=0)
    for model in models[1:]:
        np.testing.assert_allclose(model.logits(TEXTS), models[0].logits(TEXTS), atol=1e-4)


@pytest.mark.parametrize(
    "weights",
    [
        {0: 1.0, 1: 3.0}, {"good": 3.0}, {" good": 3}, {np.int64(1): 3}, [1, 3.0],
        np.array([1.0, 3.0]),
    ],
)  # fmt: skip
def test_class_weights_are_by_index_or_name(models, weights):
    assert models["texts"]._class_weights(weights, None) == {0: 1.0, 1: 3.0}


@pytest.mark.parametrize("task", ["texts", "images"])
def test_balanced_class_weights_are_those_of_the_training_labels(monkeypatch, task):
    x, y = INPUTS[task], ["good", "good", "good", "bad"]
    model = MODELS[task]()
    weights = []

    def fit(self, *args, **kwargs):
        weights.append(kwargs["class_weight"])

    monkeypatch.setattr(keras.Model, "fit", fit)
    for labels in (y, np.array([1, 1, 1, 0])):
        model.fit(x, labels, class_weight="balanced", verbose=0)
        assert weights[-1] == {0: pytest.approx(2.0), 1: pytest.approx(2 / 3)}
    model.fit(x, y, class_weight="balanced", validation_split=0.25, verbose=0)
    assert weights[-1] == {0: 1.0, 1: 0.5}  # none of the first three is bad
    with pytest.raises(ValueError, match=r'class_weight="balanced"` needs the labels'):
        model.fit(((x, y) for _ in range(1)), class_weight="balanced", verbose=0)


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        ({"fine": 1.0}, r"Unknown label in `class_weight`.*'fine'"),
        ({2: 1.0}, r"Unknown label in `class_weight`.*received 2"),
        ({True: 1.0}, "Unknown label"),
        ({0: -1.0}, "finite numbers of at least 0"),
        ({0: float("nan")}, "finite numbers of at least 0"),
        ({0: "1"}, "finite numbers of at least 0"),
        ({0: True}, "finite numbers of at least 0"),
        ({0: 1.0, "bad": 2.0}, r"one weight per label.*two for 'bad'"),
        ([1.0], r"each of the 2 labels.*1 weight\."),
        ("equal", "dictionary from labels"),
    ],
)
def test_other_class_weights_are_refused(models, weights, match):
    with pytest.raises(ValueError, match=match):
        models["texts"].fit(TEXTS, LABELS, class_weight=weights, verbose=0)


@pytest.mark.slow
def test_weights_are_refused_for_pairs(models):
    for name in ("sample_weight", "class_weight", "validation_split"):
        with pytest.raises(ValueError, match=rf"`{name}` is not supported for pairs.*Received: \["):
            models["pairs"].fit(TEXTS, TARGETS, verbose=0, **{name: [1.0] * 4})
    with pytest.raises(ValueError, match=r"0\.5\. Pass validation_data=\(sources, targets\)"):
        models["pairs"].fit(TEXTS, TARGETS, verbose=0, validation_split=0.5)
    model = pairs_model()
    assert model.fit(TEXTS, TARGETS, verbose=0, validation_split=0.0).history["loss"]


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (np.eye(2)[LABELS], r"shape \(4, 2\).*argmax.*CategoricalCrossentropy"),
        (np.eye(2, dtype=int)[LABELS], r"shape \(4, 2\).*argmax"),
    ],
)
def test_distributions_are_refused_where_the_loss_takes_indices(models, labels, match):
    for task in ("texts", "images"):
        with pytest.raises(ValueError, match=match):
            models[task].fit(INPUTS[task], labels, verbose=0)


@pytest.mark.slow
def test_labels_may_be_a_column_whole_floats_or_distributions():
    x = TEXTS
    model = texts_model()
    expected = model.evaluate(x, LABELS, verbose=0)
    assert model.evaluate(x, LABELS.astype("float64"), verbose=0) == pytest.approx(expected)
    column = texts_model().evaluate(x, LABELS[:, None], verbose=0)
    assert column == pytest.approx(expected, rel=1e-5)
    model = texts_model()
    model.compile("adam", keras.losses.CategoricalCrossentropy(from_logits=True))
    loss, *_ = model.evaluate(x, np.eye(2)[LABELS], verbose=0)
    assert loss == pytest.approx(expected[0], rel=1e-5)


@pytest.mark.parametrize("batch_size", [-1, 0, 2.5, True])
@pytest.mark.parametrize("task", MODELS)
def test_batch_sizes_below_1_are_refused(models, task, batch_size):
    model, x = models[task], INPUTS[task]
    if task == "pairs":
        uses = [(use, (x, TARGETS)) for use in (model.score, model.logits)]
        uses += [(use, (x,)) for use in (model.translate, model.answers)]
    else:
        uses = [(use, (x,)) for use in (model.classify, model.answers, model.logits)]
        uses += [(model.features, (x,)), (model.probabilities, (x,)), (model.classify, (x[0],))]
    for use, arguments in uses:
        with pytest.raises(ValueError, match=r"`batch_size` must be an integer of at least 1"):
            use(*arguments, batch_size=batch_size)


@pytest.mark.parametrize("task", MODELS)
def test_answers_take_several_inputs_and_not_one(models, task):
    one = "photo.png" if task == "images" else TEXTS[0]
    with pytest.raises(TypeError, match=r"in(to)? a list"):
        models[task].answers(one)
    assert len(models[task].answers(tuple(INPUTS[task]))) == 4


def test_every_task_has_a_model_here(models):
    names = {model.description.name for model in models.values()}
    # They have their own tests; arrays of sounds need a rate.
    own_tests = {"multi_label_text_classification", "audio_classification"}
    own_tests |= {"forecasting", "text_generation", "object_detection"}
    assert names == set(tasks.BUILT_IN) - own_tests


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict", "report"])
@pytest.mark.parametrize("empty", [[], np.zeros(0, object)], ids=["list", "array"])
def test_no_texts_at_all_are_refused(method, empty):
    model = texts_model()
    arguments = (empty,) if method == "predict" else (empty, empty)
    with pytest.raises(ValueError, match=r"at least one of the texts.*an empty (list|ndarray)"):
        getattr(model, method)(*arguments)


def test_no_images_at_all_are_refused():
    model = images_model()
    with pytest.raises(ValueError, match="at least one of the images"):
        model.fit(IMAGES[:0], LABELS[:0])
    with pytest.raises(ValueError, match="at least one of the images"):
        model.fit(IMAGES, LABELS, validation_data=(IMAGES[:0], LABELS[:0]))


def test_adapt_after_fit_issues_a_warning():
    model = texts_model()
    model.fit(TEXTS, LABELS, verbose=0)
    with pytest.warns(UserWarning, match=r"`adapt` replaces .* build a new model"):
        model.adapt(TEXTS, LABELS)
