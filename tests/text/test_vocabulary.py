import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_attn.text import Vocabulary, split_words

pytestmark = pytest.mark.tensorflow
TERMS = ("film", "don't", "\u6f22", "\U0001f600", "a b", "#", " ")


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary(TERMS)


def test_ids_follow_the_order(vocabulary):
    ids = vocabulary(list(TERMS))
    assert ids.dtype == tf.int32
    assert ids.numpy().tolist() == [2, 3, 4, 5, 6, 7, 8]
    assert vocabulary(["", "Film", "\x00", "[UNK]"]).numpy().tolist() == [1, 1, 1, 1]
    assert vocabulary.terms == TERMS
    assert vocabulary.size == 9


def test_dense_and_ragged_of_any_shape(vocabulary):
    assert vocabulary("film").numpy() == 2
    assert vocabulary([]).shape == (0,)
    assert vocabulary(np.array([["film", "x"]])).numpy().tolist() == [[2, 1]]
    assert vocabulary(split_words(["film #", ""])).to_list() == [[2, 7], []]
    nested = tf.ragged.constant([[["film"], []], []], ragged_rank=2)
    assert vocabulary(nested).to_list() == [[[2], []], []]


def test_and_back(vocabulary):
    strings = vocabulary.to_strings([[0, 1], [2, 4]])
    assert strings.numpy().tolist() == [[b"", b"[UNK]"], [b"film", "\u6f22".encode()]]
    ragged = tf.ragged.constant([[2], []], tf.int32)
    assert vocabulary.to_strings(ragged).to_list() == [[b"film"], []]
    for wrong in (-1, 9):
        with pytest.raises(tf.errors.InvalidArgumentError):
            vocabulary.to_strings([wrong])


def test_in_a_dataset_and_a_graph(vocabulary):
    dataset = tf.data.Dataset.from_tensor_slices(["film film", "x"]).batch(2)
    dataset = dataset.map(split_words).map(vocabulary)
    assert [ids.to_list() for ids in dataset] == [[[2, 2], [1]]]
    traced = tf.function(vocabulary, input_signature=[tf.TensorSpec((None,), tf.string)])
    assert traced(tf.constant(["#"])).numpy().tolist() == [7]


def test_from_counts():
    counts = {"b": 3, "a": 3, "rare": 1, "top": 9, "c": 2}
    assert Vocabulary.from_counts(counts, max_size=5).terms == ("top", "a", "b")
    assert Vocabulary.from_counts(counts, 100, min_count=2).terms == ("top", "a", "b", "c")
    assert Vocabulary.from_counts(counts, 5).size == 5
    with pytest.raises(ValueError, match="`max_size` must be an integer of at least 3"):
        Vocabulary.from_counts(counts, max_size=2)
    with pytest.raises(ValueError, match="`min_count`"):
        Vocabulary.from_counts(counts, max_size=5, min_count=0)


def test_a_saved_model_holds_the_terms(vocabulary, tmp_path):
    inputs = keras.Input((4,), dtype="string")
    ids = vocabulary(inputs)
    assert (ids.shape, ids.dtype) == ((None, 4), "int32")
    embedded = keras.layers.Embedding(vocabulary.size, 3)(ids)
    model = keras.Model(inputs, embedded)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    texts = tf.constant([["film", "x", "\u6f22", " "]])
    np.testing.assert_array_equal(loaded(texts), model(texts))
    restored = loaded.get_layer(vocabulary.name)
    assert restored.terms == TERMS
    assert "film" not in str(restored.get_config())
    loaded.save(tmp_path / "again.keras")
    assert len(keras.saving.load_model(tmp_path / "again.keras").weights) == 1


# Keras looks a second time, elsewhere, for what it could not load, and warns of that too.
@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_a_saved_model_whose_terms_are_damaged_is_refused(vocabulary, tmp_path):
    inputs = keras.Input((1,), dtype="string")
    keras.Model(inputs, vocabulary(inputs)).save(tmp_path / "model.keras")
    with (
        zipfile.ZipFile(tmp_path / "model.keras") as whole,
        zipfile.ZipFile(tmp_path / "damaged.keras", "w") as damaged,
    ):
        for name in whole.namelist():
            content = whole.read(name)
            damaged.writestr(name, content[:-3] if name.endswith("vocabulary.txt") else content)
    with pytest.raises(ValueError, match="may be cut short"):
        keras.saving.load_model(tmp_path / "damaged.keras")


def test_a_model_with_it_trains(vocabulary):
    embedding = keras.layers.Embedding(vocabulary.size, 1)
    layers = [keras.Input((2,), dtype="string"), vocabulary, embedding, keras.layers.Flatten()]
    model = keras.Sequential([*layers, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    assert not model.jit_compile
    texts = tf.constant([["film", "x"], ["#", "film"]])
    history = model.fit(texts, tf.constant([[1.0], [0.0]]), epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_without_terms_it_says_what_to_do(tmp_path):
    for empty in (Vocabulary(), Vocabulary.from_config(Vocabulary(["a"]).get_config())):
        assert (empty.terms, empty.size) == ((), 2)
        for use in (empty, empty.to_strings):
            with pytest.raises(RuntimeError, match=r"has no terms\. Make it with terms"):
                use(["a"])
    Vocabulary().write(tmp_path / "empty.txt")
    with pytest.raises(ValueError, match=r"empty\.txt' is empty: .*one per line"):
        Vocabulary.read(tmp_path / "empty.txt")


@pytest.mark.parametrize(
    ("terms", "error", "message"),
    [
        (["a", ""], ValueError, "at least one character .*number 1"),
        (["a\nb"], ValueError, "no line break"),
        (["a\r"], ValueError, "no line break"),
        (["a", "b", "a"], ValueError, "'a' twice"),
        (["\ud800"], ValueError, "valid Unicode"),
        ([b"a"], TypeError, "must be a str. Received: b'a'"),
        ("ab", TypeError, "one string: 'ab'"),
    ],
)
def test_terms_that_are_refused(terms, error, message):
    with pytest.raises(error, match=message):
        Vocabulary(terms)


def test_the_file_is_readable(vocabulary, tmp_path):
    path = tmp_path / "terms.txt"
    vocabulary.write(path)
    assert path.read_text(encoding="utf-8").split("\n") == [*TERMS, ""]
    assert Vocabulary.read(str(path)).terms == TERMS
    vocabulary.save_assets(tmp_path)
    assert (tmp_path / "vocabulary.txt").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "Could not read the terms from"),
        (b"a\n\xff\n", "holds no list of terms"),
        (b"a\nb", "may be cut short"),
        (b"a\n\nb\n", "is damaged: .*number 1"),
        (b"a\r\nb\r\n", "is damaged: .*line break"),
        (b"a\na\n", "is damaged: .*twice"),
    ],
)
def test_a_damaged_file_is_refused(content, message, tmp_path):
    path = tmp_path / "vocabulary.txt"
    if content is not None:
        path.write_bytes(content)
    for read in (lambda: Vocabulary.read(path), lambda: Vocabulary().load_assets(tmp_path)):
        with pytest.raises(ValueError, match=message):
            read()
