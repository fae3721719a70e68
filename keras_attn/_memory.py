"""Errors of frameworks that run out of memory, as one MemoryError that says what to do."""

import contextlib
from collections.abc import Iterator

# The classes of TensorFlow and PyTorch, which are not imported here.
_CLASSES = ("ResourceExhaustedError", "OutOfMemoryError")


@contextlib.contextmanager
def naming_lack_of_memory(what: str, remedy: str) -> Iterator[None]:
    """Raise MemoryError if a framework runs out of memory inside a `with` block.

    Args:
        what: What needs the memory; it starts the message.
        remedy: What to do about it, an imperative without full stop.

    Example:

    >>> with naming_lack_of_memory("training", "Reduce the batch size"):
    ...     raise MemoryError("2 GiB were requested")
    Traceback (most recent call last):
    MemoryError: Not enough memory for training: 2 GiB were requested. Reduce the batch size.
    """
    try:
        yield
    except Exception as error:
        if str(error).startswith("Not enough memory for") or not _is_lack_of_memory(error):
            raise
        lines = str(getattr(error, "message", "") or error).strip().splitlines()
        reason = lines[0].partition("}} ")[2] or lines[0] if lines else "an array is too large"
        reason = reason.partition(" [Op:")[0].rstrip(".")
        raise MemoryError(f"Not enough memory for {what}: {reason}. {remedy}.") from error


def _is_lack_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ in _CLASSES:
        return True
    # JAX raises a RuntimeError whose text begins with the status.
    return isinstance(error, RuntimeError) and str(error).startswith("RESOURCE_EXHAUSTED")
