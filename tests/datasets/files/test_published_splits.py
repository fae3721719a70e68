"""Splits that were published as files of their own, and no test split."""

import warnings

import pytest

from keras_attn import datasets


def texts_of(count, name="mine", start=0, labels=("bad", "good")):
    texts = tuple(f"Remark {number}." for number in range(start, start + count))
    own = tuple(labels[number % len(labels)] for number in range(count))
    account = datasets.TableAccount(f"{name}.csv", count, count, {}, {})
    return datasets.TextTable(name, texts, own, labels, account)


def pairs_of(count, name="mine", start=0):
    sources = tuple(f"Number {number}." for number in range(start, start + count))
    targets = tuple(f"Numéro {number}." for number in range(start, start + count))
    return datasets.PairTable(name, sources, targets, datasets.Account("", count, count, {}))


def sizes(dataset):
    return {name: len(split) for name, split in dataset.items()}


@pytest.mark.parametrize(
    ("split", "table_of"),
    [(datasets.split_table, texts_of), (datasets.split_pairs, pairs_of)],
)
def test_given_splits_are_whole_and_the_rest_is_cut(split, table_of):
    table, validation, test = table_of(40), table_of(7, start=100), table_of(5, start=200)
    found = split(table, validation_data=validation, test_data=test)
    assert sizes(found) == {"train": 40, "validation": 7, "test": 5}
    assert sizes(split(table, test_data=test)) == {"train": 36, "validation": 4, "test": 5}
    assert sizes(split(table, validation_data=validation)) == {
        "train": 36,
        "validation": 7,
        "test": 4,
    }
    assert sizes(split(table, validation=0.2, test=0)) == {"train": 32, "validation": 8}
    assert sizes(split(table, validation_data=validation, test=0)) == {
        "train": 40,
        "validation": 7,
    }
    # Few examples are enough if none are cut off.
    small = split(table_of(4), validation_data=validation, test_data=test)
    assert sizes(small)["train"] == 4


@pytest.mark.parametrize(
    ("split", "table_of", "noun"),
    [(datasets.split_table, texts_of, "texts"), (datasets.split_pairs, pairs_of, "sources")],
)
def test_test_examples_that_occur_elsewhere_are_counted_and_set_apart(split, table_of, noun):
    message = f"3 of the 10 test {noun} also occur in the training or validation data.*test_unseen"
    with pytest.warns(UserWarning, match=message):
        found = split(
            table_of(40), validation_data=table_of(5, start=90), test_data=table_of(10, start=37)
        )
    assert sizes(found) == {"train": 40, "validation": 5, "test": 10, "test_unseen": 7}
    with pytest.warns(UserWarning, match=f"5 of the 5 validation {noun}"):
        found = split(table_of(40), validation_data=table_of(5), test=0)
    assert sizes(found) == {"train": 40, "validation": 5}


def test_texts_are_compared_by_spelling_conventions():
    account = datasets.TableAccount("", 2, 2, {}, {})
    test = datasets.TextTable("t", ("REMARK 1!", "New."), ("bad", "good"), ("bad", "good"), account)
    with pytest.warns(UserWarning, match="1 of the 2 test texts"):
        found = datasets.split_table(texts_of(40), test_data=test)
    assert found["test_unseen"].texts.tolist() == ["New."]


def test_labels_are_those_of_the_training_table():
    table = texts_of(40)
    other = texts_of(6, start=100, labels=("good", "bad"))  # another order
    found = datasets.split_table(table, test_data=other)
    assert found.label_names == ("bad", "good")
    assert found["test"].labels.tolist() == [1, 0, 1, 0, 1, 0]
    with pytest.raises(ValueError, match=r"`test_data` has labels .*'great'.*'bad', 'good'"):
        datasets.split_table(table, test_data=texts_of(6, labels=("bad", "great"), start=100))


def test_a_test_file_of_one_label_is_read(tmp_path):
    path = tmp_path / "one.tsv"
    path.write_text("text\tlabel\na\tgood\nb\tgood\n")
    only = datasets.read_texts(path)
    assert only.label_names == ("good",)
    assert sizes(datasets.split_table(texts_of(20), test_data=only))["test"] == 2
    with pytest.raises(ValueError, match=r"two labels at least.*only the label 'good'"):
        datasets.split_table(only)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation": 0.1, "validation_data": texts_of(5)}, "`validation=0.1`. Leave one out"),
        ({"test": 0, "test_data": texts_of(5)}, "`test=0`. Leave one out"),
        ({"validation": 0}, "fractions above 0"),
        ({"test": -0.1}, "fractions above 0"),
        ({"test": float("nan")}, "fractions above 0"),
        ({"validation": 0.5, "test": 0.5}, "fractions above 0"),
    ],
)
def test_options_that_do_not_go_together(options, message):
    with pytest.raises(ValueError, match=message):
        datasets.split_table(texts_of(40), **options)


def test_without_shared_examples_there_is_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        datasets.split_table(texts_of(40), test_data=texts_of(5, start=50))
