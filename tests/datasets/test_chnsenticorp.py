"""ChnSentiCorp: its published splits, and the test reviews that are not in the training split."""

import zipfile

import pytest

from keras_attn import datasets
from tests.conftest import real_data_dir

ROWS = {
    "train.tsv": [(1, '"好"的 酒店'), (0, "房间太小\t,很吵"), (1, "书不错")],
    "dev.tsv": [(0, "电池不好")],
    "test.tsv": [(1, "书不错"), (0, "屏幕坏了"), (1, "推荐")],
}


def write(folder, rows=ROWS, end="\n", archive=False, top=""):
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        name: end.join(["label\ttext_a", *(f"{label}\t{text}" for label, text in lines), ""])
        for name, lines in rows.items()
    }
    if archive:
        with zipfile.ZipFile(folder / "chnsenticorp.zip", "w") as file:
            for name, content in contents.items():
                file.writestr(top + name, content)
    else:
        for name, content in contents.items():
            (folder / name).write_text(content, encoding="utf-8", newline="")
    return folder


@pytest.mark.parametrize(
    ("inside", "options"),
    [
        ("", {}),
        ("", {"end": "\r\n"}),
        ("chnsenticorp", {}),
        ("chnsenticorp", {"archive": True}),
        ("", {"archive": True, "top": "chnsenticorp/"}),
    ],
)
def test_every_form_of_the_files_gives_the_same_splits(tmp_path, inside, options):
    write(tmp_path / inside, **options)
    dataset = datasets.load("chnsenticorp", tmp_path)
    assert dataset.label_names == ("negative", "positive")
    for split, name in (("train", "train.tsv"), ("validation", "dev.tsv"), ("test", "test.tsv")):
        received = zip(dataset[split].labels.tolist(), dataset[split].texts, strict=True)
        assert list(received) == ROWS[name]
    assert dataset["test_unseen"].texts.tolist() == ["屏幕坏了", "推荐"]
    assert dataset["test_unseen"].labels.tolist() == [0, 1]


def test_the_environment_names_the_folder(tmp_path, monkeypatch):
    write(tmp_path / "chnsenticorp")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert len(datasets.load("chnsenticorp")["train"]) == 3


def test_files_that_are_absent_or_damaged(tmp_path):
    with pytest.raises(datasets.DatasetNotFoundError, match=r"chnsenticorp.zip, or train.tsv, dev"):
        datasets.load("chnsenticorp", tmp_path)["train"]
    write(tmp_path, {**ROWS, "dev.tsv": [(2, "x")], "test.tsv": [("x", "y")]})
    dataset = datasets.load("chnsenticorp", tmp_path)
    assert len(dataset["train"]) == 3
    with pytest.raises(ValueError, match=r"line 2 of dev.tsv is not 0 or 1, a tab.*'2\\tx'"):
        dataset["validation"]
    (tmp_path / "test.tsv").write_text("1\tno header\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"line 1 of test.tsv is not the header 'label\\ttext_a'"):
        dataset["test"]
    (tmp_path / "train.tsv").write_bytes(b"label\ttext_a\n1\t\xff\n")
    with pytest.raises(ValueError, match=r"is damaged, or does not hold the train.tsv"):
        datasets.load("chnsenticorp", tmp_path)["train"]
    (tmp_path / "chnsenticorp.zip").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"chnsenticorp.zip is damaged"):
        datasets.load("chnsenticorp", tmp_path)["train"]
    write(tmp_path, {"train.tsv": ROWS["train.tsv"]}, archive=True)
    with pytest.raises(ValueError, match=r"0 files are called 'dev.tsv'"):
        datasets.load("chnsenticorp", tmp_path)["validation"]


@pytest.mark.data("chnsenticorp")
def test_the_published_files():
    dataset = datasets.load("chnsenticorp", real_data_dir("chnsenticorp"))
    assert [len(split) for split in dataset.values()] == [9_600, 1_200, 1_200, 869]
    assert dataset["test"].labels.sum() == 608
