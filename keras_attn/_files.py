"""Write files atomically, and read JSON files that may be damaged."""

import contextlib
import errno
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield a temporary path beside `path`, to write; it replaces `path` at the end of the block.

    A reader sees the old content or the new one, also after a crash of the machine. After an
    error the temporary file is removed, and `path` is unchanged.

    Raises:
        OSError: The file could not be written; the message names `path`.

    Example:

    >>> import tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "log.csv")
    >>> with replacing(path) as partial:
    ...     _ = partial.write_text("epoch")
    >>> path.read_text()
    'epoch'
    """
    partial = path.with_name(f"partial-{path.name}")
    try:
        yield partial
        fsync(partial)
        partial.replace(path)
    except OSError as error:
        reason = " ".join(str(error.strerror or error).split())
        message = f"{path} could not be written: {reason}."
        raise (OSError(error.errno, message) if error.errno else OSError(message)) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def write_text(path: pathlib.Path, text: str) -> None:
    """Write a text file atomically, see `replacing`."""
    with replacing(path) as partial:
        partial.write_text(text.rstrip("\n") + "\n", encoding="utf-8")


def check_disk_space(path: pathlib.Path, size: int) -> None:
    """Raise OSError unless a new file of `size` bytes can be written to `path`.

    A file that is left there is removed. Call it before HDF5 writes: HDF5 crashes the process when
    it is used again after a full disk.
    """
    free = shutil.disk_usage(path.parent).free
    if free < size:
        reason = os.strerror(errno.ENOSPC)
        raise OSError(errno.ENOSPC, f"{reason}: {size:,} bytes are needed, {free:,} are free")
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        with path.open("wb") as file:  # it also meets quotas and limits of the process
            os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
    finally:
        path.unlink(missing_ok=True)


def read_json_object(path: pathlib.Path) -> dict[str, Any]:
    """Return the object that a JSON file holds.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is not UTF-8 or not JSON, is nested too deeply, or holds a value that
            is not an object; the message names the file.
    """
    try:
        content = json.loads(path.read_bytes())
    except RecursionError as error:
        raise ValueError(f"{path} is not valid JSON: it is nested too deeply.") from error
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object. It holds: {type(content).__name__}.")
    return content


def sha256(path: pathlib.Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fsync(path: pathlib.Path) -> None:
    """Flush a file or folder to disk, so that it survives a crash of the machine."""
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open folders
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
