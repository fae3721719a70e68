"""Short representations of data sets, splits and tables."""

import numpy as np

from keras_attn import datasets
from keras_attn.datasets import Account, FolderAccount, TableAccount

LABELS = ("bad", "good")
COUNTS = {"bad": 10, "good": 10}


def test_tables_and_splits_of_texts():
    texts = tuple(f"Remark {number}." for number in range(20))
    account = TableAccount("mine.csv", 20, 20, {}, COUNTS)
    table = datasets.TextTable("mine", texts, LABELS * 10, LABELS, account)
    assert repr(table) == "TextTable('mine', 20 texts, labels: 'bad' 10, 'good' 10)"
    dataset = datasets.split_table(table)
    assert repr(dataset) == (
        "Dataset('mine', splits: train 16, validation 2, test 2, labels: 'bad', 'good')"
    )
    assert repr(dataset["test"]) == "TextSplit(2 texts, 2 labels)"
    several = datasets.TextTable("mine", texts, (("bad",), ()) * 10, LABELS, account, True)
    assert repr(several).endswith("'good' 10, any number of labels per text)")
    split = datasets.TextSplit(np.array(["a"], object), np.zeros((1, 2), "int32"))
    assert repr(split) == "TextSplit(1 text, any of 2 labels each)"


def test_tables_and_splits_of_images():
    images = np.zeros((20, 8, 6, 3), "uint8")
    account = FolderAccount("pets", 20, 20, {}, COUNTS)
    paths = tuple(map(str, range(20)))
    table = datasets.ImageTable("pets", images, LABELS * 10, LABELS, paths, ("",) * 20, account)
    assert repr(table) == "ImageTable('pets', 20 images of 8x6, labels: 'bad' 10, 'good' 10)"
    split = datasets.split_images(table)["train"]
    assert repr(split) == "ImageSplit(16 images of 8x6x3, 2 labels)"


def test_tables_and_splits_of_pairs():
    sides = [tuple(f"{word} {number}" for number in range(20)) for word in ("go", "va")]
    table = datasets.PairTable("mine", *sides, Account("mine.tsv", 20, 20, {}), "fr")
    assert repr(table) == "PairTable('mine', 20 pairs, target language 'fr')"
    dataset = datasets.split_pairs(table)
    assert repr(dataset) == (
        "Dataset('mine', splits: train 16, validation 2, test 2, language 'fr')"
    )
    assert repr(dataset["train"]) == "PairSplit(16 pairs, target language 'fr')"
    assert repr(dataset["test"]) == "PairSplit(2 pairs, 2 references, target language 'fr')"


def test_splits_that_are_not_in_memory_are_not_read():
    dataset = datasets.load("cifar10", "nowhere")
    assert repr(dataset).startswith("Dataset('cifar10', splits: train, validation, test, labels:")
