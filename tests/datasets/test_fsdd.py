"""FSDD: its splits by the index of a recording, from a folder and from the archive."""

import io
import tarfile

import numpy as np
import pytest

from keras_attn import datasets
from tests.conftest import real_data_dir
from tests.datasets.test_wav import encode, wav


def recordings():
    """Recordings of two digits by two speakers, with the indices 0 to 11."""
    random = np.random.default_rng(0)
    return {
        f"{digit}_{speaker}_{index}.wav": wav(encode(random.uniform(-1, 1, 20), 16), rate=8_000)
        for digit in (3, 7)
        for speaker in ("ann", "bob")
        for index in range(12)
    }


def write(folder, archive):
    folder.mkdir(parents=True)
    if not archive:
        (folder / "recordings").mkdir()
        (folder / "recordings" / "notes.wav").write_bytes(b"not by its name")
        for name, content in recordings().items():
            (folder / "recordings" / name).write_bytes(content)
        return
    with tarfile.open(folder / "recordings.tar.xz", "w:xz") as file:
        for name, content in {"README.md": b"x", **recordings()}.items():
            member = tarfile.TarInfo(f"recordings/{name}" if name != "README.md" else name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("inside", ["", "fsdd"])
@pytest.mark.parametrize("archive", [False, True])
def test_splits_are_cut_by_index_and_share_no_recording(tmp_path, inside, archive):
    write(tmp_path / "data" / inside, archive)
    dataset = datasets.load("fsdd", tmp_path / "data")
    assert {name: len(split) for name, split in dataset.items()} == {
        "train": 8, "validation": 20, "test": 20,
    }  # fmt: skip
    every = [each.samples.tobytes() for split in dataset.values() for each in split.waveforms]
    assert len(set(every)) == len(recordings())
    for split in dataset.values():
        assert {dataset.label_names[label] for label in split.labels} == {"three", "seven"}
        assert set(split.speakers) == {"ann", "bob"}


def test_files_that_are_absent_or_damaged(tmp_path):
    dataset = datasets.load("fsdd", tmp_path)
    with pytest.raises(
        datasets.DatasetNotFoundError, match=r"Looked for recordings, recordings\.tar"
    ):
        dataset["train"]
    (tmp_path / "recordings").mkdir()
    with pytest.raises(ValueError, match=r"named as 7_jackson_32\.wav"):
        datasets.load("fsdd", tmp_path)["test"]
    (tmp_path / "recordings" / "1_ann_0.wav").write_bytes(b"RIFF")
    with pytest.raises(ValueError, match="is damaged"):
        datasets.load("fsdd", tmp_path)["test"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "recordings.tar.xz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"recordings\.tar\.xz is damaged"):
        datasets.load("fsdd", other)["test"]


@pytest.mark.data("fsdd")
def test_the_published_files():
    dataset = datasets.load("fsdd", real_data_dir("fsdd"))
    assert [len(split) for split in dataset.values()] == [2_400, 300, 300]
    for split in dataset.values():
        assert np.bincount(split.labels).tolist() == [len(split) // 10] * 10
        assert sorted(set(split.speakers)) == [
            "george", "jackson", "lucas", "nicolas", "theo", "yweweler",
        ]  # fmt: skip
        assert {waveform.rate for waveform in split.waveforms} == {8_000}
