"""Files that tests of data sets read."""

import pytest


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a string, in UTF-8, or bytes to a file and returns its path."""

    def write(content, name="mine.tsv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path

    return write
