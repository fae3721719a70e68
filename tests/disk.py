"""A disk that is full."""

import contextlib
import resource


@contextlib.contextmanager
def full_disk(limit):
    """Fail every write beyond `limit` bytes of a file with OSError, until the block ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
