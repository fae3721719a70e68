"""Data sets of texts: their splits, IMDB, and the drawn remarks."""

from collections import Counter

import numpy as np
import pytest

from keras_attn import datasets
from keras_attn.datasets._remark_words import ADJECTIVES, PEOPLE, TOPICS, VERBS
from keras_attn.datasets.imdb import cut_without_duplicates


def text_split(*texts, labels=None):
    labels = np.arange(len(texts)) % 2 if labels is None else labels
    return datasets.TextSplit(np.array(texts, dtype=object), np.array(labels, "int32"))


@pytest.fixture(scope="module")
def remarks():
    return datasets.load("remarks")


def test_a_text_split_is_taken_from_by_indices_masks_and_slices():
    split = text_split("a", "b", "c", labels=[1, 0, -1])
    assert len(split) == 3
    for indices in ([2, 0], np.array([True, False, True]), slice(0, 2)):
        part = split.take(indices)
        assert part.texts.tolist() == split.texts[indices].tolist()
        assert part.labels.tolist() == split.labels[indices].tolist()


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        (np.array(["a", "b"]), np.zeros(2, "int32"), r"object array of shape \(N,\).*<U1"),
        (np.array([["a"]], object), np.zeros((1, 1), "int32"), r"shape \(1, 1\)"),
        (np.array(["a", "b"], object), np.zeros(3, "int32"), r"2 texts, int32 labels.*\(3,\)"),
        (np.array(["a", "b"], object), np.zeros(2), "float64 labels"),
        (np.array(["a", b"b"], object), np.zeros(2, "int32"), "bytes at index 1"),
        (np.array(["a", "\ud800"], object), np.zeros(2, "int32"), "index 1 holds half a surr"),
    ],
)
def test_what_is_no_text_split_is_refused(texts, labels, message):
    with pytest.raises(ValueError, match=message):
        datasets.TextSplit(texts, labels)


def test_fingerprints_tell_texts_their_borders_and_labels_apart():
    splits = [
        text_split("ab", "c"),
        text_split("a", "bc"),
        text_split("c", "ab"),
        text_split("ab", "ç"),
        text_split("ab", "c", labels=[0, 0]),
    ]
    assert len({split.fingerprint for split in splits}) == len(splits)
    assert text_split("ab", "ç").fingerprint == splits[3].fingerprint


@pytest.mark.tensorflow
def test_batches_of_texts_are_strings_and_cover_the_split_once():
    split = text_split("naïve", "b", "", "d", "e", labels=[0, 1, -1, 0, 1])
    batches = list(split.batches(2))
    assert [len(labels) for _, labels in batches] == [2, 2, 1]
    assert batches[0][0].dtype == "string"
    assert batches[0][1].dtype == "int32"
    texts = [text.decode() for batch, _ in batches for text in batch.numpy()]
    assert texts == split.texts.tolist()
    orders = [
        [
            text.decode()
            for batch, _ in split.batches(2, shuffle=True, seed=7)
            for text in batch.numpy()
        ]
        for _ in range(2)
    ]
    assert orders[0] == orders[1] != texts
    assert sorted(orders[0]) == sorted(texts)


def test_the_cut_is_the_same_for_texts_as_for_images():
    labels = np.arange(100, dtype="int32")
    images = datasets.ImageSplit(np.zeros((100, 1, 1, 3), "uint8"), labels)
    texts = text_split(*map(str, labels), labels=labels)
    train, validation = datasets.cut_validation(texts, 10)
    assert isinstance(train, datasets.TextSplit)
    assert validation.labels.tolist() == datasets.cut_validation(images, 10)[1].labels.tolist()
    assert validation.texts.tolist() == [str(label) for label in validation.labels]


def test_duplicates_of_held_out_texts_are_not_trained_on():
    texts = text_split(*(str(number % 70) for number in range(100)))
    whole, cut = datasets.cut_validation(texts, 20)
    train, validation = cut_without_duplicates(texts, 20)
    assert set(whole.texts) & set(cut.texts)
    assert not set(train.texts) & set(validation.texts)
    assert validation.fingerprint == cut.fingerprint
    assert [text for text in whole.texts if text not in set(cut.texts)] == train.texts.tolist()


@pytest.mark.parametrize("name", ["imdb", "remarks"])
def test_text_sets_need_no_array_file(tmp_path, name):
    with pytest.raises(ValueError, match=f"Received: '{name}'"):
        datasets.save_arrays(name, tmp_path / "texts.npz")
    assert not list(tmp_path.iterdir())


def test_imdb_that_is_not_on_disk_says_how_to_get_it(tmp_path):
    reviews = datasets.load("imdb", tmp_path)
    assert list(reviews) == ["train", "validation", "test", "unlabelled"]
    with pytest.raises(datasets.DatasetNotFoundError, match=r"t\.load\('imdb_reviews'") as error:
        reviews["unlabelled"]
    assert str(tmp_path) in str(error.value)
    assert ".npz" not in str(error.value)


@pytest.mark.slow
@pytest.mark.data("imdb_reviews")
def test_imdb_is_the_real_one():
    reviews = datasets.load("imdb")
    # 23,000 less the 9 that repeat a validation review.
    assert {name: len(split) for name, split in reviews.items()} == {
        "train": 22_991,
        "validation": 2_000,
        "test": 25_000,
        "unlabelled": 50_000,
    }
    assert np.bincount(reviews["test"].labels).tolist() == [12_500, 12_500]
    assert np.bincount(reviews["train"].labels).tolist() == [11_419, 11_572]
    assert np.bincount(reviews["validation"].labels).tolist() == [1_073, 927]
    assert set(reviews["unlabelled"].labels) == {-1}
    assert not set(reviews["train"].texts) & set(reviews["validation"].texts)
    trained = set(reviews["train"].texts) | set(reviews["validation"].texts)
    assert sum(text in trained for text in reviews["test"].texts) == 123
    # The same cut on every machine: recorded numbers are of these texts.
    assert reviews["validation"].fingerprint.startswith("b7cbd0718bb5a301")


def test_remarks_are_what_they_were_when_the_entry_was_trained(remarks):
    # A change of the words or sentences changes the meaning of every recorded number.
    assert remarks["validation"].fingerprint[:16] == "c9d06b79b1377a52"


def test_remarks_are_the_same_from_the_same_seed(remarks):
    again = datasets.remarks.draw_remarks()
    assert {name: split.fingerprint for name, split in again.items()} == {
        name: split.fingerprint for name, split in remarks.items()
    }
    other = datasets.remarks.draw_remarks(seed=1, sizes={"test": 1_000})
    assert other["test"].fingerprint != remarks["test"].fingerprint


def test_no_remark_is_in_two_splits_or_twice(remarks):
    assert {name: len(split) for name, split in remarks.items()} == {
        "train": 4_000,
        "validation": 500,
        "test": 1_000,
    }
    texts = [text for split in remarks.values() for text in split.texts]
    assert len(set(texts)) == len(texts)


def test_the_test_remarks_do_not_depend_on_how_many_are_trained_on(remarks):
    fewer = datasets.remarks.draw_remarks(sizes={"train": 10, "test": 1_000})
    assert fewer["test"].fingerprint == remarks["test"].fingerprint
    assert len(fewer["train"]) == 10
    assert list(fewer) == ["train", "test"]


def test_remarks_are_short_reviews_of_both_kinds_in_clean_sentences(remarks):
    for split in remarks.values():
        assert 0.44 < split.labels.mean() < 0.56
    for text in remarks["train"].texts:
        assert text[0].isupper()
        assert text.endswith(".")
        assert not set("{}+") & set(text)
        assert "  " not in text
        assert 1 <= text.count(".") <= 5
        assert len(text.split()) <= 80


def test_the_words_of_praise_and_blame_are_not_the_answer_in_a_good_part_of_remarks(remarks):
    train = remarks["train"]
    score = {word: sign for words in (ADJECTIVES, VERBS) for sign in words for word in words[sign]}

    def count(text):
        return sum(score.get(word.strip(".,;:"), 0) for word in text.split())

    counts = np.array([count(text) for text in train.texts])
    verdicts = np.where(train.labels == 1, 1, -1)
    right = np.sign(counts) == verdicts
    assert 0.6 < right.mean() < 0.8
    wrong = np.sign(counts) == -verdicts
    assert wrong.mean() > 0.08
    # No word occurs with one label only.
    by_label = [Counter(), Counter()]
    for text, label in zip(train.texts, train.labels, strict=True):
        by_label[label].update({word.strip(".,;:") for word in text.split()} & set(score))
    for word in score:
        seen = by_label[0][word], by_label[1][word]
        assert min(seen) > 0.05 * sum(seen), word


def test_no_topic_and_nobody_is_of_one_label_only(remarks):
    train = remarks["train"]
    for phrase in (*(topic.noun for topic in TOPICS), *PEOPLE):
        named = np.array([phrase.lower() in text.lower() for text in train.texts])
        assert named.sum() > 20, phrase
        assert 0.25 < train.labels[named].mean() < 0.75, phrase


def test_remarks_of_an_unknown_split_are_refused():
    with pytest.raises(ValueError, match="Did you mean 'validation'"):
        datasets.remarks.draw_remarks(sizes={"valid": 10})


def test_more_remarks_than_there_are_is_an_error(monkeypatch):
    from keras_attn.datasets import _remark_words
    from keras_attn.datasets import remarks as module

    monkeypatch.setattr(module, "TOPICS", _remark_words.TOPICS[:1])
    monkeypatch.setattr(module, "_PLAIN_SENTENCES", ("I {verb} {it}.",))
    monkeypatch.setattr(module, "_PLAIN", 1.0)
    monkeypatch.setattr(module, "TIMES", ("in May",))
    monkeypatch.setattr(module, "COMPANY", ("my aunt",))
    monkeypatch.setattr(module, "CLOSERS", ("So much for that.",))
    with pytest.raises(ValueError, match=r"not 100000 more different remarks"):
        datasets.remarks.draw_remarks(sizes={"train": 100_000})["train"]


def test_pandas_columns_are_refused_as_arrays_of_a_split():
    # Their rows would be selected by the index of the column, not by number.
    pandas = pytest.importorskip("pandas")
    column = pandas.Series(["a", "b"], index=[1, 0], dtype=object)
    with pytest.raises(ValueError, match=r"Received: Series of object of shape \(2,\)"):
        datasets.TextSplit(column, np.zeros(2, "int32"))
    assert len(datasets.TextSplit(column.to_numpy(), np.zeros(2, "int32"))) == 2
