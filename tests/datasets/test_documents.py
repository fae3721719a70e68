"""Documents: published data sets, and files of your own."""

import json
import lzma

import numpy as np
import pytest

from keras_attn import datasets
from keras_attn.datasets import DatasetNotFoundError, DocumentSplit
from keras_attn.datasets.documents import document_split
from tests.conftest import real_data_dir

POEMS = [["a", f"title {n}", f"line one {n}, line two {n}."] for n in range(400)]


def test_splits_hold_texts_and_know_their_content():
    split = document_split(["ab", "c"])
    assert (len(split), split.characters) == (2, 3)
    assert split.inputs.tolist() == split.targets.tolist() == ["ab", "c"]
    assert split.take([1]).documents.tolist() == ["c"]
    assert split.fingerprint != document_split(["a", "bc"]).fingerprint
    for wrong in (["a"], np.array(["a"]), np.array([1], dtype=object)):
        with pytest.raises(ValueError, match="documents"):
            DocumentSplit(wrong)


@pytest.mark.tensorflow
def test_splits_are_batches_of_strings():
    batches = list(document_split(["a", "b", "c"]).batches(2))
    assert [batch.numpy().tolist() for batch in batches] == [[b"a", b"b"], [b"c"]]


@pytest.mark.parametrize("compressed", [False, True])
def test_shakespeare_is_cut_where_others_cut_it(tmp_path, compressed):
    text = "".join(chr(97 + n % 26) for n in range(1_000))
    folder = tmp_path / "tinyshakespeare"
    folder.mkdir()
    if compressed:
        (folder / "input.txt.xz").write_bytes(lzma.compress(text.encode()))
    else:
        (folder / "input.txt").write_text(text)
    dataset = datasets.load("shakespeare", tmp_path)
    parts = [dataset[name].documents[0] for name in ("train", "validation", "test")]
    assert "".join(parts) == text
    assert [len(part) for part in parts] == [850, 50, 100]


def test_poems_are_split_with_all_their_copies(tmp_path):
    lines = [*POEMS, ["b", "another title", POEMS[0][2]]]
    (tmp_path / "quatrains.jsonl").write_text("\n".join(map(json.dumps, lines)))
    dataset = datasets.load("tang", tmp_path)
    train, validation, test = (dataset[n].documents for n in ("train", "validation", "test"))
    poems = [{text.partition("\n")[2] for text in part} for part in (train, validation, test)]
    assert set.union(*poems) == {text for _, _, text in POEMS}
    assert sum(map(len, poems)) == len(POEMS)
    assert all(f"\n{poem}" in set(train) for poem in poems[0])
    assert not any(text.startswith("\n") for text in (*validation, *test))
    assert 5 < len(validation) < 40
    assert 5 < len(test) < 40


@pytest.mark.parametrize("name", ["shakespeare", "tang"])
def test_missing_and_damaged_files_are_named(name, tmp_path):
    with pytest.raises(DatasetNotFoundError, match=r"(?s)not on disk. Looked for .*github"):
        datasets.load(name, tmp_path)["train"]
    (tmp_path / "input.txt").write_bytes(b"\xff\xfe")
    (tmp_path / "quatrains.jsonl").write_text('["only a title"]\n')
    with pytest.raises(ValueError, match=r"damaged|line 1 is not a list"):
        datasets.load(name, tmp_path)["train"]


@pytest.mark.data("tinyshakespeare")
def test_the_published_file_has_its_known_size():
    dataset = datasets.load("shakespeare", real_data_dir("tinyshakespeare"))
    assert sum(dataset[name].characters for name in dataset) == 1_115_394
    assert len(set(dataset["train"].documents[0])) == 65


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_text_file_is_one_document(tmp_path):
    table = datasets.read_documents(write(tmp_path / "a.txt", "one\r\ntwo  \n\nthree"))
    assert table.documents.documents.tolist() == ["one\ntwo  \n\nthree"]
    assert "1 document read, 1 kept, 0 skipped" in str(table.account)


def test_a_folder_has_a_document_per_file(tmp_path):
    write(tmp_path / "d" / "b.txt", "second")
    write(tmp_path / "d" / "a.md", "first")
    write(tmp_path / "d" / "sub" / "c.txt", "second")
    write(tmp_path / "d" / "empty.txt", "")
    write(tmp_path / "d" / "photo.png", b"\x89PNG")
    table = datasets.read_documents(tmp_path / "d")
    assert table.documents.documents.tolist() == ["first", "second"]
    account = str(table.account)
    assert "1 other file in the folder" in account
    assert "1 exact duplicate" in account
    assert "1 empty" in account


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_table_has_a_document_per_row(name, tmp_path):
    content = 'id,text\n1,"two\nlines"\n2,other\n'
    if name.endswith("jsonl"):
        content = '{"text": "two\\nlines"}\n{"text": "other"}\n'
    table = datasets.read_documents(write(tmp_path / name, content))
    assert table.documents.documents.tolist() == ["two\nlines", "other"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"\xff\xfe\xfa", "not UTF-8|is not a text|UTF"),
        ("a.txt", "caf\xe9 au lait".encode("latin-1"), r"Line 1 of .* is not UTF-8.*encoding"),
        ("a.txt", "  \n", "empty"),
        ("a.pdf", b"%PDF-1.4", r"Documents are read from files .*\.txt"),
        ("a.csv", "id,text\n1,\n", "no document that can be used"),
    ],
)
def test_files_that_cannot_be_read_are_refused(name, content, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        datasets.read_documents(write(tmp_path / name, content))


def test_what_does_not_exist_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        datasets.read_documents(tmp_path / "none.txt")
    (tmp_path / "d").mkdir()
    with pytest.raises(ValueError, match=r"holds no file \.txt"):
        datasets.read_documents(tmp_path / "d")


def test_few_documents_are_cut_by_characters_and_many_by_document(tmp_path):
    one = datasets.read_documents(write(tmp_path / "a.txt", "0123456789" * 10))
    splits = datasets.split_documents(one)
    assert "".join(split.documents[0] for split in splits.values()) == "0123456789" * 10
    assert [split.characters for split in splits.values()] == [80, 10, 10]
    for n in range(20):
        write(tmp_path / "d" / f"{n}.txt", f"document {n}")
    many = datasets.read_documents(tmp_path / "d")
    splits = datasets.split_documents(many, validation=0.2, test=0)
    assert {name: len(split) for name, split in splits.items()} == {"train": 16, "validation": 4}
    splits = datasets.split_documents(many, validation_data=one, test=0)
    assert splits["validation"].characters == 100
    with pytest.raises(ValueError, match="too few characters"):
        datasets.split_documents(datasets.read_documents(write(tmp_path / "b.txt", "ab")))
