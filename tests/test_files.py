"""Files that are written atomically, and JSON that may be damaged."""

import errno

import pytest

from keras_attn._files import check_disk_space, read_json_object, replacing, write_text


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), OSError("a library says\n no"), KeyError()],
)
def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path, error):
    path = tmp_path / "log.csv"
    write_text(path, "before")
    with pytest.raises(type(error)) as raised, replacing(path) as partial:
        partial.write_text("half")
        raise error
    assert path.read_text() == "before\n"
    assert [p.name for p in tmp_path.iterdir()] == ["log.csv"]
    if isinstance(error, OSError):
        assert raised.value.errno == error.errno
        assert f"{path} could not be written: " in str(raised.value)
        assert "\n" not in str(raised.value)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere/log\.csv could not be written: No such"):
        write_text(tmp_path / "nowhere" / "log.csv", "text")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "not valid JSON"),
        (b'{"a": 1', "not valid JSON"),
        (b"\xff\xfe\xfd", "not valid JSON"),
        (b"[1]", "must hold a JSON object. It holds: list"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
    ],
)
def test_damaged_json_is_named(tmp_path, content, match):
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"record\.json .*{match}"):
        read_json_object(path)


def test_disk_space_is_checked_beside_what_a_killed_process_left(tmp_path):
    path = tmp_path / "partial-model.weights.h5"
    path.write_bytes(b"half")
    check_disk_space(path, 1_000)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match=r"[\d,]+ bytes are needed"):
        check_disk_space(path, 10**18)
