"""Labels are names: what a column, an array or a file holds finds its name or its index."""

import json

import keras
import numpy as np
import pytest

from keras_attn import tasks
from keras_attn._label_names import label_name
from keras_attn.batching import EvaluationBatches, prepare_batches
from keras_attn.datasets import TextSplit
from keras_attn.tasks._labels import normalize_label_names

pd = pytest.importorskip("pandas")
TEXTS = ["a fine film", "fine", "a dull film", "dull"]


def classifier(label_names):
    return tasks.from_architecture("ngram_attention", label_names, vocabulary_sizes=(50, 50))


@pytest.fixture(scope="module")
def digits():
    """A classifier with the label names "0" and "1"."""
    return classifier(np.unique([0, 1, 1]))


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (1, "1"), (1.0, "1"), ("1.0", "1"), ("1.000", "1"), (" 1 ", "1"), (np.float32(1), "1"),
        (np.int64(7), "7"), (b"1.0", "1"), (-0.0, "0"), ("-0.0", "0"), ("-2.0", "-2"),
        (0.5, "0.5"), (np.float32(0.1), "0.1"), ("1.10", "1.10"), ("1.", "1."), ("v1.0", "v1.0"),
        (True, "true"), ("True", "true"), ("TRUE", "true"), (np.bool_(False), "false"),
        ("cafe\u0301", "caf\u00e9"), ("好", "好"),
        (None, ""), (float("nan"), ""), (np.float64("nan"), ""), (pd.NA, ""), (pd.NaT, ""),
    ],
)  # fmt: skip
def test_equal_labels_have_equal_names(value, name):
    assert label_name(value) == name
    assert label_name(label_name(value)) == name


@pytest.mark.parametrize(
    "labels",
    [
        [0, 1, 1, 0],
        [0.0, 1.0, 1.0, 0.0],
        ["0", "1", "1", "0"],
        ["0.0", "1.0", "1", "0"],
        [b"0", b"1", b"1", b"0"],
        [False, True, True, False],
        (0, 1, 1, 0),
        np.array([0, 1, 1, 0], "uint8"),
        np.array([0, 1, 1, 0], "float32"),
        np.array([0, 1.0, 1, 0], object),
        np.array(["0", "1.0", "1", "0"]),
        pd.Series([0, 1, 1, 0]),
        pd.Series([0.0, 1.0, 1.0, 0.0], index=[9, 8, 7, 6]),
        pd.Series(["0.0", "1.0", "1.0", "0.0"]),
        pd.Series([0, 1, 1, 0], dtype="Int64"),
        pd.Series([0, 1, 1, 0], dtype="category"),
        pd.Series(["0", "1", "1", "0"], dtype="string"),
        pd.Series([False, True, True, False], dtype="boolean"),
    ],
)
def test_labels_0_and_1_of_every_type_give_their_indices(digits, labels):
    indices = digits.preprocess_targets(labels)
    assert np.issubdtype(indices.dtype, np.integer)
    assert indices.tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("names", "labels", "indices"),
    [
        (("true", "false"), [True, False], [0, 1]),
        (("True", "False"), [True, False], [0, 1]),
        (("no", "yes"), [False, True], [0, 1]),
        (("1.0", "2.0"), ["2", "1.0"], [1, 0]),
        (("1", "1.0"), ["1", "1.0"], [0, 1]),
        (("cafe\u0301", "th\u00e9"), ["caf\u00e9", "the\u0301"], [0, 1]),
    ],
)
def test_names_may_be_spelled_in_any_form(names, labels, indices):
    assert classifier(names).preprocess_targets(labels).tolist() == indices


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 2], r"integers from 0 to 1\. Received: 2"),
        ([0.0, 2.0], r"Received: 2"),
        ([0, -1], r"Received: -1"),
        ([0.0, 0.5], r"Received: 0\.5"),
        ([0.0, float("nan")], r"Received: nan\. A label is missing: leave out its row"),
        (["0", None], r"Received: None among names\. A label is missing"),
        (pd.Series([0, pd.NA], dtype="Int64"), r"A label is missing"),
        (np.array(["0", 1], object), r"Received: 1 among names.*the name as a string: '1'"),
        (["0", "two"], r"Received: 'two'"),
    ],
)
def test_invalid_labels_are_refused(digits, labels, message):
    with pytest.raises(ValueError, match=f"Labels must be names in .*{message}"):
        digits.preprocess_targets(labels)


def test_an_integer_that_is_a_name_but_no_index_says_so():
    with pytest.raises(ValueError, match="Integers are indices; give the name as a string: '5'"):
        classifier(("none", "5")).preprocess_targets([1, 5])


def test_distributions_are_left_as_they_are(digits):
    for labels in (np.array([[0.5, 0.5], [1, 0]]), np.array([[0, 1], [1, 0]])):
        assert digits.preprocess_targets(labels) is labels


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (np.unique(["b", "a"]), ("a", "b")),
        (np.unique([1, 0]), ("0", "1")),
        (np.unique([1.0, 0.0]), ("0", "1")),
        (np.unique([True, False]), ("false", "true")),
        (np.unique(np.array(["b", "a"], object)), ("a", "b")),
        (pd.Series([0, 1, 0]).unique(), ("0", "1")),
        (pd.Index([0, 1]), ("0", "1")),
        (np.unique([b"b", b"a"]), ("a", "b")),
    ],
)
def test_label_names_are_strings(values, names):
    found = normalize_label_names(values)
    assert found == names
    assert {type(name) for name in found} == {str}


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("unique", "label"),
    [([0, 1], "1"), ([0.0, 1.0], "1"), ([False, True], "true"), (["0", "1"], "1")],
)
def test_answers_are_json_and_saved_labels_are_strings(tmp_path, unique, label):
    import tensorflow as tf

    import keras_attn

    model = classifier(np.unique(unique))
    model.adapt(TEXTS, np.array([1, 1, 0, 0], "float64"))
    answer = model.classify(TEXTS[0])
    assert answer.label == label
    assert json.loads(json.dumps(answer.to_dict()))["label"] == label
    model.save(tmp_path / "model.keras")
    assert keras_attn.load(tmp_path / "model.keras").classify(TEXTS[0]) == answer
    if unique[0] is False or unique[0] == "0":
        model.export(tmp_path / "serving")
        serve = tf.saved_model.load(tmp_path / "serving").signatures["serving_default"]
        assert serve(texts=tf.constant(TEXTS[:1]))["label"].numpy().tolist() == [label.encode()]


def index_in_data_set(model, labels):
    """Return the indices of labels in a `tf.data.Dataset` of one batch."""
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensors(labels).map(model.index_labels)
    (indices,) = dataset.as_numpy_iterator()
    return indices


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("names", "labels", "indices"),
    [
        (("0", "1"), ["0.0", "1.0", " 1"], [0, 1, 1]),
        (("false", "true"), ["True", "FALSE"], [1, 0]),
        (("cafe\u0301", "th\u00e9"), ["caf\u00e9", "the\u0301"], [0, 1]),
        (("true", "false"), [True, False], [0, 1]),
        (("no", "yes"), [False, True], [0, 1]),
        (("0", "1"), [0.0, 1.0], [0, 1]),
        (("0", "1"), [[1], [0]], [1, 0]),
        (("0", "1"), [["1"], ["0.0"]], [1, 0]),
    ],
)
def test_data_sets_and_arrays_have_the_same_indices(names, labels, indices):
    model = classifier(names)
    result = index_in_data_set(model, labels)
    assert np.issubdtype(result.dtype, np.integer)
    assert result.tolist() == model.preprocess_targets(labels).tolist() == indices


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        ([0, 2], "2"),
        ([0, -1], "-1"),
        ([0.0, 0.5], r"0\.5"),
        ([0.0, float("nan")], "nan"),
        ([[0], [5]], "5"),
        (["0", "two"], "two"),
    ],
)
def test_data_sets_with_labels_out_of_range_are_refused(digits, labels, shown):
    import tensorflow as tf

    with pytest.raises(
        tf.errors.InvalidArgumentError, match=rf"Labels must be .*Received.*{shown}"
    ):
        index_in_data_set(digits, labels)
    with pytest.raises(ValueError, match=rf"Labels must be .*Received.*{shown}"):
        digits.preprocess_targets(labels)


@pytest.mark.tensorflow
def test_data_sets_keep_distributions(digits):
    labels = np.array([[0.5, 0.5], [3, -1]], "float32")
    np.testing.assert_array_equal(index_in_data_set(digits, labels), labels)


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_labels_in_tensors_are_checked(digits, shape):
    import keras

    labels = keras.ops.convert_to_tensor(np.array([0, 7]).reshape(shape))
    with pytest.raises(ValueError, match="Received: 7"):
        digits.preprocess_targets(labels)
    indices = digits.preprocess_targets(keras.ops.convert_to_tensor([1.0, 0.0]))
    assert indices.tolist() == [1, 0]
    assert np.issubdtype(indices.dtype, np.integer)


@pytest.mark.tensorflow
def test_names_in_tensors_are_indexed(digits):
    import tensorflow as tf

    assert digits.preprocess_targets(tf.constant(["1.0", "0"])).tolist() == [1, 0]


def test_numbers_are_refused_where_names_are_other_numbers():
    """1 is a name, and the index of the name 2."""
    x, y = [f"{name} star" for name in "123" * 2], list("123" * 2)
    model = classifier(("1", "2", "3"))
    model.adapt(x, y)
    numbers = np.array(y, int)
    for labels in (numbers, numbers.tolist(), numbers.astype(float), pd.Series(numbers)):
        for use in (model.fit, model.evaluate, model.report):
            with pytest.raises(ValueError, match=r"must be strings.*labels\.astype\(str\)"):
                use(x, labels)
    assert model.report(x, y).label_names == ("1", "2", "3")
    model.fit(x, np.array(model.label_names)[numbers - 1], verbose=0)
    binary = classifier(("0", "1"))
    binary.adapt(x, [0, 1] * 3)
    binary.fit(x, [0, 1] * 3, verbose=0)


@pytest.mark.tensorflow
def test_every_method_refuses_numbers_where_names_are_other_numbers():
    import tensorflow as tf

    texts, ints = ["soup bread", "goal race"] * 4, np.array([1, 0] * 4)
    model = classifier(("1", "0"))
    with pytest.raises(ValueError, match=r"names \('1', '0'\) are numbers that are not their"):
        model.adapt(texts, ints)
    model.adapt(texts, ints.astype(str))
    model.fit(texts, ints.astype(str), verbose=0)
    batches = tf.data.Dataset.from_tensor_slices((texts, ints)).batch(4)
    calls = [
        lambda: model.evaluate(batches, verbose=0),
        lambda: model.evaluate(iter([(texts, ints)]), steps=1, verbose=0),
        lambda: model.encode(texts, ints),
        lambda: model.calibrate(texts, ints),
        lambda: model.preprocess_targets(np.array(ints, dtype=object)),
        lambda: model.fit(texts, ints.astype(str), class_weight={1: 50.0}, verbose=0),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="strings, because the names"):
            call()
    weights = [float(np.sum(w)) for w in model.get_weights()]
    for weighing in ({"1": 2.0}, [2.0, 1.0]):
        model.fit(texts, ints.astype(str), class_weight=weighing, verbose=0)
    assert weights != [float(np.sum(w)) for w in model.get_weights()]
    split = TextSplit(np.array(texts, object), np.array([0, 1] * 4, "int32"))  # indices
    expected = model.evaluate(texts, ints.astype(str), verbose=0)
    encoded = EvaluationBatches(model.encode_split(split), 8)
    for batches in (split.batches(8), prepare_batches(encoded), encoded):
        assert model.evaluate(batches, verbose=0) == pytest.approx(expected, rel=1e-5)
    assert (
        model.report(split).metrics["accuracy"]
        == model.report(texts, ints.astype(str)).metrics["accuracy"]
    )


def test_columns_of_labels_are_ordered_by_their_names():
    model = classifier(("sport", "food"))
    expected = [[0, 1], [1, 0]]
    table = pd.get_dummies(["food", "sport"], dtype="int64")
    assert list(table) == ["food", "sport"]  # sorted, as the labels are not
    assert model.preprocess_targets(table).tolist() == expected
    numbered = pd.DataFrame(expected)
    assert model.preprocess_targets(numbered).tolist() == expected
    with pytest.raises(ValueError, match=r"a column for each label.*\('food', 'sports'\)"):
        model.preprocess_targets(table.rename(columns={"sport": "sports"}))
    assert classifier(("1", "0")).preprocess_targets(numbered).tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("several", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_fit_orders_the_columns_of_labels(several):
    texts = ["soup tea", "goal race"] * 4
    names = ["food", "sport"] * 4
    table = pd.get_dummies(names, dtype="int64")[["sport", "food"]]
    model = tasks.from_architecture(
        "ngram_attention", ("food", "sport"), vocabulary_sizes=(50, 50), multi_label=several
    )
    model.adapt(texts, table if several else names)
    loss = keras.losses.BinaryCrossentropy if several else keras.losses.CategoricalCrossentropy
    model.compile(keras.optimizers.Adam(0.1), loss(from_logits=True))
    for further in ({"validation_data": (texts, table)}, {"validation_split": 0.25}):
        history = model.fit(texts, table, epochs=8, verbose=0, **further).history
        assert history["loss"][-1] < 0.2
        assert history["val_loss"][-1] < 0.2
    assert "food" in model.classify("soup tea").summary


def test_balanced_weights_are_those_of_the_named_columns(monkeypatch):
    received = []
    monkeypatch.setattr(
        keras.Model, "fit", lambda self, **options: received.append(options["class_weight"])
    )
    texts, names = ["soup"] * 6 + ["goal"] * 2, ["food"] * 6 + ["sport"] * 2
    model = classifier(("food", "sport"))
    model.adapt(texts, names)
    model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))
    model.fit(texts, pd.get_dummies(names)[["sport", "food"]], class_weight="balanced")
    assert received == [pytest.approx({0: 2 / 3, 1: 2.0})]


def test_a_column_of_labels_is_an_array():
    model = classifier(("sport", "food"))
    assert model.preprocess_targets([["food"], ["sport"]]).tolist() == [1, 0]
    assert model.preprocess_targets(np.array([[1], [0]])).tolist() == [1, 0]


@pytest.mark.parametrize("labels", [[True, False], np.array([True, False])])
def test_booleans_are_not_labels_of_three_classes(labels):
    model = classifier(("bad", "good", "mixed"))
    with pytest.raises(ValueError, match=r"booleans.*two classes only.*labels\.astype\(int\)"):
        model.preprocess_targets(labels)


@pytest.mark.tensorflow
def test_booleans_of_a_data_set_are_not_labels_of_three_classes():
    import tensorflow as tf

    model = classifier(("bad", "good", "mixed"))
    with pytest.raises(ValueError, match="booleans, which can be the labels of two classes"):
        model.index_labels(tf.constant([True, False]))


@pytest.mark.tensorflow
@pytest.mark.parametrize(("dtype", "count"), [("uint8", 256), ("uint8", 300), ("int8", 200)])
def test_indices_of_a_data_set_may_be_of_narrow_integers(dtype, count):
    model = classifier([f"label {index}" for index in range(count)])
    labels = np.array([0, 5, 100], dtype)
    assert index_in_data_set(model, labels).tolist() == [0, 5, 100]
