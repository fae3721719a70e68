"""Tatoeba's pairs: what is read, and that no source is in two splits."""

import lzma
import zipfile

import pytest

from keras_attn import datasets
from keras_attn.datasets.pairs import sentence_key
from keras_attn.datasets.tatoeba import split_by_source
from tests.conftest import real_data_dir

PAIRS = [
    (f"This is number {number}{end}", f"{french} le numéro {number} !")
    for number in range(300)
    for end, french in ((".", "C'est"), (".", "Voici"), ("!", "C'est"))
]


def as_lines(pairs, attribution="", end="\n"):
    return "".join(f"{en}\t{fr}{attribution}{end}" for en, fr in pairs).encode("utf-8")


def write(folder, name, content):
    folder.mkdir(parents=True, exist_ok=True)
    if name.endswith(".zip"):
        with zipfile.ZipFile(folder / name, "w") as archive:
            archive.writestr("_about.txt", "About this file.")
            archive.writestr("fra.txt", content)
    else:
        content = lzma.compress(content) if name.endswith(".xz") else content
        (folder / name).write_bytes(content)
    return folder


def fingerprints(dataset):
    return {name: split.fingerprint for name, split in dataset.items()}


@pytest.fixture
def pairs_dir(tmp_path):
    return write(tmp_path / "pairs", "fra.txt", as_lines(PAIRS))


def all_pairs(dataset):
    pairs = list(zip(dataset["train"].sources, dataset["train"].targets, strict=True))
    for name in ("validation", "test"):
        split = dataset[name]
        for source, known in zip(split.sources, split.references, strict=True):
            pairs += [(source, target) for target in known]
    return pairs


def test_every_form_of_the_file_gives_the_same_pairs(tmp_path, pairs_dir, monkeypatch):
    expected = fingerprints(datasets.tatoeba.load_tatoeba("en", "fr", pairs_dir))
    attributed = as_lines(PAIRS, "\tCC-BY 2.0 (France) tatoeba.org #1 (CK) & #2 (gall)")
    for form, (name, content) in enumerate(
        [
            ("fra.txt.xz", as_lines(PAIRS)),
            ("fra-eng.zip", as_lines(PAIRS)),
            ("fra-eng.zip", attributed),
            ("fra.txt", attributed.removesuffix(b"\n")),
            ("fra.txt", as_lines(PAIRS, end="\r\n")),
        ]
    ):
        folder = tmp_path / str(form)
        write(folder / "fra-eng", name, content)
        assert fingerprints(datasets.tatoeba.load_tatoeba("en", "fr", folder)) == expected
        assert (
            fingerprints(datasets.tatoeba.load_tatoeba("en", "fr", folder / "fra-eng")) == expected
        )
        monkeypatch.setenv("TFDS_DATA_DIR", str(folder))
        assert fingerprints(datasets.tatoeba.load_tatoeba("en", "fr")) == expected


@pytest.mark.parametrize("direction", [("en", "fr"), ("fr", "en")])
def test_every_pair_is_once_in_one_split_with_all_that_share_its_source(pairs_dir, direction):
    dataset = datasets.tatoeba.load_tatoeba(*direction, pairs_dir)
    assert {split.target_language for split in dataset.values()} == {direction[1]}
    assert dataset.name == f"tatoeba_{direction[0]}_{direction[1]}"
    pairs = PAIRS if direction == ("en", "fr") else [(fr, en) for en, fr in PAIRS]
    assert sorted(all_pairs(dataset)) == sorted(set(pairs))
    sources = [{sentence_key(text) for text in split.sources} for split in dataset.values()]
    assert sum(map(len, sources)) == len(set.union(*sources))
    assert all(sources)
    assert len(sources[0]) > 0.9 * sum(map(len, sources))


def test_held_out_rows_are_distinct_sources_with_all_their_translations(pairs_dir):
    dataset = datasets.tatoeba.load_tatoeba("en", "fr", pairs_dir)
    assert dataset["train"].references is None
    for name in ("validation", "test"):
        split = dataset[name]
        assert len(set(split.sources)) == len(split)
        assert split.targets.tolist() == [known[0] for known in split.references]
        for source, known in zip(split.sources, split.references, strict=True):
            assert known == tuple(fr for en, fr in PAIRS if en == source)
            assert len(known) == (2 if source.endswith(".") else 1)


def test_the_split_of_a_source_does_not_depend_on_other_rows():
    fewer = split_by_source(reversed(PAIRS[::2]))
    whole = split_by_source(PAIRS)
    for name, pairs in fewer.items():
        assert set(pairs) == set(PAIRS[::2]) & set(whole[name])
    again = split_by_source([*PAIRS, *PAIRS])
    assert again == whole


def test_the_split_is_what_it_was_when_models_were_trained():
    # A change of the split puts sentences that were trained on into the test.
    held_out = {
        name: sorted({int(en.rstrip(".!").split()[-1]) for en, _ in pairs})
        for name, pairs in split_by_source(PAIRS).items()
    }
    assert held_out["validation"] == [26, 50, 98, 118, 144, 175, 258, 298]
    assert held_out["test"] == [54, 128, 227]


def test_what_is_not_on_disk_says_where_it_was_sought_and_how_to_get_it(tmp_path, monkeypatch):
    with pytest.raises(datasets.DatasetNotFoundError) as error:
        datasets.tatoeba.load_tatoeba("en", "fr", tmp_path)["test"]
    assert f"fra.txt.xz, fra.txt, fra-eng.zip in {tmp_path} and {tmp_path / 'fra-eng'}" in str(
        error.value
    )
    assert "https://www.manythings.org/anki/" in str(error.value)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    with pytest.raises(datasets.DatasetNotFoundError, match=f"in {tmp_path / 'tfds' / 'fra-eng'}"):
        datasets.tatoeba.load_tatoeba("fr", "en")["train"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("fra.txt", b"Run!\tCours !\nHi.\n", "line 2 is not an English sentence, a tab.*'Hi.'"),
        ("fra.txt", b"Run!\tCours !\n\t\n", "line 2 is not"),
        ("fra.txt", b"a\tb\tc\td\n", "line 1 is not"),
        ("fra.txt", b"", "line 1 is not"),
        ("fra.txt", b"Run!\tCours\xa0!\n", "is damaged.*utf-8"),
        ("fra.txt.xz", lzma.compress(as_lines(PAIRS))[:-50], "is damaged"),
        ("fra.txt.xz", b"Run!\tCours !\n", "is damaged"),
        ("fra-eng.zip", b"Run!\tCours !\n", "is damaged.*zip"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        datasets.tatoeba.load_tatoeba("en", "fr", tmp_path)["train"]
    assert str(tmp_path / name) in str(error.value)


def test_another_archive_is_no_file_of_pairs(tmp_path):
    with zipfile.ZipFile(tmp_path / "fra-eng.zip", "w") as archive:
        archive.writestr("deu.txt", "Run!\tLauf!\n")
    with pytest.raises(ValueError, match=r"fra-eng\.zip is damaged, or is not.*fra\.txt"):
        datasets.tatoeba.load_tatoeba("en", "fr", tmp_path)["train"]


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (("en", "de"), "received 'de'.*Accepted: 'en', 'fr', 'zh'"),
        (("en", "en"), "must be 'en', and the other"),
        (("fr", "fr"), "must be 'en', and the other"),
        (("fr", "zh"), "must be 'en', and the other"),
    ],
)
def test_languages_that_there_are_not_are_refused(pair, message):
    with pytest.raises(ValueError, match=message):
        datasets.tatoeba.load_tatoeba(*pair)


@pytest.mark.slow
@pytest.mark.data("fra-eng")
@pytest.mark.parametrize("direction", [("en", "fr"), ("fr", "en")])
def test_no_real_source_is_in_two_splits(direction):
    dataset = datasets.tatoeba.load_tatoeba(*direction, real_data_dir("fra-eng"))
    sources = {
        name: {sentence_key(text) for text in split.sources} for name, split in dataset.items()
    }
    whole = len(set.union(*sources.values()))
    assert sum(map(len, sources.values())) == whole
    for name in ("validation", "test"):
        assert 0.018 < len(sources[name]) / whole < 0.022
    assert len(set(all_pairs(dataset))) == len(all_pairs(dataset)) > 160_000


def test_mandarin_pairs_are_read_from_their_own_file(tmp_path):
    pairs = [(f"This is number {n}.", f"这是第{n}号。") for n in range(300)]
    write(tmp_path / "cmn-eng", "cmn.txt", as_lines(pairs, "\tCC-BY 2.0 (France)"))
    there = datasets.load("tatoeba_en_zh", tmp_path)
    assert sorted(all_pairs(there)) == sorted(pairs)
    assert there["test"].target_language == "zh"
    back = datasets.load("tatoeba_zh_en", tmp_path)
    assert sorted(all_pairs(back)) == sorted((zh, en) for en, zh in pairs)
    with pytest.raises(datasets.DatasetNotFoundError, match=r"English-Mandarin.*cmn-eng\.zip"):
        len(datasets.load("tatoeba_en_zh", tmp_path / "elsewhere")["train"])
