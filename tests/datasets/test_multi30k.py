"""Multi30k: from its published files, prepared for TFDS, and what happens without either."""

import gzip
import hashlib
import pathlib
import re

import numpy as np
import pytest
import typer
import typer.testing

from keras_attn import datasets
from keras_attn.datasets.multi30k import CHECKSUMS, LANGUAGES, SPLITS, URL, file_name, is_translated
from tests.conftest import real_data_dir

SIZES = {"train": 6, "validation": 3, "test": 4, "test_2017": 2, "test_coco": 1}
# Nothing of a sentence is lost, and none is cut in two.
ODD = ("  {0} has spaces. ", "Line\u2028separator {0}\x85", '"{0}"\t', "", "ůň {0}\r", "{0}")


def sentences(split, language):
    return [f"{ODD[row].format(language)}{split}" for row in range(SIZES[split])]


@pytest.fixture
def publish(monkeypatch):
    """Write files as they are published, and take them for the published ones."""

    def publish(folder, **changed):
        folder.mkdir(parents=True, exist_ok=True)
        for split in SPLITS:
            for language in LANGUAGES:
                if not is_translated(split, language):
                    continue
                lines = changed.get(f"{split}_{language}", sentences(split, language))
                text = "".join(f"{line}\n" for line in lines)
                content = gzip.compress(text.encode("utf-8"), mtime=0)
                name = file_name(split, language)
                (folder / name).write_bytes(content)
                monkeypatch.setitem(CHECKSUMS, name, hashlib.sha256(content).hexdigest())
        return folder

    return publish


def fingerprints(dataset):
    return {name: split.fingerprint for name, split in dataset.items()}


@pytest.fixture
def without_tfds(monkeypatch, tmp_path):
    """No data set at the places where they are sought by default."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    return tmp_path / "tfds"


def test_there_is_a_checksum_for_each_published_file():
    names = {
        file_name(split, language)
        for split in SPLITS
        for language in LANGUAGES
        if is_translated(split, language)
    }
    assert set(CHECKSUMS) == names
    assert len(names) == 18
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in CHECKSUMS.values())
    assert len(set(CHECKSUMS.values())) == 18


def test_sentences_are_what_the_files_hold_in_their_order(publish, tmp_path):
    dataset = datasets.multi30k.load_multi30k("en", "de", publish(tmp_path / "files"))
    assert {name: len(split) for name, split in dataset.items()} == SIZES
    for name, split in dataset.items():
        assert split.sources.tolist() == sentences(name, "en")
        assert split.targets.tolist() == sentences(name, "de")
        assert split.references is None
    assert dataset["train"] is dataset["train"]


def test_czech_has_no_test_sets_of_2017(publish, tmp_path):
    publish(tmp_path)
    for pair in (("cs", "en"), ("fr", "cs")):
        dataset = datasets.multi30k.load_multi30k(*pair, tmp_path)
        assert list(dataset) == ["train", "validation", "test"]
        assert dataset["test"].sources.tolist() == sentences("test", pair[0])


def test_files_may_be_in_the_folder_or_in_its_multi30k_subfolder(publish, tmp_path, without_tfds):
    publish(tmp_path / "given" / "multi30k")
    given = fingerprints(datasets.multi30k.load_multi30k("fr", "en", tmp_path / "given"))
    assert given == fingerprints(
        datasets.multi30k.load_multi30k("fr", "en", tmp_path / "given" / "multi30k")
    )
    assert (
        datasets.multi30k.load_multi30k("fr", "en", tmp_path / "given")["test"].target_language
        == "en"
    )
    with pytest.raises(datasets.DatasetNotFoundError):
        datasets.multi30k.load_multi30k("fr", "en")["train"]
    publish(without_tfds / "multi30k")
    assert fingerprints(datasets.multi30k.load_multi30k("fr", "en")) == given


def test_what_is_not_on_disk_says_where_it_was_sought_and_how_to_get_it(tmp_path, without_tfds):
    dataset = datasets.multi30k.load_multi30k("en", "de", tmp_path / "given")
    with pytest.raises(datasets.DatasetNotFoundError) as error:
        dataset["test_2017"]
    message = str(error.value)
    assert f"in {tmp_path / 'given'} and {tmp_path / 'given' / 'multi30k'}," in message
    assert "test_2017_flickr.en.gz and test_2017_flickr.de.gz" in message
    assert URL in message
    assert f"multi30k_builder --data-dir {tmp_path / 'given'}" in message
    with pytest.raises(datasets.DatasetNotFoundError, match=f"in {without_tfds / 'multi30k'},"):
        datasets.multi30k.load_multi30k("en", "de")["train"]


def test_a_file_that_is_not_the_published_one_is_refused(publish, tmp_path):
    publish(tmp_path)
    path = tmp_path / "val.de.gz"
    path.write_bytes(gzip.compress(b"Another sentence.\n"))
    dataset = datasets.multi30k.load_multi30k("en", "de", tmp_path)
    with pytest.raises(ValueError, match=r"val\.de\.gz is not the published val\.de\.gz"):
        dataset["validation"]
    assert len(dataset["train"]) == SIZES["train"]
    assert (
        len(datasets.multi30k.load_multi30k("en", "fr", tmp_path)["validation"])
        == SIZES["validation"]
    )


def test_files_of_unequal_length_are_refused(publish, tmp_path):
    publish(tmp_path, train_de=sentences("train", "de")[:-1])
    with pytest.raises(ValueError, match=r"train\.en\.gz 6, train\.de\.gz 5"):
        datasets.multi30k.load_multi30k("en", "de", tmp_path)["train"]


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (("en", "es"), "Unknown language of Multi30k: received 'es'.*'en', 'de', 'fr', 'cs'"),
        (("EN", "de"), "received 'EN'"),
        (("de", "de"), "two languages. Received: 'de' for both"),
    ],
)
def test_languages_that_there_are_not_are_refused(pair, message):
    with pytest.raises(ValueError, match=message):
        datasets.multi30k.load_multi30k(*pair)


def prepared_from(files, data_dir):
    """The exit code of the command that prepares the data set, and what it said."""
    from keras_attn.datasets.multi30k_builder import main

    app = typer.Typer()
    app.command()(main)
    source = [] if files is None else ["--from", str(files)]
    done = typer.testing.CliRunner().invoke(
        app, [*source, "--data-dir", str(data_dir)], env={"COLUMNS": "400"}
    )
    return done.exit_code, done.output


@pytest.mark.tensorflow
def test_the_prepared_data_set_is_that_of_the_files(publish, tmp_path):
    files = publish(tmp_path / "files")
    code, output = prepared_from(files, tmp_path / "tfds")
    assert (code, str(tmp_path / "tfds") in output) == (0, True), output
    for path in files.iterdir():
        path.unlink()
    expected = {name: sentences(name, "fr") for name in SIZES}
    for pair in (("de", "fr"), ("cs", "fr")):
        dataset = datasets.multi30k.load_multi30k(*pair, tmp_path / "tfds")
        for name, split in dataset.items():
            assert split.sources.tolist() == sentences(name, pair[0])
            assert split.targets.tolist() == expected[name]
    # A prepared data set comes before files beside it.
    (tmp_path / "tfds" / "multi30k" / "train.de.gz").write_bytes(b"damaged")
    (tmp_path / "tfds" / "multi30k" / "train.fr.gz").write_bytes(b"damaged")
    train = datasets.multi30k.load_multi30k("de", "fr", tmp_path / "tfds")["train"]
    assert (len(train), train.target_language) == (SIZES["train"], "fr")


@pytest.mark.tensorflow
def test_without_a_folder_the_files_are_downloaded_and_checked(publish, tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    files = publish(tmp_path / "files")

    def download(self, urls):
        assert urls == {name: URL + name for name in CHECKSUMS}
        return {name: files / pathlib.PurePosixPath(url).name for name, url in urls.items()}

    monkeypatch.setattr(tfds.download.DownloadManager, "download", download)
    code, output = prepared_from(None, tmp_path / "tfds")
    assert code == 0, output
    dataset = datasets.multi30k.load_multi30k("en", "cs", tmp_path / "tfds")
    assert fingerprints(dataset) == fingerprints(datasets.multi30k.load_multi30k("en", "cs", files))
    (files / "train.en.gz").write_bytes(b"damaged")
    code, output = prepared_from(None, tmp_path / "other")
    assert code == 2
    assert "is not the published train.en.gz" in output
    assert not list((tmp_path / "other").glob("multi30k/1*"))


def test_a_folder_without_all_the_files_is_not_prepared(publish, tmp_path):
    files = publish(tmp_path / "files")
    (files / "val.fr.gz").unlink()
    code, output = prepared_from(files, tmp_path / "tfds")
    assert code == 2
    assert "lacks 1 of the 18 files of Multi30k: val.fr.gz" in output
    assert not (tmp_path / "tfds").exists()


@pytest.mark.data("multi30k")
def test_multi30k_is_the_real_one():
    dataset = datasets.multi30k.load_multi30k("en", "de", real_data_dir("multi30k"))
    assert {name: len(split) for name, split in dataset.items()} == {
        "train": 29_000,
        "validation": 1_014,
        "test": 1_000,
        "test_2017": 1_000,
        "test_coco": 461,
    }
    train = dataset["train"]
    assert train.sources[0] == "Two young, White males are outside near many bushes."
    assert train.targets[0].startswith("Zwei junge weiße Männer sind im Freien")
    # Recorded numbers are of these sentences, in this order.
    assert {name: digest[:16] for name, digest in fingerprints(dataset).items()} == {
        "train": "6673fc424729957d",
        "validation": "3f3b560800377bb9",
        "test": "d5b063011e2f5f3b",
        "test_2017": "7909604b42e23807",
        "test_coco": "f021773fb9158f2a",
    }


@pytest.mark.data("multi30k")
@pytest.mark.parametrize("pair", [("en", "fr"), ("de", "cs")])
def test_no_real_sentence_is_empty_and_english_is_the_same_beside_each(pair):
    dataset = datasets.multi30k.load_multi30k(*pair, real_data_dir("multi30k"))
    for split in dataset.values():
        assert all(text.strip() for text in np.concatenate([split.sources, split.targets]))
    other = datasets.multi30k.load_multi30k(
        pair[0], "en" if pair[0] != "en" else "de", real_data_dir("multi30k")
    )
    assert other["test"].sources.tolist() == dataset["test"].sources.tolist()


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.data("multi30k")
def test_the_real_files_prepared_are_the_real_files(tmp_path):
    data_dir = real_data_dir("multi30k")
    if data_dir is None:
        pytest.skip("the published files are not beside the repository")
    code, output = prepared_from(data_dir / "multi30k", tmp_path)
    assert code == 0, output
    for pair in (("en", "de"), ("fr", "cs")):
        assert fingerprints(datasets.multi30k.load_multi30k(*pair, tmp_path)) == fingerprints(
            datasets.multi30k.load_multi30k(*pair, data_dir)
        )
