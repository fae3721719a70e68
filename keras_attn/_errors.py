"""Messages of errors of TensorFlow."""

import re


def tensorflow_reason(error: BaseException) -> str:
    """Return the first line of an error's message, without names of operations.

    Args:
        error: An error of TensorFlow, or any other.

    Example:

    >>> tensorflow_reason(ValueError("{{node A}} Input is empty. [Op:Decode]"))
    'Input is empty'
    """
    lines = str(getattr(error, "message", error)).strip().splitlines()
    reason = re.sub(r"\{\{.*?\}\}|\[Op:[^]]*\]?", "", lines[0] if lines else "")
    return " ".join(reason.split()).rstrip(".")
