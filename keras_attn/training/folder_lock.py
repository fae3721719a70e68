"""A run owns its folder: a lock of the operating system, which ends with the process."""

import contextlib
import errno
import json
import os
import pathlib
import socket
import time
import warnings
from collections.abc import Iterator

LOCK_FILE = ".lock"
_CANNOT_LOCK = {errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
_MAX_OWNER_BYTES = 4096
_LOCKED_BYTE = 2**30  # on Windows, where a locked byte cannot be read; behind the owner's name
_held: set[int] = set()  # descriptors of this process


class FolderInUseError(RuntimeError):
    """Another run owns the folder; the message names its process."""


def check_folder(folder: pathlib.Path, *, new: bool) -> None:
    """Raise unless a run can be written into a folder.

    A lock file alone does not count: a process that was killed leaves it.

    Args:
        folder: The folder of the run. It need not exist.
        new: Whether the run is a new one, which needs an empty folder.

    Raises:
        FileNotFoundError: The folder is a link to nothing.
        NotADirectoryError: It is a file.
        FileExistsError: The run is a new one, and the folder holds files.
    """
    if folder.is_symlink() and not folder.exists():
        raise FileNotFoundError(f"The run's folder {str(folder)!r} is a link to nothing.")
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(
            f"The run's folder {str(folder)!r} is a file. Choose another folder."
        )
    if new and folder.exists() and any(path.name != LOCK_FILE for path in folder.iterdir()):
        raise FileExistsError(
            f"The run's folder {str(folder)!r} is not empty. Pass --resume to resume the run in "
            "it, or choose another folder with --out."
        )


@contextlib.contextmanager
def owning(folder: pathlib.Path) -> Iterator[None]:
    """Own a folder inside a `with` block. Creates the folder if it does not exist.

    The lock is advisory, and ends with this process, however it ends. It holds between machines
    as far as the file system shares locks: NFS 4 and most cluster file systems do. Where a file
    system has no locks, a warning says so. Folders that were created and are still empty at the
    end are removed.

    Raises:
        FolderInUseError: Another process, or another call in this one, owns the folder.
        OSError: The folder cannot be created or written.

    Example:

    >>> import tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp(), "run")
    >>> with owning(folder):
    ...     folder.is_dir()
    True
    >>> folder.exists()
    False
    """
    created = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = _acquire(folder / LOCK_FILE)
    except OSError as error:
        _remove_empty(created)
        raise OSError(
            error.errno,
            f"The run's folder {str(folder)!r} cannot be written: {error.strerror}. Choose another "
            "folder, or make this one writable.",
        ) from error
    try:
        yield
    finally:
        _release(folder / LOCK_FILE, descriptor)
        _remove_empty(created)


def _acquire(path: pathlib.Path) -> int:
    """Lock a file, write the owner into it, and return its descriptor."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    while True:
        descriptor = os.open(path, flags, 0o666)
        try:
            _lock(descriptor)
            if not _is_at(path, descriptor):  # the last owner has just removed it
                os.close(descriptor)
                continue
            owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": _now()}
            os.ftruncate(descriptor, 0)
            os.write(descriptor, json.dumps(owner).encode())
        except BlockingIOError as error:
            owner_text = _owner(descriptor)
            os.close(descriptor)
            raise FolderInUseError(
                f"The folder {str(path.parent)!r} belongs to a run in progress: {owner_text}. Wait "
                "until it has ended, end it, or choose another folder."
            ) from error
        except OSError as error:
            if error.errno not in _CANNOT_LOCK:
                os.close(descriptor)
                raise
            warnings.warn(
                f"{path} cannot be locked ({error.strerror}): its file system has no locks. Make "
                "sure that no other run writes into this folder.",
                stacklevel=4,
            )
        _held.add(descriptor)
        return descriptor


def _release(path: pathlib.Path, descriptor: int) -> None:
    """Remove the lock file and release the lock."""
    # Removed while it is locked: another process then finds that it has locked a removed file.
    # Windows cannot remove an open file, and there it remains.
    with contextlib.suppress(OSError):
        if os.name != "nt" and _is_at(path, descriptor):
            path.unlink()
    _held.discard(descriptor)
    with contextlib.suppress(OSError):
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Lock an open file, or raise BlockingIOError if it is locked."""
    if os.name == "nt":
        import msvcrt

        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except PermissionError as error:
            raise BlockingIOError(error.errno, error.strerror) from error
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_at(path: pathlib.Path, descriptor: int) -> bool:
    """Return whether an open file is still the one at a path."""
    try:
        return os.path.samestat(path.stat(follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _owner(descriptor: int) -> str:
    """Return who wrote a lock file, as far as it can be read."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        owner = json.loads(os.read(descriptor, _MAX_OWNER_BYTES))
        text = f"process {owner['pid']} on {owner['host']}, since {owner['since']}"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "its process is not named"  # it may just have begun
    return text if text.isprintable() else ascii(text)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _remove_empty(folders: list[pathlib.Path]) -> None:
    with contextlib.suppress(OSError):
        for path in folders:
            path.rmdir()


def _drop_inherited() -> None:
    """Close the locks that a forked process has inherited, which would outlive their owner."""
    for descriptor in _held:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_inherited)
