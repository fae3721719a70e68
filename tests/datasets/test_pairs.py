"""Pairs of sentences and translations: what a split of them is, and what counts as the same."""

import hashlib

import numpy as np
import pytest

from keras_attn import datasets
from keras_attn.datasets.pairs import make_pair_split, make_reference_split, sentence_key


def pair_split(*pairs, references=None):
    sources, targets = (np.array([pair[side] for pair in pairs], object) for side in (0, 1))
    return datasets.PairSplit(sources, targets, references)


def texts(*values):
    return np.array(values, dtype=object)


def test_a_pair_split_is_taken_from_by_indices_masks_and_slices():
    known = (("1", "eins"), ("2",), ("3", "drei"))
    split = pair_split(("a", "1"), ("b", "2"), ("c", "3"), references=known)
    assert len(split) == 3
    for indices in ([2, 0], np.array([True, False, True]), slice(0, 2), np.array([], int)):
        part = split.take(indices)
        rows = np.arange(3)[indices]
        assert part.sources.tolist() == ["abc"[row] for row in rows]
        assert part.targets.tolist() == ["123"[row] for row in rows]
        assert part.references == tuple(known[row] for row in rows)
    assert pair_split(("a", "1")).take([0]).references is None


@pytest.mark.parametrize(
    ("sources", "targets", "references", "message"),
    [
        (["a"], texts("b"), None, "`sources` must be an object array.*Received: list"),
        (np.array(["a"]), texts("b"), None, r"`sources` must be an object array.*<U1"),
        (texts("a"), np.array([["b"]], object), None, r"`targets`.*shape \(1, 1\)"),
        (texts("a", "b"), texts("c"), None, "2 sources, 1 target"),
        (texts("a", b"b"), texts("c", "d"), None, "`sources` must be str.*bytes at index 1"),
        (texts("a", "b"), texts("c", None), None, "`targets` must be str.*NoneType at index 1"),
        (texts("a"), texts("\udc80"), None, "`targets`: the text at index 0 holds half a surr"),
        (texts("a"), texts("b"), (("b",), ("c",)), "Received: 2 for 1 row"),
        (texts("a"), texts("b"), (("c", "b"),), r"begins with its target.*at row 0.*'b'"),
        (texts("a"), texts("b"), ((),), "begins with its target"),
        (texts("a"), texts("b"), (("b", 3),), "`references` of row 0 must be str.*int at index 1"),
    ],
)
def test_what_is_no_pair_split_is_refused(sources, targets, references, message):
    with pytest.raises(ValueError, match=message):
        datasets.PairSplit(sources, targets, references)


def test_fingerprints_tell_sides_borders_orders_and_references_apart():
    splits = [
        pair_split(("ab", "c"), ("d", "e")),
        pair_split(("a", "bc"), ("d", "e")),
        pair_split(("c", "ab"), ("d", "e")),
        pair_split(("d", "e"), ("ab", "c")),
        pair_split(("ab", "ç"), ("d", "e")),
        pair_split(("ab", "c"), ("d", "e"), references=(("c",), ("e",))),
        pair_split(("ab", "c"), ("d", "e"), references=(("c", "x"), ("e",))),
        pair_split(("ab", "c"), ("d", "e"), references=(("c",), ("e", "x"))),
    ]
    assert len({split.fingerprint for split in splits}) == len(splits)
    assert pair_split(("ab", "c"), ("d", "e")).fingerprint == splits[0].fingerprint


def test_a_fingerprint_is_of_lengths_and_bytes_pair_by_pair():
    written = b"".join(
        bytes([length, 0, 0, 0, 0, 0, 0, 0]) + text.encode()
        for length, text in [(5, "Good."), (4, "Gut."), (6, "naïve"), (5, "naïf")]
    )
    split = pair_split(("Good.", "Gut."), ("naïve", "naïf"))
    assert split.fingerprint == hashlib.sha256(written).hexdigest()


@pytest.mark.tensorflow
def test_batches_of_pairs_are_strings_that_stay_together():
    split = pair_split(*((f"é{number}", f"{number}!") for number in range(5)))
    batches = list(split.batches(2))
    assert [len(targets) for _, targets in batches] == [2, 2, 1]
    assert {part.dtype.name for batch in batches for part in batch} == {"string"}

    def rows(**arguments):
        return [
            (source.decode(), target.decode())
            for sources, targets in split.batches(2, **arguments)
            for source, target in zip(sources.numpy(), targets.numpy(), strict=True)
        ]

    whole = list(zip(split.sources, split.targets, strict=True))
    assert rows() == whole
    shuffled = rows(shuffle=True, seed=7)
    assert shuffled == rows(shuffle=True, seed=7) != whole
    assert sorted(shuffled) == whole


def test_validation_is_cut_from_pairs_as_from_texts():
    split = make_pair_split((str(number), f"-{number}") for number in range(100))
    train, validation = datasets.cut_validation(split, 10)
    assert isinstance(train, datasets.PairSplit)
    rows = [7, 9, 39, 40, 52, 58, 78, 81, 84, 92]
    assert validation.sources.tolist() == [str(row) for row in rows]
    assert validation.targets.tolist() == [f"-{source}" for source in validation.sources]


@pytest.mark.parametrize(
    "other",
    [
        "don't go, tom",
        "DON'T GO, TOM!",
        " Don’t  go, Tom. ",  # noqa: RUF001
        "“Don't go, Tom...”",
        "« Don't go, Tom ! »",
        "Don't\u202fgo, Tom\u00a0?!",
        '"Don\'t go, Tom".',
        "Don't go, Tom…",
    ],
)
def test_a_sentence_is_the_same_however_it_is_written(other):
    assert sentence_key(other) == sentence_key("Don't go, Tom.")


@pytest.mark.parametrize("other", ["Don't go Tom.", "Don't go, Tim.", "Don't. Go, Tom."])
def test_other_words_are_another_sentence(other):
    assert sentence_key(other) != sentence_key("Don't go, Tom.")


def test_accents_are_the_same_composed_or_not_and_make_another_word():
    assert sentence_key("e\u0301te\u0301") == sentence_key("Été") != sentence_key("ete")


def test_rows_with_references_have_a_source_once_and_each_of_its_targets():
    pairs = [("b", "1"), ("a", "2"), ("b", "3"), ("b", "1")]
    split = make_reference_split(pairs)
    assert split.sources.tolist() == ["b", "a"]
    assert split.targets.tolist() == ["1", "2"]
    assert split.references == (("1", "3"), ("2",))
    assert make_pair_split(pairs).targets.tolist() == ["1", "2", "3", "1"]


def test_no_pairs_are_a_split_too():
    assert len(make_pair_split([])) == len(make_reference_split([])) == 0


@pytest.mark.parametrize(
    "name",
    [f"multi30k_{pair}" for pair in ("en_de", "de_en", "en_fr", "fr_en", "en_cs", "cs_en")]
    + [f"tatoeba_{pair}" for pair in ("en_fr", "fr_en", "en_zh", "zh_en")],
)
def test_translations_are_loaded_by_name_without_labels(tmp_path, name):
    dataset = datasets.load(name, tmp_path)
    assert dataset.name == name
    assert dataset.label_names == datasets.describe_dataset(name).label_names == ()
    assert list(dataset)[:3] == ["train", "validation", "test"]
    with pytest.raises(datasets.DatasetNotFoundError):
        dataset["train"]
    with pytest.raises(ValueError, match=f"Received: '{name}'"):
        datasets.save_arrays(name, tmp_path / "pairs.npz")
    assert not list(tmp_path.iterdir())
